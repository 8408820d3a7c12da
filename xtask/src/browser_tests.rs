//! The browser tests of `web/e2e`: served in each mode, and run, those that measure time alone.

use std::process::Command;
use std::sync::{PoisonError, RwLock};

use anyhow::Result;

use crate::arguments::Mode;
use crate::report::Report;
use crate::suite::{build_once, node_tests};
use crate::web::{self, Server, Site};
use crate::{package, setup};

/// Tests that measure real time or count lost audio. They run while nothing else does, see
/// `docs/decisions/0049-suites-run-side-by-side.md`.
const TIMED: [&str; 4] = [
    "feed.test.mjs",
    "main_job.test.mjs",
    "taps.test.mjs",
    "watchdog.test.mjs",
];

/// Held for reading by suites of one step, and for writing by what must run alone.
static SIDE_BY_SIDE: RwLock<()> = RwLock::new(());

/// What measures time waits until the other mode's tests have ended, and then runs alone.
pub(crate) fn e2e(report: &mut Report, name: &str, mode: Mode) -> Result<()> {
    let timed = |file: &str| TIMED.contains(&file);
    {
        let _beside = SIDE_BY_SIDE.read().unwrap_or_else(PoisonError::into_inner);
        browser_tests(report, name, mode, |file| !timed(file), |node| node)?;
    }
    let _alone = SIDE_BY_SIDE.write().unwrap_or_else(PoisonError::into_inner);
    let name = format!("{name}, timed");
    browser_tests(report, &name, mode, timed, |node| node)
}

/// Opens, closes, kills and forgets what the library hands out, `rounds` times each, in both modes.
pub(crate) fn lifetimes(report: &mut Report, rounds: &str) -> Result<()> {
    for mode in [Mode::Shared, Mode::Transfer] {
        let name = format!("lifetimes-{}", mode.name());
        browser_tests(
            report,
            &name,
            mode,
            |file| file.starts_with("lifetimes_"),
            |node| node.env("WAVEPOOL_ROUNDS", rounds),
        )?;
    }
    Ok(())
}

/// Serves the page and that of the library's tests in `mode` and runs those of `web/e2e/*.test.mjs` against it whose file
/// name is `wanted`.
fn browser_tests(
    report: &mut Report,
    name: &str,
    mode: Mode,
    wanted: impl Fn(&str) -> bool,
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<()> {
    let browser = setup::chromium()?;
    build_once(|| {
        web::modules()?;
        web::page()?;
        web::library_tests()?;
        package::build_processors()
    })?;
    let server = Server::start(Site::App, web::free_port()?, mode)?;
    let library = Server::start(Site::LibraryTests, web::free_port()?, mode)?;
    let mut files: Vec<String> = std::fs::read_dir("web/e2e")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| wanted(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path().to_string_lossy().into_owned())
        .filter(|path| path.ends_with(".test.mjs"))
        .collect();
    files.sort();
    node_tests(report, name, &files, |node| {
        prepare(node)
            .env("WAVEPOOL_URL", server.url())
            .env("WAVEPOOL_LIBRARY_URL", library.url())
            .env("WAVEPOOL_MODE", mode.name())
            .env("WAVEPOOL_FAULTY", package::FAULTY_MODULE)
            .env("CHROMIUM", &browser)
    })
}

/// Ends so many threads of each kind at random moments, and counts what they held.
pub(crate) fn kills(report: &mut Report, name: &str, mode: Mode, kills: u32) -> Result<()> {
    let browser = setup::chromium()?;
    web::modules()?;
    web::library_tests()?;
    let library = Server::start(Site::LibraryTests, web::free_port()?, mode)?;
    node_tests(report, name, &["web/e2e/kills.test.mjs".into()], |node| {
        node.env("WAVEPOOL_LIBRARY_URL", library.url())
            .env("WAVEPOOL_MODE", mode.name())
            .env("WAVEPOOL_KILLS", kills.to_string())
            .env("CHROMIUM", &browser)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timed_tests_exist() {
        for file in TIMED {
            let path = crate::process::workspace_root().join("web/e2e").join(file);
            assert!(path.exists(), "{}", path.display());
        }
    }
}

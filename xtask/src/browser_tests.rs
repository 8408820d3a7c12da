//! The browser tests of `web/e2e`: served in each mode, and run, those that measure time alone.

use std::process::Command;
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use anyhow::Result;

use crate::arguments::Mode;
use crate::report::{Counts, Report};
use crate::suite::{build_once, node_tests, run_node, suite};
use crate::wasm_toolchain::WasmToolchain;
use crate::web::{self, Server, Site};
use crate::{package, setup, wasm};

/// Tests that measure real time or count lost audio. They run while nothing else does, see
/// `docs/decisions/0049-suites-run-side-by-side.md`.
const TIMED: [&str; 5] = [
    "compare.test.mjs",
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
        browser_tests(report, name, mode, 2, |file| !timed(file), |node| node)?;
    }
    let _alone = SIDE_BY_SIDE.write().unwrap_or_else(PoisonError::into_inner);
    let name = format!("{name}, timed");
    browser_tests(report, &name, mode, 2, timed, |node| node)
}

/// Opens, closes, kills and forgets what the library hands out, `rounds` times each, in both modes.
pub(crate) fn lifetimes(report: &mut Report, rounds: &str) -> Result<()> {
    for mode in [Mode::Shared, Mode::Transfer] {
        let name = format!("lifetimes-{}", mode.name());
        browser_tests(
            report,
            &name,
            mode,
            1,
            |file| file.starts_with("lifetimes_"),
            |node| node.env("WAVEPOOL_ROUNDS", rounds),
        )?;
    }
    Ok(())
}

/// Serves the page and that of the library's tests in `mode` and runs those of `web/e2e/*.test.mjs` against it whose file
/// name is `wanted`, each until it passes, at most `attempts` times.
fn browser_tests(
    report: &mut Report,
    name: &str,
    mode: Mode,
    attempts: u32,
    wanted: impl Fn(&str) -> bool,
    prepare: impl Fn(&mut Command) -> &mut Command,
) -> Result<()> {
    let browser = setup::chromium()?;
    build_once(|| {
        web::modules()?;
        web::page()?;
        web::library_tests()?;
        wasm::build_unpooled(&WasmToolchain::prepare()?)?;
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
    let start = Instant::now();
    let (mut counts, mut result) = (Counts::default(), Ok(()));
    for file in &files {
        let (ran, ended) = until_it_passes(file, attempts, || {
            run_node(std::slice::from_ref(file), |node| {
                prepare(node)
                    .env("WAVEPOOL_URL", server.url())
                    .env("WAVEPOOL_LIBRARY_URL", library.url())
                    .env("WAVEPOOL_MODE", mode.name())
                    .env("WAVEPOOL_FAULTY", package::FAULTY_MODULE)
                    .env("CHROMIUM", &browser)
            })
        })?;
        counts.add(ran);
        result = result.and(ended);
    }
    suite(report, name, counts, start.elapsed(), result);
    Ok(())
}

/// Runs `file` again after a failure: what a browser does in real time depends on what else the machine does. What failed at first
/// stays in the report. See `docs/decisions/0049-suites-run-side-by-side.md`.
fn until_it_passes(
    file: &str,
    attempts: u32,
    mut run: impl FnMut() -> Result<(Counts, Result<()>)>,
) -> Result<(Counts, Result<()>)> {
    let mut earlier = Vec::new();
    for _ in 1..attempts {
        let (counts, result) = run()?;
        if result.is_ok() {
            return Ok((counts.after(earlier), result));
        }
        println!("{file} failed and runs again");
        earlier.extend(
            counts
                .failures
                .iter()
                .map(|failure| format!("{file} ran again after this failure:\n{failure}")),
        );
    }
    let (counts, result) = run()?;
    Ok((counts.after(earlier), result))
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

    fn attempt(failed: u32) -> (Counts, Result<()>) {
        let counts = Counts {
            passed: 2 - failed,
            failed,
            failures: (0..failed).map(|_| "not ok 1 - late".into()).collect(),
        };
        let result = if failed == 0 {
            Ok(())
        } else {
            Err(anyhow::anyhow!("exit status: 1"))
        };
        (counts, result)
    }

    #[test]
    fn a_file_that_fails_once_passes_and_its_failure_is_still_reported() {
        let mut attempts = [attempt(1), attempt(0)].into_iter();
        let (counts, result) =
            until_it_passes("a.test.mjs", 2, || Ok(attempts.next().unwrap())).unwrap();
        assert!(result.is_ok());
        assert_eq!((counts.passed, counts.failed), (2, 0));
        let mut report = Report::default();
        report.suite("e2e", counts, None, None);
        let table = report.table();
        assert!(
            table.contains("e2e: a.test.mjs ran again after this failure:\nnot ok 1 - late"),
            "{table}"
        );
    }

    #[test]
    fn a_file_that_fails_every_time_fails_the_run() {
        for (attempts, runs) in [(1, 1), (2, 2)] {
            let mut ran = 0;
            let (counts, result) = until_it_passes("a.test.mjs", attempts, || {
                ran += 1;
                Ok(attempt(1))
            })
            .unwrap();
            assert_eq!((ran, counts.failed, result.is_err()), (runs, 1, true));
        }
    }

    #[test]
    fn timed_tests_exist() {
        for file in TIMED {
            let path = crate::process::workspace_root().join("web/e2e").join(file);
            assert!(path.exists(), "{}", path.display());
        }
    }
}

//! `cargo xtask demo`: the tuner and its dashboard, served or driven.

use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{ArgGroup, Args};

use crate::arguments::{Mode, absolute, seconds};
use crate::progress::Steps;
use crate::wasm_toolchain::WasmToolchain;
use crate::web::{self, Server, Site};
use crate::{process, setup, wasm};

const DRIVER: &str = "web/e2e/headless.mjs";
const COMPARISON: &str = "web/e2e/compare.mjs";
/// How long a comparison runs unless `--headless` says otherwise.
const COMPARED_SECONDS: u32 = 10;

/// The exit code of a shell's child that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[derive(Debug, PartialEq, Args)]
#[command(group = ArgGroup::new("driven").args(["headless", "unpooled", "compare"]).multiple(true))]
pub(crate) struct Demo {
    /// The port to serve on
    #[arg(long, value_name = "N", default_value_t = 4173, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// How sound crosses threads
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub(crate) mode: Mode,
    /// Drive a browser for so many seconds, and print a report
    #[arg(long, value_name = "SECONDS", value_parser = seconds())]
    pub(crate) headless: Option<u32>,
    /// The sound of the headless run, in place of a tone; on the page itself, drop the file onto it
    #[arg(long, value_name = "FILE", value_parser = absolute, requires = "driven")]
    pub(crate) input: Option<PathBuf>,
    /// Write the report of the headless run to this file
    #[arg(long, value_name = "FILE", value_parser = absolute, requires = "driven")]
    pub(crate) json: Option<PathBuf>,
    /// Fail if the headless run breaks a bound: note, skips, hit rate, leaks, late events, memory, garbage, copies
    #[arg(long, requires = "headless")]
    pub(crate) check: bool,
    /// Open and close streams with odd windows beside the main one during the headless run
    #[arg(long, requires = "headless")]
    pub(crate) turns: bool,
    /// The note that `--check` expects; without it the note that is named most often
    #[arg(long, value_name = "NAME", requires = "check")]
    pub(crate) note: Option<String>,
    /// Make a fault, which the report of the headless run must show
    #[arg(long, value_parser = ["leak-one"], requires = "headless")]
    pub(crate) fault: Option<String>,
    /// Drive the same sound through a tuner without a pool (wasm-bindgen's vectors, posted arrays), and print what its audio thread did
    #[arg(long, conflicts_with_all = ["check", "turns", "fault"])]
    pub(crate) unpooled: bool,
    /// Both ways, one after the other: collections and bytes on the audio thread; fails unless the pool spares a tenth
    #[arg(long, conflicts_with_all = ["check", "turns", "fault", "unpooled"])]
    pub(crate) compare: bool,
}

/// Builds what is stale and serves it until Ctrl-C, or drives a browser over it.
pub(crate) fn run(options: &Demo) -> Result<ExitCode> {
    // What the user can put right is said before anything long begins.
    options.input.as_deref().map_or(Ok(()), require_sound)?;
    options
        .json
        .as_deref()
        .map_or(Ok(()), process::require_writable)?;
    web::require_free(options.port)?;

    let compared = options.unpooled || options.compare;
    let driven = options.headless.or(compared.then_some(COMPARED_SECONDS));
    let extra = usize::from(driven.is_some()) + usize::from(compared);
    let mut steps = Steps::new(web::BUILD_STEPS + extra);
    let headless = match driven {
        Some(seconds) => Some((seconds, steps.step("Chromium", setup::chromium)?)),
        None => None,
    };
    web::build(&mut steps)?;
    if compared {
        steps.step("tuner without a pool", || {
            wasm::build_unpooled(&WasmToolchain::prepare()?)
        })?;
    }

    // Only now: until here there is nothing to end but ourselves.
    let (sender, stop) = channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more when the command is over already.
        let _ = sender.send(());
    })?;
    let mut server = Server::start(Site::App, options.port, options.mode)?;
    match headless {
        Some((seconds, browser)) => drive(&server, options, seconds, &browser, &stop),
        None => serve(&mut server, &stop),
    }
}

fn serve(server: &mut Server, stop: &Receiver<()>) -> Result<ExitCode> {
    println!("\n  Wavepool: {}\n  Ctrl-C ends it.", server.url());
    loop {
        // Looked at first: Ctrl-C reaches the server too, and then both are true.
        let running = server.is_running();
        match stop.recv_timeout(Duration::from_millis(200)) {
            Err(RecvTimeoutError::Timeout) if running => {}
            Err(RecvTimeoutError::Timeout) => bail!("the server ended by itself"),
            _ => return Ok(ExitCode::SUCCESS),
        }
    }
}

fn drive(
    server: &Server,
    options: &Demo,
    seconds: u32,
    browser: &Path,
    stop: &Receiver<()>,
) -> Result<ExitCode> {
    let mut driver = process::node();
    driver.arg(if options.unpooled || options.compare {
        COMPARISON
    } else {
        DRIVER
    });
    driver.arg("--seconds").arg(seconds.to_string());
    if !options.unpooled {
        driver.arg("--url").arg(server.url());
    }
    if let Some(input) = &options.input {
        driver.arg("--input").arg(input);
    }
    if let Some(json) = &options.json {
        driver.arg("--out").arg(json);
    }
    if let Some(fault) = &options.fault {
        driver.arg("--fault").arg(fault);
    }
    if let Some(note) = &options.note {
        driver.arg("--note").arg(note);
    }
    for (flag, given) in [("--check", options.check), ("--turns", options.turns)] {
        if given {
            driver.arg(flag);
        }
    }
    let mut child = process::spawn(driver.env("CHROMIUM", browser))?;
    wait(&mut child, stop)
}

/// The child's exit code, or [`INTERRUPTED`] after ending it.
fn wait(child: &mut Child, stop: &Receiver<()>) -> Result<ExitCode> {
    loop {
        if let Some(status) = child.try_wait()? {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
        if stop.recv_timeout(Duration::from_millis(100)).is_ok() {
            child.kill()?;
            child.wait()?;
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
}

/// Fails unless `input` is a file with something in it. Whether it is sound, the browser decides.
fn require_sound(input: &Path) -> Result<()> {
    let shown = input.display();
    match input.metadata() {
        Err(error) => bail!("--input {shown}: {error}"),
        Ok(metadata) if metadata.is_dir() => {
            bail!("--input {shown}: is a directory, a sound file is wanted")
        }
        Ok(metadata) if metadata.len() == 0 => bail!("--input {shown}: the file is empty"),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn useless_inputs_are_refused_before_any_work() {
        let refused = |path: &Path| require_sound(path).unwrap_err().to_string();
        assert!(refused(Path::new("no/such.wav")).contains("No such file"));
        assert!(refused(&std::env::temp_dir()).contains("is a directory"));
        let empty = std::env::temp_dir().join(format!("xtask-empty-{}", std::process::id()));
        std::fs::write(&empty, "").unwrap();
        assert!(refused(&empty).contains("is empty"));
        std::fs::write(&empty, "x").unwrap();
        assert!(require_sound(&empty).is_ok());
        std::fs::remove_file(&empty).unwrap();
    }
}

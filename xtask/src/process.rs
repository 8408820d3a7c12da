//! Child processes: started with what a person needs to know when they fail.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The oldest Node that the packages run on; the newest demand among them is Vite's.
pub(crate) const NODE_MINIMUM: &str = "20.19";

/// The directory of the workspace's `Cargo.toml`.
pub(crate) fn workspace_root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// `node`, which finds packages from the workspace's root.
pub(crate) fn node() -> Command {
    Command::new("node")
}

/// Runs `command` with our own input and output, and fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .map_err(|error| not_started(command, &error))?;
    check(command, status)
}

/// Runs `command` with our own input and output; its exit code is the answer. For programs of this
/// workspace, which say themselves what went wrong.
pub(crate) fn exit_code(command: &mut Command) -> Result<ExitCode> {
    let status = command
        .status()
        .map_err(|error| not_started(command, &error))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Starts `command` with our own output and leaves it running.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    command
        .spawn()
        .map_err(|error| not_started(command, &error))
}

/// Runs `command` and returns what it printed on standard output, trimmed.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}\n{}", shown(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether `command` starts and ends well; what it prints is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs `command`, passing on and keeping what it prints. Both outputs share one pipe, so that
/// cargo's headers (standard error) stay in order with the tests' results (standard output). On a
/// named thread other than the main one, each line passed on begins with that name.
pub(crate) fn tee(command: &mut Command) -> Result<(ExitStatus, String)> {
    let (reader, writer) = std::io::pipe().context("no pipe to be had")?;
    command
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .stdin(Stdio::null());
    let mut child = spawn(command)?;
    // `command` still holds the writing end; without this the reader would wait for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let prefix = match std::thread::current().name() {
        None | Some("main") => String::new(),
        Some(name) => format!("{name} | "),
    };
    let mut text = String::new();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let decoded = String::from_utf8_lossy(&line);
        print!("{prefix}{decoded}");
        text.push_str(&decoded);
        line.clear();
    }
    Ok((child.wait()?, text))
}

/// Runs a command of cargo's that builds one program, and returns where that lies.
pub(crate) fn built(cargo: &mut Command) -> Result<PathBuf> {
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| not_started(cargo, &error))?;
    check(cargo, output.status)?;
    executable(&String::from_utf8_lossy(&output.stdout))
}

/// The one executable among cargo's build messages.
fn executable(messages: &str) -> Result<PathBuf> {
    let path = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    path.context("cargo built no program")
}

/// An example of this workspace, built as `cargo test --workspace` builds it: `cargo run` would select one package, and compile
/// many dependencies again, with other features.
pub(crate) fn example(name: &str) -> Result<Command> {
    built(cargo().args(["build", "--quiet", "--workspace", "--example", name])).map(Command::new)
}

/// Turns an unhappy exit status into an error that shows the command.
pub(crate) fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        Ok(())
    } else {
        bail!("{}: {status}", shown(command))
    }
}

fn not_started(command: &Command, error: &std::io::Error) -> anyhow::Error {
    let program = command.get_program().to_string_lossy();
    if error.kind() != ErrorKind::NotFound {
        return anyhow::anyhow!("{program} could not be started: {error}");
    }
    match program.as_ref() {
        "node" | "npm" => anyhow::anyhow!(
            "{program} was not found. Install Node {} or newer (https://nodejs.org), then run this again.",
            NODE_MINIMUM
        ),
        "rustc" | "cargo" => anyhow::anyhow!(
            "{program} was not found. Install Rust (https://rustup.rs), then run this again."
        ),
        _ => anyhow::anyhow!("{program} was not found on PATH."),
    }
}

/// Fails unless a run's `--json` file can be written: better now than after the run. What is in it stays.
pub(crate) fn require_writable(file: &Path) -> Result<()> {
    let existed = file.exists();
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .with_context(|| format!("--json {} cannot be written", file.display()))?;
    if !existed {
        fs::remove_file(file)?;
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let mut text = format!("`{}", command.get_program().to_string_lossy());
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text.push('`');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no-such-program-here was not found on PATH."
        );
    }

    #[test]
    fn a_missing_tool_is_answered_with_what_to_install() {
        let message = |program: &str| {
            let not_found = std::io::Error::from(ErrorKind::NotFound);
            not_started(&Command::new(program), &not_found).to_string()
        };
        assert!(message("rustc").contains("Install Rust (https://rustup.rs)"));
        assert!(message("node").contains("Install Node"));
        assert!(message("npm").contains("Install Node"));
    }

    #[test]
    fn a_report_that_could_not_be_written_is_refused_before_the_run() {
        let dir = std::env::temp_dir().join(format!("xtask-json-{}", std::process::id()));
        let file = dir.join("r.json");
        let refused = require_writable(&file).unwrap_err().to_string();
        assert!(refused.contains("cannot be written"), "{refused}");
        fs::create_dir_all(&dir).unwrap();
        assert!(require_writable(&dir).is_err());
        require_writable(&file).unwrap();
        assert!(!file.exists());
        fs::write(&file, "before").unwrap();
        require_writable(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_program_is_found_among_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/wavepool.wasm\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}";
        assert_eq!(executable(messages).unwrap(), Path::new("/t/wavepool.wasm"));
        assert!(executable("").is_err());
    }

    #[test]
    fn both_outputs_are_kept_in_order() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo one; echo two >&2; echo three; exit 3"]);
        let (status, text) = tee(&mut shell).unwrap();
        assert_eq!(
            (status.code(), text.as_str()),
            (Some(3), "one\ntwo\nthree\n")
        );
        assert!(
            check(&shell, status)
                .unwrap_err()
                .to_string()
                .contains("exit status: 3")
        );
    }
}

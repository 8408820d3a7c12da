//! `cargo xtask coverage`: lines that the native tests reach.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{process, setup};

const TOOLS: &str = "target/tools";

/// Prints the table per file, after installing `cargo-llvm-cov` if need be.
pub(crate) fn run() -> Result<()> {
    let tool = format!("{TOOLS}/bin/cargo-llvm-cov");
    let works = || process::succeeds(Command::new(&tool).args(["llvm-cov", "--version"]));
    if !setup::rustup(&["component", "add", "llvm-tools"]) {
        bail!(
            "coverage needs the compiler's llvm-tools, and rustup could not bring them: `rustup component add llvm-tools` (https://rustup.rs)"
        );
    }
    if !works() {
        process::run(process::cargo().args([
            "install",
            "--locked",
            "--root",
            TOOLS,
            "cargo-llvm-cov",
        ]))?;
    }
    process::run(Command::new(&tool).args(["llvm-cov", "--package", "wavepool", "--summary-only"]))
}

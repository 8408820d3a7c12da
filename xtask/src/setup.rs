//! Installs what is missing, or says plainly what to install and how.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

pub(crate) use crate::install::rustup;
use crate::install::{apt_install, installing, on_path};
use crate::process::{self, NODE_MINIMUM};
use crate::progress::Steps;
use crate::stamp::Stamp;
use crate::wasm_toolchain::WasmToolchain;

/// `cargo xtask setup`: everything, each in a step.
pub(crate) fn all() -> Result<()> {
    let mut steps = Steps::new(5);
    steps.step("Node", node)?;
    steps.step("npm packages", npm_packages)?;
    steps.step("WebAssembly toolchain", WasmToolchain::prepare)?;
    steps.step("rustfmt and clippy", rust_checkers)?;
    let browser = steps.step("Chromium", chromium)?;
    println!("Chromium: {}", browser.display());
    Ok(())
}

/// Fails unless a Node that is new enough is on PATH.
pub(crate) fn node() -> Result<()> {
    let version = process::capture(process::node().arg("--version"))?;
    if node_is_new_enough(&version) {
        return Ok(());
    }
    bail!(
        "Node {version} is too old: install {NODE_MINIMUM} or newer (https://nodejs.org), then run this again."
    )
}

fn node_is_new_enough(version: &str) -> bool {
    let numbers = |text: &str| {
        let mut parts = text
            .trim_start_matches('v')
            .split('.')
            .map(|part| part.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    numbers(version) >= numbers(NODE_MINIMUM)
}

/// `npm ci`, unless the packages are those of the lock file already.
pub(crate) fn npm_packages() -> Result<()> {
    let _installing = installing();
    node()?;
    let installed = "node_modules/.package-lock.json";
    let stamp = Stamp::new("npm", &["package.json", "package-lock.json", ".npmrc"], "")?;
    if stamp.is_fresh(&[installed]) {
        return Ok(());
    }
    process::run(Command::new("npm").arg("ci"))
        .context("the npm packages could not be installed: is the registry reachable?")?;
    stamp.record()
}

/// `cargo fmt` and `cargo clippy`, by rustup when missing.
pub(crate) fn rust_checkers() -> Result<()> {
    for (component, probe) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let there = || process::succeeds(process::cargo().args([probe, "--version"]));
        if there() || (rustup(&["component", "add", component]) && there()) {
            continue;
        }
        bail!(
            "{component} is missing and rustup could not bring it. Install it: `rustup component add {component}` (https://rustup.rs), or your distribution's package"
        );
    }
    Ok(())
}

/// The browser: `CHROMIUM` if set, else the first known one found, else from the distribution.
pub(crate) fn chromium() -> Result<PathBuf> {
    let _installing = installing();
    if let Some(named) = env::var_os("CHROMIUM") {
        let path = PathBuf::from(named);
        if path.is_file() {
            return Ok(path);
        }
        bail!("CHROMIUM is set to {}, which is no file", path.display());
    }
    if let Some(found) = find_chromium() {
        return Ok(found);
    }
    if !cfg!(target_os = "macos")
        && apt_install(&["chromium"])
        && let Some(found) = find_chromium()
    {
        return Ok(found);
    }
    bail!(
        "no Chromium was found. Install Chromium or Chrome ({}), or set CHROMIUM to its executable",
        if cfg!(target_os = "macos") {
            "`brew install --cask google-chrome`"
        } else {
            "`apt install chromium`, or your distribution's package"
        }
    )
}

fn find_chromium() -> Option<PathBuf> {
    let applications = [
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
    ];
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome-stable",
        "google-chrome",
        "chrome",
    ];
    names.iter().find_map(|name| on_path(name)).or_else(|| {
        applications
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions() {
        assert!(node_is_new_enough("v20.19.0"));
        assert!(node_is_new_enough("v24.1.0"));
        assert!(!node_is_new_enough("v20.18.3"));
        assert!(!node_is_new_enough("v8.0.0"));
        assert!(!node_is_new_enough("nonsense"));
    }
}

//! The page: built by Vite, served by Vite's preview server.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::arguments::Mode;
use crate::progress::Steps;
use crate::stamp::Stamp;
use crate::wasm_toolchain::WasmToolchain;
use crate::{process, setup, wasm};

const VITE: &str = "node_modules/vite/bin/vite.js";

/// How long the server may take to listen: it starts in a second, but machines differ.
const SERVER_START: Duration = Duration::from_secs(60);

/// The number of steps of [`build`].
pub(crate) const BUILD_STEPS: usize = 5;

/// `cargo xtask build`.
pub(crate) fn build_all() -> Result<()> {
    build(&mut Steps::new(BUILD_STEPS))
}

/// Installs what building needs, then builds the modules and the page, as far as they are stale.
pub(crate) fn build(steps: &mut Steps) -> Result<()> {
    steps.step("npm packages", setup::npm_packages)?;
    let toolchain = steps.step("WebAssembly toolchain", WasmToolchain::prepare)?;
    wasm::build_all(&toolchain, steps)?;
    steps.step("page", page)
}

/// The npm packages and both modules, as far as they are stale: what the page is made from.
pub(crate) fn modules() -> Result<()> {
    setup::npm_packages()?;
    let toolchain = WasmToolchain::prepare()?;
    wasm::Build::ALL
        .into_iter()
        .try_for_each(|build| wasm::build(build, &toolchain))
}

/// What Vite builds and serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// The page people see.
    App,
    /// The page on which the library's browser tests run.
    LibraryTests,
}

impl Site {
    fn config(self) -> &'static str {
        match self {
            Self::App => "vite.config.ts",
            Self::LibraryTests => "web/e2e/library/vite.config.ts",
        }
    }
}

/// Builds the page of the library's tests.
pub(crate) fn library_tests() -> Result<()> {
    let inputs = [
        "package-lock.json",
        "tsconfig.json",
        "vite.config.ts",
        "web/app/src/icon.svg",
        "web/e2e/library",
        "web/lib/package/build_id.mjs",
        "web/lib/package.json",
        "web/lib/src",
        "web/lib/wasm",
    ];
    vite_build(
        Site::LibraryTests,
        "target/library-page/index.html",
        &inputs,
    )
}

/// Builds the page that people see.
pub(crate) fn page() -> Result<()> {
    let inputs = [
        "package-lock.json",
        "tsconfig.json",
        "vite.config.ts",
        "web/app",
        "web/lib/package/build_id.mjs",
        "web/lib/package.json",
        "web/lib/src",
        "web/lib/wasm",
    ];
    vite_build(Site::App, "web/dist/index.html", &inputs)
}

/// `vite build`, unless nothing it reads has changed since it made `output`.
fn vite_build(site: Site, output: &str, inputs: &[&str]) -> Result<()> {
    let config = site.config();
    let stamp = Stamp::new(&config.replace('/', "-"), inputs, "")?;
    if stamp.is_fresh(&[output]) {
        return Ok(());
    }
    process::run(process::node().args([VITE, "build", "--config", config, "--logLevel", "warn"]))?;
    stamp.record()
}

/// The preview server; ends when dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    mode: Mode,
}

impl Server {
    /// Serves what was built on loopback, isolated unless `mode` is transfer, and waits until it
    /// listens. Refuses a port that is taken, naming a free one.
    pub(crate) fn start(site: Site, port: u16, mode: Mode) -> Result<Self> {
        require_free(port)?;
        let isolated = if mode == Mode::Transfer { "0" } else { "1" };
        // Vite itself, not npx: killing npx would leave the server behind.
        let mut node = process::node();
        node.args([
            VITE,
            "preview",
            "--config",
            site.config(),
            "--host",
            "127.0.0.1",
            "--strictPort",
            "--logLevel",
            "warn",
            "--port",
        ])
        .arg(port.to_string())
        .env("WAVEPOOL_ISOLATED", isolated)
        .stdin(Stdio::null());
        let child = process::spawn(&mut node)?;
        let mut server = Self { child, port, mode };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended at once ({status})");
            }
            if start.elapsed() > SERVER_START {
                bail!(
                    "the server did not listen on port {port} within {} s",
                    SERVER_START.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// The page's address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/?mode={}", self.port, self.mode.name())
    }

    /// Whether the server still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended with the same Ctrl-C.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fails when `port` is taken.
pub(crate) fn require_free(port: u16) -> Result<()> {
    if is_free(port) {
        return Ok(());
    }
    match (port.saturating_add(1)..=u16::MAX)
        .take(100)
        .find(|&other| is_free(other))
    {
        Some(other) => bail!("port {port} is taken; {other} is free: `--port {other}`"),
        None => bail!("port {port} is taken; choose another with `--port N`"),
    }
}

/// A port that nothing listens on at this moment.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_with_a_free_one() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let message = require_free(port).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("port {port} is taken")),
            "{message}"
        );
        drop(taken);
        assert!(require_free(port).is_ok());
    }
}

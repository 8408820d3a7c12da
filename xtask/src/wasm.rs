//! The two WebAssembly modules, and the one that measures: built, then given their JavaScript by wasm-bindgen.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::progress::Steps;
use crate::stamp::Stamp;
use crate::wasm_toolchain::WasmToolchain;

/// The most memory the shared module may have. Reserved by the browser as a whole, and a large
/// one fails on small devices.
const MAX_SHARED_MEMORY_BYTES: u32 = 64 << 20;

/// One of the two builds of `wavepool-host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// Threads over one shared memory; needs a cross-origin isolated page.
    Shared,
    /// One memory per thread; works everywhere.
    Transfer,
}

impl Build {
    pub(crate) const ALL: [Self; 2] = [Self::Shared, Self::Transfer];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Transfer => "transfer",
        }
    }

    fn rustflags(self) -> String {
        match self {
            Self::Transfer => "-Ctarget-feature=+simd128".into(),
            Self::Shared => {
                let mut flags = format!(
                    "-Ctarget-feature=+atomics,+bulk-memory,+simd128 -Clink-arg=--shared-memory \
                     -Clink-arg=--import-memory -Clink-arg=--max-memory={MAX_SHARED_MEMORY_BYTES}"
                );
                // wasm-bindgen sets up each thread's stack and thread-locals through these; the library's own threads
                // set the stack pointer themselves.
                for symbol in [
                    "__wasm_init_tls",
                    "__tls_size",
                    "__tls_align",
                    "__tls_base",
                    "__heap_base",
                    "__stack_pointer",
                ] {
                    flags.push_str(" -Clink-arg=--export=");
                    flags.push_str(symbol);
                }
                flags
            }
        }
    }

    /// `cargo ARGUMENT…` for this build, in a target directory of its own: the two builds' flags
    /// would throw each other's work away.
    pub(crate) fn cargo(self, toolchain: &WasmToolchain, subcommand: &str) -> Command {
        let mut cargo = toolchain.cargo();
        cargo.args([subcommand, "--target", "wasm32-unknown-unknown"]);
        cargo.env("CARGO_TARGET_DIR", format!("target/wasm-{}", self.name()));
        cargo
            .env("RUSTFLAGS", self.rustflags())
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        if self == Self::Shared || toolchain.always_builds_std() {
            // Rebuilding the library is unstable; this makes a stable compiler do it.
            cargo
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=std,panic_abort");
        }
        cargo
    }

    /// Where the page finds the module and its JavaScript.
    pub(crate) fn output_dir(self) -> PathBuf {
        Path::new("web/lib/wasm").join(self.name())
    }
}

/// Builds both modules, as far as they are stale.
pub(crate) fn build_all(toolchain: &WasmToolchain, steps: &mut Steps) -> Result<()> {
    for build in Build::ALL {
        steps.step(&format!("WebAssembly module, {}", build.name()), || {
            self::build(build, toolchain)
        })?;
    }
    Ok(())
}

/// Builds one module and its JavaScript. When that fails nothing is left of an earlier one, which
/// would be served and tested in its place.
pub(crate) fn build(build: Build, toolchain: &WasmToolchain) -> Result<()> {
    let output = build.output_dir();
    let result = make("wavepool-host", build, toolchain, &output);
    if result.is_err() && output.exists() {
        std::fs::remove_dir_all(output)?;
    }
    result
}

/// The shared module with marks on the bus's lanes, for `cargo xtask bench events`.
pub(crate) fn build_lanes(toolchain: &WasmToolchain) -> Result<()> {
    let output = Path::new("web/e2e/lanes/wasm");
    make("wavepool-lanes", Build::Shared, toolchain, output)
}

/// The tuner without a pool, for `cargo xtask demo --compare`.
pub(crate) fn build_unpooled(toolchain: &WasmToolchain) -> Result<()> {
    let output = Path::new("web/e2e/unpooled/wasm");
    make("wavepool-unpooled", Build::Transfer, toolchain, output)
}

fn make(package: &str, build: Build, toolchain: &WasmToolchain, output: &Path) -> Result<()> {
    // The host is a library for the bench's module, too: only a target that is nothing but a module is optimised as a whole.
    crate::process::run(build.cargo(toolchain, "rustc").args([
        "--package",
        package,
        "--lib",
        "--crate-type",
        "cdylib",
        "--profile",
        "wasm",
    ]))?;
    let module = Path::new("target")
        .join(format!("wasm-{}", build.name()))
        .join("wasm32-unknown-unknown/wasm")
        .join(package.replace('-', "_"))
        .with_extension("wasm");
    let mut bindgen = Bindgen::new();
    bindgen
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true);
    bind(&mut bindgen, &module, "wavepool", output)
}

/// Makes `name.js` and `name_bg.wasm` of a module in the folder `output`, unless that was the last module made there.
pub(crate) fn bind(bindgen: &mut Bindgen, module: &Path, name: &str, output: &Path) -> Result<()> {
    // xtask carries wasm-bindgen's version.
    let xtask = std::env::current_exe()?;
    let made_from = [module, &xtask].map(|path| (path.to_owned(), modified(path)));
    let stamp = format!("bind-{}", output.to_string_lossy().replace('/', "-"));
    let stamp = Stamp::new(&stamp, &[], &format!("{made_from:?}"))?;
    let made = output.join(format!("{name}_bg.wasm"));
    if stamp.is_fresh(&[&made.to_string_lossy()]) {
        return Ok(());
    }
    bindgen
        .input_path(module)
        .out_name(name)
        .web(true)?
        .generate(output)
        .with_context(|| format!("wasm-bindgen over {}", module.display()))?;
    stamp.record()
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
}

//! `cargo xtask package`: the npm package, built, packed and checked.

use std::path::Path;

use anyhow::Result;

use crate::stamp::Stamp;
use crate::wasm::Build;
use crate::wasm_toolchain::WasmToolchain;
use crate::{process, web};

const BUILD: &str = "web/lib/package/build.mjs";

/// Where the packed package lies.
pub(crate) const TARBALL: &str = "target/npm/wavepool.tgz";
/// What was packed, which the benchmarks serve as it is.
const BUILT: &str = "web/lib/dist/index.js";

/// Builds both modules and the package as far as they are stale, packs it, and has `publint` and `attw` look at it.
pub(crate) fn build() -> Result<()> {
    web::modules()?;
    let inputs = [
        "package-lock.json",
        "tsconfig.json",
        "web/lib/README.md",
        "web/lib/package",
        "web/lib/package.json",
        "web/lib/src",
        "web/lib/wasm",
    ];
    let stamp = Stamp::new("package", &inputs, "")?;
    if stamp.is_fresh(&[TARBALL, BUILT]) {
        return Ok(());
    }
    process::run(process::node().args([BUILD, TARBALL]))?;
    stamp.record()
}

/// The example crate whose whole code is its DSP, and one that panics on request.
const PROCESSOR: &str = "low_pass";
const FAULTY: &str = "wavepool-faulty";

/// Where [`build_processors`] leaves the modules, and what the first made natively.
pub(crate) const PROCESSOR_MODULE: &str =
    "target/wasm-transfer/wasm32-unknown-unknown/wasm/low_pass.wasm";
pub(crate) const FAULTY_MODULE: &str =
    "target/wasm-transfer/wasm32-unknown-unknown/wasm/wavepool_faulty.wasm";
pub(crate) const PROCESSOR_NATIVE: &str = "target/npm/low_pass.f32";

/// Compiles both for the browser, and lets the example process natively what the browser will have to.
pub(crate) fn build_processors() -> Result<()> {
    let toolchain = WasmToolchain::prepare()?;
    let mut cargo = Build::Transfer.cargo(&toolchain, "build");
    cargo.args(["--package", PROCESSOR, "--package", FAULTY]);
    process::run(cargo.args(["--profile", "wasm"]))?;
    if let Some(folder) = Path::new(PROCESSOR_NATIVE).parent() {
        std::fs::create_dir_all(folder)?;
    }
    process::run(process::example("render")?.arg(PROCESSOR_NATIVE))
}

//! `cargo xtask package`: the npm package, built, packed and checked.

use anyhow::Result;

use crate::stamp::Stamp;
use crate::{process, web};

const BUILD: &str = "web/lib/package/build.mjs";

/// Where the packed package lies.
pub(crate) const TARBALL: &str = "target/npm/wavepool.tgz";

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
    if stamp.is_fresh(&[TARBALL]) {
        return Ok(());
    }
    process::run(process::node().args([BUILD, TARBALL]))?;
    stamp.record()
}

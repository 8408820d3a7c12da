//! A Rust toolchain that can build for wasm32, also with the standard library rebuilt for threads.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::{install, process};

/// Debian's Rust for building browsers: compiler, cargo, the library's source, and a linker of
/// the compiler's own LLVM version.
/// See `docs/decisions/0046-stable-compiler-for-shared-memory-builds.md`.
const DEBIAN_PACKAGES: [&str; 5] = [
    "rust-web-clippy",
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "rust-web-llvm",
];

const DEBIAN_LINKER: &str = "/usr/bin/rust-lld";

/// What the wasm builds are made with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WasmToolchain {
    /// The toolchain that runs us, with the wasm32 target and the library's source.
    Own,
    /// Debian's packages beside it. They have no built wasm32 library, so every build makes it.
    Debian,
}

impl WasmToolchain {
    /// The own toolchain, completed by rustup if need be; else Debian's; else what to do.
    pub(crate) fn prepare() -> Result<Self> {
        let _installing = install::installing();
        let sysroot = sysroot(Path::new("rustc"))?;
        if missing(&sysroot).is_empty() {
            return Ok(Self::Own);
        }
        // Both answer at once when there is nothing to do.
        let _ = install::rustup(&["target", "add", "wasm32-unknown-unknown"])
            && install::rustup(&["component", "add", "rust-src"]);
        let missing = missing(&sysroot);
        if missing.is_empty() {
            return Ok(Self::Own);
        }
        println!(
            "rustup could not bring {}; trying the distribution",
            missing.join(" and ")
        );
        if debian_is_complete() || (install_debian() && debian_is_complete()) {
            return Ok(Self::Debian);
        }
        bail!(
            "the toolchain lacks {}, and neither rustup nor apt could bring it. \
             With rustup (https://rustup.rs): `rustup target add wasm32-unknown-unknown && rustup component add rust-src`. \
             On Debian: `apt install {}`",
            missing.join(" and "),
            DEBIAN_PACKAGES.join(" ")
        )
    }

    /// A cargo of this toolchain.
    pub(crate) fn cargo(&self) -> Command {
        match self {
            Self::Own => process::cargo(),
            Self::Debian => {
                let mut cargo = Command::new("/usr/bin/cargo");
                cargo.env("RUSTC", "/usr/bin/rustc");
                // So that `cargo clippy` finds Debian's and not rustup's.
                let path = std::env::var("PATH").unwrap_or_default();
                cargo.env("PATH", format!("/usr/bin:{path}"));
                cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
                // Of the toolchain that runs us: this one must not find its libraries.
                cargo
                    .env_remove("LD_LIBRARY_PATH")
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("CARGO");
                cargo
            }
        }
    }

    /// Whether even the plain build has to make its standard library.
    pub(crate) fn always_builds_std(&self) -> bool {
        *self == Self::Debian
    }
}

fn sysroot(rustc: &Path) -> Result<PathBuf> {
    process::capture(
        Command::new(rustc)
            .env_remove("LD_LIBRARY_PATH")
            .args(["--print", "sysroot"]),
    )
    .map(PathBuf::from)
}

fn missing(sysroot: &Path) -> Vec<&'static str> {
    let rustlib = sysroot.join("lib/rustlib");
    [
        (
            "wasm32-unknown-unknown/lib",
            "the target wasm32-unknown-unknown",
        ),
        (
            "src/rust/library/Cargo.lock",
            "the standard library's source (rust-src)",
        ),
    ]
    .into_iter()
    .filter(|(path, _)| !rustlib.join(path).exists())
    .map(|(_, name)| name)
    .collect()
}

fn install_debian() -> bool {
    if !install::apt_install(&DEBIAN_PACKAGES) {
        return false;
    }
    // A link to the versioned linker, whose package has the same name and is only recommended.
    match std::fs::read_link(DEBIAN_LINKER) {
        Ok(target) if !Path::new(DEBIAN_LINKER).exists() => {
            install::apt_install(&[&target.to_string_lossy()])
        }
        _ => true,
    }
}

fn debian_is_complete() -> bool {
    let programs = ["/usr/bin/cargo", DEBIAN_LINKER]
        .iter()
        .all(|path| Path::new(path).exists());
    programs
        && sysroot(Path::new("/usr/bin/rustc")).is_ok_and(|sysroot| {
            sysroot
                .join("lib/rustlib/src/rust/library/Cargo.lock")
                .exists()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let dir = std::env::temp_dir().join(format!("xtask-sysroot-{}", std::process::id()));
        assert_eq!(missing(&dir).len(), 2);
        std::fs::create_dir_all(dir.join("lib/rustlib/wasm32-unknown-unknown/lib")).unwrap();
        assert_eq!(missing(&dir), ["the standard library's source (rust-src)"]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

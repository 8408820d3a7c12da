//! The library denies the lock types that `clippy.toml` lists, and its real-time files forbid them, so that nothing in them
//! can allow one again. Clippy checks that with every run. Here: the lint objects to a lock, also where an `allow` was added.

use std::fs;
use std::path::Path;
use std::process::Command;

/// As at the top of a real-time file.
const FORBIDDEN: &str = "#![cfg_attr(not(test), forbid(clippy::disallowed_types))]";

/// Whether clippy accepts a file that forbids locks, and its messages.
fn clippy(name: &str, code: &str) -> Option<(bool, String)> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, format!("{FORBIDDEN}\n{code}\n")).expect("fixture written");
    let output = Command::new("clippy-driver")
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata"])
        .arg(format!("--out-dir={}", env!("CARGO_TARGET_TMPDIR")))
        .arg(&file)
        .env("CLIPPY_CONF_DIR", env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Some((output.status.success(), said))
}

#[test]
fn lock_lint_trips_on_a_lock_and_not_on_an_atomic() {
    let Some((passed, said)) = clippy(
        "atomic.rs",
        "pub static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);",
    ) else {
        println!("not shown: no clippy-driver here (`rustup component add clippy`)");
        return;
    };
    assert!(passed, "{said}");
    for lock in ["Mutex<u32>", "RwLock<u32>", "Condvar", "mpsc::Sender<u32>"] {
        let code = format!("pub struct Twin(pub std::sync::{lock});");
        let (passed, said) = clippy("lock.rs", &code).unwrap();
        assert!(
            !passed && said.contains("disallowed type"),
            "{lock}: {said}"
        );
    }
    let allowed = "#[allow(clippy::disallowed_types)] pub struct Twin(pub std::sync::Mutex<u32>);";
    let (passed, said) = clippy("allowed.rs", allowed).unwrap();
    assert!(!passed, "{said}");
}

//! No lock in the real-time files: each denies the lock types that `clippy.toml` lists, and clippy does object.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What runs on the real-time thread: a file, or a room by its `mod.rs`.
const REAL_TIME: [&str; 6] = [
    "modules/data_management/realtime/mod.rs",
    "event_bus/cell.rs",
    "event_bus/clock.rs",
    "event_bus/interest.rs",
    "event_bus/lane.rs",
    "event_bus/publisher.rs",
];
const DENIED: &str = "#![deny(clippy::disallowed_types)]";

#[test]
fn every_real_time_file_denies_locks() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for place in REAL_TIME.map(|place| sources.join(place)) {
        let text = fs::read_to_string(&place).unwrap();
        assert!(text.contains(DENIED), "{place:?} does not deny lock types");
        let mut files = vec![place.clone()];
        if place.ends_with("mod.rs") {
            let room = fs::read_dir(place.parent().unwrap()).unwrap();
            files.extend(room.map(|entry| entry.unwrap().path()));
        }
        for file in files {
            // Only its tests may allow them.
            let text = fs::read_to_string(&file).unwrap();
            let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
            let allows = code.contains("allow(clippy::disallowed_types");
            assert!(!allows, "{file:?} allows lock types");
        }
    }
}

/// Clippy's word on a file that denies locks.
fn clippy(name: &str, code: &str) -> Option<(bool, String)> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, format!("{DENIED}\n{code}\n")).expect("fixture written");
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
fn the_lint_trips_on_a_lock_and_not_on_an_atomic() {
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
}

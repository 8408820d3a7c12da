//! Misuse that must not compile stands in the documentation, as `compile_fail` examples with the number of the error. A
//! plain `cargo test` sees that they do not compile; `cargo xtask verify misuse` also that they fail for that reason.
#![allow(clippy::unwrap_used)] // A test fails by it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn every_misuse_says_which_error_it_is() {
    let mut misuses = 0;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "crates/core/src"].map(|folder| sources(&root.join(folder)));
    for file in folders.into_iter().flatten() {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| line.contains("```compile_fail")) {
            assert!(line.contains("compile_fail,E0"), "{file:?}: {line}");
            misuses += 1;
        }
    }
    assert!(misuses >= 7, "{misuses} misuses");
}

/// Whether rustdoc is content with an example that is marked as misuse, and what it said.
fn rustdoc(name: &str, mark: &str, example: &str) -> Option<(bool, String)> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, format!("//! ```{mark}\n//! {example}\n//! ```\n")).unwrap();
    let output = Command::new("rustdoc")
        .args(["--test", "--edition=2024"])
        .arg(&file)
        // Without, a stable rustdoc does not look at the error's number.
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Some((output.status.success(), said))
}

#[test]
fn the_guard_trips_on_misuse_that_compiles_and_on_another_error() {
    let sharing = "fn shared(_: impl Sync) {} shared(std::cell::Cell::new(0));";
    let Some((passed, said)) = rustdoc("misuse.rs", "compile_fail,E0277", sharing) else {
        println!("not shown: no rustdoc here");
        return;
    };
    assert!(passed, "{said}");
    let fine = "fn shared(_: impl Sync) {} shared(0);";
    let (passed, said) = rustdoc("fine.rs", "compile_fail,E0277", fine).unwrap();
    assert!(!passed && said.contains("compiled successfully"), "{said}");
    let (passed, said) = rustdoc("renamed.rs", "compile_fail,E0277", "unheard_of();").unwrap();
    assert!(!passed && said.contains("E0425"), "{said}");
}

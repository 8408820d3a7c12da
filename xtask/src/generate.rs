//! `cargo xtask generate`: the TypeScript form of what Rust and the npm package share, from Rust's syntax trees. See
//! `docs/decisions/0051-typescript-is-generated-from-rust-syntax.md`.

mod exports;
mod names;
mod refusals;
mod source;
mod text;
mod types;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process;
use source::Source;

const FOLDER: &str = "web/lib/src/generated";
const HEADER: &str =
    "// Generated from Rust by `cargo xtask generate`; a test compares. Do not edit.\n";

/// A generated file and its text.
type File = (&'static str, String);

/// Writes the files that are not what Rust says.
pub(crate) fn run() -> Result<()> {
    let root = process::workspace_root();
    for (name, text) in stale(&root, &Source::read(&root)?)? {
        let path = root.join(FOLDER).join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("{FOLDER}/{name}");
    }
    Ok(())
}

/// The files whose text is not what Rust says, with the text that is.
fn stale(root: &Path, source: &Source) -> Result<Vec<File>> {
    let is_stale = |(name, text): &File| {
        !fs::read_to_string(root.join(FOLDER).join(name)).is_ok_and(|found| found == *text)
    };
    Ok(files(source)?.into_iter().filter(is_stale).collect())
}

fn files(source: &Source) -> Result<Vec<File>> {
    let bodies = [
        ("snapshot.ts", types::module(source, &names::SNAPSHOT)?),
        ("messages.ts", types::module(source, &names::MESSAGES)?),
        ("exports.ts", exports::module(source)?),
        ("refusals.ts", refusals::module()),
    ];
    Ok(bodies
        .map(|(name, body)| (name, format!("{HEADER}{body}")))
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_what_rust_says() {
        let root = process::workspace_root();
        let stale = stale(&root, &Source::read(&root).unwrap()).unwrap();
        let names: Vec<_> = stale.iter().map(|(name, _)| name).collect();
        assert!(names.is_empty(), "run `cargo xtask generate`: {names:?}");
    }

    #[test]
    fn generated_file_that_differs_from_rust_is_found() {
        let root = process::workspace_root();
        let mut source = Source::read(&root).unwrap();
        source
            .replace("pub(crate) tally: Tally", "pub(crate) count: Tally")
            .unwrap();
        let names: Vec<_> = stale(&root, &source)
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["snapshot.ts"]);
        source
            .replace("fn reader_take(reader", "fn reader_pop(reader")
            .unwrap();
        let names: Vec<_> = stale(&root, &source)
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["snapshot.ts", "exports.ts"]);
    }
}

//! The files of this repository, for the tests that check them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Directories of generated or downloaded files.
const SKIPPED: [&str; 3] = ["target", "dist", "node_modules"];

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The paths of all files, from the root.
pub(crate) fn files() -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    add_files(&root(), "", &mut files);
    files
}

/// Adds the files below `directory`, which is empty or ends in a slash.
fn add_files(root: &Path, directory: &str, files: &mut BTreeSet<String>) {
    for entry in fs::read_dir(root.join(directory)).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a plain name");
        let path = format!("{directory}{name}");
        if !entry.path().is_dir() {
            files.insert(path);
        } else if !name.starts_with('.') && !SKIPPED.contains(&&*name) {
            add_files(root, &format!("{path}/"), files);
        }
    }
}

/// What is after the last dot of a path.
pub(crate) fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

//! Remembers, by content, what a step was made from, so that it is not made again.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One step's inputs, hashed, and the file that remembers the last hash that succeeded.
pub(crate) struct Stamp {
    file: PathBuf,
    hash: String,
}

impl Stamp {
    /// Hashes `inputs` (files, or directories with everything below them) and `note`, which stands
    /// for what is no file: a version, an option. A missing input counts as such.
    pub(crate) fn new(name: &str, inputs: &[&str], note: &str) -> Result<Self> {
        Self::in_dir(Path::new("target/xtask"), name, inputs, note)
    }

    fn in_dir(dir: &Path, name: &str, inputs: &[&str], note: &str) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        note.hash(&mut hasher);
        for input in inputs {
            hash_path(Path::new(input), &mut hasher)?;
        }
        Ok(Self {
            file: dir.join(name),
            hash: format!("{:016x}", hasher.finish()),
        })
    }

    /// Whether nothing changed since the last [`Stamp::record`] and every output is still there.
    pub(crate) fn is_fresh(&self, outputs: &[&str]) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|last| last == self.hash)
            && outputs.iter().all(|output| Path::new(output).exists())
    }

    /// Remembers that the step succeeded.
    pub(crate) fn record(&self) -> Result<()> {
        if let Some(dir) = self.file.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(&self.file, &self.hash).with_context(|| self.file.display().to_string())
    }
}

fn hash_path(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    path.hash(hasher);
    if path.is_dir() {
        let mut entries = fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()?;
        entries.sort();
        for entry in entries {
            hash_path(&entry, hasher)?;
        }
    } else if path.exists() {
        fs::read(path)
            .with_context(|| path.display().to_string())?
            .hash(hasher);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_when_an_input_changes_or_an_output_goes() {
        let dir = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        let input = dir.join("in/deep");
        let output = dir.join("out");
        fs::create_dir_all(&input).unwrap();
        fs::write(input.join("file"), "one").unwrap();
        fs::write(&output, "").unwrap();
        let root = dir.join("in");
        let inputs = [root.to_str().unwrap()];
        let outputs = [output.to_str().unwrap()];
        let stamp = |note| Stamp::in_dir(&dir, "stamp", &inputs, note).unwrap();

        assert!(!stamp("").is_fresh(&outputs));
        stamp("").record().unwrap();
        assert!(stamp("").is_fresh(&outputs));
        assert!(!stamp("other version").is_fresh(&outputs));
        fs::write(input.join("file"), "two").unwrap();
        assert!(!stamp("").is_fresh(&outputs));
        stamp("").record().unwrap();
        fs::remove_file(&output).unwrap();
        assert!(!stamp("").is_fresh(&outputs));
        fs::remove_dir_all(&dir).unwrap();
    }
}

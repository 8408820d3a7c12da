//! The syntax trees of the workspace's Rust files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use syn::Item;

/// Folders with the crates that the WebAssembly module is made from.
const FOLDERS: [&str; 3] = ["src", "crates", "web/host"];

/// Files by path, as text and as syntax tree.
pub(super) struct Source(BTreeMap<String, (String, syn::File)>);

impl Source {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = Self(BTreeMap::new());
        for folder in FOLDERS {
            files.add(&root.join(folder))?;
        }
        Ok(files)
    }

    fn add(&mut self, folder: &Path) -> Result<()> {
        if !folder.is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.add(&path)?;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                self.insert(path.display().to_string(), fs::read_to_string(&path)?)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: String, text: String) -> Result<()> {
        let tree = syn::parse_file(&text).with_context(|| path.clone())?;
        self.0.insert(path, (text, tree));
        Ok(())
    }

    /// The top-level items of all files, each with the name of its file without `.rs`.
    pub(super) fn items(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.0.iter().flat_map(|(path, (_, tree))| {
            let file = path.rsplit(['/', '\\']).next().unwrap_or_default();
            let file = file.trim_end_matches(".rs");
            tree.items.iter().map(move |item| (file, item))
        })
    }

    /// What `find` returns for the only item, in the file if one is named, for which it returns something.
    pub(super) fn only<T>(
        &self,
        name: &str,
        find: impl Fn(&Item, &str) -> Result<Option<T>>,
    ) -> Result<T> {
        let (wanted, name) = name
            .split_once("::")
            .map_or((None, name), |(file, name)| (Some(file), name));
        let mut found = Vec::new();
        for (file, item) in self.items() {
            if wanted.is_none_or(|wanted| wanted == file)
                && let Some(one) = find(item, name)?
            {
                found.push((file, one));
            }
        }
        if found.len() > 1 {
            let files: Vec<_> = found.iter().map(|(file, _)| file).collect();
            bail!("`{name}` is in several files, name one of them: {files:?}");
        }
        found
            .pop()
            .map(|(_, one)| one)
            .with_context(|| format!("there is no `{name}`"))
    }
}

#[cfg(test)]
impl Source {
    /// One file with this text.
    pub(super) fn of(text: &str) -> Self {
        let mut files = Self(BTreeMap::new());
        files.insert("src/file.rs".into(), text.into()).unwrap();
        files
    }

    /// Replaces the only occurrence of a text.
    pub(super) fn replace(&mut self, from: &str, to: &str) -> Result<()> {
        let found: Vec<_> = self
            .0
            .iter()
            .filter(|(_, (text, _))| text.contains(from))
            .map(|(path, _)| path.clone())
            .collect();
        let [path] = &found[..] else {
            bail!("`{from}` is in {found:?}")
        };
        let text = self.0[path].0.replacen(from, to, 1);
        self.insert(path.clone(), text)
    }
}

//! `cargo test` over the workspace, and the guard that every declared test target ran.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::process;
use crate::report::{Counts, Report, parse_cargo};

/// Folders whose files cargo does not find by itself: each must be declared in `Cargo.toml`.
const NESTED_TESTS: [&str; 2] = ["tests/performance", "tests/benchmarks"];

/// What `cargo metadata` says of this workspace.
pub(crate) struct Targets {
    metadata: Value,
}

impl Targets {
    pub(crate) fn read() -> Result<Self> {
        let text = process::capture(process::cargo().args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
        ]))?;
        Ok(Self {
            metadata: serde_json::from_str(&text)?,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        items(&self.metadata["packages"]).flat_map(|package| items(&package["targets"]))
    }

    /// The suites that `cargo test --workspace` has to run, named as in the report.
    fn suites(&self) -> BTreeSet<String> {
        self.suites_where(false)
    }

    /// The suites that only run with optional features.
    pub(crate) fn featured_suites(&self) -> BTreeSet<String> {
        self.suites_where(true)
    }

    fn suites_where(&self, featured: bool) -> BTreeSet<String> {
        let mut suites = BTreeSet::new();
        for target in self.all() {
            if featured != items(&target["required-features"]).next().is_some() {
                continue;
            }
            let name = target["name"].as_str().unwrap_or_default();
            if target["test"] == true {
                let kind = if has_kind(target, "test") {
                    "tests"
                } else {
                    "unit"
                };
                suites.insert(format!("{kind} {}", name.replace('-', "_")));
            }
            if target["doctest"] == true {
                suites.insert(format!("doc {}", name.replace('-', "_")));
            }
        }
        suites
    }

    /// The benchmarks, by target name.
    pub(crate) fn benches(&self) -> Vec<String> {
        self.all()
            .filter(|target| has_kind(target, "bench"))
            .filter_map(|target| target["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Test files in nested folders that no target declares and no other file includes: they never run.
    fn undeclared(&self) -> Vec<PathBuf> {
        self.undeclared_below(&process::workspace_root())
    }

    fn undeclared_below(&self, root: &Path) -> Vec<PathBuf> {
        let declared: BTreeSet<&Path> = self
            .all()
            .filter_map(|target| target["src_path"].as_str())
            .map(Path::new)
            .collect();
        let mut found = Vec::new();
        for folder in NESTED_TESTS {
            let entries = std::fs::read_dir(root.join(folder))
                .into_iter()
                .flatten()
                .flatten();
            let files: Vec<PathBuf> = entries
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
                .collect();
            let sources: Vec<String> = files
                .iter()
                .filter_map(|path| std::fs::read_to_string(path).ok())
                .collect();
            found.extend(files.into_iter().filter(|path| {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let part = format!("mod {name};");
                !declared.contains(path.as_path())
                    && !sources.iter().any(|source| source.contains(&part))
            }));
        }
        found.sort();
        found
    }
}

fn has_kind(target: &Value, kind: &str) -> bool {
    items(&target["kind"]).any(|found| found == kind)
}

fn items(array: &Value) -> impl Iterator<Item = &Value> {
    array.as_array().into_iter().flatten()
}

/// Runs unit tests, integration tests and doctests of the whole workspace into `report`.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let targets = Targets::read()?;
    let mut cargo = process::cargo();
    let (status, text) = process::tee(cargo.args(["test", "--workspace", "--no-fail-fast"]))?;
    let ran = parse_cargo(&text);
    let failed = ran.iter().any(|(_, counts)| counts.failed > 0);
    for (suite, counts) in &ran {
        report.suite(suite, counts.clone(), None, None);
    }
    for missing in missing(&targets.suites(), &ran) {
        report.suite(
            &missing,
            Counts::default(),
            None,
            Some("declared, but did not run".into()),
        );
    }
    for path in targets.undeclared() {
        let trouble = "no target in Cargo.toml declares this file, so it never runs";
        report.suite(
            &path.display().to_string(),
            Counts::default(),
            None,
            Some(trouble.into()),
        );
    }
    // A build that fails, or a test binary that dies, shows no failed test.
    if !status.success() && !failed {
        report.suite(
            "native tests",
            Counts::default(),
            None,
            Some(status.to_string()),
        );
    }
    Ok(())
}

pub(crate) fn missing(declared: &BTreeSet<String>, ran: &[(String, Counts)]) -> Vec<String> {
    declared
        .iter()
        .filter(|suite| !ran.iter().any(|(name, _)| name == *suite))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> Targets {
        let root = process::workspace_root();
        let text = format!(
            r#"{{"packages": [{{"targets": [
                {{"name": "wave-pool", "kind": ["lib"], "test": true, "doctest": true, "src_path": "/w/lib.rs"}},
                {{"name": "no_alloc", "kind": ["test"], "test": true, "doctest": false, "src_path": "{}/tests/no_alloc.rs"}},
                {{"name": "served", "kind": ["test"], "test": true, "doctest": false, "required-features": ["x"], "src_path": "/w/s.rs"}},
                {{"name": "native_benchmarks", "kind": ["bench"], "test": false, "doctest": false, "src_path": "/w/b.rs"}}
            ]}}]}}"#,
            root.display()
        );
        Targets {
            metadata: serde_json::from_str(&text).unwrap(),
        }
    }

    #[test]
    fn suites_and_benches_come_from_the_metadata() {
        let suites: Vec<_> = targets().suites().into_iter().collect();
        assert_eq!(
            suites,
            ["doc wave_pool", "tests no_alloc", "unit wave_pool"]
        );
        let featured: Vec<_> = targets().featured_suites().into_iter().collect();
        assert_eq!(featured, ["tests served"]);
        assert_eq!(targets().benches(), ["native_benchmarks"]);
    }

    #[test]
    fn a_declared_suite_that_did_not_run_is_found() {
        let ran = [
            ("doc wave_pool".to_owned(), Counts::default()),
            ("unit wave_pool".to_owned(), Counts::default()),
        ];
        assert_eq!(missing(&targets().suites(), &ran), ["tests no_alloc"]);
    }

    #[test]
    fn an_undeclared_file_is_found() {
        let dir = std::env::temp_dir().join(format!("xtask-nested-{}", std::process::id()));
        let nested = dir.join(NESTED_TESTS[0]);
        std::fs::create_dir_all(&nested).unwrap();
        std::fs::write(nested.join("forgotten.rs"), "").unwrap();
        std::fs::write(nested.join("notes.md"), "").unwrap();
        std::fs::write(nested.join("whole.rs"), "mod part;").unwrap();
        std::fs::write(nested.join("part.rs"), "").unwrap();
        assert_eq!(
            targets().undeclared_below(&dir),
            [nested.join("forgotten.rs"), nested.join("whole.rs")]
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

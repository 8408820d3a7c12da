//! `cargo xtask coverage`: lines of the pool that the native tests reach.
//!
//! Counted are the lines of `src/modules/data_management` that can run, without the tests in these files. A line that is
//! only for WebAssembly is in no native run: it counts as not reached.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, setup};

const TOOLS: &str = "target/tools";
const FOLDER: &str = "src/modules/data_management/";
const LEAST_PERCENT: f64 = 90.0;
const WASM_ONLY: &str = r#"#[cfg(target_arch = "wasm32")]"#;

/// Lines that can run, and those among them that did.
#[derive(Default, Clone, Copy, Debug, PartialEq)]
struct Lines {
    all: usize,
    reached: usize,
}

impl Lines {
    fn percent(self) -> f64 {
        self.reached as f64 * 100.0 / self.all.max(1) as f64
    }

    fn suffice(self) -> Result<()> {
        let percent = self.percent();
        if percent < LEAST_PERCENT {
            bail!("{percent:.1} % of the lines are reached, {LEAST_PERCENT} % are asked for");
        }
        Ok(())
    }
}

/// Prints a table per file, after installing `cargo-llvm-cov` if need be; fails below 90 %.
pub(crate) fn run() -> Result<()> {
    let tool = format!("{TOOLS}/bin/cargo-llvm-cov");
    let works = || process::succeeds(Command::new(&tool).args(["llvm-cov", "--version"]));
    if !setup::rustup(&["component", "add", "llvm-tools"]) {
        bail!(
            "coverage needs the compiler's llvm-tools, and rustup could not bring them: `rustup component add llvm-tools` (https://rustup.rs)"
        );
    }
    if !works() {
        process::run(process::cargo().args([
            "install",
            "--locked",
            "--root",
            TOOLS,
            "cargo-llvm-cov",
        ]))?;
    }
    let out = "target/coverage.lcov";
    process::run(Command::new(&tool).args([
        "llvm-cov",
        "--package",
        "wavepool",
        "--lcov",
        "--output-path",
        out,
    ]))?;
    let mut sum = Lines::default();
    for (file, reached) in parse(&fs::read_to_string(out)?) {
        let text = fs::read_to_string(&file).with_context(|| file.clone())?;
        let lines = count(&text, &reached);
        sum.all += lines.all;
        sum.reached += lines.reached;
        let name = Path::new(&file).file_name().unwrap_or_default();
        println!(
            "{:34} {:5} of {:5} lines {:6.1} %",
            name.to_string_lossy(),
            lines.reached,
            lines.all,
            lines.percent()
        );
    }
    println!(
        "{:34} {:5} of {:5} lines {:6.1} %",
        "data_management",
        sum.reached,
        sum.all,
        sum.percent()
    );
    sum.suffice()
}

/// For each of the pool's files, its lines that can run, by number, and whether they did.
fn parse(lcov: &str) -> BTreeMap<String, BTreeMap<usize, bool>> {
    let mut files: BTreeMap<String, BTreeMap<usize, bool>> = BTreeMap::new();
    let mut file = None;
    for line in lcov.lines() {
        if let Some(name) = line.strip_prefix("SF:") {
            let counts = name.contains(FOLDER) && !name.contains("integration_tests");
            file = counts.then(|| name.to_owned());
        } else if let (Some(name), Some(data)) = (&file, line.strip_prefix("DA:")) {
            let mut numbers = data.split(',');
            let number = numbers.next().and_then(|number| number.parse().ok());
            let times = numbers.next();
            if let (Some(number), Some(times)) = (number, times) {
                let reached = files.entry(name.clone()).or_default().entry(number);
                *reached.or_default() |= times != "0";
            }
        }
    }
    files
}

/// The lines before the file's tests, those only for WebAssembly included.
fn count(text: &str, reached: &BTreeMap<usize, bool>) -> Lines {
    let code = text.lines().position(|line| line == "#[cfg(test)]");
    let end = code.unwrap_or(usize::MAX);
    let mut lines = Lines {
        all: wasm_only(text, end),
        reached: 0,
    };
    for (_, &reached) in reached.range(..=end) {
        lines.all += 1;
        lines.reached += usize::from(reached);
    }
    lines
}

/// Lines of the items and statements that only WebAssembly has: from the mark to where its brackets close.
fn wasm_only(text: &str, end: usize) -> usize {
    let (mut count, mut open) = (0, None);
    for line in text.lines().take(end) {
        if line.trim() == WASM_ONLY {
            open = Some(0);
            continue;
        }
        let Some(depth) = open else { continue };
        count += 1;
        let brackets =
            line.matches(['{', '(']).count() as i32 - line.matches(['}', ')']).count() as i32;
        let depth = depth + brackets;
        let ends = depth <= 0 && line.trim_end().ends_with(['}', ';', ',']);
        open = (!ends).then_some(depth);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"fn pages() -> usize {
    #[cfg(target_arch = "wasm32")]
    {
        memory_size(0)
    }
    #[cfg(not(target_arch = "wasm32"))]
    0
}

#[cfg(test)]
mod tests {}
"#;

    #[test]
    fn lines_only_for_wasm_are_not_reached_and_tests_do_not_count() {
        let lcov = "SF:/x/src/modules/data_management/a.rs\nDA:1,5\nDA:7,0\nDA:7,3\nDA:11,9\nSF:/x/src/b.rs\nDA:1,1\n";
        let files = parse(lcov);
        assert_eq!(files.len(), 1);
        let lines = count(TEXT, &files["/x/src/modules/data_management/a.rs"]);
        assert_eq!(lines, Lines { all: 5, reached: 2 });
        assert!((lines.percent() - 40.0).abs() < 1e-9);
    }

    #[test]
    fn the_floor_trips() {
        let lines = |reached| Lines { all: 1000, reached };
        assert!(lines(900).suffice().is_ok());
        let said = lines(899).suffice().unwrap_err().to_string();
        assert_eq!(said, "89.9 % of the lines are reached, 90 % are asked for");
    }

    #[test]
    fn a_statement_only_for_wasm_ends_where_it_ends() {
        let text = "#[cfg(target_arch = \"wasm32\")]\nreturn Some(\n    size(0),\n);\nNone\n";
        assert_eq!(wasm_only(text, usize::MAX), 3);
    }
}

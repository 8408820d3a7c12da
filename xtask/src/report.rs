//! What the suites said: counts out of their output, the table, and the guard against a suite
//! that is declared but runs nothing.

use std::fmt::Write as _;
use std::time::Duration;

use crate::progress::seconds;

/// Tests that ran, in one suite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

/// One row of the final table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) suite: String,
    pub(crate) counts: Counts,
    /// Not known for suites that ran within one command.
    pub(crate) elapsed: Option<Duration>,
    /// Why the suite failed, where the counts do not say it.
    pub(crate) trouble: Option<String>,
}

/// All rows of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a suite of tests. One that ran no test at all, or failed without a failed test to
    /// show for it, counts as one failure.
    pub(crate) fn suite(
        &mut self,
        suite: &str,
        mut counts: Counts,
        elapsed: Option<Duration>,
        trouble: Option<String>,
    ) {
        let trouble = trouble
            .or_else(|| (counts == Counts::default()).then(|| "declared, but ran no test".into()));
        if trouble.is_some() && counts.failed == 0 {
            counts.failed = 1;
        }
        self.rows.push(Row {
            suite: suite.into(),
            counts,
            elapsed,
            trouble,
        });
    }

    /// Adds a check without tests of its own (a formatter, a build): it counts as one.
    pub(crate) fn check(&mut self, check: &str, result: anyhow::Result<()>, elapsed: Duration) {
        let counts = if result.is_ok() {
            Counts {
                passed: 1,
                failed: 0,
            }
        } else {
            Counts::default()
        };
        self.suite(
            check,
            counts,
            Some(elapsed),
            result.err().map(|error| format!("{error:#}")),
        );
    }

    /// Adds the rows of another report.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.rows.append(&mut other.rows);
    }

    /// The totals of all rows.
    pub(crate) fn totals(&self) -> Counts {
        self.rows.iter().fold(Counts::default(), |sum, row| Counts {
            passed: sum.passed + row.counts.passed,
            failed: sum.failed + row.counts.failed,
        })
    }

    /// One line per suite, then what there is to say about those in trouble.
    pub(crate) fn table(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|row| row.suite.len())
            .max()
            .unwrap_or(0);
        let mut text = format!("\n{:width$}  passed  failed  time\n", "suite");
        for Row {
            suite,
            counts,
            elapsed,
            ..
        } in &self.rows
        {
            let time = elapsed.map(seconds).unwrap_or_default();
            // Formatting into a String cannot fail.
            let _ = writeln!(
                text,
                "{suite:width$}  {:6}  {:6}  {time}",
                counts.passed, counts.failed
            );
        }
        for row in &self.rows {
            if let Some(trouble) = &row.trouble {
                let _ = write!(text, "\n{}: {trouble}\n", row.suite);
            }
        }
        text
    }

    /// `N passed, N failed`.
    pub(crate) fn closing_line(&self) -> String {
        let totals = self.totals();
        format!("{} passed, {} failed", totals.passed, totals.failed)
    }
}

/// Suites and counts out of the output of `cargo test`, in its order: `unit wavepool`,
/// `tests no_alloc`, `doc wavepool`.
pub(crate) fn parse_cargo(output: &str) -> Vec<(String, Counts)> {
    let mut suites: Vec<(String, Counts)> = Vec::new();
    for line in output.lines() {
        let line = line.trim_start();
        if let Some(name) = cargo_suite(line) {
            suites.push((name, Counts::default()));
        } else if let (Some(found), Some((_, counts))) = (libtest_result(line), suites.last_mut()) {
            // Doctests print one result per way of building them.
            counts.passed += found.passed;
            counts.failed += found.failed;
        }
    }
    suites
}

fn cargo_suite(line: &str) -> Option<String> {
    if let Some(package) = line.strip_prefix("Doc-tests ") {
        return Some(format!("doc {package}"));
    }
    let (source, binary) = line
        .strip_prefix("Running ")?
        .strip_suffix(')')?
        .rsplit_once(" (")?;
    let stem = binary.rsplit(['/', '\\']).next()?;
    let name = stem.rsplit_once('-')?.0;
    let kind = if source.starts_with("unittests ") {
        "unit"
    } else {
        "tests"
    };
    Some(format!("{kind} {name}"))
}

/// Counts out of all `test result:` lines, which libtest and wasm-bindgen-test print alike.
pub(crate) fn parse_libtest(output: &str) -> Counts {
    output
        .lines()
        .filter_map(libtest_result)
        .fold(Counts::default(), |sum, found| Counts {
            passed: sum.passed + found.passed,
            failed: sum.failed + found.failed,
        })
}

fn libtest_result(line: &str) -> Option<Counts> {
    let (_, counts) = line
        .trim()
        .strip_prefix("test result: ")?
        .split_once(". ")?;
    Some(Counts {
        passed: number_before(counts, " passed")?,
        failed: number_before(counts, " failed")?,
    })
}

/// Counts out of the summary that Node's test runner prints in TAP form.
pub(crate) fn parse_node_tap(output: &str) -> Counts {
    let number = |key: &str| {
        let line = output.lines().rev().find_map(|line| line.strip_prefix(key));
        line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
    };
    Counts {
        passed: number("# pass "),
        failed: number("# fail ") + number("# cancelled "),
    }
}

fn number_before(text: &str, unit: &str) -> Option<u32> {
    let before = &text[..text.find(unit)?];
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARGO: &str = "
    Finished `test` profile [unoptimized + debuginfo] target(s) in 0.05s
     Running unittests src/lib.rs (target/debug/deps/wavepool-0a1b2c3d4e5f6071)

running 2 tests
test a ... ok
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/no_alloc.rs (target/debug/deps/no_alloc-0a1b2c3d4e5f6071)
test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Running tests/empty.rs (target/debug/deps/empty-0a1b2c3d4e5f6071)
test result: ok. 0 passed; 0 failed; 5 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests wavepool
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn counts(passed: u32, failed: u32) -> Counts {
        Counts { passed, failed }
    }

    #[test]
    fn cargo_output_gives_every_suite_its_counts() {
        let expected = [
            ("unit wavepool".to_owned(), counts(2, 0)),
            ("tests no_alloc".to_owned(), counts(3, 1)),
            ("tests empty".to_owned(), counts(0, 0)),
            ("doc wavepool".to_owned(), counts(5, 0)),
        ];
        assert_eq!(parse_cargo(CARGO), expected);
    }

    #[test]
    fn a_suite_without_a_test_fails_the_run() {
        let mut report = Report::default();
        for (suite, counts) in parse_cargo(CARGO)
            .iter()
            .filter(|(suite, _)| suite != "tests no_alloc")
        {
            report.suite(suite, *counts, None, None);
        }
        assert_eq!(report.totals(), counts(7, 1));
        assert!(
            report
                .table()
                .contains("tests empty: declared, but ran no test")
        );
        assert_eq!(report.closing_line(), "7 passed, 1 failed");
    }

    #[test]
    fn a_suite_that_failed_to_run_fails_the_run() {
        let mut report = Report::default();
        report.suite("loom", counts(3, 0), None, Some("killed".into()));
        report.check(
            "fmt",
            Err(anyhow::anyhow!("exit status: 1")),
            Duration::ZERO,
        );
        report.check("clippy", Ok(()), Duration::ZERO);
        assert_eq!(report.totals(), counts(4, 2));
    }

    #[test]
    fn tap_summary() {
        let output = "TAP version 13\nok 1 - a\n1..2\n# tests 3\n# suites 0\n# pass 1\n# fail 1\n# cancelled 1\n# skipped 0\n";
        assert_eq!(parse_node_tap(output), counts(1, 2));
        assert_eq!(parse_node_tap("Segmentation fault"), counts(0, 0));
    }

    #[test]
    fn wasm_bindgen_summary() {
        assert_eq!(
            parse_libtest(
                "test result: ok. 2 passed; 0 failed; 0 ignored; 0 filtered out; finished in 0.01s"
            ),
            counts(2, 0)
        );
    }
}

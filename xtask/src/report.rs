//! What the suites said: counts out of their output, the table, and the guard against a suite
//! that is declared but runs nothing.

use std::fmt::Write as _;
use std::time::Duration;

use crate::progress::seconds;

/// Tests that ran, in one suite.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    /// What tests that failed printed, each with its name. They are shown once more below the table, because the end of a long
    /// output is what is read, and all that some services keep.
    pub(crate) failures: Vec<String>,
}

impl Counts {
    /// Adds those of another part of the suite.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
    }

    /// With the failures of earlier attempts before its own.
    pub(crate) fn after(mut self, mut earlier: Vec<String>) -> Self {
        earlier.append(&mut self.failures);
        self.failures = earlier;
        self
    }
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
        let counts = Counts {
            passed: u32::from(result.is_ok()),
            ..Counts::default()
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
        let mut totals = Counts::default();
        for row in &self.rows {
            totals.add(row.counts.clone());
        }
        totals
    }

    /// One line per suite, then what there is to say about those in trouble, and what failed tests printed.
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
            for failure in &row.counts.failures {
                let _ = write!(text, "\n{}: {failure}\n", row.suite);
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
    let mut suites: Vec<(String, String)> = Vec::new();
    for line in output.lines() {
        if let Some(name) = cargo_suite(line.trim_start()) {
            suites.push((name, String::new()));
        } else if let Some((_, printed)) = suites.last_mut() {
            printed.push_str(line);
            printed.push('\n');
        }
    }
    suites
        .into_iter()
        .map(|(name, printed)| (name, parse_libtest(&printed)))
        .collect()
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

/// Counts out of all `test result:` lines, which libtest and wasm-bindgen-test print alike. Doctests print one for each way of
/// building them.
pub(crate) fn parse_libtest(output: &str) -> Counts {
    let mut counts = Counts::default();
    output
        .lines()
        .filter_map(libtest_result)
        .for_each(|found| counts.add(found));
    // Before the first such line, what passed may be shown in the same way.
    if let Some((_, printed)) = output.split_once("\nfailures:\n") {
        counts.failures = failures(
            printed,
            |line| line.starts_with("---- "),
            |line| line == "failures:",
        );
    }
    counts
}

/// What failed tests printed: the lines from one that `begins` a failure to the next that does, or to one that `ends` it.
fn failures(
    output: &str,
    begins: impl Fn(&str) -> bool,
    ends: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut failures: Vec<String> = Vec::new();
    let mut inside = false;
    for line in output.lines() {
        if begins(line.trim_start()) {
            inside = true;
            failures.push(String::new());
        } else if ends(line.trim()) {
            inside = false;
        }
        if let (true, Some(failure)) = (inside, failures.last_mut()) {
            failure.push_str(line);
            failure.push('\n');
        }
    }
    failures
}

fn libtest_result(line: &str) -> Option<Counts> {
    let (_, counts) = line
        .trim()
        .strip_prefix("test result: ")?
        .split_once(". ")?;
    Some(Counts {
        passed: number_before(counts, " passed")?,
        failed: number_before(counts, " failed")?,
        failures: Vec::new(),
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
        failures: failures(
            output,
            |line| line.starts_with("not ok "),
            |line| line == "...",
        ),
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
        Counts {
            passed,
            failed,
            failures: Vec::new(),
        }
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
            report.suite(suite, counts.clone(), None, None);
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
    fn what_failed_tests_printed_is_shown_below_the_table() {
        let output = "
running 3 tests
test a ... ok
test b ... FAILED

successes:

---- a stdout ----
fine

successes:
    a

failures:

---- b stdout ----

thread 'b' panicked at src/lib.rs:1:1:
left: 1

---- c stdout ----
too late

failures:
    b
    c

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        let found = parse_libtest(output);
        assert_eq!((found.passed, found.failed), (1, 2));
        assert_eq!(
            found.failures,
            [
                "---- b stdout ----\n\nthread 'b' panicked at src/lib.rs:1:1:\nleft: 1\n\n",
                "---- c stdout ----\ntoo late\n\n"
            ]
        );
        let mut report = Report::default();
        report.suite("loom", found, None, None);
        assert!(
            report
                .table()
                .contains("\nloom: ---- c stdout ----\ntoo late")
        );

        let tap = "TAP version 13\nok 1 - a\n  ---\n  duration_ms: 4\n  ...\nnot ok 2 - b\n  ---\n  error: 'late'\n  ...\n# pass 1\n# fail 1\n";
        let found = parse_node_tap(tap);
        assert_eq!(found.failures, ["not ok 2 - b\n  ---\n  error: 'late'\n"]);
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

//! What suites share: builds that are done once, files of Node's own test runner, a line of the report.

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process;
use crate::report::{Counts, Report, parse_node_tap};

/// Held while a suite builds what it shares with another one of the same step.
static BUILDING: Mutex<()> = Mutex::new(());

/// Builds what two suites of one step share: the second finds it there.
pub(crate) fn build_once(build: impl FnOnce() -> Result<()>) -> Result<()> {
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    build()
}

/// Runs files of Node's own test runner, one after the other: they measure time.
pub(crate) fn node_tests(
    report: &mut Report,
    name: &str,
    files: &[String],
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<()> {
    let start = Instant::now();
    let (counts, result) = run_node(files, prepare)?;
    suite(report, name, counts, start.elapsed(), result);
    Ok(())
}

/// The counts of such files, and how Node ended.
pub(crate) fn run_node(
    files: &[String],
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<(Counts, Result<()>)> {
    if files.is_empty() {
        // Without files Node would look for some of its own accord.
        return Ok((Counts::default(), Ok(())));
    }
    let mut node = process::node();
    node.args(["--test", "--test-concurrency=1", "--test-reporter=tap"])
        .args(files);
    let (status, text) = process::tee(prepare(&mut node))?;
    Ok((parse_node_tap(&text), process::check(&node, status)))
}

/// Reports a suite whose tests were counted, and its failure where no test failed.
pub(crate) fn suite(
    report: &mut Report,
    name: &str,
    counts: Counts,
    elapsed: Duration,
    result: Result<()>,
) {
    // Where a test failed, the failure is shown; the exit status adds nothing.
    let trouble = result
        .err()
        .filter(|_| counts.failed == 0)
        .map(|error| error.to_string());
    report.suite(name, counts, Some(elapsed), trouble);
}

//! `cargo xtask test`: every check there is, and a count of each.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cli::Mode;
use crate::native_tests::Targets;
use crate::progress::{Steps, seconds};
use crate::report::{Counts, Report, parse_cargo, parse_libtest, parse_node_tap};
use crate::wasm::Build;
use crate::wasm_toolchain::WasmToolchain;
use crate::web::{self, Server, Site};
use crate::{native_tests, package, process, setup, wasm, wasm_tests, web_bench};

/// Preemptions loom tries per execution in the bounded run; most bugs need no more than two.
const LOOM_PREEMPTIONS: &str = "2";

const TYPESCRIPT: &str = "node_modules/typescript/bin/tsc";

type Suite = (
    &'static str,
    &'static str,
    fn(&mut Report, &str) -> Result<()>,
);

/// Name for the command line, what it is, the work. In the order of what they need: compilers
/// first, browsers last.
const SUITES: [Suite; 16] = [
    ("fmt", "formatting", fmt),
    ("clippy", "lints, natively and for WebAssembly", clippy),
    ("native", "native tests and doctests", |report, _| {
        native_tests::run(report)
    }),
    (
        "native-features",
        "the library's native tests with its optional features",
        native_features,
    ),
    (
        "counts",
        "what the benchmarks count, on an optimised library",
        counts,
    ),
    (
        "loom",
        "interleavings of the lock-free files, bounded",
        loom,
    ),
    ("wasm", "both WebAssembly modules", wasm_modules),
    (
        "wasm-node",
        "the library's tests in Node",
        |report, name| wasm_suite(report, name, wasm_tests::in_node),
    ),
    (
        "wasm-chromium",
        "the library's tests in Chromium",
        |report, name| wasm_suite(report, name, wasm_tests::in_chromium),
    ),
    ("npm", "types of the npm project", npm),
    ("page", "the page", page),
    ("package", "the npm package in fresh projects", npm_package),
    (
        "processor",
        "a processor written in Rust, in the shipped worklet",
        processor,
    ),
    (
        "garbage",
        "no garbage on the browser's audio thread, one copy",
        garbage,
    ),
    (
        "e2e-shared",
        "page and library in Chromium, shared memory",
        |report, name| e2e(report, name, Mode::Shared),
    ),
    (
        "e2e-transfer",
        "page and library in Chromium, transfer",
        |report, name| e2e(report, name, Mode::Transfer),
    ),
];

/// Runs all suites, or those named, and prints the table; fails when anything failed.
pub(crate) fn run(only: &[String]) -> Result<ExitCode> {
    let suites = selected(only)?;
    let start = Instant::now();
    let mut report = Report::default();
    let mut steps = Steps::new(suites.len());
    for (name, what, work) in suites {
        steps.step(&format!("{name}: {what}"), || {
            let start = Instant::now();
            // A suite that cannot even start fails; the others go on.
            if let Err(error) = work(&mut report, name) {
                report.check(name, Err(error), start.elapsed());
            }
        });
    }
    println!("{}\nin {}", report.table(), seconds(start.elapsed()));
    println!("{}", report.closing_line());
    Ok(if report.totals().failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn selected(only: &[String]) -> Result<Vec<&'static Suite>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| !SUITES.iter().any(|suite| suite.0 == *name))
    {
        let names: Vec<_> = SUITES.iter().map(|suite| suite.0).collect();
        bail!("no suite `{unknown}`; there are {}", names.join(", "));
    }
    Ok(SUITES
        .iter()
        .filter(|suite| only.is_empty() || only.iter().any(|name| name == suite.0))
        .collect())
}

fn timed(report: &mut Report, name: &str, work: impl FnOnce() -> Result<()>) {
    let start = Instant::now();
    let result = work();
    report.check(name, result, start.elapsed());
}

fn fmt(report: &mut Report, name: &str) -> Result<()> {
    setup::rust_checkers()?;
    timed(report, name, || {
        process::run(process::cargo().args(["fmt", "--all", "--check"]))
    });
    Ok(())
}

fn clippy(report: &mut Report, _: &str) -> Result<()> {
    setup::rust_checkers()?;
    let deny = ["--", "--deny", "warnings"];
    timed(report, "clippy native", || {
        process::run(
            process::cargo()
                .args(["clippy", "--workspace", "--all-targets"])
                .args(deny),
        )
    });
    timed(report, "clippy all features", || {
        process::run(
            process::cargo()
                .args([
                    "clippy",
                    "--package",
                    "wavepool",
                    "--all-targets",
                    "--all-features",
                ])
                .args(deny),
        )
    });
    timed(report, "links of the documentation", || {
        let mut cargo = process::cargo();
        cargo.args(["doc", "--workspace", "--no-deps"]);
        process::run(cargo.env("RUSTDOCFLAGS", "--deny warnings"))
    });
    let toolchain = WasmToolchain::prepare()?;
    for build in Build::ALL {
        timed(report, &format!("clippy {}", build.name()), || {
            process::run(
                build
                    .cargo(&toolchain, "clippy")
                    .args(["--package", "wavepool-web"])
                    .args(["--package", "wavepool-lanes"])
                    .args(["--package", "wavepool-faulty"])
                    .args(deny),
            )
        });
    }
    Ok(())
}

fn native_features(report: &mut Report, name: &str) -> Result<()> {
    let start = Instant::now();
    let mut cargo = process::cargo();
    let (status, text) = process::tee(cargo.args([
        "test",
        "--package",
        "wavepool",
        "--features",
        "mapped,page-lock,metrics-facade",
        "--no-fail-fast",
    ]))?;
    let featured = Targets::read()?.featured_suites();
    let missing = native_tests::missing(&featured, &parse_cargo(&text));
    let result = process::check(&cargo, status).and_then(|()| match &missing[..] {
        [] => Ok(()),
        missing => bail!("declared, but did not run: {}", missing.join(", ")),
    });
    suite(report, name, parse_libtest(&text), start.elapsed(), result);
    Ok(())
}

/// The benchmarks' counts. Only the library and the test are compiled anew, with optimisation: what they depend on is there.
fn counts(report: &mut Report, name: &str) -> Result<()> {
    let start = Instant::now();
    let mut cargo = process::cargo();
    cargo.args(["test", "--package", "wavepool"]);
    cargo.args(["--test", "benchmark_counts"]);
    for setting in [
        "opt-level=3",
        "codegen-units=1",
        "debug-assertions=false",
        "overflow-checks=false",
        "debug=false",
    ] {
        let setting = format!("profile.dev.package.wavepool.{setting}");
        cargo.args(["--config", &setting]);
    }
    let (status, text) = process::tee(cargo.args(["--", "--show-output"]))?;
    suite(
        report,
        name,
        parse_libtest(&text),
        start.elapsed(),
        process::check(&cargo, status),
    );
    Ok(())
}

fn loom(report: &mut Report, name: &str) -> Result<()> {
    let start = Instant::now();
    let mut cargo = loom_command("loom");
    let (status, text) = process::tee(cargo.env("LOOM_MAX_PREEMPTIONS", LOOM_PREEMPTIONS))?;
    suite(
        report,
        name,
        parse_libtest(&text),
        start.elapsed(),
        process::check(&cargo, status),
    );
    Ok(())
}

/// `cargo test` over every test with `loom` in its path.
pub(crate) fn loom_command(models: &str) -> Command {
    let mut cargo = process::cargo();
    cargo.args(["test", "--package", "wavepool", "--lib", models]);
    loom_environment(&mut cargo);
    cargo
}

/// Has cargo compile the models.
pub(crate) fn loom_environment(cargo: &mut Command) -> &mut Command {
    cargo
        .env("RUSTFLAGS", "--cfg loom")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_DIR", "target/loom")
        // A failed model is told by line numbers; more only makes compiling longer.
        .env("CARGO_PROFILE_TEST_DEBUG", "line-tables-only")
}

fn wasm_modules(report: &mut Report, name: &str) -> Result<()> {
    setup::node()?;
    let toolchain = WasmToolchain::prepare()?;
    for build in Build::ALL {
        timed(report, &format!("build {}", build.name()), || {
            wasm::build(build, &toolchain)
        });
    }
    node_tests(
        report,
        name,
        &["xtask/js/wasm_modules.test.mjs".into()],
        |node| node,
    )
}

fn wasm_suite(
    report: &mut Report,
    name: &str,
    run: fn() -> Result<(Counts, Result<()>)>,
) -> Result<()> {
    let start = Instant::now();
    wasm_tests::build()?;
    let (counts, result) = run()?;
    suite(report, name, counts, start.elapsed(), result);
    Ok(())
}

fn npm(report: &mut Report, _: &str) -> Result<()> {
    web::modules()?;
    timed(report, "npm types", || {
        process::run(process::node().args([TYPESCRIPT, "--noEmit"]))
    });
    Ok(())
}

fn page(report: &mut Report, name: &str) -> Result<()> {
    web::modules()?;
    timed(report, name, web::page);
    Ok(())
}

fn npm_package(report: &mut Report, name: &str) -> Result<()> {
    let browser = setup::chromium()?;
    timed(report, "package checks", package::build);
    package::build_processors()?;
    let tests = "web/lib/package/package.test.mjs".to_owned();
    node_tests(report, name, &[tests], |node| {
        node.env("WAVEPOOL_TARBALL", package::TARBALL)
            .env("WAVEPOOL_PROCESSOR", package::PROCESSOR_MODULE)
            .env("CHROMIUM", &browser)
    })
}

fn processor(report: &mut Report, name: &str) -> Result<()> {
    let browser = setup::chromium()?;
    package::build()?;
    timed(report, "build processor", package::build_processors);
    let tests = "web/lib/package/processor.test.mjs".to_owned();
    node_tests(report, name, &[tests], |node| {
        node.env("WAVEPOOL_PROCESSOR", package::PROCESSOR_MODULE)
            .env("WAVEPOOL_NATIVE", package::PROCESSOR_NATIVE)
            .env("WAVEPOOL_FAULTY", package::FAULTY_MODULE)
            .env("CHROMIUM", &browser)
    })
}

fn garbage(report: &mut Report, name: &str) -> Result<()> {
    let browser = setup::chromium()?;
    package::build()?;
    timed(report, "build boundary", web_bench::build);
    let tests =
        ["trace", "garbage"].map(|test| format!("tests/benchmarks/browser/{test}.test.mjs"));
    node_tests(report, name, &tests, |node| node.env("CHROMIUM", &browser))
}

fn e2e(report: &mut Report, name: &str, mode: Mode) -> Result<()> {
    browser_tests(report, name, mode, |_| true, |node| node)
}

/// Opens, closes, kills and forgets what the library hands out, `rounds` times each, in both modes.
pub(crate) fn lifetimes(report: &mut Report, rounds: &str) -> Result<()> {
    for mode in [Mode::Shared, Mode::Transfer] {
        let name = format!("lifetimes-{}", mode.name());
        browser_tests(
            report,
            &name,
            mode,
            |file| file.starts_with("lifetimes_"),
            |node| node.env("WAVEPOOL_ROUNDS", rounds),
        )?;
    }
    Ok(())
}

/// Serves the page and that of the library's tests in `mode` and runs those of `web/e2e/*.test.mjs` against it whose file
/// name is `wanted`.
fn browser_tests(
    report: &mut Report,
    name: &str,
    mode: Mode,
    wanted: fn(&str) -> bool,
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<()> {
    let browser = setup::chromium()?;
    web::modules()?;
    web::page()?;
    web::library_tests()?;
    package::build_processors()?;
    let server = Server::start(Site::App, web::free_port()?, mode)?;
    let library = Server::start(Site::LibraryTests, web::free_port()?, mode)?;
    let mut files: Vec<String> = std::fs::read_dir("web/e2e")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| wanted(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path().to_string_lossy().into_owned())
        .filter(|path| path.ends_with(".test.mjs"))
        .collect();
    files.sort();
    node_tests(report, name, &files, |node| {
        prepare(node)
            .env("WAVEPOOL_URL", server.url())
            .env("WAVEPOOL_LIBRARY_URL", library.url())
            .env("WAVEPOOL_MODE", mode.name())
            .env("WAVEPOOL_FAULTY", package::FAULTY_MODULE)
            .env("CHROMIUM", &browser)
    })
}

/// Ends so many threads of each kind at random moments, and counts what they held.
pub(crate) fn kills(report: &mut Report, name: &str, mode: Mode, kills: u32) -> Result<()> {
    let browser = setup::chromium()?;
    web::modules()?;
    web::library_tests()?;
    let library = Server::start(Site::LibraryTests, web::free_port()?, mode)?;
    node_tests(report, name, &["web/e2e/kills.test.mjs".into()], |node| {
        node.env("WAVEPOOL_LIBRARY_URL", library.url())
            .env("WAVEPOOL_MODE", mode.name())
            .env("WAVEPOOL_KILLS", kills.to_string())
            .env("CHROMIUM", &browser)
    })
}

/// Runs files of Node's own test runner, one after the other: they measure time.
fn node_tests(
    report: &mut Report,
    name: &str,
    files: &[String],
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<()> {
    if files.is_empty() {
        // Without files Node would look for some of its own accord.
        suite(report, name, Counts::default(), Duration::ZERO, Ok(()));
        return Ok(());
    }
    let start = Instant::now();
    let mut node = process::node();
    node.args(["--test", "--test-concurrency=1", "--test-reporter=tap"])
        .args(files);
    let (status, text) = process::tee(prepare(&mut node))?;
    suite(
        report,
        name,
        parse_node_tap(&text),
        start.elapsed(),
        process::check(&node, status),
    );
    Ok(())
}

fn suite(report: &mut Report, name: &str, counts: Counts, elapsed: Duration, result: Result<()>) {
    // Where a test failed, the failure is shown; the exit status adds nothing.
    let trouble = result
        .err()
        .filter(|_| counts.failed == 0)
        .map(|error| error.to_string());
    report.suite(name, counts, Some(elapsed), trouble);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_chosen_by_name() {
        assert_eq!(selected(&[]).unwrap().len(), SUITES.len());
        let names: Vec<_> = selected(&["loom".into(), "fmt".into()])
            .unwrap()
            .iter()
            .map(|suite| suite.0)
            .collect();
        assert_eq!(names, ["fmt", "loom"]);
        assert!(
            selected(&["lom".into()])
                .unwrap_err()
                .to_string()
                .contains("no suite `lom`; there are fmt, clippy")
        );
    }

    #[test]
    fn a_suite_without_test_files_fails_the_run() {
        let mut report = Report::default();
        node_tests(&mut report, "e2e", &[], |node| node).unwrap();
        assert_eq!(
            report.totals(),
            Counts {
                passed: 0,
                failed: 1
            }
        );
    }

    #[test]
    fn an_unhappy_exit_without_a_failed_test_fails_the_run() {
        let mut report = Report::default();
        suite(
            &mut report,
            "loom",
            Counts {
                passed: 4,
                failed: 0,
            },
            Duration::ZERO,
            Err(anyhow::anyhow!("signal: 9")),
        );
        assert_eq!(
            report.totals(),
            Counts {
                passed: 4,
                failed: 1
            }
        );
    }
}

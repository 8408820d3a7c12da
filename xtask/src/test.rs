//! `cargo xtask test`: every check there is, and a count of each.

use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use crate::arguments::Mode;
use crate::native_tests::Targets;
use crate::progress::{Steps, seconds};
use crate::report::{Counts, Report, parse_cargo, parse_libtest};
use crate::suite::{build_once, node_tests, suite};
use crate::wasm::Build;
use crate::wasm_toolchain::WasmToolchain;
use crate::{
    browser_tests, native_tests, package, process, setup, wasm, wasm_tests, web, web_bench,
};

/// Preemptions loom tries per execution in the bounded run; most bugs need no more than two.
const LOOM_PREEMPTIONS: &str = "2";

const TYPESCRIPT: &str = "node_modules/typescript/bin/tsc";

type Work = fn(&mut Report, &str) -> Result<()>;
type Suite = (&'static str, &'static str, Work);

// Native commands say `--workspace`, and not which package they need: with other packages selected, cargo would compile many
// dependencies again, with other features.

/// The suites, each with its name for the command line, what it is, and the work. In the order of what they need: compilers
/// first, browsers last. Suites of one step run side by side.
const STEPS: [&[Suite]; 11] = [
    &[("fmt", "formatting", fmt)],
    &[("clippy", "lints, natively and for WebAssembly", clippy)],
    &[("native", "native tests and doctests", |report, _| {
        native_tests::run(report)
    })],
    &[(
        "native-features",
        "native tests with the library's optional features",
        native_features,
    )],
    &[(
        "counts",
        "what the benchmarks count, on an optimised library",
        counts,
    )],
    &[
        (
            "loom",
            "interleavings of the lock-free files, bounded",
            loom,
        ),
        ("wasm", "both WebAssembly modules", wasm_modules),
    ],
    &[
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
    ],
    &[(
        "npm",
        "types, imports and unit tests of the npm project",
        npm,
    )],
    &[("page", "the page", page)],
    &[
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
    ],
    &[
        (
            "e2e-shared",
            "page and library in Chromium, shared memory",
            |report, name| browser_tests::e2e(report, name, Mode::Shared),
        ),
        (
            "e2e-transfer",
            "page and library in Chromium, transfer",
            |report, name| browser_tests::e2e(report, name, Mode::Transfer),
        ),
    ],
];

/// Runs all suites, or those named, and prints the table; fails when anything failed.
pub(crate) fn run(only: &[String]) -> Result<ExitCode> {
    let selected = selected(only);
    let start = Instant::now();
    let mut report = Report::default();
    let mut steps = Steps::new(selected.len());
    for suites in selected {
        let titles: Vec<String> = suites
            .iter()
            .map(|(name, what, _)| format!("{name}: {what}"))
            .collect();
        steps.step(&titles.join("; "), || run_suites(&mut report, &suites));
    }
    println!("{}\nin {}", report.table(), seconds(start.elapsed()));
    println!("{}", report.closing_line());
    Ok(if report.totals().failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the suites of one step, each on a thread of its name if there are several.
fn run_suites(report: &mut Report, suites: &[&Suite]) {
    if let [(name, _, work)] = suites {
        return run_suite(report, name, *work);
    }
    thread::scope(|scope| {
        let running: Vec<_> = suites
            .iter()
            .map(|(name, _, work)| {
                let suite = move || {
                    let mut own = Report::default();
                    run_suite(&mut own, name, *work);
                    own
                };
                let named = thread::Builder::new().name((*name).into());
                (*name, named.spawn_scoped(scope, suite))
            })
            .collect();
        for (name, thread) in running {
            match thread.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(own)) => report.append(own),
                Ok(Err(_)) => report.check(name, Err(anyhow!("panicked")), Duration::ZERO),
                Err(error) => report.check(name, Err(error.into()), Duration::ZERO),
            }
        }
    });
}

/// A suite that cannot even start fails; the others go on.
fn run_suite(report: &mut Report, name: &str, work: Work) {
    let start = Instant::now();
    if let Err(error) = work(report, name) {
        report.check(name, Err(error), start.elapsed());
    }
}

/// The names of all suites.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    STEPS.into_iter().flatten().map(|(name, ..)| *name)
}

/// The suites named, or all, by step; a step without any is left out.
fn selected(only: &[String]) -> Vec<Vec<&'static Suite>> {
    let wanted = |suite: &&Suite| only.is_empty() || only.iter().any(|name| name == suite.0);
    STEPS
        .iter()
        .map(|step| step.iter().filter(wanted).collect::<Vec<_>>())
        .filter(|step| !step.is_empty())
        .collect()
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
                .args(["clippy", "--workspace", "--all-targets", "--all-features"])
                .args(deny),
        )
    });
    timed(report, "the core without std", core_without_std);
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
                    .args(["--package", "wavepool-host"])
                    .args(["--package", "wavepool-lanes"])
                    .args(["--package", "wavepool-faulty"])
                    .args(deny),
            )
        });
    }
    Ok(())
}

/// A target without the standard library, and with the atomics that the core needs.
const BARE_TARGET: &str = "x86_64-unknown-none";

/// The core compiles without the standard library, and depends on nothing.
fn core_without_std() -> Result<()> {
    let core = ["--package", "wavepool-core"];
    if !setup::rustup(&["target", "add", BARE_TARGET]) {
        bail!("rustup could not bring {BARE_TARGET}: `rustup target add {BARE_TARGET}`");
    }
    process::run(
        process::cargo()
            .arg("check")
            .args(core)
            .args(["--target", BARE_TARGET]),
    )?;
    let tree = process::capture(
        process::cargo()
            .arg("tree")
            .args(core)
            .args(["--edges", "normal"]),
    )?;
    match tree.lines().count() {
        1 => Ok(()),
        _ => bail!("wavepool-core has dependencies:\n{tree}"),
    }
}

fn native_features(report: &mut Report, name: &str) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    let featured = Targets::read()?.featured_suites();
    cargo_tests(
        report,
        name,
        &mut cargo,
        |text| match &native_tests::missing(&featured, &parse_cargo(text))[..] {
            [] => Ok(()),
            missing => bail!("declared, but did not run: {}", missing.join(", ")),
        },
    )
}

/// The benchmarks' counts. Only the library and the test are compiled anew, with optimisation: what they depend on is there.
fn counts(report: &mut Report, name: &str) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--workspace", "--test", "benchmark_counts"]);
    for setting in [
        "opt-level=3",
        "codegen-units=1",
        "debug-assertions=false",
        "overflow-checks=false",
        "debug=false",
    ] {
        for package in ["wavepool", "wavepool-core", "wavepool-tools"] {
            let setting = format!("profile.dev.package.{package}.{setting}");
            cargo.args(["--config", &setting]);
        }
    }
    cargo_tests(
        report,
        name,
        cargo.args(["--", "--show-output"]),
        |_| Ok(()),
    )
}

fn loom(report: &mut Report, name: &str) -> Result<()> {
    let mut cargo = loom_command("loom");
    cargo.env("LOOM_MAX_PREEMPTIONS", LOOM_PREEMPTIONS);
    cargo_tests(report, name, &mut cargo, |_| Ok(()))
}

/// Runs `cargo test` as one suite, whose output is also `judged`.
fn cargo_tests(
    report: &mut Report,
    name: &str,
    cargo: &mut Command,
    judged: impl FnOnce(&str) -> Result<()>,
) -> Result<()> {
    let start = Instant::now();
    let (status, text) = process::tee(cargo)?;
    let result = process::check(cargo, status).and_then(|()| judged(&text));
    suite(report, name, parse_libtest(&text), start.elapsed(), result);
    Ok(())
}

/// The crates that have atomics of their own.
pub(crate) const WITH_ATOMICS: [&str; 3] = [
    "--package=wavepool",
    "--package=wavepool-core",
    "--package=wavepool-host",
];

/// `cargo test` over every test with `loom` in its path.
pub(crate) fn loom_command(models: &str) -> Command {
    let mut cargo = process::cargo();
    cargo.arg("test").args(WITH_ATOMICS).args(["--lib", models]);
    loom_environment(&mut cargo);
    cargo
}

/// Has cargo compile the models.
pub(crate) fn loom_environment(cargo: &mut Command) -> &mut Command {
    cargo
        .env("RUSTFLAGS", "--cfg loom")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_DIR", "target/loom")
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
    build_once(wasm_tests::build)?;
    let (counts, result) = run()?;
    suite(report, name, counts, start.elapsed(), result);
    Ok(())
}

fn npm(report: &mut Report, name: &str) -> Result<()> {
    web::modules()?;
    timed(report, "npm types", || {
        process::run(process::node().args([TYPESCRIPT, "--noEmit"]))
    });
    let tests =
        ["examples", "imports", "unit"].map(|test| format!("web/lib/package/{test}.test.mjs"));
    node_tests(report, name, &tests, |node| node)
}

fn page(report: &mut Report, name: &str) -> Result<()> {
    web::modules()?;
    timed(report, name, web::page);
    Ok(())
}

fn npm_package(report: &mut Report, name: &str) -> Result<()> {
    let browser = setup::chromium()?;
    timed(report, "package checks", || build_once(package::build));
    build_once(package::build_processors)?;
    let tests = "web/lib/package/package.test.mjs".to_owned();
    node_tests(report, name, &[tests], |node| {
        node.env("WAVEPOOL_TARBALL", package::TARBALL)
            .env("WAVEPOOL_PROCESSOR", package::PROCESSOR_MODULE)
            .env("CHROMIUM", &browser)
    })
}

fn processor(report: &mut Report, name: &str) -> Result<()> {
    let browser = setup::chromium()?;
    build_once(package::build)?;
    timed(report, "build processor", || {
        build_once(package::build_processors)
    });
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
    build_once(package::build)?;
    timed(report, "build boundary", web_bench::build);
    let tests = ["boundary/limits", "browser/trace", "browser/garbage"]
        .map(|test| format!("tests/benchmarks/{test}.test.mjs"));
    node_tests(report, name, &tests, |node| node.env("CHROMIUM", &browser))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_chosen_by_name() {
        let names = |only: &[&str]| -> Vec<Vec<&str>> {
            let only: Vec<String> = only.iter().map(|&name| name.into()).collect();
            let steps = selected(&only);
            let names = |step: &Vec<&Suite>| step.iter().map(|suite| suite.0).collect();
            steps.iter().map(names).collect()
        };
        assert_eq!(names(&[]).len(), STEPS.len());
        assert_eq!(names(&["loom", "fmt"]), [["fmt"], ["loom"]]);
        let modes = ["e2e-shared", "e2e-transfer"];
        assert_eq!(names(&modes), [modes]);
        assert_eq!(names(&modes[1..]), [["e2e-transfer"]]);
    }

    #[test]
    fn suites_of_one_step_run_at_the_same_time_and_are_reported_in_order() {
        static BOTH: std::sync::Barrier = std::sync::Barrier::new(2);
        let meet: Work = |report, name| {
            BOTH.wait();
            report.check(name, Ok(()), Duration::ZERO);
            Ok(())
        };
        let cannot_start: Work = |_, _| {
            BOTH.wait();
            bail!("no browser")
        };
        let mut report = Report::default();
        run_suites(
            &mut report,
            &[&("first", "", cannot_start), &("second", "", meet)],
        );
        let (passed, failed) = (1, 1);
        assert_eq!(
            report.totals(),
            Counts {
                passed,
                failed,
                ..Counts::default()
            }
        );
        let table = report.table();
        assert!(table.find("first") < table.find("second"), "{table}");
    }

    #[test]
    fn a_suite_without_test_files_fails_the_run() {
        let mut report = Report::default();
        node_tests(&mut report, "e2e", &[], |node| node).unwrap();
        assert_eq!(
            report.totals(),
            Counts {
                failed: 1,
                ..Counts::default()
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
                ..Counts::default()
            },
            Duration::ZERO,
            Err(anyhow::anyhow!("signal: 9")),
        );
        assert_eq!(
            report.totals(),
            Counts {
                passed: 4,
                failed: 1,
                ..Counts::default()
            }
        );
    }
}

//! `cargo xtask verify`: the proofs that take too long, or need too much, for every run.

use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs};

use anyhow::{Result, bail};

use crate::arguments::Mode;
use crate::progress::Steps;
use crate::report::{Report, parse_libtest};
use crate::{browser_tests, mutants, process, setup, test};

/// More than any model can have: every interleaving, but for the models that bound themselves.
const LOOM_PREEMPTIONS: &str = "100";
/// How long the fuzzer looks. It goes on from what earlier runs found worth keeping.
const FUZZ_SECONDS: u32 = 600;
const FUZZ_CORPUS: &str = "target/fuzz/corpus";
const FUZZ_FINDINGS: &str = "target/fuzz";
/// What it keeps and finds while the account errs on purpose.
const FUZZ_TRIP: &str = "target/fuzz/trip";
/// libFuzzer's exit code when a sequence failed.
const FUZZ_FOUND: i32 = 77;
/// What libFuzzer needs of the compiler; `cargo fuzz` would say the same, but has to be installed.
const FUZZ_FLAGS: &str = "--cfg fuzzing -Cdebug-assertions -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Threads of each kind that `kills` ends in each mode.
const KILLS: u32 = 1000;

/// What there is to run, and how it is named.
pub(crate) const PROOFS: [&str; 9] = [
    "loom",
    "mutants",
    "misuse",
    "miri",
    "tsan",
    "fuzz",
    "lifetimes",
    "mixes",
    "kills",
];
/// How often the browser opens and ends everything the library hands out, unless the environment's `WAVEPOOL_ROUNDS` says
/// otherwise; `cargo xtask test` does so only a few times.
const LIFETIME_ROUNDS: &str = "10000";

/// Random mixes that are built, unless the environment's `WAVEPOOL_MIXES` says otherwise; `cargo xtask test` builds a few
/// hundred.
const MIXES: &str = "20000";

/// Runs each proof that can be had here, or those named, and says which cannot.
pub(crate) fn run(names: &[String]) -> Result<ExitCode> {
    let wanted = |proof: &&str| names.is_empty() || names.iter().any(|name| name == proof);
    let proofs: Vec<&str> = PROOFS.into_iter().filter(wanted).collect();
    let mut report = Report::default();
    let mut steps = Steps::new(proofs.len());
    for proof in proofs {
        steps.step(proof, || {
            let start = Instant::now();
            match proof {
                "loom" => suite(&mut report, proof, Ok(deep_loom())),
                "misuse" => suite(&mut report, proof, Ok(misuse())),
                "miri" => {
                    suite(&mut report, proof, miri(LIBRARY));
                    suite(&mut report, "miri, slots", miri(SLOTS));
                }
                "tsan" => suite(&mut report, proof, thread_sanitizer()),
                "lifetimes" => {
                    let rounds = env::var("WAVEPOOL_ROUNDS");
                    let rounds = rounds.as_deref().unwrap_or(LIFETIME_ROUNDS);
                    if let Err(error) = browser_tests::lifetimes(&mut report, rounds) {
                        report.check(proof, Err(error), start.elapsed());
                    }
                }
                "mixes" => suite(&mut report, proof, Ok(mixes())),
                "kills" => {
                    for mode in [Mode::Shared, Mode::Transfer] {
                        let name = format!("{proof}, {}", mode.name());
                        if let Err(error) = browser_tests::kills(&mut report, &name, mode, KILLS) {
                            report.check(&name, Err(error), start.elapsed());
                        }
                    }
                }
                "mutants" => report.check(proof, mutants::run(), start.elapsed()),
                _ => {
                    let result = fuzzer_trips()
                        .and_then(|()| process::run(&mut fuzz(FUZZ_CORPUS, FUZZ_FINDINGS)?));
                    report.check(proof, result, start.elapsed());
                }
            }
        });
    }
    println!("{}", report.table());
    println!("{}", report.closing_line());
    Ok(if report.totals().failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs tests, if their command could be made, and counts them.
fn suite(report: &mut Report, name: &str, command: Result<Command>) {
    let start = Instant::now();
    let outcome = command.and_then(|mut command| {
        let (status, text) = process::tee(&mut command)?;
        Ok((parse_libtest(&text), process::check(&command, status)))
    });
    match outcome {
        Ok((counts, result)) => {
            let trouble = result
                .err()
                .filter(|_| counts.failed == 0)
                .map(|error| error.to_string());
            report.suite(name, counts, Some(start.elapsed()), trouble);
        }
        Err(error) => report.check(name, Err(error), start.elapsed()),
    }
}

fn deep_loom() -> Command {
    let mut cargo = test::loom_command("loom");
    cargo.env("LOOM_MAX_PREEMPTIONS", LOOM_PREEMPTIONS);
    cargo.env("CARGO_PROFILE_TEST_OPT_LEVEL", "2");
    cargo
}

/// The documentation's examples, those that must not compile also by the number of their error.
fn misuse() -> Command {
    let mut cargo = process::cargo();
    cargo.args([
        "test",
        "--package",
        "wavepool",
        "--package",
        "wavepool-core",
        "--doc",
    ]);
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        // Build scripts look at that variable, too: elsewhere they would run again each time.
        .env("CARGO_TARGET_DIR", "target/misuse");
    cargo
}

/// Pools of random mixes and of capacity plans, with halves of their own: none is refused.
fn mixes() -> Command {
    let mut cargo = process::cargo();
    cargo.args(["test", "--package", "wavepool", "--test", "mixes", "limit"]);
    let count = env::var("WAVEPOOL_MIXES");
    cargo.env("WAVEPOOL_MIXES", count.as_deref().unwrap_or(MIXES));
    cargo.env("CARGO_PROFILE_TEST_OPT_LEVEL", "2");
    cargo
}

/// What Miri interprets: the library with its tools, and the table of the objects that other threads use.
const LIBRARY: &str = "--package wavepool --package wavepool-core --package wavepool-tools --lib";
const SLOTS: &str = "--package wavepool-host --lib thread_slots";

fn miri(tests: &str) -> Result<Command> {
    let there = || process::succeeds(&mut rustup("run nightly cargo miri --version"));
    let complete = || {
        // Completes the nightly that is there rather than replacing it.
        process::run(&mut rustup(
            "component add --toolchain nightly miri rust-src",
        ))
        .is_ok()
            || process::run(&mut rustup(
                "toolchain install nightly --profile minimal --component miri,rust-src",
            ))
            .is_ok()
    };
    let found = there() || (complete() && there());
    if !found {
        bail!(
            "not run: no nightly toolchain with miri is to be had (`rustup toolchain install nightly --component miri,rust-src`)"
        );
    }
    let mut cargo = rustup(&format!("run nightly cargo miri test {tests}"));
    cargo.env("CARGO_TARGET_DIR", "target/miri");
    // Interpreted code is some hundred times slower.
    cargo.env("PROPTEST_CASES", "4");
    // Tests read clocks and files.
    cargo.env("MIRIFLAGS", "-Zmiri-disable-isolation");
    Ok(cargo)
}

fn rustup(arguments: &str) -> Command {
    let mut rustup = Command::new("rustup");
    rustup.args(arguments.split(' '));
    rustup
}

fn thread_sanitizer() -> Result<Command> {
    let host = host()?;
    if !setup::rustup(&["component", "add", "rust-src"]) {
        bail!(
            "not run: ThreadSanitizer needs the standard library's source (`rustup component add rust-src`)"
        );
    }
    let mut cargo = process::cargo();
    // The library is rebuilt too, or its synchronisation would be invisible and look like races.
    cargo.arg("test").args(test::WITH_ATOMICS);
    cargo.args(["--lib", "-Zbuild-std", "--target", &host]);
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=thread")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env("CARGO_TARGET_DIR", "target/thread-sanitizer");
    Ok(cargo)
}

/// Whether the fuzzer notices an account that forgets that leases end.
fn fuzzer_trips() -> Result<()> {
    let mut cargo = fuzz(FUZZ_TRIP, FUZZ_TRIP)?;
    let status = cargo.env("WAVEPOOL_FUZZ_SLIP", "1").status()?;
    if status.code() != Some(FUZZ_FOUND) {
        bail!("the fuzzer did not notice an account that errs ({status})");
    }
    println!("the fuzzer noticed an account that errs, as it should");
    Ok(())
}

/// Hostile operation sequences: `fuzz/fuzz_targets/pool_operations.rs`, by libFuzzer.
fn fuzz(corpus: &str, findings: &str) -> Result<Command> {
    fs::create_dir_all(corpus)?;
    let mut cargo = process::cargo();
    // With a target named, the flags are for the fuzzed crates alone, not for build scripts.
    cargo.args(["run", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    cargo.args(["--target", &host()?, "--", corpus]);
    cargo.args(["-max_len=600", "-print_final_stats=1"]);
    cargo.arg(format!("-artifact_prefix={findings}/"));
    cargo.arg(format!("-max_total_time={FUZZ_SECONDS}"));
    cargo
        .env("RUSTFLAGS", FUZZ_FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_DIR", "target/fuzz");
    Ok(cargo)
}

fn host() -> Result<String> {
    let version = process::capture(Command::new("rustc").arg("-vV"))?;
    let Some(host) = version.lines().find_map(|line| line.strip_prefix("host: ")) else {
        bail!("rustc did not name its host");
    };
    Ok(host.to_owned())
}

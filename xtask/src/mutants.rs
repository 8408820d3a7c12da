//! `cargo xtask verify mutants`: for each law of the loom models, a change of the code that breaks it; its model has to fail.
//!
//! A mutant is a `cfg` on a constant of an `orderings.rs` or on one branch of the code, so that no other change of the code
//! can break it. `Cargo.toml` declares their names.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, test};

/// The law that it breaks, its value of `cfg(wavepool_mutant)`, and the model that has to notice.
struct Mutant(&'static str, &'static str, &'static str);

const MUTANTS: [Mutant; 26] = [
    Mutant("1", "list_push_relaxed", "loom_inbox_loses"),
    Mutant("2", "begin_take_relaxed", "loom_inbox_push_while"),
    Mutant("2", "push_ignores_mark", "loom_inbox_push_while"),
    Mutant("3", "single_push_tried_once", "loom_surplus"),
    Mutant("4", "newly_carved_not_counted", "loom_newly_carved"),
    Mutant("5", "last_reference_without_fence", "loom_last_reference"),
    Mutant("6", "refill_without_mark", "loom_refill"),
    Mutant("7", "join_without_mark", "loom_release_while"),
    Mutant("8", "push_scanned_does_nothing", "loom_shedding"),
    Mutant("8", "push_scanned_forgets_the_rest", "loom_shedding"),
    Mutant("8", "overflow_beyond_its_end", "loom_shedding"),
    Mutant("9", "take_ignores_mark", "loom_growth"),
    Mutant("10", "detach_relaxed", "loom_detached_half"),
    Mutant("11", "outstanding_relaxed", "loom_teardown"),
    Mutant("11", "teardown_without_inbox", "loom_teardown"),
    Mutant("11", "pool_refs_relaxed", "loom_teardown"),
    Mutant("12", "table_publish_relaxed", "loom_class_table"),
    Mutant("12", "table_retire_relaxed", "loom_class_table"),
    Mutant("13", "frozen_buffers_reclaimed", "loom_reclaim"),
    Mutant(
        "14",
        "buffer_released_by_two_references",
        "loom_exactly_one",
    ),
    Mutant("15", "request_epoch_relaxed", "loom_request"),
    Mutant("15", "epoch_read_after_the_look", "loom_request"),
    Mutant("16", "record_without_write_fence", "loom_leak_record"),
    Mutant("16", "record_without_read_fence", "loom_leak_record"),
    Mutant("17", "slot_exit_relaxed", "loom_slot_value"),
    Mutant("17", "slot_taken_while_inside", "loom_slot_value"),
];

/// The packages of the models: of the pool, of the bus, and of the slots.
const CORE: &str = "wavepool-core";
const ABOVE: &str = "wavepool";
const HOST: &str = "wavepool-host";

/// Every mutant, one line each; fails if a model passes one.
pub(crate) fn run() -> Result<()> {
    for package in [CORE, ABOVE, HOST] {
        if trips(&models(package, None)?, "loom")? {
            bail!("models fail without any change: `cargo xtask test loom`");
        }
    }
    let mut passed = Vec::new();
    for Mutant(law, name, model) in &MUTANTS {
        let package = if *model == "loom_slot_value" {
            HOST
        } else {
            CORE
        };
        let tripped = models(package, Some(name)).and_then(|models| trips(&models, model));
        let tripped = tripped.with_context(|| *name)?;
        let verdict = if tripped { "trips" } else { "PASSES" };
        println!("{verdict:7} law {law}: {name} ({model})");
        if !tripped {
            passed.push(*name);
        }
    }
    if !passed.is_empty() {
        bail!("not noticed: {}", passed.join(", "));
    }
    Ok(())
}

/// The compiled models of one mutant, or of the code as it is.
fn models(package: &str, mutant: Option<&str>) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.args(["rustc", "--package", package, "--lib"]);
    cargo.args(["--profile", "test", "--message-format=json"]);
    if let Some(mutant) = mutant {
        // For this crate alone: `RUSTFLAGS` would compile its dependencies anew.
        cargo.args(["--", "--cfg", &format!("wavepool_mutant={mutant:?}")]);
    }
    let messages = process::capture(test::loom_environment(&mut cargo))?;
    let executable = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    executable.context("cargo named no executable")
}

/// Whether the model fails; an error if it does not get as far as running.
fn trips(models: &PathBuf, model: &str) -> Result<bool> {
    let output = Command::new(models).arg(model).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // A model that frees twice may end the process before the summary.
    if !text.contains("\nrunning ") || text.contains("running 0 tests") {
        bail!("no model ran: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(!output.status.success())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    /// The compiler refuses an undeclared name in the code, and `run` fails if a declared one changes nothing.
    #[test]
    fn mutants_are_the_ones_that_cargo_toml_declares() {
        let manifest = fs::read_to_string(process::workspace_root().join("Cargo.toml")).unwrap();
        let (_, list) = manifest.split_once("cfg(wavepool_mutant, values(").unwrap();
        let (list, _) = list.split_once(')').unwrap();
        let declared: BTreeSet<_> = list.split('"').skip(1).step_by(2).collect();
        let named: BTreeSet<_> = MUTANTS.iter().map(|Mutant(_, name, _)| *name).collect();
        assert_eq!(named, declared);
    }
}

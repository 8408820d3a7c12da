//! `cargo xtask verify mutants`: for each law of the loom models, a change of the code that breaks it; its model has to fail.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, test};

/// Where the changed copy lies. It is kept, so that the next run compiles little.
const TREE: &str = "target/mutants";
const REALTIME: &str = "src/modules/data_management/realtime";
const CONTROL: &str = "src/modules/data_management/control";

/// What is put in the place of what, in which file, and the model that has to notice.
struct Mutant {
    law: &'static str,
    file: (&'static str, &'static str),
    this: &'static str,
    becomes: &'static str,
    model: &'static str,
}

const fn mutant(
    law: &'static str,
    file: (&'static str, &'static str),
    (this, becomes): (&'static str, &'static str),
    model: &'static str,
) -> Mutant {
    Mutant {
        law,
        file,
        this,
        becomes,
        model,
    }
}

const LIST: (&str, &str) = (REALTIME, "free_list.rs");
const MOVES: (&str, &str) = (REALTIME, "shelf_moves.rs");
const CORE: (&str, &str) = (REALTIME, "pool_core.rs");
const HALF: (&str, &str) = (REALTIME, "half.rs");
const SLOTS: (&str, &str) = ("src", "thread_slots.rs");

const MUTANTS: [Mutant; 26] = [
    mutant(
        "1 push relaxed",
        LIST,
        (
            "head.grown(index, 1, 0).0,\n                Ordering::Release",
            "head.grown(index, 1, 0).0,\n                Ordering::Relaxed",
        ),
        "loom_inbox_loses",
    ),
    mutant(
        "2 hold relaxed",
        LIST,
        (
            "fetch_add(HELD, Ordering::Acquire)",
            "fetch_add(HELD, Ordering::Relaxed)",
        ),
        "loom_what_comes_while",
    ),
    mutant(
        "2 push into a held list",
        LIST,
        ("if head.is_shut() {", "if head == Head::CLOSED {"),
        "loom_what_comes_while",
    ),
    mutant(
        "3 one attempt",
        LIST,
        ("for _ in 0..2 {", "for _ in 0..1 {"),
        "loom_surplus",
    ),
    mutant(
        "4 fresh not counted",
        LIST,
        ("head.grown(index, 1, 1)", "head.grown(index, 1, 0)"),
        "loom_fresh",
    ),
    mutant(
        "5 no fence",
        (REALTIME, "buffer.rs"),
        ("    fence(Ordering::Acquire);\n", ""),
        "loom_the_last_reference",
    ),
    mutant(
        "6 refill without holding",
        MOVES,
        (
            "let chain = list.hold();\n        let end",
            "let chain = list.peek();\n        let end",
        ),
        "loom_a_refill",
    ),
    mutant(
        "7 join without holding",
        LIST,
        (
            "compare_exchange(head.0, head.0 | HELD, Ordering::Acquire",
            "compare_exchange(head.0, head.0, Ordering::Acquire",
        ),
        "loom_what_comes_home",
    ),
    mutant(
        "8 put aside nowhere",
        LIST,
        (
            "let next = &table.slot(last).loan.next;",
            "if first.raw() < NIL { return true; }\n        let next = &table.slot(last).loan.next;",
        ),
        "loom_shedding",
    ),
    mutant(
        "8 put aside over what came",
        LIST,
        (
            "            next.store(head.first(), Ordering::Relaxed);\n            let grown",
            "            let grown",
        ),
        "loom_shedding",
    ),
    mutant(
        "8 given up beyond its end",
        MOVES,
        ("while kept.length > 0\n                && let", "while let"),
        "loom_shedding",
    ),
    mutant(
        "9 take beside a holder",
        LIST,
        ("while !head.is_shut() {", "while head != Head::CLOSED {"),
        "loom_growth",
    ),
    mutant(
        "10 detach relaxed",
        HALF,
        (
            "self.attached.store(0, Ordering::Release)",
            "self.attached.store(0, Ordering::Relaxed)",
        ),
        "loom_a_half_is",
    ),
    mutant(
        "11 settle relaxed",
        CORE,
        (
            "fetch_sub(less, Ordering::AcqRel)",
            "fetch_sub(less, Ordering::Relaxed)",
        ),
        "loom_teardown",
    ),
    mutant(
        "11 sum without the inbox",
        CORE,
        ("shelf.local() + came_home", "shelf.local() + 0 * came_home"),
        "loom_teardown",
    ),
    mutant(
        "11 anchors relaxed",
        CORE,
        (
            "anchors.fetch_sub(1, Ordering::AcqRel)",
            "anchors.fetch_sub(1, Ordering::Relaxed)",
        ),
        "loom_teardown",
    ),
    mutant(
        "12 publish relaxed",
        HALF,
        (
            "self.pending.swap(self.keep(table), Ordering::AcqRel)",
            "self.pending.swap(self.keep(table), Ordering::Relaxed)",
        ),
        "loom_a_new",
    ),
    mutant(
        "12 retired relaxed",
        HALF,
        (
            "self.retired.store(old, Ordering::Release)",
            "self.retired.store(old, Ordering::Relaxed)",
        ),
        "loom_a_new",
    ),
    mutant(
        "13 frozen ones taken",
        (CONTROL, "reclaim.rs"),
        ("if slot.is_frozen() && !frozen {", "if false {"),
        "loom_taking",
    ),
    mutant(
        "14 a buffer sent home by each reference",
        (REALTIME, "buffer.rs"),
        (
            "if refs.fetch_sub(1, Ordering::Release) != 1 {",
            "if refs.fetch_sub(1, Ordering::Release) > 2 {",
        ),
        "loom_exactly_one",
    ),
    mutant(
        "15 ask relaxed",
        CORE,
        (
            "asked.store(more, Ordering::Release)",
            "asked.store(more, Ordering::Relaxed)",
        ),
        "loom_what_is_asked",
    ),
    mutant(
        "15 answered what was not looked for",
        (REALTIME, "quantum.rs"),
        (
            "self.quantum.answered = asked;",
            "self.quantum.answered = self.anchor.asked(self.half.0.id);",
        ),
        "loom_what_is_asked",
    ),
    mutant(
        "16 written without its fence",
        (REALTIME, "leak_ring.rs"),
        ("        fence(Ordering::Release);\n", ""),
        "loom_a_sampled",
    ),
    mutant(
        "16 read without its fence",
        (REALTIME, "leak_ring.rs"),
        ("            fence(Ordering::Acquire);\n", ""),
        "loom_a_sampled",
    ),
    mutant(
        "17 left behind relaxed",
        SLOTS,
        (
            "self.word.store(self.open, Ordering::Release)",
            "self.word.store(self.open, Ordering::Relaxed)",
        ),
        "loom_a_lent_value",
    ),
    mutant(
        "17 taken from under who is inside",
        SLOTS,
        (
            "let value = [OPEN, LEFT]",
            "let value = [OPEN, LEFT, INSIDE]",
        ),
        "loom_a_lent_value",
    ),
];

/// Every mutant, one line each; fails if a model passes one.
pub(crate) fn run() -> Result<()> {
    copy_tree()?;
    if trips("loom")? {
        bail!("models fail without any change: `cargo xtask test loom`");
    }
    let mut passed = Vec::new();
    for mutant in &MUTANTS {
        let file = Path::new(TREE).join(mutant.file.0).join(mutant.file.1);
        let code = fs::read_to_string(&file)?;
        if code.matches(mutant.this).count() == 0 {
            bail!(
                "mutant `{}`: its place is not in {}",
                mutant.law,
                file.display()
            );
        }
        fs::write(&file, code.replacen(mutant.this, mutant.becomes, 1))?;
        let tripped = trips(mutant.model);
        fs::write(&file, &code)?;
        let tripped = tripped.with_context(|| mutant.law)?;
        let verdict = if tripped { "trips" } else { "PASSES" };
        println!("{verdict:7} {} ({})", mutant.law, mutant.model);
        if !tripped {
            passed.push(mutant.law);
        }
    }
    if !passed.is_empty() {
        bail!("not noticed: {}", passed.join(", "));
    }
    Ok(())
}

/// Whether the model fails in the changed copy; an error if it does not get as far as running.
fn trips(model: &str) -> Result<bool> {
    let mut cargo = test::loom_command(model);
    cargo.current_dir(TREE).env(
        "CARGO_TARGET_DIR",
        process::workspace_root().join("target/loom"),
    );
    let output = cargo.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // A model that frees twice may end the process before the summary.
    if !text.contains("\nrunning ") || text.contains("running 0 tests") {
        bail!("no model ran: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(!output.status.success())
}

/// Copies what belongs to the project, and only what differs, so that cargo sees no news.
fn copy_tree() -> Result<()> {
    let files = process::capture(Command::new("git").args(["ls-files"]))?;
    for file in files.lines() {
        let (from, to) = (Path::new(file), Path::new(TREE).join(file));
        let Ok(bytes) = fs::read(from) else {
            continue;
        };
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(to, bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_its_place_and_its_model() {
        let root = process::workspace_root();
        let models = [
            root.join(REALTIME).join("pool_core_loom.rs"),
            root.join("src/thread_slots.rs"),
        ]
        .map(|file| fs::read_to_string(file).unwrap())
        .concat();
        for mutant in &MUTANTS {
            let file = root.join(mutant.file.0).join(mutant.file.1);
            let code = fs::read_to_string(file).unwrap();
            assert!(code.contains(mutant.this), "{}", mutant.law);
            assert!(models.contains(mutant.model), "{}", mutant.law);
        }
    }
}

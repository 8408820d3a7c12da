//! The pool beside every other pool: `cargo xtask bench native --json FILE`.
//!
//! | bench | what is timed, per buffer |
//! |---|---|
//! | `scratch`, `acquire`, `zeroed` | acquire, touch, give back, on one thread; its own CPU time |
//! | `remote` | acquired here, dropped there, in batches |
//! | `handover` | a stream of written buffers to another thread that reads and drops them |
//! | `four_producers` | one thread acquires, four give back |
//! | `latency` | each single acquire while two other threads give back; wall and CPU time |
//! | `instructions` | `scratch` and `acquire` under callgrind |
//! | `overhead` | bytes beside the samples |
//!
//! Contenders take turns within each round and medians are compared, so that a busy machine hurts all of them alike.
//! Every one has its result checked. Ours has a bus attached. A row whose case names a rival without a size is that
//! rival's best size against us.
//!
//! It fails if memory overhead or instructions are above their limits; times are reported, not judged.
//! `cargo bench --bench native_benchmarks -- scratch overhead` runs only these; `--record` keeps the figures in
//! `tests/benchmarks/record/`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command that reports.

mod processors;
mod record;

mod native {
    pub(crate) mod allocators;
    pub(crate) mod clock;
    pub(crate) mod instructions;
    pub(crate) mod latency;
    pub(crate) mod limits;
    pub(crate) mod one_thread;
    pub(crate) mod ours;
    pub(crate) mod overhead;
    pub(crate) mod rivals;
    pub(crate) mod rows;
    pub(crate) mod two_threads;
}

use std::path::PathBuf;
use std::process::ExitCode;

use native::rows::{Row, csv, table, write_json};
use native::{instructions, latency, limits, one_thread, overhead, two_threads};

const BENCHES: [&str; 9] = [
    "scratch",
    "acquire",
    "zeroed",
    "remote",
    "handover",
    "four_producers",
    "latency",
    "instructions",
    "overhead",
];

/// What the command line asks for.
#[derive(Default)]
struct Wish {
    json: Option<PathBuf>,
    record: bool,
    only: Vec<String>,
    /// The child of `instructions`: benchmark and contender.
    count: Option<(String, usize)>,
}

impl Wish {
    fn read() -> Self {
        let mut wish = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => wish.json = Some(words.next().expect("--json FILE").into()),
                "--record" => wish.record = true,
                "--count" => {
                    let bench = words.next().expect("--count BENCH PLACE");
                    let place = words.next().and_then(|place| place.parse().ok());
                    wish.count = Some((bench, place.expect("--count BENCH PLACE")));
                }
                // Cargo's own.
                "--bench" => {}
                name => {
                    assert!(
                        BENCHES.contains(&name),
                        "no `{name}`; there are {BENCHES:?}"
                    );
                    wish.only.push(word);
                }
            }
        }
        wish
    }
}

fn measure(bench: &'static str) -> Vec<Row> {
    match bench {
        "scratch" | "acquire" | "zeroed" => one_thread::measure(bench),
        "latency" => latency::measure(),
        "instructions" => instructions::measure(),
        "overhead" => overhead::measure(),
        _ => two_threads::measure(bench),
    }
}

fn main() -> ExitCode {
    let wish = Wish::read();
    if let Some((bench, place)) = wish.count {
        instructions::child(one_thread::contenders(&bench).swap_remove(place));
        return ExitCode::SUCCESS;
    }
    // Before any thread is bound to one.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut rows = Vec::new();
    for bench in BENCHES {
        if wish.only.is_empty() || wish.only.iter().any(|only| only == bench) {
            let measured = measure(bench);
            println!("{}", table(&measured));
            rows.extend(measured);
        }
    }
    if let Some(path) = wish.json {
        write_json(&rows, &path).expect("figures written");
    }
    if wish.record {
        record::keep(&csv(&rows), "", cores).expect("figures recorded");
    }
    let found = limits::shortcomings(&rows);
    if !found.is_empty() {
        eprintln!("{}", found.join("\n"));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

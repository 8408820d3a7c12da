//! What publishing costs, beside nothing and beside four rivals, how late handlers are called, and what the audio
//! pipeline costs beside one that allocates.
//!
//! `cargo bench --bench events_benchmarks -- --json FILE`; `-- pipeline` measures that part alone; `--record` keeps the
//! figures in `tests/benchmarks/record/`. Every measurement checks what arrived.
#![allow(missing_docs)]

mod event_bus_latency;
mod event_bus_rivals;
mod pipeline;
mod pipeline_sides;
mod processors;
mod record;

use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{Write, stdout};
use std::time::Instant;

use serde::Serialize;
use wavepool::event_bus::{Event, Priority, Published, Publisher, TypedEventBus};

/// What the pool sends for each buffer: 32 bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Allocated {
    pub(crate) first_frame: u64,
    pub(crate) class_samples: u32,
    pub(crate) requested: u32,
    pub(crate) slot: u32,
    pub(crate) count: u32,
    pub(crate) half: u16,
}

impl Event for Allocated {
    const NAME: &'static str = "Allocated";
    const PRIORITY: Priority = Priority::Critical;
}

impl Allocated {
    pub(crate) fn at(first_frame: u64) -> Self {
        Self {
            first_frame,
            class_samples: 256,
            requested: 200,
            slot: first_frame as u32,
            count: 1,
            half: 0,
        }
    }
}

/// One line of the result; `value` ours, `baseline` the rival's or the floor's, `ratio` baseline ÷ value.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) bench: &'static str,
    pub(crate) case: String,
    #[serde(serialize_with = "finite")]
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) baseline: Option<f64>,
    pub(crate) ratio: Option<f64>,
}

/// JSON has no infinity, and would make it empty, which reads "not measured".
fn finite<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.min(f64::MAX))
}

impl Row {
    pub(crate) fn new(
        bench: &'static str,
        case: impl Into<String>,
        value: f64,
        unit: &'static str,
        baseline: Option<f64>,
    ) -> Self {
        let ratio = baseline
            .filter(|_| value > 0.0)
            .map(|baseline| baseline / value);
        Self {
            bench,
            case: case.into(),
            value,
            unit,
            baseline,
            ratio,
        }
    }
}

/// The rows, with what is not there left empty.
fn csv(rows: &[Row]) -> String {
    let mut text = "bench,case,value,unit,baseline,ratio\n".to_owned();
    let figure =
        |figure: Option<f64>| figure.map_or(String::new(), |figure| format!("{figure:.3}"));
    for row in rows {
        let _ = writeln!(
            text,
            "{},{},{:.3},{},{},{}",
            row.bench,
            row.case,
            row.value,
            row.unit,
            figure(row.baseline),
            figure(row.ratio)
        );
    }
    text
}

/// Events between two drains: every queue here holds 1024.
const BATCH: u64 = 1_000;
const BATCHES: usize = 10_000;

/// Nanoseconds per call in the median batch: what lies between batches is not timed, and batches that a busy machine
/// interrupted do not count.
pub(crate) fn ns_per_call<S>(
    subject: &mut S,
    mut call: impl FnMut(&mut S, u64),
    mut between: impl FnMut(&mut S),
) -> f64 {
    let batch = |_| {
        let start = Instant::now();
        for frame in 0..BATCH {
            call(subject, black_box(frame));
        }
        let spent = start.elapsed();
        between(subject);
        spent
    };
    let mut batches: Vec<_> = (0..BATCHES).map(batch).collect();
    batches.sort_unstable();
    batches[BATCHES / 2].as_nanos() as f64 / BATCH as f64
}

/// Calls of one measurement.
pub(crate) const CALLS: u64 = BATCH * BATCHES as u64;

#[inline(never)]
fn nothing(_: &Publisher, _: Allocated) -> Published {
    black_box(Published::Idle)
}

#[inline(never)]
fn publish(publisher: &Publisher, event: Allocated) -> Published {
    publisher.publish(event)
}

fn publishing(rows: &mut Vec<Row>) -> Result<(), Box<dyn Error>> {
    let bus = TypedEventBus::default();
    bus.declare::<Allocated>()?;
    let mut publisher = bus.publisher()?;
    let floor = ns_per_call(
        &mut publisher,
        |publisher, frame| assert_eq!(nothing(publisher, Allocated::at(frame)), Published::Idle),
        |_| (),
    );
    let idle = ns_per_call(
        &mut publisher,
        |publisher, frame| assert_eq!(publish(publisher, Allocated::at(frame)), Published::Idle),
        |_| (),
    );
    rows.push(Row::new("publish_idle", "nothing", idle, "ns", Some(floor)));

    let queue = bus.queue::<Allocated>(1)?;
    let ours = ns_per_call(
        &mut publisher,
        |publisher, frame| assert_eq!(publish(publisher, Allocated::at(frame)), Published::Queued),
        |_| _ = bus.pump(usize::MAX),
    );
    let critical = bus.stats().critical;
    assert_eq!((critical.published, critical.delivered), (CALLS, CALLS));
    assert_eq!(
        queue.missed(),
        CALLS - 1,
        "every event came to its subscriber"
    );

    let rivals = event_bus_rivals::all();
    rows.extend(rivals.map(|(name, theirs)| Row::new("publish", name, ours, "ns", Some(theirs))));
    Ok(())
}

/// Holds the figures against their targets.
fn check(rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let mut missed = event_bus_latency::missed(rows);
    missed.extend(pipeline::missed(rows));
    for Row {
        bench,
        case,
        value,
        baseline,
        ..
    } in rows
    {
        let baseline = baseline.unwrap_or(f64::INFINITY);
        match (*bench, case.as_str()) {
            ("publish_idle", _) if value - baseline > 2.0 => {
                missed.push(format!(
                    "an event that nobody wants costs {value} ns, nothing costs {baseline} ns"
                ));
            }
            ("publish", "crossbeam-channel") if *value > 20.0 && value * 3.0 > baseline => {
                missed.push(format!(
                    "an event costs {value} ns, with crossbeam-channel {baseline} ns"
                ));
            }
            _ => {}
        }
    }
    if missed.is_empty() {
        Ok(())
    } else {
        Err(missed.join("; ").into())
    }
}

/// What can be asked for by name; without a name, all of it.
const PARTS: [(&str, Measure); 3] = [
    ("publish", publishing),
    ("latency", event_bus_latency::measure),
    ("pipeline", pipeline::measure),
];

type Measure = fn(&mut Vec<Row>) -> Result<(), Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let json = words.iter().skip_while(|word| *word != "--json").nth(1);
    let named = |part: &str| words.iter().any(|word| word == part);
    let all = !PARTS.iter().any(|(part, _)| named(part));
    // Before any thread is bound to one.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut rows = Vec::new();
    for (part, measure) in PARTS {
        if all || named(part) {
            measure(&mut rows)?;
        }
    }
    let mut out = stdout().lock();
    for Row {
        bench,
        case,
        value,
        unit,
        baseline,
        ..
    } in &rows
    {
        write!(out, "{bench:18} {case:28} {value:12.3} {unit}")?;
        match baseline {
            Some(baseline) => writeln!(out, "   beside {baseline:.3}")?,
            None => writeln!(out)?,
        }
    }
    if let Some(file) = json {
        std::fs::write(file, serde_json::to_string_pretty(&rows)?)?;
    }
    if named("--record") {
        record::keep(&csv(&rows), "-events", cores)?;
    }
    // After the figures are out: a missed target must not hide them.
    check(&rows)
}

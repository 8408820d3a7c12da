//! What the benchmarks count, held to its limits: figures of sizing on every trace, and instructions of the hot path.
//!
//! `cargo xtask test counts` runs it with an optimised library. Without optimisation the replays take minutes, and
//! instructions say nothing: then only the limits themselves are tested.
#![allow(missing_docs)]
#![allow(clippy::print_stdout)] // What was counted, for `--show-output`.

mod sizing_limits;
mod sizing_replays;
mod sizing_traces;
mod sizing_tuner;

#[allow(
    dead_code,
    reason = "of the native benchmark only what counts instructions is used"
)]
mod native {
    pub(crate) mod allocators;
    pub(crate) mod clock;
    pub(crate) mod instructions;
    pub(crate) mod limits;
    pub(crate) mod one_thread;
    pub(crate) mod ours;
    pub(crate) mod rivals;
    pub(crate) mod rows;
}

use native::instructions;
use native::one_thread::contender;
use native::ours::{OursOwned, OursScratch};
use sizing_limits::{LIMITS, Limits, Row, shortcomings};

/// Instructions of one acquire, touch and release, at most. Without optimisation across crates, which the native benchmark
/// has and which counts 45 and 59 there, a few calls are not inlined.
const INSTRUCTIONS_MOST: [(&str, f64); 2] = [("scratch", 72.5), ("acquire", 78.5)];
/// Says to the child which benchmark it is to run.
const COUNTED: &str = "WAVEPOOL_COUNTED";

/// The figures of some traces keep to their limits.
fn replayed(traces: &[&str]) {
    let mut found = Vec::new();
    for limits in LIMITS
        .iter()
        .filter(|limits| traces.contains(&limits.trace))
    {
        let scenario = sizing_replays::scenario(limits.trace).expect("a trace that can be made");
        let row = sizing_replays::ours(&scenario, None).expect("a trace that can be replayed");
        println!("{}", serde_json::json!(row));
        found.extend(shortcomings(&row));
    }
    assert!(found.is_empty(), "{}", found.join("; "));
}

macro_rules! replays {
    ($($test:ident: $trace:literal;)*) => {
        $(
            #[test]
            #[cfg_attr(debug_assertions, ignore = "slow without optimisation: `cargo xtask test counts`")]
            fn $test() {
                replayed(&[$trace]);
            }
        )*

        #[test]
        fn sizing_limits_are_declared_for_every_trace_and_each_is_replayed() {
            let declared: Vec<_> = LIMITS.iter().map(|limits| limits.trace).collect();
            assert_eq!(declared, [$($trace),*]);
        }
    };
}

replays! {
    sizing_of_steady_use_keeps_to_its_limits: "steady";
    sizing_of_a_ramp_keeps_to_its_limits: "ramp";
    sizing_of_a_phase_shift_keeps_to_its_limits: "phase-shift";
    sizing_of_an_instant_phase_shift_keeps_to_its_limits: "phase-shift-instant";
    sizing_of_bursts_keeps_to_its_limits: "bursts";
    sizing_of_odd_sizes_keeps_to_its_limits: "odd-sizes";
    sizing_of_adversarial_use_keeps_to_its_limits: "adversarial";
    sizing_of_a_second_start_keeps_to_its_limits: "steady-second-start";
    sizing_of_odd_sizes_held_out_keeps_to_its_limits: "odd-sizes-held-out";
    sizing_of_the_tuner_keeps_to_its_limits: "tuner";
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "says nothing without optimisation: `cargo xtask test counts`"
)]
fn hot_path_instructions_keep_to_their_limits() {
    if !instructions::can_be_counted() {
        println!("instructions of the hot path: not measured, valgrind is not installed");
        return;
    }
    let mut found = Vec::new();
    for (bench, most) in INSTRUCTIONS_MOST {
        let child = ["--ignored", "--exact", "counted_child", "--test-threads=1"];
        let counted = instructions::count(|valgrind| {
            valgrind.args(child).env(COUNTED, bench);
        });
        println!("instructions of {bench}: {counted:?}");
        found.extend(instruction_shortcoming(bench, counted, most));
    }
    assert!(found.is_empty(), "{}", found.join("; "));
}

fn instruction_shortcoming(bench: &str, counted: Option<f64>, most: f64) -> Option<String> {
    match counted {
        None => Some(format!("{bench}: callgrind's file has no total")),
        Some(counted) if counted <= most => None,
        Some(counted) => Some(format!(
            "{bench} takes {counted} instructions, at most {most} are allowed"
        )),
    }
}

#[test]
fn the_limit_of_instructions_trips_with_both_numbers() {
    assert_eq!(instruction_shortcoming("scratch", Some(72.5), 72.5), None);
    assert_eq!(
        instruction_shortcoming("scratch", Some(73.0), 72.5).as_deref(),
        Some("scratch takes 73 instructions, at most 72.5 are allowed")
    );
    assert!(instruction_shortcoming("scratch", None, 72.5).is_some());
    assert!(instruction_shortcoming("scratch", Some(f64::NAN), 72.5).is_some());
}

#[test]
#[ignore = "run by `hot_path_instructions_keep_to_their_limits`, under callgrind"]
fn counted_child() {
    match std::env::var(COUNTED).as_deref() {
        Ok("scratch") => instructions::child(contender::<OursScratch>()),
        Ok("acquire") => instructions::child(contender::<OursOwned>()),
        other => panic!("{COUNTED} is {other:?}"),
    }
}

/// A row that keeps to its limits, and to no better ones.
fn at_the_limit(limits: &Limits) -> Row {
    Row {
        trace: limits.trace.into(),
        case: "ours".into(),
        hit_rate_pct: Some(limits.hit_rate_pct_least),
        fragmentation_pct_max: Some(limits.fragmentation_pct_most),
        fragmentation_pct_after_defragment: Some(1.0),
        internal_waste_pct: Some(limits.internal_waste_pct_most),
        overhead_pct: Some(limits.overhead_pct_most),
        bytes_held_peak: Some((limits.held_per_used_most * 100_000.0) as u64),
        bytes_used_peak: 100_000,
        exhaustions: limits.refused_most.into(),
        control_step_moves_max: Some(1568),
        control_step_looks_max: Some(18_432),
        ..Row::default()
    }
}

#[test]
fn every_sizing_limit_trips_on_every_trace_with_a_sentence_that_names_the_figure() {
    type Worsen = fn(&mut Row);
    let worse: [(&str, Worsen); 9] = [
        ("the hit rate", |row| {
            row.hit_rate_pct = row.hit_rate_pct.map(|rate| rate - 0.01)
        }),
        ("requests refused", |row| row.exhaustions += 1),
        ("the highest fragmentation", |row| {
            row.fragmentation_pct_max = row.fragmentation_pct_max.map(|most| most + 0.01);
        }),
        ("fragmentation after defragment()", |row| {
            row.fragmentation_pct_after_defragment = Some(9.229);
        }),
        ("internal waste", |row| {
            row.internal_waste_pct = row.internal_waste_pct.map(|most| most + 0.01);
        }),
        ("overhead", |row| {
            row.overhead_pct = row.overhead_pct.map(|most| most + 0.01)
        }),
        ("bytes held ÷ bytes used", |row| {
            row.bytes_held_peak = row.bytes_held_peak.map(|most| most + 10);
        }),
        ("a control step moved", |row| {
            row.control_step_moves_max = Some(1569)
        }),
        ("a control step looked at", |row| {
            row.control_step_looks_max = Some(18_433)
        }),
    ];
    for limits in &LIMITS {
        let good = at_the_limit(limits);
        assert_eq!(shortcomings(&good), [""; 0]);
        for (figure, worsen) in worse {
            let mut row = good.clone();
            worsen(&mut row);
            let found = shortcomings(&row);
            assert_eq!(found.len(), 1, "{found:?}");
            let named =
                found[0].starts_with(&format!("{}: ", limits.trace)) && found[0].contains(figure);
            assert!(named, "{figure}: {found:?}");
        }
    }
}

#[test]
fn a_sizing_figure_that_was_not_measured_or_is_no_number_trips_its_limit() {
    let good = at_the_limit(&LIMITS[0]);
    let empty = Row {
        trace: good.trace.clone(),
        ..Row::default()
    };
    // Refusals are always counted.
    assert_eq!(shortcomings(&empty).len(), 8);
    let nan = Row {
        overhead_pct: Some(f64::NAN),
        ..good
    };
    assert_eq!(
        shortcomings(&nan),
        ["steady: overhead is NaN %, at most 1 % is allowed"]
    );
    let unknown = Row {
        trace: "unheard".into(),
        ..nan
    };
    assert_eq!(
        shortcomings(&unknown),
        ["unheard: no limits are declared for this trace"]
    );
}

#[test]
fn the_failing_sentence_has_the_figure_and_its_limit() {
    let mut row = at_the_limit(&LIMITS[6]);
    row.fragmentation_pct_after_defragment = Some(9.2285);
    assert_eq!(
        shortcomings(&row),
        ["adversarial: fragmentation after defragment() is 9.229 %, at most 1 % is allowed"]
    );
}

#[test]
fn native_limits_trip_with_the_figure_and_its_limit() {
    use native::rows::Row;
    let within = [
        Row::alone("overhead", "default-mix", "percent", 3.0),
        Row::against("instructions", "slab", "count", 45.0, 90.0),
        Row::against("instructions", "slab acquire", "count", 59.0, 90.0),
        Row::against("acquire", "slab 256", "ns", 900.0, 1.0),
    ];
    assert!(native::limits::shortcomings(&within).is_empty());
    let above = [
        Row::alone("overhead", "all-256", "percent", 3.1),
        Row::alone("overhead", "default-mix", "percent", f64::NAN),
        Row::against("instructions", "slab", "count", 46.0, 90.0),
        Row::against("instructions", "slab acquire", "count", 60.0, 90.0),
    ];
    let found = native::limits::shortcomings(&above);
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found[0], "overhead all-256: 3.1 percent, at most 3");
}

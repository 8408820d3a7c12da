//! What the sizing benchmark's figures must keep to, trace by trace, and the sentences that say which do not.
//!
//! Counts alone: the same trace gives the same figures on every machine. Times are reported, not judged.

use serde::{Deserialize, Serialize};

/// One row of the benchmark's result. What a case does not have, or nobody measured, is null.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) trace: String,
    pub(crate) case: String,
    pub(crate) hit_rate_pct: Option<f64>,
    pub(crate) fragmentation_pct_max: Option<f64>,
    pub(crate) fragmentation_pct_after_defragment: Option<f64>,
    pub(crate) internal_waste_pct: Option<f64>,
    pub(crate) overhead_pct: Option<f64>,
    pub(crate) bytes_held_peak: Option<u64>,
    pub(crate) bytes_held_mean: Option<u64>,
    pub(crate) bytes_used_peak: u64,
    pub(crate) bytes_reserved: Option<u64>,
    pub(crate) exhaustions: u64,
    pub(crate) pages_grown: Option<u64>,
    pub(crate) control_step_moves_max: Option<u32>,
    pub(crate) control_step_looks_max: Option<u32>,
    pub(crate) control_step_us_p99: Option<f64>,
    pub(crate) control_step_us_max: Option<f64>,
}

impl Row {
    /// Most bytes held ÷ most bytes asked for at once.
    pub(crate) fn held_per_used(&self) -> Option<f64> {
        let used = self.bytes_used_peak.max(1) as f64;
        self.bytes_held_peak.map(|held| held as f64 / used)
    }
}

/// What a trace's figures must keep to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) trace: &'static str,
    pub(crate) hit_rate_pct_least: f64,
    pub(crate) refused_most: u32,
    pub(crate) fragmentation_pct_most: f64,
    pub(crate) internal_waste_pct_most: f64,
    pub(crate) overhead_pct_most: f64,
    pub(crate) held_per_used_most: f64,
}

/// Use that the pool can follow: what the story promises.
const FOLLOWED: Limits = Limits {
    trace: "",
    hit_rate_pct_least: 99.9,
    refused_most: 0,
    fragmentation_pct_most: 5.0,
    internal_waste_pct_most: 0.0,
    overhead_pct_most: 1.0,
    held_per_used_most: 1.3,
};

/// Buffers one control step may move: what it collects, plans both ways, and defragments, and a change of classes with
/// all their first buffers.
const MOVES_PER_STEP_MOST: u32 = 256 + 2 * 128 + 32 + 1024;
/// Slots, free runs and stretches of the arena one control step may look at: no trace has more than a few thousand runs.
const LOOKS_PER_STEP_MOST: u32 = 2048 + 16_384;
/// After everything was released, and the pool defragmented.
const FRAGMENTATION_PCT_AFTER_DEFRAGMENT_MOST: f64 = 1.0;

pub(crate) const LIMITS: [Limits; 10] = [
    Limits {
        trace: "steady",
        hit_rate_pct_least: 100.0,
        ..FOLLOWED
    },
    Limits {
        trace: "ramp",
        ..FOLLOWED
    },
    Limits {
        trace: "phase-shift",
        ..FOLLOWED
    },
    // Faster than anybody can follow: its refusals must not become more.
    Limits {
        trace: "phase-shift-instant",
        hit_rate_pct_least: 98.5,
        refused_most: 8000,
        fragmentation_pct_most: 12.0,
        ..FOLLOWED
    },
    // A burst comes within one quantum: the first ones, before they are known, find too little.
    Limits {
        trace: "bursts",
        refused_most: 100,
        ..FOLLOWED
    },
    // Classes are learned while buffers are out. Powers of two waste 23 %.
    Limits {
        trace: "odd-sizes",
        refused_most: 16,
        internal_waste_pct_most: 1.0,
        ..FOLLOWED
    },
    // Made to fragment whatever leaves buffers in place: see `adversarial`.
    Limits {
        trace: "adversarial",
        hit_rate_pct_least: 88.0,
        refused_most: 4000,
        fragmentation_pct_most: 18.0,
        internal_waste_pct_most: 1.0,
        overhead_pct_most: 2.0,
        held_per_used_most: 1.75,
    },
    Limits {
        trace: "steady-second-start",
        hit_rate_pct_least: 100.0,
        ..FOLLOWED
    },
    Limits {
        trace: "odd-sizes-held-out",
        refused_most: 32,
        internal_waste_pct_most: 1.0,
        ..FOLLOWED
    },
    Limits {
        trace: "tuner",
        ..FOLLOWED
    },
];

/// One figure beside its limit.
struct Check {
    figure: &'static str,
    unit: &'static str,
    value: Option<f64>,
    limit: f64,
    at_least: bool,
}

impl Check {
    const fn most(
        figure: &'static str,
        unit: &'static str,
        value: Option<f64>,
        limit: f64,
    ) -> Self {
        Self {
            figure,
            unit,
            value,
            limit,
            at_least: false,
        }
    }

    fn shortcoming(&self, trace: &str) -> Option<String> {
        let Self {
            figure,
            unit,
            limit,
            ..
        } = self;
        let Some(value) = self.value else {
            return Some(format!("{trace}: {figure} was not measured"));
        };
        // A figure that is no number keeps to nothing.
        let (holds, word) = if self.at_least {
            (value >= *limit, "at least")
        } else {
            (value <= *limit, "at most")
        };
        let value = (value * 1000.0).round() / 1000.0;
        (!holds)
            .then(|| format!("{trace}: {figure} is {value}{unit}, {word} {limit}{unit} is allowed"))
    }
}

fn checks(row: &Row, limits: &Limits) -> [Check; 9] {
    [
        Check {
            at_least: true,
            ..Check::most(
                "the hit rate",
                " %",
                row.hit_rate_pct,
                limits.hit_rate_pct_least,
            )
        },
        Check::most(
            "the number of requests refused",
            "",
            Some(row.exhaustions as f64),
            limits.refused_most.into(),
        ),
        Check::most(
            "the highest fragmentation",
            " %",
            row.fragmentation_pct_max,
            limits.fragmentation_pct_most,
        ),
        Check::most(
            "fragmentation after defragment()",
            " %",
            row.fragmentation_pct_after_defragment,
            FRAGMENTATION_PCT_AFTER_DEFRAGMENT_MOST,
        ),
        Check::most(
            "internal waste",
            " %",
            row.internal_waste_pct,
            limits.internal_waste_pct_most,
        ),
        Check::most("overhead", " %", row.overhead_pct, limits.overhead_pct_most),
        Check::most(
            "bytes held ÷ bytes used",
            "",
            row.held_per_used(),
            limits.held_per_used_most,
        ),
        Check::most(
            "the most buffers a control step moved",
            "",
            row.control_step_moves_max.map(f64::from),
            MOVES_PER_STEP_MOST.into(),
        ),
        Check::most(
            "the most slots, runs and stretches a control step looked at",
            "",
            row.control_step_looks_max.map(f64::from),
            LOOKS_PER_STEP_MOST.into(),
        ),
    ]
}

/// What a row of ours falls short of, a sentence each.
pub(crate) fn shortcomings(row: &Row) -> Vec<String> {
    let trace = &row.trace;
    let Some(limits) = LIMITS.iter().find(|limits| limits.trace == trace) else {
        return vec![format!("{trace}: no limits are declared for this trace")];
    };
    let checks = checks(row, limits);
    checks
        .iter()
        .filter_map(|check| check.shortcoming(trace))
        .collect()
}

//! A sizing plan: what to change, why, and what should come of it, readable as recommendations.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::sizing_profile::ClassBuffers;

/// One change the control half can apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SizingStep {
    /// Carve more buffers of a class for the real-time half.
    Grow {
        /// Capacity of the class.
        class_samples: usize,
        /// How many buffers.
        buffers: u32,
    },
    /// Take idle buffers of a class back into the arena.
    Shrink {
        /// Capacity of the class.
        class_samples: usize,
        /// How many buffers.
        buffers: u32,
    },
    /// Go over to other size classes; classes that are not in the list drain.
    SetClasses {
        /// Capacities, ascending, and how many buffers a class that is new begins with.
        classes: Vec<ClassBuffers>,
    },
}

/// Why a step was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Use grows, and at this pace the idle buffers would not last.
    DemandRises,
    /// Fewer buffers than a high quantile of concurrent use and its margin.
    BelowQuantile,
    /// The pool holds more than its share over the peak of use.
    HeldAbovePeak,
    /// The host, or the limit, asks for memory back.
    MemoryPressure,
    /// Requests are rounded up too far.
    WastedSamples,
}

/// How a class is kept supplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Used steadily: idle buffers for a high quantile of concurrent use wait.
    Prewarmed,
    /// Not used lately: a margin waits, more is carved when use begins.
    OnDemand,
    /// Used so rarely that its requests take a buffer of the next class.
    BorrowedFromAbove,
}

/// How urgently memory is wanted back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryPressure {
    /// Idle memory may stay within the budget.
    #[default]
    None,
    /// Idle memory beyond recent use goes back.
    Moderate,
    /// Idle memory beyond present use goes back.
    Critical,
}

/// What a plan means for one class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassTarget {
    /// Capacity of the class.
    pub samples: usize,
    /// How it is kept supplied.
    pub strategy: Strategy,
    /// Buffers it has.
    pub carved: u64,
    /// Buffers it should have.
    pub target: u64,
}

/// The figures a plan changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Bytes carved into buffers.
    pub bytes_held: usize,
    /// Share of requests served from their own class. Expected: share of observed control steps whose peak the
    /// targets cover, weighted by requests.
    pub hit_rate_percentage: Option<f32>,
    /// Share of handed out capacity nobody asked for.
    pub internal_waste_percentage: Option<f32>,
}

/// A step with its reason and what it should do to the bytes held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// The change.
    pub step: SizingStep,
    /// Why.
    pub reason: Reason,
    /// Change of bytes held when the step is through.
    pub bytes_held_change: i64,
}

/// Version of the JSON form of plans.
pub const PLAN_VERSION: u16 = 1;

/// What to change, and the figures before and, as expected, after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizingPlan {
    /// [`PLAN_VERSION`].
    pub version: u16,
    /// The pressure it was made under.
    pub pressure: MemoryPressure,
    /// Targets for every class.
    pub classes: Vec<ClassTarget>,
    /// The changes, in the order in which to apply them.
    pub steps: Vec<PlannedStep>,
    /// Figures when the plan was made.
    pub before: Effect,
    /// Figures to expect.
    pub expected: Effect,
}

/// A plan that was applied, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppliedPlan {
    /// The plan.
    pub plan: SizingPlan,
    /// When it was applied.
    pub applied_at_ms: f64,
    /// The figures over the time that followed; none until enough of it has passed.
    pub measured: Option<Effect>,
}

impl fmt::Display for PlannedStep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            SizingStep::Grow {
                class_samples,
                buffers,
            } => {
                let buffers = Buffers("more", *buffers);
                write!(out, "carve {buffers} of {class_samples} samples")?;
            }
            SizingStep::Shrink {
                class_samples,
                buffers,
            } => {
                let buffers = Buffers("idle", *buffers);
                write!(out, "take back {buffers} of {class_samples} samples")?;
            }
            SizingStep::SetClasses { classes } => {
                let samples: Vec<_> = classes.iter().map(|class| class.samples).collect();
                write!(out, "change the classes to {samples:?}")?;
            }
        }
        let why = match self.reason {
            Reason::DemandRises => "use grows faster than the idle buffers last",
            Reason::BelowQuantile => "concurrent use comes close to what is there",
            Reason::HeldAbovePeak => "more is held than the peak of use justifies",
            Reason::MemoryPressure => "memory is wanted back",
            Reason::WastedSamples => "requests are rounded up too far",
        };
        write!(out, ": {why}")?;
        if self.bytes_held_change != 0 {
            write!(out, " ({:+} KiB held)", self.bytes_held_change / 1024)?;
        }
        Ok(())
    }
}

/// A number of buffers of some kind.
struct Buffers(&'static str, u32);

impl fmt::Display for Buffers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(kind, number) = self;
        let plural = if *number == 1 { "" } else { "s" };
        write!(out, "{number} {kind} buffer{plural}")
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} KiB held, hit rate {}, internal waste {}",
            self.bytes_held / 1024,
            Percentage(self.hit_rate_percentage),
            Percentage(self.internal_waste_percentage)
        )
    }
}

struct Percentage(Option<f32>);

impl fmt::Display for Percentage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(out, "{value:.2} %"),
            None => out.write_str("not measured"),
        }
    }
}

impl fmt::Display for SizingPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(out, "{}. {step}", number + 1)?;
        }
        writeln!(out, "before:   {}", self.before)?;
        write!(out, "expected: {}", self.expected)
    }
}

#[cfg(test)]
#[path = "sizing_plan_tests.rs"]
mod tests;

//! A sizing plan: changes, their reasons and their expected effect, readable as recommendations.

use core::fmt;

use serde::{Deserialize, Serialize};

pub use wavepool_core::SizingStep;

/// The reason for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Use rises, and the idle buffers will not last at this rate.
    DemandRises,
    /// The class has fewer buffers than a high quantile of those in use and its margin.
    BelowQuantile,
    /// The pool has more memory than its budget over the peak of use.
    HeldAbovePeak,
    /// The host, or the memory limit, requires less memory.
    MemoryPressure,
    /// Requests are rounded up too far.
    WastedSamples,
}

/// The supply strategy of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Used steadily: idle buffers cover a high quantile of those in use, and a margin, under memory pressure too.
    Prewarmed,
    /// Not used in any window: one buffer is idle, so that the first request succeeds, and none under memory pressure. Then the
    /// first request is refused, or served by a larger class, and the next control step carves a buffer.
    OnDemand,
    /// Used so rarely that the next larger class serves its requests.
    BorrowedFromAbove,
}

/// The urgency of shrinking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryPressure {
    /// Idle memory may stay within the budget.
    #[default]
    None,
    /// Idle memory above recent use is returned.
    Moderate,
    /// Idle memory above present use is returned.
    Critical,
}

/// The target of a plan for one class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassTarget {
    /// Capacity of the class.
    pub samples: usize,
    /// The supply strategy.
    pub strategy: Strategy,
    /// The present number of buffers.
    pub carved: u64,
    /// The target number of buffers.
    pub target: u64,
}

/// The figures that a plan changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Bytes carved into buffers.
    pub bytes_held: usize,
    /// The share of requests that their own class serves. Expected: the share of observed control steps whose peak the
    /// targets cover, weighted by requests.
    pub hit_rate_percentage: Option<f32>,
    /// The share of acquired capacity that was not requested.
    pub internal_waste_percentage: Option<f32>,
}

/// A change with its reason and its expected effect on the carved bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// The change.
    pub step: SizingStep,
    /// The half that is changed, if it has a mix of its own; `None` for a change of the other halves together.
    #[serde(default)]
    pub half: Option<u16>,
    /// The reason.
    pub reason: Reason,
    /// The change of the carved bytes after the step.
    pub bytes_held_change: i64,
}

/// The version of the JSON format of plans.
pub const PLAN_VERSION: u16 = 1;

/// The changes, and the figures before and after them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizingPlan {
    /// [`PLAN_VERSION`].
    pub version: u16,
    /// The memory pressure at the time of the plan.
    pub pressure: MemoryPressure,
    /// The targets of all classes.
    pub classes: Vec<ClassTarget>,
    /// The changes, in the order of application.
    pub steps: Vec<PlannedStep>,
    /// The figures at the time of the plan.
    pub before: Effect,
    /// The expected figures.
    pub expected: Effect,
}

/// An applied plan, and its measured effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppliedPlan {
    /// The plan.
    pub plan: SizingPlan,
    /// The time of application.
    pub applied_at_ms: f64,
    /// The figures over the time after it; `None` until enough time has passed.
    pub measured: Option<Effect>,
}

impl PlannedStep {
    /// The step as a sentence without its full stop; `user` is the user of the half that it changes.
    #[must_use]
    pub fn describe(&self, user: Option<&str>) -> String {
        Described { step: self, user }.to_string()
    }
}

impl fmt::Display for PlannedStep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Described {
            step: self,
            user: None,
        }
        .fmt(out)
    }
}

/// A step, and the user of its half.
struct Described<'a> {
    step: &'a PlannedStep,
    user: Option<&'a str>,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            step: planned,
            user,
        } = self;
        match &planned.step {
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
        match (user, planned.half) {
            (Some(user), _) => write!(out, " for {user}")?,
            (None, Some(half)) => write!(out, " for half {half}")?,
            (None, None) => {}
        }
        let why = match planned.reason {
            Reason::DemandRises => "use grows faster than the idle buffers last",
            Reason::BelowQuantile => "concurrent use comes close to what is there",
            Reason::HeldAbovePeak => "more is held than the peak of use justifies",
            Reason::MemoryPressure => "memory is wanted back",
            Reason::WastedSamples => "requests are rounded up too far",
        };
        write!(out, ": {why}")?;
        if planned.bytes_held_change != 0 {
            write!(out, " ({:+} KiB held)", planned.bytes_held_change / 1024)?;
        }
        Ok(())
    }
}

/// A number of buffers, in words.
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

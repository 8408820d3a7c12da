//! The halves with a mix of their own, one by one: what their classes hold and use, and changes of one half alone.

use super::pool_control::PoolControl;
use super::sizing_step::SizingStep;
use super::usage::ClassMetrics;
use crate::error::PoolError;
use crate::realtime::half::Half;

/// One class of an attached half with a mix of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnClass {
    /// The half.
    pub half: u16,
    /// Differs between the owners that the half has had.
    pub attachment: u32,
    /// The counts of the class in this half alone, without the requested lengths.
    pub class: ClassMetrics,
}

impl PoolControl {
    /// The classes of attached halves with a mix of their own that have buffers or were requested.
    pub fn own_classes(&self) -> impl Iterator<Item = OwnClass> {
        self.pool.size_classes().filter_map(|size_class| {
            let attachment = self.plan.attachment(size_class.half)?;
            let class = ClassMetrics {
                retired: !self.plan.has_class(size_class.samples),
                ..self.counts.past.figures_beside(size_class)
            };
            let is_used = class.carved > 0 || class.acquires() > 0;
            (is_used && self.pool.is_attached(size_class.half)).then_some(OwnClass {
                half: size_class.half,
                attachment,
                class,
            })
        })
    }

    /// The requests of a half so far by size, as in [`demand`](Self::demand). They include those of its former owners.
    pub fn demand_of_half(&self, half: u16) -> impl Iterator<Item = (usize, u32)> {
        let counts = self.pool.half(half).map(Half::demand);
        self.plan.demand_steps().zip(counts.into_iter().flatten())
    }

    /// Whether a half without a mix of its own is attached.
    #[must_use]
    pub fn has_half_of_demand(&self) -> bool {
        let mut halves = self.pool.halves();
        halves.any(|half| half.is_attached() && self.plan.follows_demand(half.id))
    }

    /// [`apply`](Self::apply) to one half; a change of classes is one of all halves.
    ///
    /// # Errors
    /// As for [`apply`](Self::apply).
    pub fn apply_to_half(&mut self, half: u16, step: &SizingStep) -> Result<(), PoolError> {
        match step {
            SizingStep::Grow {
                class_samples,
                buffers,
            } => self.grow_where(*class_samples, *buffers, |_, id| id == half),
            SizingStep::Shrink {
                class_samples,
                buffers,
            } => self.shrink_where(*class_samples, *buffers, |_, id| id == half),
            SizingStep::SetClasses { .. } => self.apply(step),
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "own_halves_tests.rs"]
mod tests;

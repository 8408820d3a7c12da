//! The half that may allocate: it carves, grows, collects, measures, and attaches real-time halves.

use super::arena::FreeRuns;
use super::past_counts::PastCounts;
use super::threshold_search::ThresholdSearches;
use super::usage_scan::UsageScan;
use crate::control::sizing_step::SizingStep;
use crate::error::PoolError;
use crate::limits::bytes;
use crate::memory::MemorySource;
use crate::observer::{PoolGrown, PoolObserver};
use crate::realtime::free_list::Chain;
use crate::realtime::pool_core::{ControlRef, OnRelease, SharedPtr};
use crate::realtime::realtime_pool::HalfOptions;
use crate::realtime::size_class::SizeClass;
use crate::unshared::Unshared;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The control half: one per pool, on any thread that has time for it.
///
/// # Real-time
/// Not for the audio thread: methods allocate. None of them blocks a real-time half.
///
/// # Drop
/// Real-time halves and handles stay usable; what they shed is no longer collected. The memory is freed with the last
/// of control half, real-time halves and handles, on that thread.
pub struct PoolControl {
    /// Free memory of the arena.
    pub(super) free: FreeRuns,
    /// Slots without memory.
    pub(super) spare: Chain,
    /// Collected buffers that were not returned to the arena yet, and the size of their class in samples.
    pub(super) collected: (Chain, u32),
    /// Size classes, ascending, and how many buffers of each a newly attached half gets.
    pub(super) classes: Vec<(u32, u32)>,
    /// Buffers by class that the host configured for halves attached since [`take_attached`](Self::take_attached) was
    /// last called. Without those of a mix that an earlier run learned.
    pub(super) attached: Vec<(u32, u32)>,
    pub(super) is_learned: bool,
    /// Halves with a mix of their own: sizing plans neither take from them nor give to them.
    pub(super) own_mix: Vec<u16>,
    /// Searches for reclaim thresholds, and how many slots this control step may still scan for them.
    pub(super) thresholds: ThresholdSearches,
    pub(super) scan_budget: u32,
    pub(super) slots_per_step: u32,
    /// Requested samples by size class, from a scan of all slots.
    pub(super) usage_scan: UsageScan,
    pub(super) past: PastCounts,
    pub(super) shift: u32,
    pub(super) reserve: u32,
    pub(super) reserved_units: usize,
    /// The largest region.
    pub(super) largest_region_units: u32,
    /// Limit of all buffers, free memory and recycled vectors in samples, without the padding of buffers.
    pub(super) limit_samples: usize,
    /// Samples of recycled vectors, which count towards the limit.
    pub(super) recycled_vector_samples: usize,
    pub(super) regions: u8,
    pub(super) options: HalfOptions,
    pub(super) source: MemorySource,
    pub(super) on_release: OnRelease,
    pub(super) prefault: bool,
    pub(super) leases_reclaimed: u64,
    pub(super) buffers_leaked: u64,
    /// Buffers that were published as leaked and are still in use.
    pub(super) published_leaks: Vec<u32>,
    pub(super) observer: Unshared<Option<Box<dyn PoolObserver>>>,
    pub(crate) pool: ControlRef,
}

impl PoolControl {
    /// Attaches the observer of the control half.
    pub fn attach_observer(&mut self, observer: Box<dyn PoolObserver>) {
        *self.observer.get() = Some(observer);
    }

    /// Reports to the observer, if there is one.
    pub(super) fn report(&mut self, report: impl FnOnce(&dyn PoolObserver)) {
        if let Some(observer) = self.observer.get() {
            report(&**observer);
        }
    }

    pub(super) fn size_class(&self, half: u16, samples: u32) -> Option<SharedPtr<SizeClass>> {
        self.pool
            .size_classes()
            .find(|size_class| size_class.half == half && size_class.samples == samples)
    }

    /// Grows the class that would serve a request on a half by one buffer, if no ordinary acquire would find one idle.
    /// Returns the class if it grew.
    #[doc(hidden)]
    pub fn grow_for(&mut self, half: u16, samples: usize) -> Option<usize> {
        let mut serving = self.serving_classes(half).into_iter();
        let size_class = serving.find(|size_class| size_class.serves(samples))?;
        if size_class.idle_of_owner() > self.reserve {
            return None;
        }
        // Not `grow`: that would satisfy this request by cancelling a pending shrink request, and the buffer it
        // concerns may still be leased.
        self.carve(size_class, 1).ok()?;
        self.has_grown(&size_class, 1);
        Some(size_class.samples as usize)
    }

    pub(super) fn has_class(&self, samples: u32) -> bool {
        self.classes.iter().any(|&(class, _)| class == samples)
    }

    /// Grows a class from the arena or, within the limit, by a new region. The buffers go to the half that came
    /// closest to running out of that class; all or none.
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass), [`NoHalf`](PoolError::NoHalf),
    /// [`LimitReached`](PoolError::LimitReached), [`TooManyAtOnce`](PoolError::TooManyAtOnce),
    /// [`TableFull`](PoolError::TableFull), [`OutOfMemory`](PoolError::OutOfMemory).
    pub fn grow(&mut self, class_samples: usize, count: u32) -> Result<(), PoolError> {
        self.grow_where(class_samples, count, |_, _| true)
    }

    fn grow_where(
        &mut self,
        class_samples: usize,
        count: u32,
        may_grow: impl Fn(&Self, u16) -> bool,
    ) -> Result<(), PoolError> {
        let size = u32::try_from(class_samples)
            .ok()
            .filter(|&size| self.has_class(size))
            .ok_or_else(|| self.unknown_class(class_samples))?;
        let attached = |size_class: &SharedPtr<SizeClass>| {
            size_class.samples == size
                && self.is_attached(size_class.half)
                && may_grow(self, size_class.half)
        };
        let size_class = self
            .pool
            .size_classes()
            .filter(attached)
            .min_by_key(headroom)
            .ok_or(PoolError::NoHalf {
                class_samples: size,
            })?;
        if count == 0 {
            return Ok(());
        }
        // Pending shrink requests are cancelled first: a class that grows must not give buffers back.
        let kept = size_class.draining().min(count);
        if kept < count {
            self.carve(size_class, count - kept)?;
        } else {
            self.drain(&size_class, size_class.draining() - kept);
        }
        self.has_grown(&size_class, count);
        Ok(())
    }

    /// Ends a limit below the number of buffers there are now.
    fn has_grown(&mut self, size_class: &SizeClass, count: u32) {
        if size_class.limit() < size_class.idle() {
            size_class.set_limit(u32::MAX);
        }
        if size_class.carved() == count && !self.follows_demand(size_class.half) {
            // It was empty, and is to serve requests from now on.
            let half = self.pool.halves().find(|half| half.id == size_class.half);
            half.into_iter().for_each(|half| self.publish_classes(half));
        }
        let grown = PoolGrown {
            class_samples: size_class.samples,
            count,
            bytes_held: self.bytes_held() as u64,
            bytes_reserved: bytes(self.reserved_units) as u64,
        };
        self.report(|observer| observer.grown(grown));
    }

    pub(super) fn is_attached(&self, half: u16) -> bool {
        self.pool
            .halves()
            .any(|other| other.id == half && other.is_attached())
    }

    /// Whether a half is sized by demand, not by a mix of its own.
    /// See `docs/decisions/0019-halves-with-a-mix-of-their-own-are-not-sized.md`.
    pub(super) fn follows_demand(&self, half: u16) -> bool {
        !self.own_mix.contains(&half)
    }

    pub(super) fn unknown_class(&self, samples: usize) -> PoolError {
        let nearest = self.classes().min_by_key(|class| class.abs_diff(samples));
        PoolError::UnknownClass {
            samples,
            nearest: nearest.unwrap_or(0),
        }
    }

    /// Applies one step of a sizing plan.
    ///
    /// # Errors
    /// Those of [`grow`](Self::grow), [`shrink`](Self::shrink), [`set_classes`](Self::set_classes).
    pub fn apply(&mut self, step: &SizingStep) -> Result<(), PoolError> {
        let answer = self.apply_without_thresholds(step);
        self.compute_thresholds();
        answer
    }

    /// [`apply`](Self::apply) for one of several steps: the thresholds are computed for all of them together,
    /// afterwards.
    #[doc(hidden)]
    pub fn apply_without_thresholds(&mut self, step: &SizingStep) -> Result<(), PoolError> {
        match step {
            SizingStep::Grow {
                class_samples,
                buffers,
            } => self.grow_where(*class_samples, *buffers, Self::follows_demand),
            SizingStep::Shrink {
                class_samples,
                buffers,
            } => self.request_shrink(*class_samples, *buffers),
            SizingStep::SetClasses { classes } => self.change_classes(classes),
        }
    }

    /// Lets the next control steps scan so many slots: a test shows that the bound of a step is one.
    #[doc(hidden)]
    pub fn set_slots_per_step(&mut self, slots: u32) {
        self.slots_per_step = slots;
    }

    /// Buffers that the pool can describe: their numbers are below this.
    #[must_use]
    pub fn most_slots(&self) -> usize {
        self.pool.table.capacity()
    }

    /// The size classes, ascending.
    pub fn classes(&self) -> impl Iterator<Item = usize> {
        self.classes.iter().map(|&(samples, _)| samples as usize)
    }
}

impl Drop for PoolControl {
    fn drop(&mut self) {
        #[cfg(any(test, feature = "std"))]
        debug_assert!(self.is_valid_when_idle() || std::thread::panicking());
    }
}

/// How far a size class was from running out lately. A class that was not used compares as the farthest.
pub(super) fn headroom(size_class: &SharedPtr<SizeClass>) -> (bool, u32) {
    let peak = size_class.window_peak();
    (peak == 0, size_class.carved().saturating_sub(peak))
}

/// Quanta after which nothing moves in a test pool any more. The interpreter is slow.
#[cfg(all(test, not(loom)))]
const ROUNDS: u64 = if cfg!(miri) { 8 } else { 200 };

/// Runs quanta and steps until nothing moves any more.
#[cfg(all(test, not(loom)))]
pub(crate) fn settle(control: &mut PoolControl, half: &mut crate::RealtimePool) {
    for quantum in 0..ROUNDS {
        half.begin_quantum(quantum * 128);
        control.step(64);
    }
    assert!(control.is_valid());
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "pool_control_tests.rs"]
mod tests;

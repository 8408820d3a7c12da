//! The half that may allocate: it carves, grows, collects, measures, and attaches real-time halves.

use super::carving::Carver;
use super::class_plan::ClassPlan;
use super::control_counts::ControlCounts;
use super::reports::Reports;
use super::sizing_step::SizingStep;
use crate::error::PoolError;
use crate::limits::bytes;
use crate::observer::{PoolGrown, PoolObserver};
use crate::realtime::pool_core::ControlRef;
use crate::realtime::realtime_pool::HalfOptions;
use crate::realtime::size_class::SizeClass;
use alloc::boxed::Box;

/// The control half: one per pool, on any thread that has time for it.
///
/// # Real-time
/// Not for the audio thread: methods allocate. None of them blocks a real-time half.
///
/// # Drop
/// Real-time halves and handles stay usable; what they shed is no longer collected. The memory is freed with the last
/// of control half, real-time halves and handles, on that thread.
pub struct PoolControl {
    pub(super) plan: ClassPlan,
    pub(super) carver: Carver,
    pub(super) counts: ControlCounts,
    pub(super) options: HalfOptions,
    pub(super) reports: Reports,
    pub(super) pool: ControlRef,
}

impl PoolControl {
    /// Attaches the observer of the control half.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// struct Growth;
    /// impl PoolObserver for Growth {
    ///     fn grown(&self, growth: PoolGrown) {
    ///         println!("{} buffers of {} samples", growth.count, growth.class_samples);
    ///     }
    /// }
    /// let (mut control, _audio) = BufferPool::builder().class(256, 4).limit_samples(4096).build()?;
    /// control.attach_observer(Box::new(Growth));
    /// control.grow(256, 2)?;
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn attach_observer(&mut self, observer: Box<dyn PoolObserver>) {
        self.reports.attach(observer);
    }

    /// Grows the class that would serve a request on a half by one buffer, if no ordinary acquire would find one idle.
    /// Returns the class if it grew.
    #[doc(hidden)]
    pub fn grow_for(&mut self, half: u16, samples: usize) -> Option<usize> {
        let mut serving = self.plan.serving(&self.pool, half).into_iter();
        let size_class = serving.find(|size_class| size_class.serves(samples))?;
        if size_class.idle_of_owner() > self.plan.reserve {
            return None;
        }
        // Not `grow`: that would satisfy this request by cancelling a pending shrink request, and the buffer it
        // concerns may still be leased.
        self.carver.carve(&self.pool, size_class, 1).ok()?;
        let id = size_class.id;
        self.has_grown(id, 1);
        self.pool
            .size_class(id)
            .map(|size_class| size_class.samples as usize)
    }

    /// Grows a class from the arena or, within the limit, by a new region. The buffers go to the half that came
    /// closest to running out of that class; all or none.
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass), [`NoHalf`](PoolError::NoHalf),
    /// [`LimitReached`](PoolError::LimitReached), [`TooManyAtOnce`](PoolError::TooManyAtOnce),
    /// [`TableFull`](PoolError::TableFull), [`OutOfMemory`](PoolError::OutOfMemory).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let builder = BufferPool::builder().class(256, 1).limit_samples(1024);
    /// let (mut control, mut audio) = builder.build()?;
    /// control.grow(256, 2)?;
    /// audio.begin_quantum(0);
    /// let blocks: Vec<_> = std::iter::from_fn(|| audio.acquire(256).ok()).collect();
    /// assert_eq!(blocks.len(), 3);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn grow(&mut self, class_samples: usize, count: u32) -> Result<(), PoolError> {
        self.grow_where(class_samples, count, |_, _| true)
    }

    pub(super) fn grow_where(
        &mut self,
        class_samples: usize,
        count: u32,
        may_grow: impl Fn(&ClassPlan, u16) -> bool,
    ) -> Result<(), PoolError> {
        let size = self.plan.known(class_samples)?;
        let can_grow = |size_class: &&SizeClass| {
            size_class.samples == size
                && self.pool.is_attached(size_class.half)
                && may_grow(&self.plan, size_class.half)
        };
        let size_classes = self.pool.size_classes().filter(can_grow);
        let size_class = size_classes
            .min_by_key(|size_class| headroom(size_class))
            .ok_or(PoolError::NoHalf {
                class_samples: size,
            })?;
        if count == 0 {
            return Ok(());
        }
        // Pending shrink requests are cancelled first: a class that grows must not give buffers back.
        let draining = size_class.draining();
        let kept = draining.min(count);
        if kept < count {
            self.carver.carve(&self.pool, size_class, count - kept)?;
        } else {
            self.carver.drain(size_class, draining - kept);
        }
        let id = size_class.id;
        self.has_grown(id, count);
        Ok(())
    }

    /// Ends a limit below the number of buffers there are now, and reports the growth.
    fn has_grown(&mut self, size_class: u16, count: u32) {
        let Some(size_class) = self.pool.size_class(size_class) else {
            return;
        };
        if size_class.limit() < size_class.idle() {
            size_class.set_limit(u32::MAX);
        }
        let grown = PoolGrown {
            class_samples: size_class.samples,
            count,
            bytes_held: self.bytes_held() as u64,
            bytes_reserved: bytes(self.carver.arena.reserved_units) as u64,
        };
        let (half, was_empty) = (size_class.half, size_class.carved() == count);
        if was_empty && !self.plan.follows_demand(half) {
            // It is to serve requests from now on.
            self.plan.publish(&mut self.pool, half);
        }
        self.reports.send(|observer| observer.grown(grown));
    }

    /// Applies one step of a sizing plan.
    ///
    /// # Errors
    /// Those of [`grow`](Self::grow), [`shrink`](Self::shrink), [`set_classes`](Self::set_classes).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let builder = BufferPool::builder().class(256, 1).limit_samples(1024);
    /// let (mut control, _audio) = builder.build()?;
    /// control.apply(&SizingStep::Grow { class_samples: 256, buffers: 2 })?;
    /// assert_eq!(control.bytes_held(), 3 * 256 * 4);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn apply(&mut self, step: &SizingStep) -> Result<(), PoolError> {
        match step {
            SizingStep::Grow {
                class_samples,
                buffers,
            } => self.grow_where(*class_samples, *buffers, ClassPlan::follows_demand),
            SizingStep::Shrink {
                class_samples,
                buffers,
            } => self.shrink(*class_samples, *buffers),
            SizingStep::SetClasses { classes } => self.change_classes(classes),
        }
    }

    /// Buffers that the pool can describe: their numbers are below this.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// assert!(control.most_slots() >= 4);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn most_slots(&self) -> usize {
        self.pool.table.capacity()
    }

    /// The size classes, ascending.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// assert!(control.classes().eq([256]));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn classes(&self) -> impl Iterator<Item = usize> {
        self.plan.sizes()
    }

    /// Sets how many samples recycled vectors hold now.
    #[doc(hidden)]
    pub const fn set_recycled_vector_samples(&mut self, samples: usize) {
        self.carver.arena.recycled_vector_samples = samples;
    }

    /// Samples the pool may still take, in the arena or as recycled vectors.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let (control, _audio) = BufferPool::builder().class(256, 4).limit_samples(2048).build()?;
    /// assert_eq!(control.room_samples(), 1024);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn room_samples(&self) -> usize {
        self.carver.arena.room_samples()
    }

    /// The limit of arena and recycled vectors together.
    #[doc(hidden)]
    #[must_use]
    pub const fn limit_samples(&self) -> usize {
        self.carver.arena.limit_samples()
    }
}

impl Drop for PoolControl {
    fn drop(&mut self) {
        #[cfg(any(test, feature = "std"))]
        debug_assert!(self.is_valid_when_idle() || std::thread::panicking());
    }
}

/// How far a size class was from running out lately. A class that was not used compares as the farthest.
pub(super) fn headroom(size_class: &SizeClass) -> (bool, u32) {
    let peak = size_class.window_peak();
    (peak == 0, size_class.carved().saturating_sub(peak))
}

/// What the loom models of pools with one size class do to it.
#[cfg(all(test, loom))]
impl PoolControl {
    pub(crate) fn the_class(&self) -> &SizeClass {
        self.pool.size_classes().next().expect("a size class")
    }

    /// Reclaims so many buffers, those at the highest addresses.
    pub(crate) fn drain_for_model(&mut self, buffers: u32) {
        let size_class = self.pool.size_classes().next().expect("a size class");
        self.carver.drain(size_class, buffers);
    }

    /// Carves a buffer, and undoes it.
    pub(crate) fn carve_and_undo(&mut self) {
        let size_class = self.pool.size_classes().next().expect("a size class");
        let carved = self.carver.carve(&self.pool, size_class, 1);
        carved.expect("room for one");
        self.carver.uncarve_newly_carved(&self.pool, size_class, 1);
    }
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

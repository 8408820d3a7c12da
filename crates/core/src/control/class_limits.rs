//! Requests to every half for one class: a limit of idle buffers, or a target up to which they are replenished.

use super::pool_control::PoolControl;
use crate::error::PoolError;
use crate::realtime::size_class::SizeClass;

impl PoolControl {
    /// Sheds idle buffers of a class above `keep` in each half: a few in each quantum, collected by
    /// [`step`](Self::step).
    ///
    /// Only its owner can take buffers off a half's list: a half that begins no quantum keeps what it has until it
    /// does, or is dropped. The limit lasts until the class grows beyond it, or the half has another owner.
    ///
    /// Of `trim` and [`replenish_below`](Self::replenish_below) the later call wins: a `keep` at or below the target
    /// ends replenishing.
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// control.trim(256, 1)?;
    /// for quantum in 0..10 {
    ///     audio.begin_quantum(quantum * 128);
    ///     control.step(16);
    /// }
    /// assert_eq!(control.bytes_held(), 256 * 4);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn trim(&mut self, class_samples: usize, keep: u32) -> Result<(), PoolError> {
        self.each_half_of_class(class_samples, |size_class| {
            if keep <= size_class.shared.target.get() {
                size_class.shared.target.set(0);
            }
            size_class.set_limit(keep);
        })
    }

    /// Has each [`step`](Self::step) replenish a class of each half that is attached now up to `idle` idle buffers, as
    /// far as the limit allows; until the half has another owner. [`shrink`](Self::shrink) and sizing plans leave as
    /// many idle.
    ///
    /// Of [`trim`](Self::trim) and `replenish_below` the later call wins: an `idle` at or above the limit of idle
    /// buffers ends trimming.
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let (mut control, mut audio) = BufferPool::builder().class(256, 2).limit_samples(4096).build()?;
    /// control.replenish_below(256, 2)?;
    /// let _both = (audio.acquire(256)?, audio.acquire(256)?);
    /// for quantum in 0..10 {
    ///     control.step(16);
    ///     audio.begin_quantum(quantum * 128);
    /// }
    /// assert!(audio.acquire(256).is_ok());
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn replenish_below(&mut self, class_samples: usize, idle: u32) -> Result<(), PoolError> {
        // A retired class drains.
        let is_active = self.plan.known(class_samples).is_ok();
        self.each_half_of_class(class_samples, |size_class| {
            if is_active {
                if idle >= size_class.limit() {
                    size_class.set_limit(u32::MAX);
                }
                size_class.shared.target.set(idle);
            }
        })
    }

    fn each_half_of_class(
        &self,
        class_samples: usize,
        change: impl FnMut(&SizeClass),
    ) -> Result<(), PoolError> {
        let of_class = |size_class: &&SizeClass| size_class.samples as usize == class_samples;
        let mut size_classes = self.pool.size_classes().filter(of_class).peekable();
        if size_classes.peek().is_none() {
            return Err(self.plan.unknown_class(class_samples));
        }
        size_classes.for_each(change);
        Ok(())
    }
}

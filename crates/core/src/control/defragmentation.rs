//! Returns memory to the arena so that it coalesces, while leased buffers stay where they are.
//!
//! A class shrinks from the top: the reclaim threshold is the start of the stretch of the arena in which the requested
//! number of buffers is reached, and so many of those above it return to the arena as soon as they are idle. The owner
//! scans for them in `begin_quantum`, a few at a time. Buffers are carved at the lowest address that fits, so that live
//! ones lie close together, and what is returned lies side by side.

use super::carving::Carver;
use super::class_plan::ClassPlan;
use super::free_runs::Fit;
use super::pool_control::{PoolControl, headroom};
use super::sizing_step::with_margin;
use crate::error::PoolError;
use crate::limits::{UNIT_SAMPLES, bytes, natural_alignment, units};
use crate::realtime::pool_core::ControlRef;
use crate::realtime::size_class::SizeClass;
use alloc::vec::Vec;

/// Buffers one defragmentation run moves at most: each may scan every free run.
const DEFRAGMENTATION_STEPS: u32 = 32;

/// The outcome of one bounded defragmentation run.
///
/// The percentages are [`fragmentation_percentage`](PoolControl::fragmentation_percentage)
/// before the first step and after the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DefragmentationResult {
    /// Fragmentation when the run began, in percent.
    pub before_percentage: f32,
    /// Fragmentation when it ended, in percent.
    pub after_percentage: f32,
    /// Bytes of idle buffers returned to the arena, or carved at a lower address instead.
    pub bytes_moved: usize,
    /// How many buffers that were.
    pub buffers_moved: u32,
    /// Steps taken: one for each buffer collected, carved anew or reclaimed.
    pub steps: u32,
    /// Whether nothing is left to do. If not, the owners still have to shed buffers: call again after some of their
    /// quanta.
    pub complete: bool,
    /// Longest free run when it ended, in samples.
    pub largest_free_run_samples: usize,
}

impl PoolControl {
    /// Requests `buffers` of a class from the halves with the most headroom, those at the highest addresses. They
    /// return to the arena once they are idle and their owner has scanned them: see [`step`](Self::step). A half with
    /// a mix of its own ([`attach_with`](Self::attach_with)) gives none.
    /// See `docs/decisions/0022-classes-shrink-from-the-highest-addresses.md`.
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// control.shrink(256, 3)?;
    /// for quantum in 0..10 {
    ///     audio.begin_quantum(quantum * 128);
    ///     control.step(16);
    /// }
    /// assert_eq!(control.bytes_held(), 256 * 4);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn shrink(&mut self, class_samples: usize, buffers: u32) -> Result<(), PoolError> {
        self.shrink_where(class_samples, buffers, ClassPlan::follows_demand)
    }

    pub(super) fn shrink_where(
        &mut self,
        class_samples: usize,
        buffers: u32,
        may_shrink: impl Fn(&ClassPlan, u16) -> bool,
    ) -> Result<(), PoolError> {
        let of_class = |size_class: &&SizeClass| size_class.samples as usize == class_samples;
        let mut size_classes: Vec<_> = self.pool.size_classes().filter(of_class).collect();
        if size_classes.is_empty() {
            return Err(self.plan.unknown_class(class_samples));
        }
        size_classes.retain(|size_class| may_shrink(&self.plan, size_class.half));
        size_classes.sort_unstable_by_key(|size_class| core::cmp::Reverse(headroom(size_class)));
        let mut left = buffers;
        for size_class in size_classes {
            let draining = size_class.draining();
            // What is below the replenish target would only be carved anew.
            let kept = match size_class.shared.target.get() {
                0 => 0,
                target => size_class.window_peak().saturating_add(target),
            };
            let can_go = size_class.carved().saturating_sub(draining);
            let more = left.min(can_go.saturating_sub(kept));
            self.carver.drain(size_class, draining + more);
            left -= more;
        }
        Ok(())
    }

    /// Reclaims what is idle above the use since the last control step, and fills gaps that are too short for the
    /// largest class with idle buffers from higher addresses: one is carved in the gap, and the highest of its class
    /// is reclaimed instead. So memory coalesces from the top, and no leased buffer moves. The next plan carves anew
    /// what a class needs after all.
    ///
    /// # Real-time
    /// For the control side. Bounded by a number of buffers; call again, some quanta later, while not `complete`.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let result = control.defragment();
    /// assert!(result.after_percentage <= result.before_percentage);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn defragment(&mut self) -> DefragmentationResult {
        self.run_defragmentation(Self::drain_excess)
    }

    /// [`defragment`](Self::defragment) for a pool whose sizes follow demand, as often as every control step: it
    /// reclaims nothing. What was idle since the last step may be needed in the next: only a plan decides that. See
    /// `docs/decisions/0025-only-a-plan-reclaims-idle-buffers.md`.
    #[doc(hidden)]
    pub fn defragment_beside_plans(&mut self) -> DefragmentationResult {
        self.run_defragmentation(|_| ())
    }

    fn run_defragmentation(&mut self, request_shrink: fn(&mut Self)) -> DefragmentationResult {
        let before_percentage = self.fragmentation_percentage();
        let mut left = DEFRAGMENTATION_STEPS;
        let free_before = self.carver.arena.free.total();
        let collected = self.collect(&mut left);
        let bytes_collected = bytes(self.carver.arena.free.total() - free_before);
        request_shrink(self);
        let (refilled, bytes_refilled) = self.fill_gaps(&mut left);
        self.request_scans();
        let draining: u32 = self.pool.size_classes().map(SizeClass::draining).sum();
        DefragmentationResult {
            before_percentage,
            after_percentage: self.fragmentation_percentage(),
            bytes_moved: bytes_collected + bytes_refilled,
            buffers_moved: collected + refilled,
            steps: DEFRAGMENTATION_STEPS - left,
            complete: left > 0 && refilled == 0 && draining == 0,
            largest_free_run_samples: self.carver.arena.free.largest() as usize * UNIT_SAMPLES,
        }
    }

    fn fill_gaps(&mut self, left: &mut u32) -> (u32, usize) {
        let largest = self.classes().last().unwrap_or(0);
        let filled = self.carver.fill_gaps(&self.pool, largest, *left);
        *left = left.saturating_sub(filled.0);
        filled
    }

    /// A small part of [`defragment`](Self::defragment), ahead of need: fills up to `buffers` gaps.
    #[doc(hidden)]
    pub fn fill_some_gaps(&mut self, buffers: u32) -> u32 {
        let mut left = buffers;
        self.fill_gaps(&mut left).0
    }

    /// Reclaims what is idle above the peak of the last control step, with a margin.
    fn drain_excess(&mut self) {
        for size_class in self.pool.size_classes() {
            if !self.plan.follows_demand(size_class.half) {
                continue;
            }
            let peak = u64::from(size_class.window_peak());
            let needed = with_margin(peak).max(peak + u64::from(size_class.shared.target.get()));
            let excess = u64::from(size_class.carved()).saturating_sub(needed) as u32;
            if excess > size_class.draining() {
                self.carver.drain(size_class, excess);
            }
        }
    }
}

impl Carver {
    /// Fills up to `most` gaps that are too short for the `largest` class with idle buffers from higher addresses, large
    /// ones first. Returns how many, and with how many bytes.
    fn fill_gaps(&mut self, pool: &ControlRef, largest: usize, most: u32) -> (u32, usize) {
        let attached = |size_class: &&SizeClass| pool.is_attached(size_class.half);
        let mut size_classes: Vec<_> = pool.size_classes().filter(attached).collect();
        size_classes.sort_unstable_by_key(|size_class| core::cmp::Reverse(size_class.samples));
        let (mut filled, mut bytes_filled) = (0, 0);
        for size_class in size_classes {
            let draining = size_class.draining();
            let can_go = size_class
                .idle()
                .saturating_sub(draining)
                .min(most - filled);
            // Each gap lies below the stretch of the buffer that goes instead.
            let going = self.starts_from_top(size_class).skip(draining as usize);
            let stretches: Vec<u64> = going.take(can_go as usize).collect();
            let mut gap = gap_for(size_class, largest);
            let mut done = 0;
            for stretch in stretches {
                gap.below = stretch;
                if self.carve_one(pool, size_class, &mut gap).is_err() {
                    break;
                }
                done += 1;
            }
            if done > 0 {
                self.drain(size_class, draining + done);
            }
            filled += done;
            bytes_filled += bytes(done as usize * units(size_class.samples as usize));
        }
        (filled, bytes_filled)
    }
}

/// Runs that are too short for the largest class.
fn gap_for(size_class: &SizeClass, largest: usize) -> Fit {
    let size = units(size_class.samples as usize) as u32;
    Fit {
        shorter_than: units(largest) as u32,
        ..Fit::new(size, natural_alignment(size))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "defragmentation_tests.rs"]
mod tests;

//! Reclaims the buffers of a real-time half whose owner died: a worker that was terminated, an instance that trapped.
//!
//! The owner may have stopped before any of its stores, so that its counts and lists cannot be trusted. The order of
//! its stores makes the following true at every moment:
//!
//! | a buffer of the half | how it is recognised |
//! |---|---|
//! | waits in inbox or surplus | it is on that list: a push is one store, and the owner's take leaves the chain in the head until it is linked |
//! | is idle on the local list | the links from `first` lead to it, whatever its slot state says |
//! | is cached, or acquired from the cache as a `Scratch` | on no list, slot state clear; the cache says which |
//! | is between two of the owner's lists | on no list, slot state clear: it was cleared before the buffer left a list, or after it was released |
//! | was in use by a thread that died with the owner | on no list, slot state not clear, not frozen |
//! | is in use elsewhere, or being released there | on no list, and frozen |
//!
//! Nothing in the pool says whether a frozen buffer is in use elsewhere or was lost with the thread that died: its
//! count says how many references there are, not whose. A host that knows that no other thread has one calls
//! [`PoolControl::reclaim_all`].
//! See `docs/decisions/0014-half-of-a-dead-owner-is-rebuilt-from-memory.md`.
#![allow(unsafe_code)] // Only the host knows that a thread is dead.

use super::pool_control::PoolControl;
use super::reports::Reports;
use crate::observer::{BufferPoolAllocation, LeasesReclaimed};
use crate::realtime::free_list::Chain;
use crate::realtime::pool_core::ControlRef;
use crate::realtime::raw_handle::RawHandle;
use crate::realtime::size_class::SizeClass;
use crate::realtime::slot_table::SlotIndex;
use alloc::vec;
use alloc::vec::Vec;

/// The outcome of [`PoolControl::reclaim`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Buffers that were in use by the threads that died.
    pub count: u32,
    /// Frozen buffers of the half that stay with their other owners.
    pub shared: u32,
}

impl PoolControl {
    /// Reclaims a half whose owner died, wherever that one stopped: its idle buffers, and those that it or a thread
    /// that died with it had in use and not frozen. Frozen ones are released by the drop of their last reference. The
    /// half can be attached again.
    ///
    /// Publishes [`LeasesReclaimed`]. Does nothing for a half that is not attached, or does not exist.
    ///
    /// # Real-time
    /// For the control side. Disturbs no other half.
    ///
    /// # Safety
    /// The half's `RealtimePool` is never used again, not even dropped; nor is any [`Scratch`], [`PooledBuffer`] or
    /// [`PlanarBuffer`] that came from it. The host saw the thread end, so that this thread reads everything that one
    /// stored.
    ///
    /// [`Scratch`]: crate::Scratch
    /// [`PooledBuffer`]: crate::PooledBuffer
    /// [`PlanarBuffer`]: crate::PlanarBuffer
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// std::mem::forget(audio.acquire(256)?);
    /// let (half, _observer) = audio.abandon();
    /// // SAFETY: nothing of the owner is used again.
    /// let reclaimed = unsafe { control.reclaim(half) };
    /// assert_eq!(reclaimed.count, 1);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub unsafe fn reclaim(&mut self, half: u16) -> Reclaimed {
        // SAFETY: the caller's contract; frozen buffers are left alone.
        unsafe { self.take_over(half, false) }
    }

    /// [`reclaim`](Self::reclaim) including frozen buffers, for a half whose buffers no living thread has. A reference
    /// that was lost between two tables, or in the middle of a clone or a drop, is found in no other way.
    ///
    /// # Safety
    /// As for `reclaim`; and no [`BufferRef`] or [`PlanarRef`] to a buffer of this half is used again, not even
    /// dropped.
    ///
    /// [`BufferRef`]: crate::BufferRef
    /// [`PlanarRef`]: crate::PlanarRef
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// std::mem::forget(audio.acquire(256)?.freeze());
    /// let (half, _observer) = audio.abandon();
    /// // SAFETY: nothing of the owner is used again, nor the forgotten reference.
    /// let reclaimed = unsafe { control.reclaim_all(half) };
    /// assert_eq!((reclaimed.count, control.leased()), (1, 0));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub unsafe fn reclaim_all(&mut self, half: u16) -> Reclaimed {
        // SAFETY: the caller's contract, for frozen buffers too.
        unsafe { self.take_over(half, true) }
    }

    /// # Safety
    /// As for `reclaim`; with `frozen`, as for `reclaim_all`.
    unsafe fn take_over(&mut self, half: u16, frozen: bool) -> Reclaimed {
        let mut reclaimed = Reclaimed::default();
        let Some(abandoned) = self.pool.half(half).filter(|half| half.is_attached()) else {
            return reclaimed;
        };
        for size_class in self.pool.size_classes_of(half) {
            if !abandoned.has_subscribers() {
                // Without subscribers the owner has not kept count of what it published.
                size_class.take_unpublished();
            }
            let (pool, collected) = (&self.pool, self.carver.collected.0);
            // SAFETY: the caller's contract, class by class.
            let found = unsafe { rebuild(pool, size_class, collected, frozen) };
            found.report(pool, &mut self.reports, size_class);
            reclaimed.count += found.reclaimed.count;
            reclaimed.shared += found.reclaimed.shared;
        }
        let first_frame = abandoned.frame.get();
        self.plan
            .with_classes_of(&mut self.pool, half, |pool, classes| {
                // SAFETY: the caller's contract.
                unsafe { pool.replace_owner(half, classes) };
            });
        self.counts.leases_reclaimed += u64::from(reclaimed.count);
        let report = LeasesReclaimed {
            holder: u32::from(half),
            count: reclaimed.count,
            first_frame,
        };
        self.reports
            .send(|observer| observer.leases_reclaimed(report));
        reclaimed
    }
}

/// What was found in one size class of an abandoned half.
struct Rebuilt {
    reclaimed: Reclaimed,
    /// Returned buffers that were in the inbox.
    recycled: u32,
}

impl Rebuilt {
    /// Reports what the owner did not.
    fn report(&self, pool: &ControlRef, reports: &mut Reports, size_class: &SizeClass) {
        let (scratches, returns) = size_class.take_unpublished();
        if scratches > 0 {
            let allocated = BufferPoolAllocation {
                class_samples: size_class.samples,
                requested: 0,
                slot: u32::MAX,
                count: scratches,
                half: size_class.half,
                first_frame: pool.half(size_class.half).and_then(|half| half.frame.get()),
            };
            reports.send(|observer| observer.allocated(allocated));
        }
        reports.recycled(pool, size_class, self.recycled + returns);
    }
}

/// Builds the local list anew from every buffer of a size class that no living thread has in use, except the
/// `collected` ones.
///
/// # Safety
/// As for [`PoolControl::reclaim`]; with `frozen`, as for [`PoolControl::reclaim_all`].
unsafe fn rebuild(
    pool: &ControlRef,
    size_class: &SizeClass,
    collected: Chain,
    frozen: bool,
) -> Rebuilt {
    let mut reclaimed = Reclaimed::default();
    let table = &pool.table;
    let mut known = vec![false; table.indices().count()];
    let mut follow = |mut chain: Chain, most: u32| {
        let mut found = Vec::new();
        for _ in 0..most {
            let Some(index) = chain.pop(table) else {
                break;
            };
            if !core::mem::replace(&mut known[index.raw() as usize], true) {
                found.push(index);
            }
        }
        found
    };
    // These stay where they are.
    let surplus = size_class.shared.surplus.peek();
    follow(surplus, surplus.length);
    size_class.recount_shed();
    follow(collected, collected.length);
    let mut idle = Vec::new();
    let mut recycled = 0;
    for list in size_class.shared.inbox.lists() {
        let chain = list.take();
        recycled += size_class.count_returned(&chain);
        idle.extend(follow(chain, chain.length));
    }
    idle.extend(follow(size_class.follow_local(), size_class.carved()));
    let cached = size_class.reclaim_cache();
    // It may be on the list already: the owner may have died inside a flush of the cache.
    if let Some((index, out)) = cached
        && !core::mem::replace(&mut known[index.raw() as usize], true)
    {
        size_class.pushes.add(1);
        reclaimed.count += u32::from(out);
        idle.push(index);
    }
    let is_of_class = |index: SlotIndex| {
        table.slot(index).is_carved() && table.slot(index).size_class() == size_class.id
    };
    for index in table.indices() {
        if known[index.raw() as usize] || !is_of_class(index) {
            continue;
        }
        let slot = table.slot(index);
        if slot.is_frozen() && !frozen && !cfg!(wavepool_mutant = "frozen_buffers_reclaimed") {
            reclaimed.shared += 1;
            continue;
        }
        if !slot.is_idle() {
            // SAFETY: the thread that had it in use is dead, by the caller's contract: this is the only handle.
            unsafe { RawHandle::from_slot(pool, index, 1).wipe() };
            size_class.pushes.add(1);
            reclaimed.count += 1;
        }
        idle.push(index);
    }
    for &index in &idle {
        table.slot(index).clear();
    }
    size_class.rebuild_local(table, &idle);
    Rebuilt {
        reclaimed,
        recycled,
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "reclaim_tests.rs"]
mod tests;

//! The buffers of a handle of several channels: where they are, access to their samples, and their release.
#![allow(unsafe_code)] // Makes slices of arena memory for the handle that owns it.

use core::ptr::NonNull;
use core::slice;

use super::pool_core::core_of;
use super::pool_state::PoolState;
use super::raw_handle::RawHandle;
use super::shared_ptr::SharedPtr;
use super::size_class::SizeClass;
use super::slot_table::{Slot, SlotIndex};

/// Channels whose size class and sample address are part of the handle.
pub(super) const NEAR: usize = 2;

/// The buffers of a planar handle, one per channel; all of them have the same requested length.
#[derive(Clone, Copy)]
pub(super) struct Planes {
    /// Size class and sample address of the first channels, so that mono and stereo need not read their slots.
    pub(super) size_classes: [SharedPtr<SizeClass>; NEAR],
    pub(super) near: [NonNull<f32>; NEAR],
    /// The slots of these. Each further channel's slot is the `next` of the one before: that word belongs to the
    /// handle.
    pub(super) slots: [SlotIndex; NEAR],
    pub(super) channels: u8,
    pub(super) frames: u32,
}

/// The slot that the handle linked behind this one.
#[inline(never)]
fn next_of(pool: &PoolState, index: SlotIndex) -> SlotIndex {
    let next = pool.table.slot(index).state.next.get();
    // A handle links as many slots as it has channels.
    next.get().unwrap_or(index)
}

impl Planes {
    /// The first channel's size class.
    #[inline(always)]
    pub(super) fn size_class(&self) -> &SizeClass {
        // SAFETY: a handle's buffers are carved, so that their size classes live.
        unsafe { self.size_classes[0].get() }
    }

    #[inline(always)]
    pub(super) fn pool(&self) -> &PoolState {
        self.size_class().pool()
    }

    pub(super) fn index(&self, channel: usize) -> SlotIndex {
        assert!(channel < usize::from(self.channels), "no such channel");
        match self.slots.get(channel) {
            Some(&near) => near,
            None => {
                (NEAR..=channel).fold(self.slots[NEAR - 1], |index, _| next_of(self.pool(), index))
            }
        }
    }

    /// The handle of each channel, in order. Each slot's link is read before its turn, so that the caller may release it in
    /// its turn: after the last one the core may be freed.
    ///
    /// # Safety
    /// The caller owns the buffers, each until it releases it in its turn or later.
    #[inline]
    pub(super) unsafe fn raws(self) -> impl Iterator<Item = RawHandle> {
        let (core, channels) = (
            core_of(self.size_class().pool_ptr()),
            usize::from(self.channels),
        );
        let mut following = self.slots[0];
        (1..=channels).map(move |next| {
            // SAFETY: this channel's buffer is not released yet, and keeps the core alive.
            let (core, index) = (unsafe { core.get() }, following);
            if next < channels {
                following = match self.slots.get(next) {
                    Some(&near) => near,
                    None => next_of(core, index),
                };
            }
            match (self.size_classes.get(next - 1), self.near.get(next - 1)) {
                // SAFETY: the words of this channel, which the caller owns.
                (Some(&size_class), Some(&samples)) => unsafe {
                    RawHandle::from_parts(size_class, samples, index, self.frames)
                },
                // SAFETY: as above.
                _ => unsafe { RawHandle::from_slot(core, index, self.frames) },
            }
        })
    }

    /// The slot whose reference count stands for all.
    pub(super) fn first_slot(&self) -> Slot<'_> {
        self.pool().table.slot(self.slots[0])
    }

    /// The address of a channel's samples, and how many there are.
    #[inline]
    pub(super) fn samples(&self, channel: usize) -> (*mut f32, usize) {
        assert!(channel < usize::from(self.channels), "no such channel");
        let samples = match self.near.get(channel) {
            Some(&near) => near,
            None => self.far(channel),
        };
        (samples.as_ptr(), self.frames as usize)
    }

    #[inline(never)]
    fn far(&self, channel: usize) -> NonNull<f32> {
        let pool = self.pool();
        pool.samples_at(pool.table.slot(self.index(channel)))
    }

    /// The sample address of each channel, in order: one step along the links for each, where
    /// [`samples`](Self::samples) starts at the first channel.
    #[inline]
    pub(super) fn each(&self) -> impl Iterator<Item = NonNull<f32>> {
        let (pool, near, mut last) = (self.pool(), self.near, self.slots[NEAR - 1]);
        (0..usize::from(self.channels)).map(move |channel| {
            near.get(channel).copied().unwrap_or_else(|| {
                last = next_of(pool, last);
                pool.samples_at(pool.table.slot(last))
            })
        })
    }

    #[inline]
    pub(super) fn read_each(&self) -> impl Iterator<Item = &[f32]> {
        let frames = self.frames as usize;
        // SAFETY: as in `RawHandle::read`; the planes keep the buffers as long as they are borrowed.
        self.each()
            .map(move |samples| unsafe { slice::from_raw_parts(samples.as_ptr(), frames) })
    }

    #[inline]
    pub(super) fn read(&self, channel: usize) -> &[f32] {
        let (samples, len) = self.samples(channel);
        // SAFETY: as in `RawHandle::read`; the planes keep the buffer as long as they are borrowed.
        unsafe { slice::from_raw_parts(samples, len) }
    }

    /// Releases the first two, which belong to one size class, on their owner's thread.
    ///
    /// # Safety
    /// The only handle for these buffers, not used again.
    #[inline(always)]
    pub(super) unsafe fn release_pair(self) {
        // SAFETY: the caller's contract.
        for mut raw in unsafe { self.raws() } {
            // SAFETY: the caller's contract.
            unsafe { raw.wipe() };
        }
        let table = &self.pool().table;
        let pair = self.slots.map(|index| (index, table.slot(index)));
        // SAFETY: the caller's contract.
        unsafe { self.size_class().push_pair_returned(pair) };
    }

    /// Releases every channel from any thread. By value: see [`RawHandle::release_remote`].
    ///
    /// # Safety
    /// The last handle for these buffers, not used again.
    #[inline(never)]
    pub(super) unsafe fn release_remote<const FROZEN: bool>(self) {
        // SAFETY: the caller's contract.
        for raw in unsafe { self.raws() } {
            // SAFETY: the caller's contract, channel by channel.
            unsafe { RawHandle::release_remote::<FROZEN>(raw.size_class, raw.samples, raw.index) }
        }
    }
}

//! What the handles have in common: the words of one, access to its samples, and its release.
#![allow(unsafe_code)] // Makes slices of arena memory for the handle that owns it.

use core::ptr::NonNull;
use core::slice;

use super::one_slot_cache::TakenBuffer;
use super::orderings::{LAST_REFERENCE_FENCE, REFERENCE_COUNT_DOWN};
use super::pool_core::{Core, push_or_count_down};
use super::pool_state::OnRelease;
use super::shared_ptr::SharedPtr;
use super::size_class::SizeClass;
use super::slot_table::{Slot, SlotIndex};
use crate::sync::atomic::{AtomicU32, Ordering, fence};

/// What debug builds store in released samples: a signalling NaN, so that stale audio is noticed.
pub const RELEASED_BITS: u32 = 0x7fa0_dead;

/// The words that every handle of one buffer is made of.
///
/// Invariant: the slot is on no list; `samples` points to its memory; `len` is at most the size class's capacity and
/// not 0.
pub(crate) struct RawHandle {
    pub(super) size_class: SharedPtr<SizeClass>,
    pub(super) samples: NonNull<f32>,
    pub(super) index: SlotIndex,
    pub(super) len: u32,
}

impl RawHandle {
    /// The handle of a buffer that was just taken from `size_class` for a request of `len` samples.
    #[inline(always)]
    pub(super) fn new(size_class: &SizeClass, taken: TakenBuffer, len: u32) -> Self {
        debug_assert!(len > 0 && len <= size_class.samples);
        Self {
            size_class: SharedPtr::from(size_class),
            samples: taken.samples,
            index: taken.index,
            len,
        }
    }

    /// The handle of a slot, as the pool knows it.
    ///
    /// # Safety
    /// The caller owns the buffer, which has a capacity of `len` or more.
    pub(crate) unsafe fn from_slot(core: &Core, index: SlotIndex, len: u32) -> Self {
        Self {
            // SAFETY: a buffer that is owned is carved.
            size_class: unsafe { core.size_class_of(index) },
            samples: core.samples_at(core.table.slot(index)),
            index,
            len,
        }
    }

    /// The handle of a buffer whose words were taken out of a handle, or found elsewhere.
    ///
    /// # Safety
    /// The caller owns the buffer. `samples` and the `len` after it live as long as the size class's core. Outside of
    /// the arena, in a mapped file, they are never written.
    #[inline(always)]
    pub(crate) const unsafe fn from_parts(
        size_class: SharedPtr<SizeClass>,
        samples: NonNull<f32>,
        index: SlotIndex,
        len: u32,
    ) -> Self {
        Self {
            size_class,
            samples,
            index,
            len,
        }
    }

    #[inline(always)]
    pub(super) fn size_class(&self) -> &SizeClass {
        // SAFETY: a size class lives as long as one of its buffers is carved, and one that a handle owns is.
        unsafe { self.size_class.get() }
    }

    #[inline]
    pub(super) fn slot(&self) -> Slot<'_> {
        self.size_class().pool().table.slot(self.index)
    }

    #[inline]
    pub(super) fn read(&self) -> &[f32] {
        // SAFETY: bounds: `len` is within the buffer, whose memory lies within a region that lives as long as the
        // core, which this handle keeps alive. Initialised: regions start zeroed. Aliasing: handles that can write are
        // unique (`&mut` below), shared ones only read. Thread: lists and reference counts order transfers of ownership.
        unsafe { slice::from_raw_parts(self.samples.as_ptr(), self.len as usize) }
    }

    /// # Safety
    /// The handle is the only one for its buffer.
    #[inline]
    pub(super) unsafe fn write(&mut self) -> &mut [f32] {
        // SAFETY: as in `read`, and the only handle by the function's contract.
        unsafe { slice::from_raw_parts_mut(self.samples.as_ptr(), self.len as usize) }
    }

    /// Overwrites the whole capacity.
    ///
    /// # Safety
    /// The handle is the only one for its buffer.
    unsafe fn fill(&mut self, sample: f32) {
        // SAFETY: the size class's capacity is the buffer's length; the rest as in `write`.
        unsafe {
            slice::from_raw_parts_mut(self.samples.as_ptr(), self.size_class().samples as usize)
        }
        .fill(sample);
    }

    /// Zeroes the whole capacity, so that no view of any length shows what was there.
    ///
    /// # Safety
    /// The handle is the only one for its buffer.
    pub(super) unsafe fn silence(&mut self) {
        // SAFETY: the same contract.
        unsafe { self.fill(0.0) }
    }

    /// Overwrites the samples as the pool's options say, before the buffer is released.
    ///
    /// # Safety
    /// The handle is the last one for its buffer and is not used for its samples again.
    #[inline(always)]
    pub(crate) unsafe fn wipe(&mut self) {
        match self.size_class().on_release {
            OnRelease::Leave => {
                if cfg!(debug_assertions) {
                    // SAFETY: the same contract.
                    unsafe { self.fill(f32::from_bits(RELEASED_BITS)) }
                }
            }
            // SAFETY: the same contract; the capacity is the buffer's length.
            OnRelease::Scrub => unsafe {
                scrub(self.samples, self.size_class().samples as usize);
            },
            #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
            OnRelease::ReadOnly => {}
        }
    }

    /// Releases the buffer of a `Scratch`.
    ///
    /// # Safety
    /// As for `wipe`; the handle is not used again at all.
    #[inline(always)]
    pub(super) unsafe fn release_scratch(&mut self) {
        if cfg!(debug_assertions) {
            // SAFETY: the same contract.
            unsafe { self.wipe() };
        }
        // SAFETY: the same contract; a `Scratch` stays on its owner's thread.
        if !unsafe { self.size_class().put_back_scratch(self.index) } {
            // SAFETY: the same contract: this is the only handle.
            unsafe { Self::release_local(self.size_class, self.samples, self.index) };
        }
    }

    /// Releases a buffer on its owner's thread, where it does not simply return to the cache.
    ///
    /// The arguments are the words of the handle: a handle passed whole would be read wider than it was written, and
    /// the processor waits for that.
    ///
    /// # Safety
    /// They are the words of the last handle for the buffer, and that is not used again at all.
    #[inline(never)]
    pub(super) unsafe fn release_local(
        size_class: SharedPtr<SizeClass>,
        samples: NonNull<f32>,
        index: SlotIndex,
    ) {
        // SAFETY: the caller's contract. One sample is in every buffer.
        let mut raw = unsafe { Self::from_parts(size_class, samples, index, 1) };
        // SAFETY: the caller's contract.
        unsafe { raw.wipe() };
        // SAFETY: the caller's contract.
        unsafe { raw.size_class().accept_released(index, samples) };
    }

    /// Releases a buffer to the inbox, from any thread, the owner's included; whether it was frozen is known to the caller.
    /// The arguments are words, as above: a handle whose address goes into a call, if only to be dropped on unwinding,
    /// lives in memory from the start.
    ///
    /// # Safety
    /// As above.
    #[inline(never)]
    pub(super) unsafe fn release_remote<const FROZEN: bool>(
        size_class: SharedPtr<SizeClass>,
        samples: NonNull<f32>,
        index: SlotIndex,
    ) {
        // SAFETY: the caller's contract. One sample is in every buffer.
        let mut raw = unsafe { Self::from_parts(size_class, samples, index, 1) };
        // SAFETY: the caller's contract.
        unsafe { raw.wipe() };
        let slot = raw.slot();
        slot.mark_in_transit(FROZEN);
        // SAFETY: the caller's contract.
        unsafe { push_or_count_down(size_class, slot.state, index) };
    }
}

/// Zeroes samples. Apart and by words, so that the release of every other pool has no trace of it.
///
/// # Safety
/// As for [`RawHandle::fill`].
#[cold]
#[inline(never)]
unsafe fn scrub(samples: NonNull<f32>, len: usize) {
    // SAFETY: the caller's contract.
    unsafe { slice::from_raw_parts_mut(samples.as_ptr(), len) }.fill(0.0);
}

#[inline]
pub(super) fn add_reference(refs: &AtomicU32) {
    // Relaxed: made from a live reference, which keeps the buffer; like `Arc`.
    let before = refs.fetch_add(1, Ordering::Relaxed);
    if before > u32::MAX / 2 {
        // Relaxed: undoes an addition that no reference was made from.
        refs.fetch_sub(1, Ordering::Relaxed);
        panic!("too many references to one buffer");
    }
}

/// Drops a reference; returns whether it was the last. The argument is the count alone: once it is less, another
/// thread may free the pool, and a reference to anything but an atomic would have to stay valid until the return.
#[inline]
pub(super) fn drop_reference(refs: &AtomicU32) -> bool {
    let before = refs.fetch_sub(1, REFERENCE_COUNT_DOWN);
    let last = if cfg!(wavepool_mutant = "buffer_released_by_two_references") {
        before <= 2
    } else {
        before == 1
    };
    if last && !cfg!(wavepool_mutant = "last_reference_without_fence") {
        fence(LAST_REFERENCE_FENCE);
    }
    last
}

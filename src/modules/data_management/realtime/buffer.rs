//! The handles: who may read and write a buffer's samples, and how it comes home.
//!
//! | handle | access | comes home |
//! |---|---|---|
//! | [`Scratch`] | read, write; borrows its half | to the half's own list |
//! | [`PooledBuffer`] | read, write; owned, `Send` | by the half's `release`, or its inbox |
//! | [`BufferRef`] | read; cloned by count, `Send + Sync` | last drop: inbox |
//! | [`PlanarBuffer`](super::PlanarBuffer), [`PlanarRef`](super::PlanarRef) | the same, one buffer per channel | inbox, each |
//!
//! The address of the samples never changes between them. Forgetting a handle (`mem::forget`) leaks its buffer, and in
//! the end the pool's memory; it is not unsafe.
#![allow(unsafe_code)] // Makes slices of arena memory for the handle that owns it.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;

use super::orderings::{LAST_REFERENCE_FENCE, REFERENCE_COUNT_DOWN};
use super::pool_core::{Core, OnRelease, SharedPtr};
use super::realtime_pool::RealtimePool;
use super::size_class::{SizeClass, TakenBuffer};
use super::slot_table::{Slot, SlotIndex};
use crate::sync::atomic::{AtomicU32, Ordering, fence};

/// What debug builds leave in released samples: a signalling NaN, so that reading stale audio is heard and seen.
pub const RELEASED_BITS: u32 = 0x7fa0_dead;

/// What the samples of a buffer are. Rides in the handle, so that it costs the slot table nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AudioMetadata {
    /// Sample rate; 0 while nobody has said.
    pub sample_rate_hz: f32,
    /// Channels of the stream the samples belong to; 0 while nobody has said.
    pub channels: u16,
    /// Which of them this buffer holds, from 0.
    pub channel: u16,
    /// Stream frame of the first sample.
    pub first_frame: u64,
}

/// One buffer in one pair of hands: what every handle is made of.
///
/// Invariant: the slot is on no list; `samples` is its memory, `len` is at most the size class's capacity and not 0.
pub(crate) struct RawHandle {
    pub(super) size_class: SharedPtr<SizeClass>,
    pub(super) samples: NonNull<f32>,
    pub(super) index: SlotIndex,
    len: u32,
}

impl RawHandle {
    /// A buffer that was just taken from `size_class`.
    #[inline(always)]
    pub(super) fn new(size_class: SharedPtr<SizeClass>, taken: &TakenBuffer, len: u32) -> Self {
        debug_assert!(len > 0 && len <= size_class.samples);
        Self {
            size_class,
            samples: taken.samples,
            index: taken.index,
            len,
        }
    }

    /// The slot's, which the caller holds.
    pub(crate) fn from_slot(core: &Core, index: SlotIndex, len: u32) -> Self {
        Self {
            size_class: core.size_class_of(index),
            samples: core.samples_at(core.table.slot(index)),
            index,
            len,
        }
    }

    /// What these words, taken out of a handle or found elsewhere, are the handle of.
    ///
    /// # Safety
    /// The caller holds the buffer. `samples` and the `len` after it live as long as the size class's core; outside the arena,
    /// in a mapped file, they are never written.
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

    #[inline]
    fn slot(&self) -> Slot<'_> {
        self.size_class.core.table.slot(self.index)
    }

    #[inline]
    fn read(&self) -> &[f32] {
        // SAFETY: bounds: `len` is within the buffer, whose memory lies within a region that lives as long as the core,
        // which this handle keeps. Initialised: regions start zeroed. Aliasing: handles that can write are unique
        // (`&mut` below), shared ones only read. Thread: lists and reference counts order hand-overs.
        unsafe { slice::from_raw_parts(self.samples.as_ptr(), self.len as usize) }
    }

    /// # Safety
    /// The handle is the only one for its buffer.
    #[inline]
    unsafe fn write(&mut self) -> &mut [f32] {
        // SAFETY: as in `read`, and unique by the caller's word.
        unsafe { slice::from_raw_parts_mut(self.samples.as_ptr(), self.len as usize) }
    }

    /// Overwrites the whole capacity.
    ///
    /// # Safety
    /// The handle is the only one for its buffer.
    unsafe fn fill(&mut self, sample: f32) {
        // SAFETY: the size class's capacity is the buffer's length; the rest as in `write`.
        unsafe {
            slice::from_raw_parts_mut(self.samples.as_ptr(), self.size_class.samples as usize)
        }
        .fill(sample);
    }

    /// Zeroes the whole capacity, so that no view of any length shows what was there.
    ///
    /// # Safety
    /// The handle is the only one for its buffer.
    pub(super) unsafe fn silence(&mut self) {
        // SAFETY: the caller's word.
        unsafe { self.fill(0.0) }
    }

    /// Leaves the buffer as the next holder may find it.
    ///
    /// # Safety
    /// The handle is the last one for its buffer and is not used for its samples again.
    #[inline(always)]
    pub(crate) unsafe fn wipe(&mut self) {
        match self.size_class.on_release {
            OnRelease::Leave => {
                if cfg!(debug_assertions) {
                    // SAFETY: the caller's word.
                    unsafe { self.fill(f32::from_bits(RELEASED_BITS)) }
                }
            }
            OnRelease::Scrub => {
                core::hint::cold_path();
                // SAFETY: the caller's word.
                unsafe { self.fill(0.0) }
            }
            #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
            OnRelease::ReadOnly => {}
        }
    }

    /// Brings a scratch's buffer home.
    ///
    /// # Safety
    /// As for `wipe`; the handle is not used again at all.
    #[inline(always)]
    unsafe fn release_scratch(&mut self) {
        if cfg!(debug_assertions) {
            // SAFETY: the caller's word.
            unsafe { self.wipe() };
        }
        if !self.size_class.return_scratch_to_cache(self.index) {
            // SAFETY: the caller's word: this is the only handle.
            unsafe { Self::release_local(self.size_class, self.samples, self.index) };
        }
    }

    /// Brings a buffer home on its owner's thread, where it does not simply go back to the cache.
    ///
    /// By its words: a handle passed whole would be read wider than it was written, and the processor waits for that.
    ///
    /// # Safety
    /// They are of the last handle for the buffer, and that is not used again at all.
    #[inline(never)]
    pub(super) unsafe fn release_local(
        size_class: SharedPtr<SizeClass>,
        samples: NonNull<f32>,
        index: SlotIndex,
    ) {
        // SAFETY: the caller's word; the length is the buffer's.
        unsafe { Self::from_parts(size_class, samples, index, size_class.samples).wipe() };
        let slot = size_class.core.table.slot(index);
        slot.clear();
        if !size_class.cache_released(slot, index, samples) {
            size_class.push_returned(index);
        }
    }

    /// Brings a buffer home from any thread; it was frozen, or not. By its words, as above: a handle whose address goes
    /// into a call, if only to be dropped on unwinding, lives in memory from the start.
    ///
    /// # Safety
    /// As above.
    #[inline(never)]
    pub(super) unsafe fn release_remote<const FROZEN: bool>(
        size_class: SharedPtr<SizeClass>,
        samples: NonNull<f32>,
        index: SlotIndex,
    ) {
        // SAFETY: the caller's word; the length is the buffer's.
        unsafe { Self::from_parts(size_class, samples, index, size_class.samples).wipe() };
        let core = size_class.core;
        let slot = core.table.slot(index);
        slot.mark_in_transit(FROZEN);
        core.push_or_count_down(size_class, slot.state, index);
    }
}

/// A buffer for the length of a borrow: the fastest kind, for work within one callback.
///
/// Several may be held at once. It cannot leave the thread or outlive its half, so it goes back to the half's own list
/// without any atomic operation.
///
/// # Real-time
/// Wait-free to take and to drop. The contents on taking are whatever the last holder left (debug builds: NaN).
///
/// # Examples
/// ```
/// use wavepool::modules::data_management::BufferPool;
///
/// let (_control, half) = BufferPool::builder().class(256, 4).build()?;
/// let mut left = half.scratch(128)?;
/// let right = half.scratch(128)?;
/// left.fill(0.5);
/// assert_eq!((left.len(), right.len()), (128, 128));
/// # Ok::<(), wavepool::modules::data_management::PoolError>(())
/// ```
pub struct Scratch<'half> {
    raw: RawHandle,
    half: PhantomData<&'half RealtimePool>,
}

impl Scratch<'_> {
    #[inline(always)]
    pub(super) const fn new(raw: RawHandle) -> Self {
        Self {
            raw,
            half: PhantomData,
        }
    }
}

impl Deref for Scratch<'_> {
    type Target = [f32];

    #[inline]
    fn deref(&self) -> &[f32] {
        self.raw.read()
    }
}

impl DerefMut for Scratch<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: a scratch is the only handle for its buffer.
        unsafe { self.raw.write() }
    }
}

impl Drop for Scratch<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the only handle for its buffer, going away.
        unsafe { self.raw.release_scratch() }
    }
}

/// A buffer in one pair of hands, on any thread.
///
/// # Real-time
/// Reading, writing, moving and freezing touch nothing but the handle and its samples. Dropping it is one lock-free
/// push to the inbox of the half it came from; [`RealtimePool::release`] of that half is cheaper. Neither frees memory,
/// unless the handle is the very last thing left of the pool: both halves dropped and no other buffer out.
pub struct PooledBuffer {
    raw: RawHandle,
    metadata: AudioMetadata,
}

// SAFETY: the handle is unique for its samples; `SharedPtr` is a shared reference to `Sync` data; its list push orders what
// this thread wrote before what the next holder reads.
unsafe impl Send for PooledBuffer {}
// SAFETY: `&PooledBuffer` only reads samples and metadata.
unsafe impl Sync for PooledBuffer {}

impl PooledBuffer {
    #[inline(always)]
    pub(super) fn new(raw: RawHandle) -> Self {
        Self {
            raw,
            metadata: AudioMetadata::default(),
        }
    }

    /// Takes the handle apart without sending the buffer home.
    #[inline(always)]
    pub(super) fn into_raw(self) -> RawHandle {
        let buffer = ManuallyDrop::new(self);
        let RawHandle {
            size_class,
            samples,
            index,
            len,
        } = buffer.raw;
        RawHandle {
            size_class,
            samples,
            index,
            len,
        }
    }

    /// What it is made of.
    #[inline(always)]
    pub(super) const fn raw(&self) -> &RawHandle {
        &self.raw
    }

    /// Zeroes the whole buffer.
    pub(super) fn silence(&mut self) {
        // SAFETY: the only handle for its buffer.
        unsafe { self.raw.silence() }
    }

    /// Samples the buffer could hold: its class.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.raw.size_class.samples as usize
    }

    /// The number of the buffer in its pool: the same each time this memory is handed out as this buffer.
    #[must_use]
    pub fn slot_index(&self) -> u32 {
        self.raw.index.raw()
    }

    /// Where the samples are.
    #[must_use]
    pub fn address(&self) -> usize {
        self.raw.samples.as_ptr().addr()
    }

    /// What the samples are.
    #[must_use]
    pub const fn metadata(&self) -> &AudioMetadata {
        &self.metadata
    }

    /// Says what the samples are.
    pub const fn set_metadata(&mut self, metadata: AudioMetadata) {
        self.metadata = metadata;
    }

    /// Ends writing: from now on the samples are shared and read only. The address stays.
    ///
    /// # Real-time
    /// Two plain stores.
    #[inline]
    #[must_use]
    pub fn freeze(self) -> BufferRef {
        let metadata = self.metadata;
        let raw = self.into_raw();
        let slot = raw.size_class.core.table.slot(raw.index);
        slot.mark_frozen();
        // Relaxed: nobody else has the buffer; whoever gets a clone gets it by a hand-over that orders this.
        slot.extent.refs.store(1, Ordering::Relaxed);
        BufferRef { raw, metadata }
    }
}

impl Deref for PooledBuffer {
    type Target = [f32];

    #[inline]
    fn deref(&self) -> &[f32] {
        self.raw.read()
    }
}

impl DerefMut for PooledBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: a pooled buffer is the only handle for its samples.
        unsafe { self.raw.write() }
    }
}

impl Drop for PooledBuffer {
    #[inline(always)]
    fn drop(&mut self) {
        let raw = &self.raw;
        // SAFETY: the only handle for its buffer, going away.
        unsafe { RawHandle::release_remote::<false>(raw.size_class, raw.samples, raw.index) }
    }
}

/// A frozen buffer: shared by count, read only; the last one dropped sends it home.
///
/// # Real-time
/// A clone and a drop are one atomic addition each; the last drop adds one lock-free push.
///
/// # Panics
/// A clone beyond two thousand million clones of one buffer.
///
/// # Examples
/// Writing does not compile:
/// ```compile_fail,E0594
/// # use wavepool::modules::data_management::BufferPool;
/// let (_control, half) = BufferPool::builder().class(256, 1).build().unwrap();
/// let mut shared = half.acquire(256).unwrap().freeze();
/// shared[0] = 1.0;
/// ```
pub struct BufferRef {
    raw: RawHandle,
    metadata: AudioMetadata,
}

// SAFETY: reads only; the count and the push order every read before the next holder's writes.
unsafe impl Send for BufferRef {}
// SAFETY: as above.
unsafe impl Sync for BufferRef {}

impl BufferRef {
    /// A first reference to samples that were never writable.
    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    pub(crate) fn of_file(raw: RawHandle, metadata: AudioMetadata) -> Self {
        let buffer = PooledBuffer { raw, metadata };
        buffer.freeze()
    }

    /// Samples the buffer could hold: its class. A window of a mapped file has its own length, since the file may end with it.
    #[must_use]
    pub fn capacity(&self) -> usize {
        match self.raw.size_class.on_release {
            #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
            OnRelease::ReadOnly => self.raw.len as usize,
            OnRelease::Leave | OnRelease::Scrub => self.raw.size_class.samples as usize,
        }
    }

    /// The number of the buffer in its pool.
    #[must_use]
    pub fn slot_index(&self) -> u32 {
        self.raw.index.raw()
    }

    /// Where the samples are.
    #[must_use]
    pub fn address(&self) -> usize {
        self.raw.samples.as_ptr().addr()
    }

    /// What the samples are.
    #[must_use]
    pub const fn metadata(&self) -> &AudioMetadata {
        &self.metadata
    }
}

impl Deref for BufferRef {
    type Target = [f32];

    #[inline]
    fn deref(&self) -> &[f32] {
        self.raw.read()
    }
}

impl Clone for BufferRef {
    #[inline]
    fn clone(&self) -> Self {
        add_reference(&self.raw.slot().extent.refs);
        Self {
            raw: RawHandle { ..self.raw },
            metadata: self.metadata,
        }
    }
}

impl Drop for BufferRef {
    #[inline]
    fn drop(&mut self) {
        if drop_reference(&self.raw.slot().extent.refs) {
            let raw = &self.raw;
            // SAFETY: the last handle for its buffer, going away.
            unsafe { RawHandle::release_remote::<true>(raw.size_class, raw.samples, raw.index) }
        }
    }
}

#[inline]
pub(super) fn add_reference(refs: &AtomicU32) {
    // Relaxed: made from a live reference, which keeps the buffer; like `Arc`.
    let before = refs.fetch_add(1, Ordering::Relaxed);
    if before > u32::MAX / 2 {
        // Relaxed: takes back what no reference was made from.
        refs.fetch_sub(1, Ordering::Relaxed);
        panic!("too many references to one buffer");
    }
}

/// Whether this was the last. Takes the count alone: once it is less, another thread may free the pool, and a reference to
/// anything but an atomic would have to be valid until the return.
#[inline]
pub(super) fn drop_reference(refs: &AtomicU32) -> bool {
    let before = refs.fetch_sub(1, REFERENCE_COUNT_DOWN);
    let last = if cfg!(wavepool_mutant = "buffer_sent_home_by_two_references") {
        before <= 2
    } else {
        before == 1
    };
    if last && !cfg!(wavepool_mutant = "last_reference_without_fence") {
        fence(LAST_REFERENCE_FENCE);
    }
    last
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::modules::data_management::BufferPool;

    #[test]
    fn a_clone_too_many_panics_and_is_not_counted() {
        let (control, half) = BufferPool::builder().class(64, 1).build().unwrap();
        let shared = half.acquire(64).unwrap().freeze();
        let core = shared.raw.size_class.core;
        let refs = &core.table.slot(shared.raw.index).extent.refs;
        let most = u32::MAX / 2 + 1;
        refs.store(most, Ordering::Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| shared.clone())).is_err());
        assert_eq!(refs.load(Ordering::Relaxed), most);
        refs.store(1, Ordering::Relaxed);
        drop(shared);
        assert_eq!(control.leased(), 0);
    }
}

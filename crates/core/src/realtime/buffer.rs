//! The handles: who may read and write the samples of a buffer, and where it goes when it is released.
//!
//! | handle | access | released to |
//! |---|---|---|
//! | [`Scratch`] | read, write; borrows its half | the half's cache or local list |
//! | [`PooledBuffer`] | read, write; owned, `Send` | the same by the half's `release`, else the inbox |
//! | [`BufferRef`] | read; cloned by count, `Send + Sync` | the inbox, by the last drop |
//! | [`PlanarBuffer`](super::PlanarBuffer), [`PlanarRef`](super::PlanarRef) | the same, one buffer per channel | the inbox, channel by channel |
//!
//! The address of the samples never changes between them. Forgetting a handle (`mem::forget`) leaks its buffer, and in
//! the end the pool's memory; it is not unsafe.
#![allow(unsafe_code)] // Makes slices of arena memory for the handle that owns it.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
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

/// Describes the samples of a buffer. It is part of the handle, so that the slot table needs no room for it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AudioMetadata {
    /// Sample rate; 0 if unknown.
    pub sample_rate_hz: f32,
    /// Channels of the stream that the samples belong to; 0 if unknown.
    pub channels: u16,
    /// The channel that this buffer holds, from 0.
    pub channel: u16,
    /// Stream frame of the first sample.
    pub first_frame: u64,
}

/// The words that every handle of one buffer is made of.
///
/// Invariant: the slot is on no list; `samples` points to its memory; `len` is at most the size class's capacity and
/// not 0.
pub(crate) struct RawHandle {
    pub(super) size_class: SharedPtr<SizeClass>,
    pub(super) samples: NonNull<f32>,
    pub(super) index: SlotIndex,
    len: u32,
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
    fn read(&self) -> &[f32] {
        // SAFETY: bounds: `len` is within the buffer, whose memory lies within a region that lives as long as the
        // core, which this handle keeps alive. Initialised: regions start zeroed. Aliasing: handles that can write are
        // unique (`&mut` below), shared ones only read. Thread: lists and reference counts order transfers of ownership.
        unsafe { slice::from_raw_parts(self.samples.as_ptr(), self.len as usize) }
    }

    /// # Safety
    /// The handle is the only one for its buffer.
    #[inline]
    unsafe fn write(&mut self) -> &mut [f32] {
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
    unsafe fn release_scratch(&mut self) {
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

/// A buffer for the length of a borrow: the fastest kind, for work within one callback.
///
/// Several may exist at once. It cannot leave the thread or outlive its half, so that its release needs no atomic
/// operation.
///
/// # Real-time
/// Acquire and drop are wait-free. The samples are whatever the last use left (debug builds: NaN).
///
/// # Examples
/// ```
/// use wavepool_core::BufferPool;
///
/// let (_control, half) = BufferPool::builder().class(256, 4).build()?;
/// let mut left = half.scratch(128)?;
/// let right = half.scratch(128)?;
/// left.fill(0.5);
/// assert_eq!((left.len(), right.len()), (128, 128));
/// # Ok::<(), wavepool_core::PoolError>(())
/// ```
pub struct Scratch<'half> {
    raw: RawHandle,
    half: PhantomData<&'half Cell<()>>,
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

/// A buffer with one owner, on any thread.
///
/// # Real-time
/// Reading, writing, moving and freezing touch nothing but the handle and its samples. Dropping it is one lock-free
/// push to the inbox of its size class, in the half it came from;
/// [`RealtimePool::release`](crate::RealtimePool::release) of that half is cheaper. Neither frees memory, unless the handle
/// is the very last thing left of the pool: every half dropped and no other buffer in use.
pub struct PooledBuffer {
    raw: RawHandle,
    metadata: AudioMetadata,
}

// SAFETY: the handle is unique for its samples; `SharedPtr` is a shared reference to `Sync` data; the list push orders
// what this thread wrote before what the next owner reads.
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

    /// Takes the handle apart without releasing the buffer.
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

    /// The words of the handle.
    #[inline(always)]
    pub(super) const fn raw(&self) -> &RawHandle {
        &self.raw
    }

    /// Zeroes the whole buffer.
    pub(super) fn silence(&mut self) {
        // SAFETY: the only handle for its buffer.
        unsafe { self.raw.silence() }
    }

    /// Samples the buffer can hold: its class.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.raw.size_class().samples as usize
    }

    /// The number of the buffer in its pool: the same each time this memory is acquired as this buffer.
    #[must_use]
    pub fn slot_index(&self) -> u32 {
        self.raw.index.raw()
    }

    /// The address of the samples.
    #[must_use]
    pub fn address(&self) -> usize {
        self.raw.samples.as_ptr().addr()
    }

    /// The description of the samples.
    #[must_use]
    pub const fn metadata(&self) -> &AudioMetadata {
        &self.metadata
    }

    /// Sets the description of the samples.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let mut block = audio.acquire(256)?;
    /// let metadata = AudioMetadata { sample_rate_hz: 48_000.0, ..AudioMetadata::default() };
    /// block.set_metadata(metadata);
    /// assert_eq!(block.metadata().sample_rate_hz, 48_000.0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub const fn set_metadata(&mut self, metadata: AudioMetadata) {
        self.metadata = metadata;
    }

    /// Ends writing: from now on the samples are shared and read only. The address stays.
    ///
    /// # Real-time
    /// Two plain stores.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let shared = audio.acquire_silent(256)?.freeze();
    /// let reader = shared.clone();
    /// drop(shared);
    /// // `reader` still has the buffer.
    /// assert_eq!((reader[0], control.leased()), (0.0, 1));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn freeze(self) -> BufferRef {
        let metadata = self.metadata;
        let raw = self.into_raw();
        let slot = raw.slot();
        slot.mark_frozen();
        // Relaxed: nobody else has the buffer. Whoever gets a clone gets it by a synchronising transfer that orders this.
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

/// A frozen buffer: shared by count, read only. The last drop releases it.
///
/// # Real-time
/// A clone and a drop are one atomic operation each; the last drop adds one lock-free push.
///
/// # Panics
/// A clone beyond two thousand million clones of one buffer.
///
/// # Examples
/// Writing does not compile:
/// ```compile_fail,E0594
/// # use wavepool_core::BufferPool;
/// let (_control, half) = BufferPool::builder().class(256, 1).build().unwrap();
/// let mut shared = half.acquire(256).unwrap().freeze();
/// shared[0] = 1.0;
/// ```
pub struct BufferRef {
    raw: RawHandle,
    metadata: AudioMetadata,
}

// SAFETY: reads only; the count and the push order every read before the next owner writes.
unsafe impl Send for BufferRef {}
// SAFETY: as above.
unsafe impl Sync for BufferRef {}

impl BufferRef {
    /// The first reference to samples that were never writable.
    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    pub(crate) fn of_file(raw: RawHandle, metadata: AudioMetadata) -> Self {
        let buffer = PooledBuffer { raw, metadata };
        buffer.freeze()
    }

    /// Samples the buffer can hold: its class. A window of a mapped file has its own length, since the file may end
    /// with it.
    #[must_use]
    pub fn capacity(&self) -> usize {
        match self.raw.size_class().on_release {
            #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
            OnRelease::ReadOnly => self.raw.len as usize,
            OnRelease::Leave | OnRelease::Scrub => self.raw.size_class().samples as usize,
        }
    }

    /// The number of the buffer in its pool.
    #[must_use]
    pub fn slot_index(&self) -> u32 {
        self.raw.index.raw()
    }

    /// The address of the samples.
    #[must_use]
    pub fn address(&self) -> usize {
        self.raw.samples.as_ptr().addr()
    }

    /// The description of the samples.
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

#[cfg(test)]
#[cfg(not(loom))]
#[path = "buffer_tests.rs"]
mod tests;

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
#![allow(unsafe_code)] // Writes and releases what a handle owns.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use super::pool_state::OnRelease;
use super::raw_handle::{RawHandle, add_reference, drop_reference};
use crate::sync::atomic::Ordering;

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
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let block = audio.acquire(200)?;
    /// assert_eq!((block.len(), block.capacity()), (200, 256));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.raw.size_class().samples as usize
    }

    /// The number of the buffer in its pool: the same each time this memory is acquired as this buffer.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let block = audio.acquire(200)?;
    /// assert!(control.slots().any(|slot| slot.index == block.slot_index()));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn slot_index(&self) -> u32 {
        self.raw.index.raw()
    }

    /// The address of the samples.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let block = audio.acquire(200)?;
    /// assert_eq!(block.address() % 64, 0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn address(&self) -> usize {
        self.raw.samples.as_ptr().addr()
    }

    /// The description of the samples.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let block = audio.acquire(200)?;
    /// assert_eq!(block.metadata(), &AudioMetadata::default());
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
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
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let block = audio.acquire(200)?.freeze();
    /// assert_eq!((block.len(), block.capacity()), (200, 256));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        match self.raw.size_class().on_release {
            #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
            OnRelease::ReadOnly => self.raw.len as usize,
            OnRelease::Leave | OnRelease::Scrub => self.raw.size_class().samples as usize,
        }
    }

    /// The number of the buffer in its pool.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let block = audio.acquire(200)?.freeze();
    /// assert!(control.slots().any(|slot| slot.index == block.slot_index()));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn slot_index(&self) -> u32 {
        self.raw.index.raw()
    }

    /// The address of the samples.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let block = audio.acquire(200)?.freeze();
    /// assert_eq!(block.address() % 64, 0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn address(&self) -> usize {
        self.raw.samples.as_ptr().addr()
    }

    /// The description of the samples.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let mut block = audio.acquire(200)?;
    /// block.set_metadata(AudioMetadata { channels: 2, ..AudioMetadata::default() });
    /// assert_eq!(block.freeze().metadata().channels, 2);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
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

#[cfg(test)]
#[cfg(not(loom))]
#[path = "buffer_tests.rs"]
mod tests;

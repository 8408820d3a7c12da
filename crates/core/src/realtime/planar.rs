//! The handles of several channels: one buffer per channel, acquired, shared and released together.
#![allow(unsafe_code)] // Makes slices of arena memory for the handle that owns it.

use core::mem::ManuallyDrop;
use core::panic::Location;
use core::slice;

use super::buffer::{AudioMetadata, PooledBuffer};
use super::planes::{NEAR, Planes};
use super::raw_handle::{RawHandle, add_reference, drop_reference};
use super::realtime_pool::RealtimePool;
use super::size_class::SizeClass;
use super::slot_table::{OptionalIndex, SlotIndex};
use crate::error::PoolError;
use crate::sync::atomic::Ordering;

/// The most channels of a [`PlanarBuffer`].
pub const MAX_CHANNELS: usize = 16;

/// One buffer per channel with one owner, acquired all or nothing.
///
/// # Real-time
/// As for [`PooledBuffer`], channel by channel.
///
/// # Panics
/// [`channel`](Self::channel) and [`channel_mut`](Self::channel_mut) with a channel the buffer does not have.
pub struct PlanarBuffer {
    planes: Planes,
    metadata: AudioMetadata,
}

// SAFETY: as for `PooledBuffer`.
unsafe impl Send for PlanarBuffer {}
// SAFETY: as for `PooledBuffer`.
unsafe impl Sync for PlanarBuffer {}

impl PlanarBuffer {
    /// A handle of one or two buffers that the caller owns. For one channel, both are the same.
    #[inline(always)]
    pub(super) fn new(raw: [&RawHandle; NEAR], channels: u8, frames: u32) -> Self {
        Self {
            planes: Planes {
                size_classes: raw.map(|raw| raw.size_class),
                near: raw.map(|raw| raw.samples),
                slots: raw.map(|raw| raw.index),
                channels,
                frames,
            },
            metadata: AudioMetadata {
                channels: u16::from(channels),
                ..AudioMetadata::default()
            },
        }
    }

    /// Adds a channel, whose buffer the caller owns, after the `last` one.
    fn push(&mut self, last: SlotIndex, index: SlotIndex) {
        let link = &self.planes.pool().table.slot(last).state.next;
        link.set(OptionalIndex::some(index));
        self.planes.channels += 1;
        self.metadata.channels += 1;
    }

    pub(super) fn silence(&mut self) {
        // SAFETY: the only handle for these buffers, borrowed exclusively.
        for mut raw in unsafe { self.planes.raws() } {
            // SAFETY: as above.
            unsafe { raw.silence() }
        }
    }

    /// Channels.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?;
    /// assert_eq!(stereo.channels(), 2);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn channels(&self) -> usize {
        usize::from(self.planes.channels)
    }

    /// Samples per channel.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?;
    /// assert_eq!(stereo.frames(), 128);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn frames(&self) -> usize {
        self.planes.frames as usize
    }

    /// One channel's samples. From the third channel on, each call walks over the links of those before it;
    /// [`iter`](Self::iter) takes one step for each.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?;
    /// assert_eq!(stereo.channel(1), [0.0; 128]);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn channel(&self, channel: usize) -> &[f32] {
        self.planes.read(channel)
    }

    /// One channel's samples, to write.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let mut stereo = audio.acquire_planar_silent(2, 128)?;
    /// stereo.channel_mut(1).fill(0.5);
    /// assert_eq!((stereo.channel(0)[0], stereo.channel(1)[0]), (0.0, 0.5));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[inline]
    pub fn channel_mut(&mut self, channel: usize) -> &mut [f32] {
        let (samples, len) = self.planes.samples(channel);
        // SAFETY: as in `RawHandle::write`; this is the only handle for the buffer, borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(samples, len) }
    }

    /// Each channel's samples, in order.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?;
    /// assert!(stereo.iter().all(|channel| channel == [0.0; 128]));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.planes.read_each()
    }

    /// Each channel's samples, in order, to write.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let mut stereo = audio.acquire_planar_silent(2, 128)?;
    /// for channel in stereo.iter_mut() {
    ///     channel.fill(0.5);
    /// }
    /// assert_eq!(stereo.channel(1), [0.5; 128]);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[inline]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let frames = self.frames();
        self.planes.each().map(move |samples| {
            // SAFETY: as in `channel_mut`; each channel is a buffer of its own, and comes once. Borrowed exclusively as
            // long as any slice is.
            unsafe { slice::from_raw_parts_mut(samples.as_ptr(), frames) }
        })
    }

    /// The number of one channel's buffer in its pool.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?;
    /// assert_ne!(stereo.slot_index(0), stereo.slot_index(1));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn slot_index(&self, channel: usize) -> u32 {
        self.planes.index(channel).raw()
    }

    /// The description of the samples.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?;
    /// assert_eq!(stereo.metadata().channels, 2);
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
    /// let mut stereo = audio.acquire_planar_silent(2, 128)?;
    /// stereo.set_metadata(AudioMetadata { first_frame: 128, ..*stereo.metadata() });
    /// assert_eq!((stereo.metadata().channels, stereo.metadata().first_frame), (2, 128));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub const fn set_metadata(&mut self, metadata: AudioMetadata) {
        self.metadata = metadata;
    }

    /// Each channel by itself, with the description of all and its own number. Those not taken are released.
    ///
    /// # Real-time
    /// Touches nothing but handles.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let [left, right] = audio.acquire_planar(2, 128)?.into_channels().collect::<Vec<_>>().try_into().ok().unwrap();
    /// assert_eq!((left.len(), right.len()), (128, 128));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn into_channels(self) -> impl Iterator<Item = PooledBuffer> {
        let buffer = ManuallyDrop::new(self);
        // SAFETY: the only handle for these buffers, which is not dropped.
        let mut raws = unsafe { buffer.planes.raws() }.enumerate();
        let channels: [_; MAX_CHANNELS] = core::array::from_fn(|_| {
            let (channel, raw) = raws.next()?;
            let mut one = PooledBuffer::new(raw);
            one.set_metadata(AudioMetadata {
                channel: channel as u16,
                ..buffer.metadata
            });
            Some(one)
        });
        channels.into_iter().flatten()
    }

    /// Ends writing: from now on the samples are shared and read only.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let mut stereo = audio.acquire_planar_silent(2, 128)?;
    /// stereo.channel_mut(0).fill(0.5);
    /// let shared = stereo.freeze();
    /// let reader = std::thread::spawn(move || shared.channel(0)[0]);
    /// assert_eq!(reader.join().unwrap(), 0.5);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn freeze(self) -> PlanarRef {
        let buffer = ManuallyDrop::new(self);
        let planes = buffer.planes;
        // SAFETY: the only handle for these buffers, which is not dropped.
        unsafe { planes.raws() }.for_each(|raw| raw.slot().mark_frozen());
        // Relaxed: as in `PooledBuffer::freeze`.
        planes.first_slot().extent.refs.store(1, Ordering::Relaxed);
        PlanarRef {
            planes,
            metadata: buffer.metadata,
        }
    }
}

impl RealtimePool {
    /// One buffer per channel, all or nothing.
    ///
    /// # Real-time
    /// Wait-free, per channel as [`acquire`](Self::acquire), and cheaper than that for two.
    ///
    /// # Errors
    /// [`ChannelCount`](PoolError::ChannelCount), and as for [`scratch`](Self::scratch): then nothing was taken, and one refused
    /// request is counted.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let mut stereo = audio.acquire_planar(2, 128)?;
    /// stereo.channel_mut(0).fill(0.5);
    /// stereo.channel_mut(1).fill(-0.5);
    /// assert_eq!((stereo.channels(), stereo.frames()), (2, 128));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[track_caller]
    pub fn acquire_planar(
        &self,
        channels: usize,
        frames: usize,
    ) -> Result<PlanarBuffer, PoolError> {
        let site = Location::caller();
        if channels == 0 || channels > MAX_CHANNELS {
            return Err(PoolError::ChannelCount {
                requested: channels,
                most: MAX_CHANNELS,
            });
        }
        // One class for all channels.
        let Some((bucket, own)) = self.owned.table().find(frames) else {
            return Err(self.refuse(frames));
        };
        if channels == 2
            && let Some(pair) = self.take_pair_of(bucket, own, frames, site)
        {
            // Built where it is returned: a handle to which channels may be added is built elsewhere, and copied.
            return Ok(PlanarBuffer::new(pair.each_ref(), 2, frames as u32));
        }
        // Only this half takes idle buffers, so that they are still there when the channels are taken one by one.
        if channels > 1 && !self.has_idle(own, channels as u32) {
            self.half().count_demand(bucket, 1);
            return Err(self.refuse(frames));
        }
        let planar = self.acquire_one_by_one(channels, frames, bucket, own, site);
        planar.ok_or_else(|| self.refuse(frames))
    }

    #[inline(never)]
    fn acquire_one_by_one(
        &self,
        channels: usize,
        frames: usize,
        bucket: usize,
        own: &SizeClass,
        site: &'static Location<'static>,
    ) -> Option<PlanarBuffer> {
        let take = || self.take_of(bucket, own, frames, site);
        let first = take()?;
        if channels == 1 {
            return Some(PlanarBuffer::new([&first, &first], 1, frames as u32));
        }
        let Some(second) = take() else {
            self.release(PooledBuffer::new(first));
            return None;
        };
        let mut buffer = PlanarBuffer::new([&first, &second], 2, frames as u32);
        let mut last = second.index;
        while buffer.channels() < channels {
            let raw = take()?;
            buffer.push(last, raw.index);
            last = raw.index;
        }
        Some(buffer)
    }

    /// [`acquire_planar`](Self::acquire_planar), zeroed.
    ///
    /// # Errors
    /// As for [`acquire_planar`](Self::acquire_planar).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?;
    /// assert_eq!(stereo.channel(1), [0.0; 128]);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[track_caller]
    pub fn acquire_planar_silent(
        &self,
        channels: usize,
        frames: usize,
    ) -> Result<PlanarBuffer, PoolError> {
        let mut buffer = self.acquire_planar(channels, frames)?;
        buffer.silence();
        Ok(buffer)
    }

    /// [`release`](Self::release), channel by channel.
    ///
    /// # Real-time
    /// As there.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?;
    /// audio.release_planar(stereo);
    /// assert_eq!(control.leased(), 0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn release_planar(&self, buffer: PlanarBuffer) {
        let buffer = ManuallyDrop::new(buffer);
        let [first, second] = buffer.planes.size_classes;
        let size_class = buffer.planes.size_class();
        let of_one_list = first == second && size_class.owner == self.key;
        // A buffer that the cache expects returns to it.
        let known = buffer
            .planes
            .slots
            .iter()
            .any(|&slot| size_class.cache.last_is(slot));
        if buffer.channels() != 2 || !of_one_list || known {
            // SAFETY: the only handle, which is not dropped.
            return unsafe { self.release_one_by_one(buffer.planes) };
        }
        // SAFETY: the only handle, which is not dropped.
        unsafe { buffer.planes.release_pair() };
        if self.quantum.has_subscribers {
            size_class.returns_published.add(2);
            self.publish_recycling(size_class, 2);
        }
    }

    /// Releases each channel by itself.
    ///
    /// # Safety
    /// The only handle for these buffers, not used again.
    #[inline(never)]
    unsafe fn release_one_by_one(&self, planes: Planes) {
        // SAFETY: the caller's contract.
        for raw in unsafe { planes.raws() } {
            // SAFETY: the caller's contract, channel by channel.
            unsafe { self.release_raw(raw.size_class, raw.samples, raw.index) };
        }
    }
}

impl Drop for PlanarBuffer {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the only handle for these buffers, going away.
        unsafe { self.planes.release_remote::<false>() }
    }
}

/// A frozen [`PlanarBuffer`]: shared by count, read only. The last drop releases every channel.
///
/// # Panics
/// [`channel`](Self::channel) with a channel the buffer does not have.
pub struct PlanarRef {
    planes: Planes,
    metadata: AudioMetadata,
}

// SAFETY: as for `BufferRef`.
unsafe impl Send for PlanarRef {}
// SAFETY: as for `BufferRef`.
unsafe impl Sync for PlanarRef {}

impl PlanarRef {
    /// Channels.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?.freeze();
    /// assert_eq!(stereo.channels(), 2);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn channels(&self) -> usize {
        usize::from(self.planes.channels)
    }

    /// Samples per channel.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?.freeze();
    /// assert_eq!(stereo.frames(), 128);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn frames(&self) -> usize {
        self.planes.frames as usize
    }

    /// One channel's samples. From the third channel on, each call walks over the links of those before it;
    /// [`iter`](Self::iter) takes one step for each.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?.freeze();
    /// assert_eq!(stereo.channel(1), [0.0; 128]);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn channel(&self, channel: usize) -> &[f32] {
        self.planes.read(channel)
    }

    /// Each channel's samples, in order.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?.freeze();
    /// assert!(stereo.iter().all(|channel| channel == [0.0; 128]));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.planes.read_each()
    }

    /// The number of one channel's buffer in its pool.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?.freeze();
    /// assert_ne!(stereo.slot_index(0), stereo.slot_index(1));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn slot_index(&self, channel: usize) -> u32 {
        self.planes.index(channel).raw()
    }

    /// The description of the samples.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let stereo = audio.acquire_planar_silent(2, 128)?.freeze();
    /// assert_eq!(stereo.metadata().channels, 2);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub const fn metadata(&self) -> &AudioMetadata {
        &self.metadata
    }
}

impl Clone for PlanarRef {
    fn clone(&self) -> Self {
        add_reference(&self.planes.first_slot().extent.refs);
        Self {
            planes: self.planes,
            metadata: self.metadata,
        }
    }
}

impl Drop for PlanarRef {
    #[inline]
    fn drop(&mut self) {
        if drop_reference(&self.planes.first_slot().extent.refs) {
            // SAFETY: the last handle for these buffers, going away.
            unsafe { self.planes.release_remote::<true>() }
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "planar_tests.rs"]
mod tests;

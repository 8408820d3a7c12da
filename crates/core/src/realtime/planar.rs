//! The handles of several channels: one buffer per channel, acquired, shared and released together.
#![allow(unsafe_code)] // Makes slices of arena memory for the handle that owns it.

use core::mem::ManuallyDrop;
use core::panic::Location;
use core::ptr::NonNull;
use core::slice;

use super::buffer::{AudioMetadata, PooledBuffer, RawHandle, add_reference, drop_reference};
use super::pool_core::core_of;
use super::pool_state::PoolState;
use super::realtime_pool::RealtimePool;
use super::shared_ptr::SharedPtr;
use super::size_class::SizeClass;
use super::slot_table::{OptionalIndex, Slot, SlotIndex};
use crate::error::PoolError;
use crate::sync::atomic::Ordering;

/// The most channels of a [`PlanarBuffer`].
pub const MAX_CHANNELS: usize = 16;

/// Channels whose size class and sample address are part of the handle.
const NEAR: usize = 2;

/// The buffers of a planar handle, one per channel; all of them have the same requested length.
#[derive(Clone, Copy)]
struct Planes {
    /// Size class and sample address of the first channels, so that mono and stereo need not read their slots.
    size_classes: [SharedPtr<SizeClass>; NEAR],
    near: [NonNull<f32>; NEAR],
    /// The slots of these. Each further channel's slot is the `next` of the one before: that word belongs to the
    /// handle.
    slots: [SlotIndex; NEAR],
    channels: u8,
    frames: u32,
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
    fn size_class(&self) -> &SizeClass {
        // SAFETY: a handle's buffers are carved, so that their size classes live.
        unsafe { self.size_classes[0].get() }
    }

    #[inline(always)]
    fn pool(&self) -> &PoolState {
        self.size_class().pool()
    }

    fn index(&self, channel: usize) -> SlotIndex {
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
    unsafe fn raws(self) -> impl Iterator<Item = RawHandle> {
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
    fn first_slot(&self) -> Slot<'_> {
        self.pool().table.slot(self.slots[0])
    }

    /// The address of a channel's samples, and how many there are.
    #[inline]
    fn samples(&self, channel: usize) -> (*mut f32, usize) {
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
    fn each(&self) -> impl Iterator<Item = NonNull<f32>> {
        let (pool, near, mut last) = (self.pool(), self.near, self.slots[NEAR - 1]);
        (0..usize::from(self.channels)).map(move |channel| {
            near.get(channel).copied().unwrap_or_else(|| {
                last = next_of(pool, last);
                pool.samples_at(pool.table.slot(last))
            })
        })
    }

    #[inline]
    fn read_each(&self) -> impl Iterator<Item = &[f32]> {
        let frames = self.frames as usize;
        // SAFETY: as in `RawHandle::read`; the planes keep the buffers as long as they are borrowed.
        self.each()
            .map(move |samples| unsafe { slice::from_raw_parts(samples.as_ptr(), frames) })
    }

    #[inline]
    fn read(&self, channel: usize) -> &[f32] {
        let (samples, len) = self.samples(channel);
        // SAFETY: as in `RawHandle::read`; the planes keep the buffer as long as they are borrowed.
        unsafe { slice::from_raw_parts(samples, len) }
    }

    /// Releases the first two, which belong to one size class, on their owner's thread.
    ///
    /// # Safety
    /// The only handle for these buffers, not used again.
    #[inline(always)]
    unsafe fn release_pair(self) {
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
    unsafe fn release_remote<const FROZEN: bool>(self) {
        // SAFETY: the caller's contract.
        for raw in unsafe { self.raws() } {
            // SAFETY: the caller's contract, channel by channel.
            unsafe { RawHandle::release_remote::<FROZEN>(raw.size_class, raw.samples, raw.index) }
        }
    }
}

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
    #[must_use]
    pub fn channels(&self) -> usize {
        usize::from(self.planes.channels)
    }

    /// Samples per channel.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.planes.frames as usize
    }

    /// One channel's samples. From the third channel on, each call walks over the links of those before it;
    /// [`iter`](Self::iter) takes one step for each.
    #[inline]
    #[must_use]
    pub fn channel(&self, channel: usize) -> &[f32] {
        self.planes.read(channel)
    }

    /// One channel's samples, to write.
    #[inline]
    pub fn channel_mut(&mut self, channel: usize) -> &mut [f32] {
        let (samples, len) = self.planes.samples(channel);
        // SAFETY: as in `RawHandle::write`; this is the only handle for the buffer, borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(samples, len) }
    }

    /// Each channel's samples, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.planes.read_each()
    }

    /// Each channel's samples, in order, to write.
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
    #[must_use]
    pub fn slot_index(&self, channel: usize) -> u32 {
        self.planes.index(channel).raw()
    }

    /// The description of the samples.
    #[must_use]
    pub const fn metadata(&self) -> &AudioMetadata {
        &self.metadata
    }

    /// Sets the description of the samples.
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
    #[must_use]
    pub fn channels(&self) -> usize {
        usize::from(self.planes.channels)
    }

    /// Samples per channel.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.planes.frames as usize
    }

    /// One channel's samples. From the third channel on, each call walks over the links of those before it;
    /// [`iter`](Self::iter) takes one step for each.
    #[inline]
    #[must_use]
    pub fn channel(&self, channel: usize) -> &[f32] {
        self.planes.read(channel)
    }

    /// Each channel's samples, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.planes.read_each()
    }

    /// The number of one channel's buffer in its pool.
    #[must_use]
    pub fn slot_index(&self, channel: usize) -> u32 {
        self.planes.index(channel).raw()
    }

    /// The description of the samples.
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

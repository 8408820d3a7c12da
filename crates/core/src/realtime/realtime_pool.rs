//! The half that a real-time thread owns. It has no method that can allocate, lock, or loop without a bound.
#![allow(unsafe_code)] // A released handle is ended where it lies.

use alloc::boxed::Box;
use core::cell::Cell;
use core::marker::PhantomData;
use core::panic::Location;
use core::ptr::NonNull;

use super::buffer::{PooledBuffer, Scratch};
use super::half::Half;
use super::one_slot_cache::{AcquireKind, TakenBuffer};
use super::owned_half::OwnedHalf;
use super::raw_handle::RawHandle;
use super::shared_ptr::SharedPtr;
use super::size_class::{HalfKey, SizeClass};
use super::slot_table::SlotIndex;
use crate::error::PoolError;
use crate::observer::PoolObserver;

/// The options that a real-time half was built with.
#[derive(Clone, Copy)]
pub(crate) struct HalfOptions {
    pub(crate) borrow: bool,
    /// One in this many acquires has its call site recorded; a power of two.
    pub(crate) sample_every: u64,
}

/// A half of the pool for one real-time thread: `Send`, not `Sync`.
///
/// It owns its buffers: each size class has a local list of idle ones, and an inbox to which other threads release. No
/// method allocates, frees, locks, makes a system call or loops without a bound. An acquire from an empty class
/// returns an error with numbers.
///
/// # Real-time
/// [`scratch`](Self::scratch), [`acquire`](Self::acquire), [`release`](Self::release) of its own buffers and
/// [`begin_quantum`](Self::begin_quantum) are wait-free. Dropping the half hands its lists to the control half in one
/// store and frees nothing while that exists. If this is the last half of all and no buffer is in use, dropping it
/// frees the pool's memory: drop the control half last.
///
/// # Examples
/// It moves to its thread, and cannot be shared:
/// ```compile_fail,E0277
/// # use wavepool_core::BufferPool;
/// let (_control, half) = BufferPool::builder().class(256, 4).build().unwrap();
/// std::thread::scope(|scope| { scope.spawn(|| half.acquire(256).is_ok()); });
/// ```
/// A [`Scratch`] does not outlive it, or the quantum:
/// ```compile_fail,E0505
/// # use wavepool_core::BufferPool;
/// let (_control, half) = BufferPool::builder().class(256, 4).build().unwrap();
/// let scratch = half.scratch(256).unwrap();
/// drop(half);
/// scratch.len();
/// ```
/// ```compile_fail,E0502
/// # use wavepool_core::BufferPool;
/// let (_control, mut half) = BufferPool::builder().class(256, 4).build().unwrap();
/// let scratch = half.scratch(256).unwrap();
/// half.begin_quantum(128);
/// scratch.len();
/// ```
pub struct RealtimePool {
    pub(super) owned: OwnedHalf,
    pub(super) key: HalfKey,
    /// First frame of the quantum under way, for events and call sites.
    pub(super) first_frame: Option<u64>,
    pub(super) options: HalfOptions,
    pub(super) observer: Option<Box<dyn PoolObserver>>,
    pub(super) quantum: Quantum,
    not_sync: PhantomData<Cell<()>>,
}

/// The state of a half from one quantum to the next.
pub(super) struct Quantum {
    /// Whether the allocation or recycling events had subscribers when this quantum began.
    pub(super) has_subscribers: bool,
    /// An acquire is recorded or published if its count has none of these bits: one in `sample_every`, or each (the mask
    /// is 0) while there are subscribers.
    pub(super) unsampled_mask: u64,
    /// Whether a class had work left when it was last served.
    pub(super) needs_service: bool,
    /// The request epoch when all classes were last served.
    pub(super) acknowledged_epoch: u32,
    /// The class served last.
    pub(super) turn: usize,
}

impl Quantum {
    /// The first quantum serves every class: it is not known what was requested of a former owner.
    const fn new(sample_every: u64) -> Self {
        Self {
            has_subscribers: false,
            unsampled_mask: sample_every - 1,
            needs_service: true,
            acknowledged_epoch: 0,
            turn: 0,
        }
    }
}

impl RealtimePool {
    pub(crate) fn new(owned: OwnedHalf, options: HalfOptions) -> Self {
        Self {
            key: HalfKey::new(owned.pool(), owned.half().id),
            owned,
            first_frame: None,
            options,
            observer: None,
            quantum: Quantum::new(options.sample_every),
            not_sync: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn half(&self) -> &Half {
        self.owned.half()
    }

    /// The number of the half: [`PoolControl`](crate::PoolControl) uses it too.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let (mut control, audio) = BufferPool::builder().class(256, 4).limit_samples(4096).build()?;
    /// let other = control.attach()?;
    /// assert_ne!(other.id(), audio.id());
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> u16 {
        self.half().id
    }

    /// Takes apart a half whose owner died in the middle of an operation, without touching its lists. Returns its
    /// number, for [`PoolControl::reclaim`], and its publisher. Dropping the publisher frees its lane on the bus, once
    /// its events are delivered. Nothing may be published through it any more.
    ///
    /// The half stays attached until the control half reclaims it.
    ///
    /// [`PoolControl::reclaim`]: crate::PoolControl::reclaim
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let block = audio.acquire(256)?;
    /// let (half, _observer) = audio.abandon();
    /// // SAFETY: the owner and its handles are gone: they are not used again.
    /// let reclaimed = unsafe { control.reclaim(half) };
    /// assert_eq!(reclaimed.count, 1);
    /// std::mem::forget(block);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn abandon(mut self) -> (u16, Option<Box<dyn PoolObserver>>) {
        let (id, observer) = (self.id(), self.observer.take());
        // Neither the half is detached nor its pool reference dropped: `reclaim` does both.
        core::mem::forget(self);
        (id, observer)
    }

    /// Acquires a buffer for the length of this borrow. See [`Scratch`].
    ///
    /// # Real-time
    /// Wait-free, without atomic operations unless the inbox has to be emptied.
    ///
    /// # Errors
    /// [`Exhausted`](PoolError::Exhausted), [`TooLarge`](PoolError::TooLarge), [`ZeroLength`](PoolError::ZeroLength).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// audio.begin_quantum(0);
    /// let mut window = audio.scratch(200)?;
    /// window.fill(0.5);
    /// assert_eq!(window.iter().sum::<f32>(), 100.0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    // See `docs/decisions/0011-hot-path-inlined-with-a-fast-path-credit.md`.
    #[inline(always)] // A call would return the handle through memory: written in pieces, read back whole, 10 ns.
    pub fn scratch(&self, samples: usize) -> Result<Scratch<'_>, PoolError> {
        match self.find(samples, AcquireKind::Scratch, false) {
            Some((size_class, taken)) => Ok(Scratch::new(RawHandle::new(
                size_class,
                taken,
                samples as u32,
            ))),
            None => Err(self.refuse(samples)),
        }
    }

    /// Finds an idle buffer for a request.
    #[inline(always)]
    fn find(
        &self,
        samples: usize,
        kind: AcquireKind,
        critical: bool,
    ) -> Option<(&SizeClass, TakenBuffer)> {
        let (bucket, class) = self.owned.table().guess(samples);
        // The cache serves most acquires. It is tried first, and checks by itself whether its buffer is large enough.
        if let Some(taken) = class.cache.take(kind, samples) {
            self.half().count_demand(bucket, 1);
            return Some((class, taken));
        }
        if !class.serves(samples) {
            return self.find_by_scan(samples, kind, critical);
        }
        self.half().count_demand(bucket, 1);
        match class.take_from_list(kind, samples as u32) {
            Some(taken) => Some((class, taken)),
            None => self.acquire_slow_path(class, samples, kind, critical),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_by_scan(
        &self,
        samples: usize,
        kind: AcquireKind,
        critical: bool,
    ) -> Option<(&SizeClass, TakenBuffer)> {
        let (bucket, own) = self.owned.table().find(samples)?;
        self.find_of(bucket, own, samples, kind, critical)
    }

    /// [`find`](Self::find) where bucket and class of the request are known.
    #[inline(always)]
    fn find_of<'half>(
        &'half self,
        bucket: usize,
        own: &'half SizeClass,
        samples: usize,
        kind: AcquireKind,
        critical: bool,
    ) -> Option<(&'half SizeClass, TakenBuffer)> {
        self.half().count_demand(bucket, 1);
        match own.take(kind, samples as u32) {
            Some(taken) => Some((own, taken)),
            None => self.acquire_slow_path(own, samples, kind, critical),
        }
    }

    /// Acquires a buffer to own and move. Its samples are whatever the last use left (debug builds: NaN).
    ///
    /// # Real-time
    /// Wait-free.
    ///
    /// # Errors
    /// As for [`scratch`](Self::scratch).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let mut block = audio.acquire(200)?;
    /// block.fill(0.5);
    /// assert_eq!((block.len(), block.capacity()), (200, 256));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[inline(always)]
    #[track_caller]
    pub fn acquire(&self, samples: usize) -> Result<PooledBuffer, PoolError> {
        match self.take(samples, false, Location::caller()) {
            Some(held) => Ok(PooledBuffer::new(held)),
            None => Err(self.refuse(samples)),
        }
    }

    /// [`acquire`](Self::acquire), zeroed: the whole class, in time proportional to its size.
    ///
    /// # Errors
    /// As for [`scratch`](Self::scratch).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// assert!(audio.acquire_silent(200)?.iter().all(|&sample| sample == 0.0));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[inline(always)]
    #[track_caller]
    pub fn acquire_silent(&self, samples: usize) -> Result<PooledBuffer, PoolError> {
        let mut buffer = self.acquire(samples)?;
        buffer.silence();
        Ok(buffer)
    }

    /// [`acquire`](Self::acquire) that may use the buffers kept by
    /// [`ExhaustionPolicy::Reserve`](crate::ExhaustionPolicy::Reserve).
    ///
    /// # Errors
    /// As for [`scratch`](Self::scratch).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let builder = BufferPool::builder().class(256, 4);
    /// let (_control, audio) = builder.exhaustion(ExhaustionPolicy::Reserve(1)).build()?;
    /// let blocks: Vec<_> = std::iter::from_fn(|| audio.acquire(256).ok()).collect();
    /// assert_eq!(blocks.len(), 3);
    /// assert!(audio.acquire_critical(256).is_ok());
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[track_caller]
    pub fn acquire_critical(&self, samples: usize) -> Result<PooledBuffer, PoolError> {
        match self.take(samples, true, Location::caller()) {
            Some(held) => Ok(PooledBuffer::new(held)),
            None => Err(self.refuse(samples)),
        }
    }

    /// Releases a buffer. One of this half's own goes to its local list; another half's goes to the inbox of its size class
    /// there, as by a plain drop.
    ///
    /// # Real-time
    /// Wait-free for its own, lock-free for others'.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let block = audio.acquire(256)?;
    /// audio.release(block);
    /// assert_eq!(control.leased(), 0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[inline(always)] // As for `scratch`: the handle comes through memory otherwise.
    pub fn release(&self, buffer: PooledBuffer) {
        let &RawHandle {
            size_class,
            samples,
            index,
            ..
        } = buffer.raw();
        core::mem::forget(buffer);
        // SAFETY: the words of the only handle, forgotten above.
        unsafe { self.release_raw(size_class, samples, index) };
    }

    /// Releases the buffer of a handle that was taken apart.
    ///
    /// # Safety
    /// The words are of the only handle for the buffer, and that is not used again.
    #[inline(always)]
    pub(super) unsafe fn release_raw(
        &self,
        size_class: SharedPtr<SizeClass>,
        samples: NonNull<f32>,
        index: SlotIndex,
    ) {
        // SAFETY: the handle keeps its size class alive; after the release the owner's table does, which names each size
        // class that has buffers.
        let class = unsafe { size_class.get() };
        if class.owner != self.key {
            // SAFETY: the caller's contract: the words of the only handle, which is not used again.
            return unsafe { RawHandle::release_remote::<false>(size_class, samples, index) };
        }
        // A release build wipes samples only where a class scrubs: its buffers are never in the cache.
        if cfg!(debug_assertions) {
            // SAFETY: as above. One sample is in every buffer.
            unsafe { RawHandle::from_parts(size_class, samples, index, 1).wipe() };
        }
        // SAFETY: as above; this is the owner's thread, and the size class is of this half.
        if !unsafe { class.put_back(index) } {
            // SAFETY: as above; this is the owner's thread, and the size class is of this half.
            unsafe { RawHandle::release_local(size_class, samples, index) };
        }
        if self.quantum.has_subscribers {
            self.publish_return(class);
        }
    }

    #[inline(always)]
    fn take(
        &self,
        samples: usize,
        critical: bool,
        site: &'static Location<'static>,
    ) -> Option<RawHandle> {
        let found = self.find(samples, AcquireKind::Owned, critical)?;
        Some(self.finish_acquire(found, samples, site))
    }

    /// Acquires two buffers of one class at once, if [`SizeClass::pop_pair`] has them.
    #[inline(always)]
    pub(super) fn take_pair_of(
        &self,
        bucket: usize,
        own: &SizeClass,
        samples: usize,
        site: &'static Location<'static>,
    ) -> Option<[RawHandle; 2]> {
        let pair = own.take_pair(samples as u32)?;
        self.half().count_demand(bucket, 2);
        let count = pair[1].count;
        // One of the two counts, this one or the one before, is sampled.
        if count & self.quantum.unsampled_mask < 2 {
            for taken in &pair {
                self.record_acquire(own, taken.index, samples as u32, taken.count, site);
            }
        }
        Some(pair.map(|taken| RawHandle::new(own, taken, samples as u32)))
    }

    /// Records the call site of one acquire in so many, and publishes each acquire while there are subscribers.
    #[cold]
    #[inline(never)]
    fn record_acquire(
        &self,
        size_class: &SizeClass,
        index: SlotIndex,
        samples: u32,
        count: u64,
        site: &'static Location<'static>,
    ) {
        if count & (self.options.sample_every - 1) == 0 {
            let (sites, table) = (&self.half().sites, &self.owned.pool().table);
            sites.record(table, index, self.first_frame, site);
        }
        if self.quantum.has_subscribers {
            self.publish_allocation(size_class, 1, samples, index.raw());
        }
    }

    #[inline(always)]
    pub(super) fn take_of(
        &self,
        bucket: usize,
        own: &SizeClass,
        samples: usize,
        site: &'static Location<'static>,
    ) -> Option<RawHandle> {
        let found = self.find_of(bucket, own, samples, AcquireKind::Owned, false)?;
        Some(self.finish_acquire(found, samples, site))
    }

    #[inline(always)]
    fn finish_acquire(
        &self,
        (size_class, taken): (&SizeClass, TakenBuffer),
        samples: usize,
        site: &'static Location<'static>,
    ) -> RawHandle {
        if taken.count & self.quantum.unsampled_mask == 0 {
            self.record_acquire(size_class, taken.index, samples as u32, taken.count, site);
        }
        RawHandle::new(size_class, taken, samples as u32)
    }
}

impl Drop for RealtimePool {
    // Empties the caches. The field `owned` is dropped next, and detaches the half.
    fn drop(&mut self) {
        for size_class in self.owned.table().all() {
            size_class.flush_cache_and_leaked_scratch(&self.owned.pool().table);
            self.publish_pending(size_class, 0);
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "realtime_pool_tests.rs"]
mod tests;

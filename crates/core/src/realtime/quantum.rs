//! The work of a half when a quantum begins, and the events of its buffers.
//!
//! Most quanta find nothing to do, so that they read little: the request epoch, which says whether the control half
//! made a request; the word of a new class table; and one size class, each in turn. A release on another thread
//! signals nothing, since it would have to write to a cache line that every other release writes to. A class notices
//! it in its turn, or sooner when its local list is empty.

use super::realtime_pool::RealtimePool;
use super::size_class::SizeClass;
use crate::observer::{BufferPoolAllocation, BufferPoolRecycling, PoolObserver};
use alloc::boxed::Box;

/// Buffers that one class scans in one quantum, to shed them: enough for several hundred to move within 50 ms, few
/// enough to take less than a microsecond.
const SHED_PER_QUANTUM: u32 = 64;

impl RealtimePool {
    /// Attaches the observer of this half. Attach before the half moves to its thread.
    ///
    /// When [`PoolObserver::is_subscribed`] changes, that takes effect at the next
    /// [`begin_quantum`](Self::begin_quantum).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// struct Printer;
    /// impl PoolObserver for Printer {
    ///     fn is_subscribed(&self) -> bool {
    ///         true
    ///     }
    ///     fn allocated(&self, allocation: BufferPoolAllocation) {
    ///         println!("{} samples", allocation.requested);
    ///     }
    /// }
    /// audio.attach_observer(Box::new(Printer));
    /// let _block = audio.acquire(200)?;
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn attach_observer(&mut self, observer: Box<dyn PoolObserver>) {
        self.observer = Some(observer);
        self.check_subscribers();
    }

    /// Begins a callback: installs a new class table if there is one, serves requests of the control half, publishes
    /// what `Scratch` did in the quantum before, and takes in buffers that other threads released.
    ///
    /// A quantum takes in the buffers of one class, in turn, so that a buffer may wait for as many quanta as the half
    /// has classes. It serves all classes while allocations or recyclings have subscribers, or while the control half
    /// has a request. A class whose local list is empty takes its inbox in at once.
    ///
    /// # Real-time
    /// Wait-free: a bounded number of steps per class.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// for quantum in 0..10 {
    ///     audio.begin_quantum(quantum * 128);
    ///     let mut block = audio.scratch(128)?;
    ///     block.fill(0.0);
    /// }
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn begin_quantum(&mut self, first_frame: u64) {
        self.begin(Some(first_frame));
    }

    /// [`begin_quantum`](Self::begin_quantum) for a half that follows no stream: its events carry no frame.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let block = audio.acquire(200)?;
    /// std::thread::spawn(move || drop(block)).join().unwrap();
    /// audio.begin_round();
    /// assert_eq!(control.leased(), 0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn begin_round(&mut self) {
        self.begin(None);
    }

    #[inline(always)]
    fn begin(&mut self, first_frame: Option<u64>) {
        self.check_subscribers();
        if self.half().has_pending_table() {
            self.install_pending_table();
        }
        let epoch = self.owned.pool().request_epoch(self.half().id);
        if (epoch != self.quantum.acknowledged_epoch)
            | self.quantum.has_subscribers
            | self.quantum.needs_service
        {
            self.serve_all(epoch);
        } else {
            let size_class = self.owned.table().in_turn(&mut self.quantum.turn);
            if size_class.may_need_service() {
                self.quantum.needs_service = self.serve(size_class);
            }
        }
        self.first_frame = first_frame;
        self.half().frame.set(first_frame);
    }

    /// Uses the class table that the control half published last, if there is one.
    #[cold]
    #[inline(never)]
    fn install_pending_table(&mut self) {
        self.quantum.needs_service |= self.owned.install_pending_table();
    }

    #[inline(always)]
    fn check_subscribers(&mut self) {
        let has_subscribers = match &self.observer {
            Some(observer) => observer.is_subscribed(),
            None => false,
        };
        if has_subscribers != self.quantum.has_subscribers {
            self.set_publishing(has_subscribers);
        }
    }

    /// Starts or stops publishing.
    #[cold]
    fn set_publishing(&mut self, has_subscribers: bool) {
        self.quantum.has_subscribers = has_subscribers;
        self.quantum.unsampled_mask = if has_subscribers {
            0
        } else {
            self.options.sample_every - 1
        };
        self.half().set_has_subscribers(has_subscribers);
        // What had no subscriber is not published later.
        self.owned
            .table()
            .all()
            .for_each(|size_class| _ = size_class.take_unpublished());
    }

    /// Serves every class. `epoch` was read before: a request made meanwhile is served in the next quantum.
    #[inline(never)]
    fn serve_all(&mut self, epoch: u32) {
        let wanted = (epoch != self.quantum.acknowledged_epoch) | self.quantum.needs_service;
        let mut needs_service = false;
        for size_class in self.owned.table().all() {
            if wanted || size_class.may_need_service() {
                needs_service |= self.serve(size_class);
            } else {
                self.publish_pending(size_class, 0);
            }
        }
        self.quantum.needs_service = needs_service;
        self.quantum.acknowledged_epoch = if cfg!(wavepool_mutant = "epoch_read_after_the_look") {
            self.owned.pool().request_epoch(self.half().id)
        } else {
            epoch
        };
    }

    /// Serves one class. Returns whether the next quantum has to continue.
    #[inline(never)]
    fn serve(&self, size_class: &SizeClass) -> bool {
        let shed = if self.owned.pool().is_controlled() {
            SHED_PER_QUANTUM
        } else {
            0
        };
        let returned = size_class.serve(&self.owned.pool().table, shed);
        self.publish_pending(size_class, returned);
        size_class.needs_service()
    }

    /// Publishes what `Scratch` did since the last time, and `returned` further returns.
    pub(super) fn publish_pending(&self, size_class: &SizeClass, returned: u32) {
        if !self.quantum.has_subscribers {
            return;
        }
        let (scratches, returns) = size_class.take_unpublished();
        if scratches > 0 {
            self.publish_allocation(size_class, scratches, 0, u32::MAX);
        }
        self.publish_recycling(size_class, returns + returned);
    }

    /// Publishes acquires, while there are subscribers. Apart, so that an acquire of which only the call site is
    /// recorded does not save the registers that this needs.
    #[inline(never)]
    pub(super) fn publish_allocation(
        &self,
        size_class: &SizeClass,
        count: u32,
        requested: u32,
        slot: u32,
    ) {
        if let Some(observer) = &self.observer {
            observer.allocated(BufferPoolAllocation {
                class_samples: size_class.samples,
                requested,
                slot,
                count,
                half: size_class.half,
                first_frame: self.first_frame,
            });
        }
    }

    /// Publishes one buffer that was released here.
    #[cold]
    #[inline(never)]
    pub(super) fn publish_return(&self, size_class: &SizeClass) {
        size_class.returns_published.add(1);
        self.publish_recycling(size_class, 1);
    }

    pub(super) fn publish_recycling(&self, size_class: &SizeClass, count: u32) {
        if self.quantum.has_subscribers
            && count > 0
            && let Some(observer) = &self.observer
        {
            observer.recycled(BufferPoolRecycling {
                class_samples: size_class.samples,
                count,
                half: size_class.half,
                first_frame: self.first_frame,
            });
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "quantum_tests.rs"]
mod tests;

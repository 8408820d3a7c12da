//! The bridge to JavaScript: passes buffers as numbers, and counts every JavaScript object that this requires.
//!
//! The only file of the pool for JavaScript and for memory growth. It uses numbers alone, so that it runs natively
//! too. JavaScript keeps one typed array per buffer number; [`view`](WasmJsBridge::view) returns whether one has to be
//! made: at the first view of a buffer, and again after the memory grew, which detaches every array made before.

use super::boundary::{Crossings, ObjectCosts, ObjectCounts};
use super::metrics::pool_metrics::BoundaryCounts;
use wavepool_core::PoolError;
use wavepool_core::RealtimePool;
use wavepool_core::{Lease, LeaseTable, LeasedBuffer};

/// A buffer for JavaScript: a 30-bit lease number, which V8 keeps without allocating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JSBufferRef(Lease);

impl JSBufferRef {
    /// A number from JavaScript.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(Lease::from_raw(raw))
    }

    /// The number for JavaScript.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0.raw()
    }
}

/// What JavaScript needs to view a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferView {
    /// The buffer's number, under which JavaScript caches its typed array.
    pub slot: u32,
    /// Byte address of the samples.
    pub address: usize,
    /// The length of the cached typed array.
    pub capacity: usize,
    /// Requested length in samples.
    pub samples: usize,
    /// Whether JavaScript has to make the array, or make it again, before the access.
    pub make: bool,
    /// Whether JavaScript may write, which it may not after the buffer was shared. A typed array cannot be made read-only, so
    /// that the caller has to check this field.
    pub writable: bool,
}

/// A cached array of JavaScript. It is stale after the memory grew, or if the buffer's number stands for other memory.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Made {
    /// 0 if there is none.
    epoch: u32,
    address: usize,
    capacity: usize,
}

/// The most buffers whose typed array is cached: the bridge has a record for each.
pub const MAX_VIEWS: usize = 1 << 16;

/// The bridge of one participant: its leases, and the costs of its calls.
///
/// # Real-time
/// Only [`new`](Self::new) allocates.
pub struct WasmJsBridge {
    leases: LeaseTable,
    /// The cached array of each buffer number.
    made: Box<[Made]>,
    /// Incremented when the memory grows; initially 1.
    epoch: u32,
    memory_pages: usize,
    costs: Option<ObjectCosts>,
    crossings: Crossings,
}

impl WasmJsBridge {
    /// A bridge for `holder` with up to `leases` leases at a time, over a pool of `slots` buffers. A buffer with a higher
    /// number, or above [`MAX_VIEWS`], counts as newly made at each view.
    ///
    /// # Panics
    /// As for [`LeaseTable::new`]; [`try_new`](Self::try_new) returns an error instead.
    #[must_use]
    pub fn new(holder: u8, leases: usize, slots: usize) -> Self {
        Self::over(LeaseTable::new(holder, leases), slots)
    }

    /// [`new`](Self::new), but returns an error instead of panicking.
    ///
    /// # Errors
    /// [`NoSuchHolder`](PoolError::NoSuchHolder).
    pub fn try_new(holder: u8, leases: usize, slots: usize) -> Result<Self, PoolError> {
        Ok(Self::over(LeaseTable::try_of(holder, leases)?, slots))
    }

    fn over(leases: LeaseTable, slots: usize) -> Self {
        Self {
            leases,
            made: vec![Made::default(); slots.min(MAX_VIEWS)].into_boxed_slice(),
            epoch: 1,
            memory_pages: memory_pages(),
            costs: None,
            crossings: Crossings::default(),
        }
    }

    /// [`LeaseTable::abandon`] for the bridge.
    pub fn abandon(self) {
        self.leases.abandon();
    }

    /// Sets the sizes of JavaScript objects on this engine, as a benchmark measured them. Without them objects are
    /// counted, but bytes are not, and the pressure reduction reads "not measured".
    pub fn calibrate(&mut self, costs: ObjectCosts) {
        self.costs = Some(costs);
    }

    /// Acquires a zeroed buffer for JavaScript.
    ///
    /// # Errors
    /// Those of [`RealtimePool::acquire_silent`] and [`LeaseTable::open`]; no buffer was acquired then.
    #[track_caller]
    pub fn acquire(
        &mut self,
        half: &RealtimePool,
        samples: usize,
    ) -> Result<JSBufferRef, PoolError> {
        self.leases.check_room()?;
        self.open(half.acquire_silent(samples)?)
    }

    /// Leases a buffer to JavaScript.
    ///
    /// # Errors
    /// Those of [`LeaseTable::open`].
    pub fn open(&mut self, buffer: impl Into<LeasedBuffer>) -> Result<JSBufferRef, PoolError> {
        self.leases.open(buffer).map(JSBufferRef)
    }

    /// Opens a view of the samples. The unpooled way would make an array here, and copy.
    ///
    /// # Errors
    /// Those of [`LeaseTable::view`].
    pub fn view(&mut self, buffer: JSBufferRef) -> Result<BufferView, PoolError> {
        let leased = self.leases.view(buffer.0)?;
        let (slot, capacity) = (leased.slot_index(), leased.capacity());
        let (samples, address) = (leased.samples().len(), leased.samples().as_ptr().addr());
        let writable = matches!(leased, LeasedBuffer::Owned(_));
        let make = self.must_make(slot, address, capacity);
        self.crossings.add_arrays(1, samples);
        Ok(BufferView {
            slot,
            address,
            capacity,
            samples,
            make,
            writable,
        })
    }

    /// Ends a view.
    ///
    /// # Errors
    /// Those of [`LeaseTable::end_view`].
    pub fn end_view(&mut self, buffer: JSBufferRef) -> Result<(), PoolError> {
        self.leases.end_view(buffer.0)
    }

    /// Opens a further reference to the same samples.
    ///
    /// # Errors
    /// Those of [`LeaseTable::share`].
    pub fn share(&mut self, buffer: JSBufferRef) -> Result<JSBufferRef, PoolError> {
        self.leases.share(buffer.0).map(JSBufferRef)
    }

    /// Releases the buffer.
    ///
    /// # Errors
    /// Those of [`LeaseTable::release`].
    pub fn release(&mut self, buffer: JSBufferRef) -> Result<(), PoolError> {
        self.leases.release(buffer.0)
    }

    /// [`release`](Self::release) on the thread that owns the buffer's half: the buffer returns directly to that half, as
    /// with [`RealtimePool::release`].
    ///
    /// # Errors
    /// Those of [`LeaseTable::release`].
    pub fn release_on(
        &mut self,
        half: &RealtimePool,
        buffer: JSBufferRef,
    ) -> Result<(), PoolError> {
        if let LeasedBuffer::Owned(owned) = self.leases.take(buffer.0)? {
            half.release(owned);
        }
        Ok(())
    }

    /// The leases, for operations that the bridge does not have: reading on this side, transitions, reclaiming.
    pub fn leases(&mut self) -> &mut LeaseTable {
        &mut self.leases
    }

    /// The number of open leases.
    #[must_use]
    pub fn live(&self) -> usize {
        self.leases.live()
    }

    /// Counts a message that JavaScript had to make, with `bytes` of contents.
    pub fn count_message(&mut self, bytes: u64) {
        self.crossings.made += ObjectCounts {
            messages: 1,
            content_bytes: bytes,
            ..ObjectCounts::default()
        };
    }

    /// Counts a buffer that JavaScript had to make for transfers, with `bytes` of contents.
    pub fn count_buffer(&mut self, bytes: u64) {
        self.crossings.made += ObjectCounts {
            buffers: 1,
            content_bytes: bytes,
            ..ObjectCounts::default()
        };
    }

    /// The objects so far, by kind.
    #[must_use]
    pub const fn objects(&self) -> ObjectCounts {
        self.crossings.made
    }

    /// The samples that crossed so far, and the objects made for them.
    #[must_use]
    pub const fn crossings(&self) -> Crossings {
        self.crossings
    }

    /// The counts of the boundary, for the pool's metrics.
    #[must_use]
    pub fn counts(&self) -> BoundaryCounts {
        self.crossings.counts(self.objects().total(), self.costs)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.leases.heap_bytes() + size_of_val(&*self.made)
    }

    /// Whether JavaScript has no valid array for this buffer: none at all, one that a growth of the memory has detached, or
    /// one over the memory that the number stood for earlier.
    fn must_make(&mut self, slot: u32, address: usize, capacity: usize) -> bool {
        self.detect_growth(memory_pages());
        let now = Made {
            epoch: self.epoch,
            address,
            capacity,
        };
        if let Some(made) = self.made.get_mut(slot as usize) {
            if *made == now {
                return false;
            }
            *made = now;
        }
        self.crossings.made.views += 1;
        true
    }

    fn detect_growth(&mut self, pages: usize) {
        if pages != self.memory_pages {
            self.memory_pages = pages;
            self.epoch += 1;
        }
    }
}

/// Pages of the memory that JavaScript sees. Natively there is none, and it does not grow.
fn memory_pages() -> usize {
    #[cfg(target_arch = "wasm32")]
    {
        core::arch::wasm32::memory_size(0)
    }
    #[cfg(not(target_arch = "wasm32"))]
    0
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "wasm_js_bridge_tests.rs"]
mod tests;

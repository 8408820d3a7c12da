//! A bounded queue of cells from one publisher to the dispatching side.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.
#![allow(unsafe_code)] // One writer and one reader share the ring's cells without a lock.

use core::cell::Cell;
use core::mem::MaybeUninit;
use std::collections::TryReserveError;

use super::cell::EventCell;
use super::event::Event;
use super::orderings::{HEAD_LOAD, HEAD_STORE, TAIL_LOAD, TAIL_STORE};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::cell::UnsafeCell;

/// Keeps the words of the two sides on separate cache lines (128 bytes, because processors prefetch the adjacent line).
#[repr(align(128))]
struct CachePadded<T>(T);

/// A ring buffer for one producer and one consumer. Positions count up and wrap; the index of a position is
/// `position % cells.len()`, computed with a mask, which is why the capacity is a power of two.
///
/// Invariant: `tail - head <= cells.len()`. Cells in `head..tail` are initialised and belong to the reader, the
/// others to the writer.
struct Ring {
    /// Next position to pop. Written by the reader alone.
    head: CachePadded<AtomicUsize>,
    /// Next position to push. Written by the writer alone.
    tail: CachePadded<AtomicUsize>,
    /// Events that were dropped because the ring was full. Written by the writer alone.
    dropped: AtomicU64,
    cells: Box<[UnsafeCell<MaybeUninit<EventCell>>]>,
}

// SAFETY: a cell is touched by the writer only while its position is outside `head..tail` and by the reader only
// while it is inside; each side stores its position with Release and loads the other's with Acquire. There is one writer
// and one reader: neither `LaneWriter` nor `LaneReader` is `Clone`, `LaneWriter` is not `Sync`, and `pop` takes
// `&mut LaneReader`.
unsafe impl Sync for Ring {}
// SAFETY: the cells hold plain bytes of `Send` events.
unsafe impl Send for Ring {}

/// The publishing end.
pub(crate) struct LaneWriter {
    ring: Arc<Ring>,
    /// The writer's own copy of `ring.tail`.
    tail: Cell<usize>,
    /// The last `ring.head` that was loaded; the current one is equal or later.
    cached_head: Cell<usize>,
}

/// The dispatching end.
pub(crate) struct LaneReader {
    ring: Arc<Ring>,
    /// The reader's own copy of `ring.head`.
    head: usize,
}

/// A lane of at least `capacity` cells, rounded up to a power of two. `capacity` is at most `usize::MAX / 2`.
pub(crate) fn try_lane(capacity: usize) -> Result<(LaneWriter, LaneReader), TryReserveError> {
    let capacity = capacity.max(1).next_power_of_two();
    let mut cells = Vec::new();
    cells.try_reserve_exact(capacity)?;
    cells.extend((0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())));
    Ok(from_cells(cells.into_boxed_slice()))
}

/// [`try_lane`] for few cells: aborts if memory runs out, as other allocations do.
pub(crate) fn lane(capacity: usize) -> (LaneWriter, LaneReader) {
    let capacity = capacity.max(1).next_power_of_two();
    let cells = (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit()));
    from_cells(cells.collect())
}

/// Both ends of a lane over these cells, whose number is a power of two.
fn from_cells(cells: Box<[UnsafeCell<MaybeUninit<EventCell>>]>) -> (LaneWriter, LaneReader) {
    let ring = Arc::new(Ring {
        head: CachePadded(AtomicUsize::new(0)),
        tail: CachePadded(AtomicUsize::new(0)),
        dropped: AtomicU64::new(0),
        cells,
    });
    let writer = LaneWriter {
        ring: ring.clone(),
        tail: Cell::new(0),
        cached_head: Cell::new(0),
    };
    (writer, LaneReader { ring, head: 0 })
}

impl LaneWriter {
    /// Pushes an event and returns true, or counts it as dropped and returns false if the lane is full. Wait-free.
    ///
    /// The event is written in place: only its own bytes are copied, not a whole cell.
    #[inline(always)]
    pub(crate) fn push<E: Event>(&self, slot: u8, timestamp_ns: u64, event: E) -> bool {
        let tail = self.tail.get();
        let capacity = self.ring.cells.len();
        if tail.wrapping_sub(self.cached_head.get()) == capacity {
            self.cached_head.set(self.ring.head.0.load(HEAD_LOAD));
            if tail.wrapping_sub(self.cached_head.get()) == capacity {
                return self.drop_one();
            }
        }
        let index = tail & (capacity - 1);
        // SAFETY: `index < cells.len()`, a power of two. The position `tail` is outside `head..tail` because the ring
        // is not full, so that the cell belongs to the writer. There is one writer, and `&self` does not leave its thread
        // (`Cell` makes `LaneWriter` not `Sync`).
        unsafe { self.ring.cells.get_unchecked(index) }.with_mut(|cell| {
            // SAFETY: as above; the cell is valid while the ring lives, and is borrowed for this call alone.
            EventCell::write(unsafe { &mut *cell }, slot, timestamp_ns, event);
        });
        let next = tail.wrapping_add(1);
        self.tail.set(next);
        self.ring.tail.0.store(next, TAIL_STORE);
        true
    }

    #[cold]
    fn drop_one(&self) -> bool {
        // Relaxed: a counter, which only this side writes; no other memory is read on the strength of it.
        let dropped = self.ring.dropped.load(Ordering::Relaxed);
        self.ring.dropped.store(dropped + 1, Ordering::Relaxed);
        false
    }
}

impl LaneReader {
    /// Pops the oldest cell.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<EventCell> {
        if self.is_empty() {
            return None;
        }
        let index = self.head & (self.ring.cells.len() - 1);
        let cell = self.ring.cells[index].with(|slot| {
            // SAFETY: the position `head` is inside `head..tail`: the lane is not empty, by a tail that was loaded with
            // Acquire. The cell was therefore written (by `EventCell::write`) and belongs to the reader, of which there is
            // one (`&mut self`).
            unsafe { (*slot).assume_init() }
        });
        self.head = self.head.wrapping_add(1);
        self.ring.head.0.store(self.head, HEAD_STORE);
        Some(cell)
    }

    /// Reads a cell without loading the tail first: a data race, which the loom model must report.
    #[cfg(all(test, loom))]
    pub(crate) fn read_without_tail(&mut self) {
        self.ring.cells[0].with(|_| ());
    }

    /// Pending cells. The writer may push more at any time, but only the reader pops.
    pub(crate) fn len(&self) -> usize {
        self.ring.tail.0.load(TAIL_LOAD).wrapping_sub(self.head)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn capacity(&self) -> usize {
        self.ring.cells.len()
    }

    /// Free cells. The writer may fill them at any time.
    pub(crate) fn free_cells(&self) -> usize {
        self.capacity() - self.len()
    }

    /// Events that were dropped so far because the lane was full.
    pub(crate) fn dropped(&self) -> u64 {
        // Relaxed: a counter, see `drop_one`.
        self.ring.dropped.load(Ordering::Relaxed)
    }

    /// Whether the writer was dropped. If so, all it pushed and counted is visible, and nothing more will come.
    pub(crate) fn is_abandoned(&mut self) -> bool {
        // `Arc::get_mut` synchronizes with the drop of the writer's reference.
        Arc::get_mut(&mut self.ring).is_some()
    }

    /// Bytes that the lane occupies.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Ring>() + size_of_val(&*self.ring.cells)
    }
}

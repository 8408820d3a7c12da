//! A bounded queue of cells from one publisher to the dispatching side.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.
#![allow(unsafe_code)] // One writer and one reader share the ring's cells without a lock.

use core::cell::Cell;
use core::mem::MaybeUninit;
use std::collections::TryReserveError;

use super::cell::EventCell;
use super::event::Event;
use super::orderings::{LANE_HEAD_PUBLISH, LANE_HEAD_READ, LANE_TAIL_PUBLISH, LANE_TAIL_READ};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::cell::UnsafeCell;

/// Keeps what one side writes off the other side's cache line (128: adjacent-line prefetch).
#[repr(align(128))]
struct Padded<T>(T);

/// Positions count up and wrap; `position & mask` is the index, which is why the capacity is a power of two.
///
/// Invariant: `tail - head <= cells.len()`. Cells in `head..tail` are initialised and belong to the reader, the
/// others to the writer.
struct Ring {
    /// Next position to take. Written by the reader alone.
    head: Padded<AtomicUsize>,
    /// Next position to fill. Written by the writer alone.
    tail: Padded<AtomicUsize>,
    /// Events that met a full ring. Written by the writer alone.
    dropped: AtomicU64,
    cells: Box<[UnsafeCell<MaybeUninit<EventCell>>]>,
}

// SAFETY: a cell is touched by the writer only while its position is outside `head..tail` and by the reader only
// while it is inside; `head` and `tail` are moved with Release and read with Acquire by the other side. One writer and
// one reader exist (`LaneWriter` and `LaneReader` are not `Clone` and neither is `Sync` or shares `&self` pushes).
unsafe impl Sync for Ring {}
// SAFETY: the cells hold plain bytes of `Send` events.
unsafe impl Send for Ring {}

/// The publishing end.
pub(crate) struct LaneWriter {
    ring: Arc<Ring>,
    /// The writer's own copy of `ring.tail`.
    tail: Cell<usize>,
    /// The last `ring.head` seen; the true one can only be further.
    head_seen: Cell<usize>,
}

/// The dispatching end.
pub(crate) struct LaneReader {
    ring: Arc<Ring>,
    /// The reader's own copy of `ring.head`.
    head: usize,
}

/// A lane of at least `capacity` cells (rounded up to a power of two): at most half of what `usize` can hold.
pub(crate) fn try_lane(capacity: usize) -> Result<(LaneWriter, LaneReader), TryReserveError> {
    let capacity = capacity.max(1).next_power_of_two();
    let mut cells = Vec::new();
    cells.try_reserve_exact(capacity)?;
    cells.extend((0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())));
    Ok(over(cells.into_boxed_slice()))
}

/// [`try_lane`] for few cells: without memory it aborts, as allocations do.
pub(crate) fn lane(capacity: usize) -> (LaneWriter, LaneReader) {
    let capacity = capacity.max(1).next_power_of_two();
    let cells = (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit()));
    over(cells.collect())
}

/// Both ends of a lane over these cells, a power of two.
fn over(cells: Box<[UnsafeCell<MaybeUninit<EventCell>>]>) -> (LaneWriter, LaneReader) {
    let ring = Arc::new(Ring {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        dropped: AtomicU64::new(0),
        cells,
    });
    let writer = LaneWriter {
        ring: ring.clone(),
        tail: Cell::new(0),
        head_seen: Cell::new(0),
    };
    (writer, LaneReader { ring, head: 0 })
}

impl LaneWriter {
    /// Puts an event in, or counts it as dropped when the lane is full. Wait-free.
    ///
    /// Written in place: only the event's own bytes move.
    #[inline(always)]
    pub(crate) fn push<E: Event>(&self, slot: u8, stamp_ns: u64, event: E) -> bool {
        let tail = self.tail.get();
        let capacity = self.ring.cells.len();
        if tail.wrapping_sub(self.head_seen.get()) == capacity {
            self.head_seen.set(self.ring.head.0.load(LANE_HEAD_READ));
            if tail.wrapping_sub(self.head_seen.get()) == capacity {
                return self.drop_one();
            }
        }
        let index = tail & (capacity - 1);
        // SAFETY: `index < cells.len()`, a power of two. The position `tail` is outside `head..tail` because the ring
        // is not full, so that the cell is the writer's; there is one writer, and `&self` does not leave its thread
        // (`Cell` makes `LaneWriter` not `Sync`).
        unsafe { self.ring.cells.get_unchecked(index) }.with_mut(|cell| {
            // SAFETY: as above; valid while the ring lives, and borrowed for this call alone.
            EventCell::write(unsafe { &mut *cell }, slot, stamp_ns, event);
        });
        let next = tail.wrapping_add(1);
        self.tail.set(next);
        self.ring.tail.0.store(next, LANE_TAIL_PUBLISH);
        true
    }

    #[cold]
    fn drop_one(&self) -> bool {
        // Relaxed: a count, written by this side alone; nothing is read on the strength of it.
        let dropped = self.ring.dropped.load(Ordering::Relaxed);
        self.ring.dropped.store(dropped + 1, Ordering::Relaxed);
        false
    }
}

impl LaneReader {
    /// Takes the oldest cell.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<EventCell> {
        if self.is_empty() {
            return None;
        }
        let index = self.head & (self.ring.cells.len() - 1);
        let cell = self.ring.cells[index].with(|slot| {
            // SAFETY: `head` is inside `head..tail` (not empty, seen with Acquire), so that the cell was written
            // (by `EventCell::write`) and belongs to the reader, of which there is one (`&mut self`).
            unsafe { (*slot).assume_init() }
        });
        self.head = self.head.wrapping_add(1);
        self.ring.head.0.store(self.head, LANE_HEAD_PUBLISH);
        Some(cell)
    }

    /// Reads a cell without looking whether it is there: what a model must object to.
    #[cfg(all(test, loom))]
    pub(crate) fn take_blind(&mut self) {
        self.ring.cells[0].with(|_| ());
    }

    /// Cells waiting. The writer may add to it at any time, but only the reader takes away.
    pub(crate) fn len(&self) -> usize {
        self.ring
            .tail
            .0
            .load(LANE_TAIL_READ)
            .wrapping_sub(self.head)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn capacity(&self) -> usize {
        self.ring.cells.len()
    }

    /// Free cells. The writer may use them at any time.
    pub(crate) fn room(&self) -> usize {
        self.capacity() - self.len()
    }

    /// Events that met a full lane so far.
    pub(crate) fn dropped(&self) -> u64 {
        // Relaxed: a count, see `drop_one`.
        self.ring.dropped.load(Ordering::Relaxed)
    }

    /// Whether the writer is gone. If so, what it pushed and counted is visible, and nothing will be added.
    pub(crate) fn is_abandoned(&mut self) -> bool {
        // `Arc::get_mut` acquires what the writer's last reference released.
        Arc::get_mut(&mut self.ring).is_some()
    }

    /// Bytes the lane occupies.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Ring>() + size_of_val(&*self.ring.cells)
    }
}

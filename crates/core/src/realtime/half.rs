//! What a real-time half shares with the control half beside its size classes: its owner, its class table, its
//! figures.
#![allow(unsafe_code)] // Class tables that change hands.

use alloc::boxed::Box;
use core::ptr;

use super::cells::{Counter, FrameCell};
use super::class_table::{BUCKETS, ClassTable};
use super::leak_ring::LeakRing;
use super::orderings::{
    HALF_DETACH, HALF_IS_ATTACHED, TABLE_COLLECT, TABLE_IS_CURRENT, TABLE_PICK_UP, TABLE_PUBLISH,
    TABLE_RETIRE,
};
use super::pool_core::SharedPtr;
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Class tables of a half at once: the one in use, the next, the one before, and one that is just being picked up.
const TABLES: usize = 4;

/// What one real-time half shares with the control half.
pub(crate) struct Half {
    pub(crate) id: u16,
    /// 1 while a `RealtimePool` owns the half.
    attached: AtomicU32,
    /// The class table in use. Only the owner reads it, and the control half while the half is detached.
    current: AtomicPtr<ClassTable>,
    /// The next table and the one before, on their way between the control half and the owner.
    pending: AtomicPtr<ClassTable>,
    retired: AtomicPtr<ClassTable>,
    /// Every table that exists, wherever it is named. Only the control half uses it.
    tables: [AtomicPtr<ClassTable>; TABLES],
    /// First frame of the quantum under way. The owner writes it, like all below.
    pub(crate) frame: FrameCell,
    pub(super) quanta: Counter,
    /// Requests larger than the largest class, or of no samples.
    pub(super) refused: Counter,
    /// Requests by size: see `ClassTable::find`.
    demand: [AtomicU32; BUCKETS],
    /// Whether the allocation or recycling events had subscribers when the owner's last quantum began.
    has_subscribers: AtomicU32,
    pub(crate) sites: LeakRing,
}

impl Half {
    pub(crate) fn new(id: u16, table: Box<ClassTable>) -> Self {
        let half = Self {
            id,
            attached: AtomicU32::new(1),
            current: AtomicPtr::new(ptr::null_mut()),
            pending: AtomicPtr::new(ptr::null_mut()),
            retired: AtomicPtr::new(ptr::null_mut()),
            tables: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            frame: FrameCell::new(),
            quanta: Counter::default(),
            refused: Counter::default(),
            demand: core::array::from_fn(|_| AtomicU32::new(0)),
            has_subscribers: AtomicU32::new(0),
            sites: LeakRing::new(),
        };
        half.current.store(half.track(table), Ordering::Relaxed);
        half
    }

    // The owner's side.

    /// The table that the owner uses.
    pub(super) fn current(&self) -> SharedPtr<ClassTable> {
        // Relaxed: only an owner writes it; the next one comes after `detach` and `is_attached`.
        // SAFETY: never null; freed only after the owner has retired it, or with the core.
        unsafe { SharedPtr::new(self.current.load(Ordering::Relaxed)) }
    }

    /// Whether there is a table for [`pick_up_table`](Self::pick_up_table).
    #[inline(always)]
    pub(super) fn has_pending_table(&self) -> bool {
        // Relaxed: a hint; `pick_up_table` reads again.
        !self.pending.load(Ordering::Relaxed).is_null()
    }

    /// The next table, if the control half published one and has collected the last. Wait-free.
    pub(super) fn pick_up_table(&self) -> Option<SharedPtr<ClassTable>> {
        if !self.has_pending_table() || !self.retired.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let next = self.pending.swap(ptr::null_mut(), TABLE_PICK_UP);
        if next.is_null() {
            return None;
        }
        let old = self.current.load(Ordering::Relaxed);
        self.current.store(next, Ordering::Relaxed);
        self.retired.store(old, TABLE_RETIRE);
        // SAFETY: came from `publish`, alive until retired.
        Some(unsafe { SharedPtr::new(next) })
    }

    #[inline]
    pub(super) fn count_demand(&self, bucket: usize, requests: u32) {
        let count = &self.demand[bucket % BUCKETS];
        // Relaxed: a figure with one writer.
        count.store(
            count.load(Ordering::Relaxed).wrapping_add(requests),
            Ordering::Relaxed,
        );
    }

    pub(super) fn set_has_subscribers(&self, has_subscribers: bool) {
        // Relaxed: the control half reads it after the owner died.
        self.has_subscribers
            .store(u32::from(has_subscribers), Ordering::Relaxed);
    }

    /// Gives the half up; its lists are whole.
    pub(crate) fn detach(&self) {
        self.attached.store(0, HALF_DETACH);
    }

    // The control half's side.

    pub(crate) fn is_attached(&self) -> bool {
        self.attached.load(HALF_IS_ATTACHED) == 1
    }

    /// Whether the owner has kept count of what it published, which it does while there are subscribers.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.has_subscribers.load(Ordering::Relaxed) == 1
    }

    /// Gives the half to a new owner. Only while it is detached.
    pub(crate) fn attach(&self) {
        // Relaxed: the new owner is made on the control half's thread, and moved by the user.
        self.attached.store(1, Ordering::Relaxed);
        self.set_has_subscribers(false);
        // Frames of the former owner's stream mean nothing for the next one's.
        self.frame.set(None);
        self.sites.forget_frames();
    }

    /// Offers a new table to the owner; one that was never picked up is freed.
    pub(crate) fn publish(&self, table: Box<ClassTable>) {
        let unseen = self.pending.swap(self.track(table), TABLE_PUBLISH);
        self.free(unseen);
    }

    /// Frees the table that the owner has retired.
    pub(crate) fn collect_retired(&self) {
        self.free(self.retired.swap(ptr::null_mut(), TABLE_COLLECT));
    }

    /// Picks up what was published since the half was detached, so that no old size class stays named. Only while it
    /// is detached.
    pub(crate) fn apply_while_detached(&self) {
        self.collect_retired();
        if self.pick_up_table().is_some() {
            self.collect_retired();
        }
    }

    /// Leaves this table and no other, wherever an owner died while it picked one up.
    pub(crate) fn replace_tables(&self, table: Box<ClassTable>) {
        for word in [&self.current, &self.pending, &self.retired] {
            word.store(ptr::null_mut(), Ordering::Relaxed);
        }
        self.free_all();
        self.current.store(self.track(table), Ordering::Relaxed);
    }

    /// Notes a table that is about to be published. There is room for it: see [`TABLES`].
    fn track(&self, table: Box<ClassTable>) -> *mut ClassTable {
        let table = Box::into_raw(table);
        let is_free = |entry: &&AtomicPtr<ClassTable>| entry.load(Ordering::Relaxed).is_null();
        if let Some(entry) = self.tables.iter().find(is_free) {
            entry.store(table, Ordering::Relaxed);
        }
        table
    }

    /// Frees a table that was just swapped out of the one place that named it, after its last reader; nothing for
    /// null.
    fn free(&self, table: *mut ClassTable) {
        if table.is_null() {
            return;
        }
        let names = |entry: &&AtomicPtr<ClassTable>| entry.load(Ordering::Relaxed) == table;
        if let Some(entry) = self.tables.iter().find(names) {
            entry.store(ptr::null_mut(), Ordering::Relaxed);
        }
        // SAFETY: from `Box::into_raw` in `track`, freed once: no entry names it any more.
        let table = unsafe { Box::from_raw(table) };
        #[cfg(loom)]
        table.life.end();
        drop(table);
    }

    fn free_all(&self) {
        for entry in &self.tables {
            self.free(entry.load(Ordering::Relaxed));
        }
    }

    /// Whether the owner uses the table that was published last.
    pub(crate) fn is_current(&self) -> bool {
        self.pending.load(TABLE_IS_CURRENT).is_null()
    }

    pub(crate) fn demand(&self) -> impl Iterator<Item = u32> {
        self.demand
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let there = self
            .tables
            .iter()
            .map(|entry| entry.load(Ordering::Relaxed));
        let bytes = |table: *mut ClassTable| {
            // SAFETY: the control half made it and has not freed it.
            let table = unsafe { SharedPtr::new(table) };
            size_of::<ClassTable>() + table.heap_bytes()
        };
        size_of::<Self>()
            + there
                .filter(|table| !table.is_null())
                .map(bytes)
                .sum::<usize>()
    }
}

/// The life of a value from its making to its freeing, in which loom notices unordered accesses.
#[cfg(loom)]
pub(crate) struct Life(loom::cell::UnsafeCell<()>);

// SAFETY: nothing is in it; loom checks the order of accesses.
#[cfg(loom)]
unsafe impl Sync for Life {}

#[cfg(loom)]
impl Life {
    pub(super) fn new() -> Self {
        Self(loom::cell::UnsafeCell::new(()))
    }

    pub(super) fn look(&self) {
        self.0.with(|_| ());
    }

    fn end(&self) {
        self.0.with_mut(|_| ());
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.free_all();
    }
}

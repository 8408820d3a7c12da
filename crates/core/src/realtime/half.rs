//! What a real-time half shares with the control half beside its size classes: whether it has an owner, its class table,
//! its figures.
#![allow(unsafe_code)] // Class tables that change hands.

use alloc::boxed::Box;
use core::ptr;

use super::cells::{Counter, FrameCell, Word};
use super::class_table::{BUCKETS, ClassTable};
use super::leak_ring::LeakRing;
use super::orderings::{
    HALF_DETACH, HALF_IS_ATTACHED, TABLE_COLLECT, TABLE_PICK_UP, TABLE_PUBLISH, TABLE_RETIRE,
};
use super::shared_ptr::SharedPtr;
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
    /// Every table that exists, wherever it is named. Only the control half uses it: a size class is freed once none of
    /// them names it.
    tables: [AtomicPtr<ClassTable>; TABLES],
    /// First frame of the quantum under way. The owner writes it, like all below.
    pub(crate) frame: FrameCell,
    /// Requests larger than the largest class, or of no samples.
    pub(super) refused: Counter,
    /// Requests by size: see `ClassTable::find`.
    demand: [Word; BUCKETS],
    /// Whether the allocation or recycling events had subscribers when the owner's last quantum began.
    has_subscribers: Word,
    pub(crate) sites: LeakRing,
}

impl Half {
    /// A half without an owner.
    pub(super) fn new(id: u16, table: Box<ClassTable>) -> Self {
        let half = Self {
            id,
            attached: AtomicU32::new(0),
            current: AtomicPtr::new(ptr::null_mut()),
            pending: AtomicPtr::new(ptr::null_mut()),
            retired: AtomicPtr::new(ptr::null_mut()),
            tables: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            frame: FrameCell::new(),
            refused: Counter::default(),
            demand: core::array::from_fn(|_| Word::new(0)),
            has_subscribers: Word::new(0),
            sites: LeakRing::new(),
        };
        half.current.store(half.track(table), Ordering::Relaxed);
        half
    }

    // The owner's side: see `OwnedHalf`.

    /// Makes the caller the owner, if there is none.
    pub(super) fn attach(&self) -> bool {
        let attached = self
            .attached
            .compare_exchange(0, 1, HALF_IS_ATTACHED, Ordering::Relaxed);
        attached.is_ok()
    }

    /// Gives the half up; its lists are whole.
    pub(super) fn detach(&self) {
        self.attached.store(0, HALF_DETACH);
    }

    /// The table that the owner uses.
    pub(super) fn current(&self) -> SharedPtr<ClassTable> {
        // Relaxed: only an owner writes it; the next one comes after `detach` and `attach`.
        // SAFETY: never null.
        unsafe { SharedPtr::new(self.current.load(Ordering::Relaxed)) }
    }

    /// Whether there is a table for [`pick_up_table`](Self::pick_up_table).
    #[inline(always)]
    pub(super) fn has_pending_table(&self) -> bool {
        // Relaxed: a hint; `pick_up_table` reads again.
        !self.pending.load(Ordering::Relaxed).is_null()
    }

    /// Makes the next table the current one, if the control half published one and has collected the last. Wait-free.
    ///
    /// # Safety
    /// The caller is the owner, and from now on does not use the table it used before.
    pub(super) unsafe fn pick_up_table(&self) -> bool {
        if !self.has_pending_table() || !self.retired.load(Ordering::Relaxed).is_null() {
            return false;
        }
        let next = self.pending.swap(ptr::null_mut(), TABLE_PICK_UP);
        if next.is_null() {
            return false;
        }
        let old = self.current.load(Ordering::Relaxed);
        self.current.store(next, Ordering::Relaxed);
        self.retired.store(old, TABLE_RETIRE);
        true
    }

    #[inline]
    pub(super) fn count_demand(&self, bucket: usize, requests: u32) {
        let count = &self.demand[bucket % BUCKETS];
        count.set(count.get().wrapping_add(requests));
    }

    pub(super) fn set_has_subscribers(&self, has_subscribers: bool) {
        self.has_subscribers.set(u32::from(has_subscribers));
    }

    /// Forgets the former owner's stream, whose frames mean nothing for the next one's.
    pub(crate) fn forget_stream(&self) {
        self.set_has_subscribers(false);
        self.frame.set(None);
        self.sites.forget_frames();
    }

    // The control half's side: see `ControlRef`. It alone makes and frees tables.

    pub(crate) fn is_attached(&self) -> bool {
        self.attached.load(HALF_IS_ATTACHED) == 1
    }

    /// Whether the owner has kept count of what it published, which it does while there are subscribers.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.has_subscribers.get() == 1
    }

    /// Offers a new table to the owner; one that was never picked up is freed.
    ///
    /// # Safety
    /// No other call for this half's tables is under way on the control half's side: as for all below.
    pub(super) unsafe fn publish(&self, table: Box<ClassTable>) {
        let unseen = self.pending.swap(self.track(table), TABLE_PUBLISH);
        // SAFETY: swapped out of the one place that named it; the owner has not seen it.
        unsafe { self.free(unseen) };
    }

    /// Frees the table that the owner has retired.
    ///
    /// # Safety
    /// As for `publish`.
    pub(super) unsafe fn collect_retired(&self) {
        let retired = self.retired.swap(ptr::null_mut(), TABLE_COLLECT);
        // SAFETY: swapped out of the one place that named it; the owner retired it after its last read.
        unsafe { self.free(retired) };
    }

    /// Leaves this table and no other, wherever an owner died while it picked one up.
    ///
    /// # Safety
    /// As for `publish`; and the owner is dead.
    pub(super) unsafe fn replace_tables(&self, table: Box<ClassTable>) {
        for word in [&self.current, &self.pending, &self.retired] {
            word.store(ptr::null_mut(), Ordering::Relaxed);
        }
        // SAFETY: nobody reads any of them any more.
        unsafe { self.free_all() };
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

    /// Frees a table; nothing for null.
    ///
    /// # Safety
    /// From `track`; only `tables` names it, and nobody reads it any more.
    unsafe fn free(&self, table: *mut ClassTable) {
        if table.is_null() {
            return;
        }
        let names = |entry: &&AtomicPtr<ClassTable>| entry.load(Ordering::Relaxed) == table;
        if let Some(entry) = self.tables.iter().find(names) {
            entry.store(ptr::null_mut(), Ordering::Relaxed);
        }
        // SAFETY: from `Box::into_raw` in `track`, freed once, by the caller's contract: no entry names it any more.
        let table = unsafe { Box::from_raw(table) };
        #[cfg(loom)]
        table.life.end();
        drop(table);
    }

    /// # Safety
    /// Nobody reads any table any more.
    unsafe fn free_all(&self) {
        for entry in &self.tables {
            // SAFETY: the caller's contract.
            unsafe { self.free(entry.load(Ordering::Relaxed)) };
        }
    }

    /// Whether the owner has picked up the table that was published last.
    pub(crate) fn is_current(&self) -> bool {
        // Relaxed: a hint that another one may be published.
        self.pending.load(Ordering::Relaxed).is_null()
    }

    /// Whether a table that exists names a size class.
    ///
    /// # Safety
    /// As for `publish`.
    pub(super) unsafe fn names(&self, size_class: u16) -> bool {
        // SAFETY: the caller's contract.
        let mut tables = unsafe { self.live_tables() };
        tables.any(|table| table.names(size_class))
    }

    /// # Safety
    /// As for `publish`, as long as the iterator is used.
    unsafe fn live_tables(&self) -> impl Iterator<Item = &ClassTable> {
        let tables = self
            .tables
            .iter()
            .map(|entry| entry.load(Ordering::Relaxed));
        // SAFETY: made by the control half, which frees none meanwhile, by the caller's contract.
        tables.filter_map(|table| unsafe { table.as_ref() })
    }

    pub(crate) fn demand(&self) -> impl Iterator<Item = u32> {
        self.demand.iter().map(Word::get)
    }

    /// # Safety
    /// As for `publish`.
    pub(super) unsafe fn heap_bytes(&self) -> usize {
        // SAFETY: the caller's contract.
        let tables = unsafe { self.live_tables() };
        let of_tables = tables.map(|table| size_of::<ClassTable>() + table.heap_bytes());
        size_of::<Self>() + of_tables.sum::<usize>()
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        // SAFETY: the core is being dropped.
        unsafe { self.free_all() };
    }
}

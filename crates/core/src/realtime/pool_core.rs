//! The state that all halves and handles share, and who frees it.
//!
//! The core lives as long as anything can reach it. The control half and each real-time half own a *pool reference*,
//! and these are counted. Handles are not counted while a pool reference exists: that would cost every acquire an
//! atomic operation. Instead, whoever drops the last pool reference closes every inbox and computes how many buffers
//! are still leased. From then on a handle that is dropped finds a closed inbox and counts itself off. Whoever brings
//! the count to zero frees the core.
//!
//! | drop of the last pool reference | drop of a handle meanwhile |
//! |---|---|
//! | closes the inbox, which held n buffers | a push before it is among the n |
//! | leased = carved − local − n − surplus | a push after it is refused: `outstanding −= 1` |
//! | `outstanding −= BIAS − leased` | whoever brings it to zero frees |
//!
//! `outstanding` starts at a bias above any number of handles, so that handles which count themselves off before the
//! sum is done cannot bring it to zero.
#![allow(unsafe_code)] // Shared ownership without a counter per handle.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Deref;
use core::ptr;

use super::class_table::{ClassTable, MAX_CLASSES};
use super::half::Half;
use super::orderings::{OUTSTANDING_COUNT_DOWN, POOL_REFS_COUNT_DOWN};
use super::pool_state::{MAX_HALVES, MAX_REGIONS, MAX_SIZE_CLASSES, OnRelease, PoolState};
use super::shared_ptr::SharedPtr;
use super::size_class::SizeClass;
use super::slot_table::{Slot, SlotIndex, SlotState};
use crate::error::{PoolError, Table};
use crate::memory::Region;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Where the count of outstanding handles starts: see `docs/decisions/0012-handles-are-not-reference-counted.md`.
const BIAS: u64 = 1 << 62;

/// The shared state of a pool.
#[repr(C)] // `state` at its start: see `Core::count_down_outstanding`.
pub(crate) struct Core {
    state: PoolState,
    /// Every size class of every half. The control half writes it.
    size_classes: Box<[AtomicPtr<SizeClass>]>,
    halves: [AtomicPtr<Half>; MAX_HALVES],
    /// Pool references that exist.
    pool_refs: AtomicU32,
    /// Handles that outlive the last pool reference: see the table above.
    outstanding: AtomicU64,
    /// The memory: boxes, freed by the drop.
    regions: [AtomicPtr<Region>; MAX_REGIONS],
    #[cfg(loom)]
    _leak_check: loom::alloc::Track<()>,
}

impl Core {
    pub(crate) fn new(most_slots: usize) -> Self {
        Self {
            state: PoolState::new(most_slots),
            size_classes: (0..MAX_SIZE_CLASSES)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            halves: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            pool_refs: AtomicU32::new(0),
            outstanding: AtomicU64::new(BIAS),
            regions: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            #[cfg(loom)]
            _leak_check: loom::alloc::Track::new(()),
        }
    }

    /// The size class of a carved slot.
    ///
    /// # Safety
    /// The slot is carved, and stays so as long as the pointer is used: its size class exists as long.
    pub(super) unsafe fn size_class_of(&self, index: SlotIndex) -> SharedPtr<SizeClass> {
        // Relaxed: stored before the push that published the slot.
        let size_class = self
            .size_class_entry(self.table.slot(index).size_class())
            .load(Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { SharedPtr::new(size_class) }
    }

    fn size_class_entry(&self, id: u16) -> &AtomicPtr<SizeClass> {
        &self.size_classes[usize::from(id) % MAX_SIZE_CLASSES]
    }
}

impl Deref for Core {
    type Target = PoolState;

    #[inline]
    fn deref(&self) -> &PoolState {
        &self.state
    }
}

/// The parts that exist. Relaxed: called by the control half, which wrote them, or by the teardown, which the count of
/// pool references orders after it.
fn live<T>(directory: &[AtomicPtr<T>]) -> impl Iterator<Item = *mut T> {
    let entries = directory.iter().map(|entry| entry.load(Ordering::Relaxed));
    entries.filter(|entry| !entry.is_null())
}

/// The first free number in a directory.
fn free_id<T>(directory: &[AtomicPtr<T>], table: Table) -> Result<u16, PoolError> {
    let is_free = |entry: &AtomicPtr<T>| entry.load(Ordering::Relaxed).is_null();
    let id = directory.iter().position(is_free);
    id.map(|id| id as u16).ok_or(PoolError::TableFull {
        table,
        capacity: directory.len(),
    })
}

impl Drop for Core {
    fn drop(&mut self) {
        for size_class in live(&self.size_classes) {
            // SAFETY: from a box, in the directory until now, freed once; nothing reaches the core any more.
            drop(unsafe { Box::from_raw(size_class) });
        }
        for half in live(&self.halves) {
            // SAFETY: as above.
            drop(unsafe { Box::from_raw(half) });
        }
        for region in live(&self.regions) {
            // SAFETY: as above.
            drop(unsafe { Box::from_raw(region) });
        }
    }
}

/// Pushes a released buffer to its inbox, from any thread: one lock-free push, or, after the last pool reference was
/// dropped, one subtraction from the count of outstanding buffers.
///
/// The pointer by value: a reference would have to stay valid during the call, which may free what it refers to. The
/// slot state need not: it is nothing but atomics.
///
/// # Safety
/// The caller has the only handle for the buffer and does not use it again.
#[inline(always)]
pub(super) unsafe fn push_or_count_down(
    size_class: SharedPtr<SizeClass>,
    state: &SlotState,
    index: SlotIndex,
) {
    // SAFETY: the handle keeps its size class alive until the push.
    let size_class = unsafe { size_class.get() };
    let pool = size_class.pool_ptr();
    if size_class.shared.inbox.push(state, index).is_err() {
        // SAFETY: this handle is one of those that outlive the last pool reference: no push is refused before.
        unsafe { count_down_outstanding(pool, 1) };
    }
}

/// Subtracts from the outstanding handles; frees the core at zero.
///
/// # Safety
/// So many handles, each of which keeps the core alive, are never used again; or it is the teardown.
#[cold]
unsafe fn count_down_outstanding(pool: SharedPtr<PoolState>, less: u64) {
    let core = core_of(pool);
    // SAFETY: alive until the count reaches zero.
    let outstanding = unsafe { &core.get().outstanding };
    if outstanding.fetch_sub(less, OUTSTANDING_COUNT_DOWN) == less {
        // SAFETY: boxed in `ControlRef::new`. All pool references are gone and every handle has counted itself
        // off, so that this is the last use. The count reaches zero once.
        drop(unsafe { Box::from_raw(core.as_ptr()) });
    }
}

impl SharedPtr<Core> {
    /// The part that size classes use.
    pub(super) const fn state(self) -> SharedPtr<PoolState> {
        // SAFETY: as in `core_of`.
        unsafe { SharedPtr::new(self.as_ptr().cast()) }
    }
}

/// The core that the state is part of.
pub(super) const fn core_of(pool: SharedPtr<PoolState>) -> SharedPtr<Core> {
    // SAFETY: each pool state is the first field of a core (`ControlRef::new`), and the pointer was made from one to
    // the whole of it.
    unsafe { SharedPtr::new(pool.as_ptr().cast()) }
}

/// The control half's pool reference. There is one, so that an exclusive borrow of it is one of the directories: parts
/// are added and removed through that, and borrowed from the pool reference meanwhile.
pub(crate) struct ControlRef(PoolRef);

impl ControlRef {
    pub(crate) fn new(core: Core) -> Self {
        let core = Box::into_raw(Box::new(core));
        // SAFETY: from a box; the pool reference counted here keeps it alive.
        let core = unsafe { SharedPtr::new(core) };
        let pool = PoolRef(core);
        pool.pool_refs.store(1, Ordering::Relaxed);
        Self(pool)
    }

    /// A real-time half's pool reference.
    pub(super) fn new_pool_ref(&self) -> PoolRef {
        // Relaxed: made from a live pool reference, which keeps the core alive; like `Arc`.
        self.pool_refs.fetch_add(1, Ordering::Relaxed);
        PoolRef(self.0.0)
    }

    /// Every size class of every half.
    pub(crate) fn size_classes(&self) -> impl Iterator<Item = &SizeClass> {
        // SAFETY: what is in the directory is removed only through an exclusive borrow.
        live(&self.size_classes).map(|size_class| unsafe { &*size_class })
    }

    pub(crate) fn size_classes_of(&self, half: u16) -> impl Iterator<Item = &SizeClass> {
        self.size_classes()
            .filter(move |size_class| size_class.half == half)
    }

    /// The size class with this number.
    pub(crate) fn size_class(&self, id: u16) -> Option<&SizeClass> {
        let size_class = self.size_class_entry(id).load(Ordering::Relaxed);
        // SAFETY: as in `size_classes`.
        unsafe { size_class.as_ref() }
    }

    /// The size class of a slot; none for a slot without memory.
    pub(crate) fn size_class_of(&self, slot: Slot<'_>) -> Option<&SizeClass> {
        let is_carved = slot.is_carved();
        self.size_class(slot.size_class()).filter(|_| is_carved)
    }

    pub(crate) fn find_size_class(&self, half: u16, samples: u32) -> Option<&SizeClass> {
        let mut of_half = self.size_classes_of(half);
        of_half.find(|size_class| size_class.samples == samples)
    }

    pub(crate) fn halves(&self) -> impl Iterator<Item = &Half> {
        // SAFETY: no half is removed.
        live(&self.halves).map(|half| unsafe { &*half })
    }

    pub(crate) fn half(&self, id: u16) -> Option<&Half> {
        self.halves().find(|half| half.id == id)
    }

    pub(crate) fn is_attached(&self, half: u16) -> bool {
        self.half(half).is_some_and(Half::is_attached)
    }

    /// Adds a region's memory.
    pub(crate) fn add_region(&self, region: Region) -> Result<u8, PoolError> {
        let base = region.base();
        let region = Box::into_raw(Box::new(region));
        for (id, entry) in self.regions.iter().enumerate() {
            let free = ptr::null_mut();
            // Relaxed: nobody reads a region until the core is dropped.
            let added = entry.compare_exchange(free, region, Ordering::Relaxed, Ordering::Relaxed);
            if added.is_ok() {
                self.set_base(id, base);
                return Ok(id as u8);
            }
        }
        // SAFETY: from the box above; no entry names it.
        drop(unsafe { Box::from_raw(region) });
        Err(PoolError::TableFull {
            table: Table::Regions,
            capacity: MAX_REGIONS,
        })
    }

    /// Bytes of every table that the core owns, itself included; the samples excluded.
    pub(crate) fn heap_bytes(&self) -> usize {
        // SAFETY: tables are freed only through an exclusive borrow.
        let bytes = |half: &Half| unsafe { half.heap_bytes() };
        let halves: usize = self.halves().map(bytes).sum();
        size_of::<Core>()
            + self.table.heap_bytes()
            + size_of_val(&*self.size_classes)
            + self.size_classes().count() * size_of::<SizeClass>()
            + halves
            + live(&self.regions).count() * size_of::<Region>()
    }

    /// Adds a size class of a half. Returns its number.
    pub(crate) fn add_size_class(
        &mut self,
        on_release: OnRelease,
        half: u16,
        samples: u32,
        reserve: u32,
    ) -> Result<u16, PoolError> {
        let id = free_id(&self.size_classes, Table::SizeClasses)?;
        let (pool, place) = (self.0.state(), (half, id));
        // SAFETY: the core frees its size classes before itself.
        let made = unsafe { SizeClass::new(pool, on_release, place, samples, reserve) };
        // Relaxed: a slot that names it is published by a push (release) that follows.
        self.size_class_entry(id)
            .store(Box::into_raw(Box::new(made)), Ordering::Relaxed);
        Ok(id)
    }

    /// The number that the next half will get.
    pub(crate) fn next_half(&self) -> Result<u16, PoolError> {
        free_id(&self.halves, Table::Halves)
    }

    /// Adds a half without an owner, with these size classes.
    pub(crate) fn add_half(&mut self, classes: &HalfClasses<'_>) -> Result<u16, PoolError> {
        let id = self.next_half()?;
        let made = Half::new(id, self.class_table(classes)?);
        self.halves[usize::from(id)].store(Box::into_raw(Box::new(made)), Ordering::Relaxed);
        Ok(id)
    }

    /// Offers these size classes to the owner of a half.
    pub(crate) fn publish_classes(&mut self, half: u16, classes: &HalfClasses<'_>) {
        if let (Some(half), Ok(table)) = (self.half(half), self.class_table(classes)) {
            // SAFETY: this pool reference is borrowed exclusively.
            unsafe { half.publish(table) };
        }
    }

    /// Frees the tables that owners have retired.
    pub(crate) fn collect_retired(&mut self) {
        for half in self.halves() {
            // SAFETY: as above.
            unsafe { half.collect_retired() };
        }
    }

    /// The class table of a half. Its size classes live as long: it is put into a half before any is removed, and from
    /// then on `remove_if_unused` finds it there.
    fn class_table(&self, classes: &HalfClasses<'_>) -> Result<Box<ClassTable>, PoolError> {
        let find = |ids: &[u16]| -> Vec<&SizeClass> {
            ids.iter().filter_map(|&id| self.size_class(id)).collect()
        };
        let (active, draining) = (find(classes.active), find(classes.draining));
        // SAFETY: see above.
        let table = unsafe { ClassTable::new(classes.shift, &active, &draining) };
        table.map(Box::new).ok_or(PoolError::BadClasses {
            count: active.len(),
            smallest: 0,
            most: MAX_CLASSES,
        })
    }

    /// Gives a half whose owner died these size classes, in place of every table that it has, and detaches it.
    ///
    /// # Safety
    /// That owner's `RealtimePool` is never used again, not even dropped.
    pub(crate) unsafe fn replace_owner(&mut self, half: u16, classes: &HalfClasses<'_>) {
        if let (Some(half), Ok(table)) = (self.half(half), self.class_table(classes)) {
            // SAFETY: as above, and the owner is dead by the caller's contract.
            unsafe { half.replace_tables(table) };
            half.detach();
            // Its pool reference. Relaxed: the dead thread has released nothing. This pool reference stays, so that it
            // is not the last.
            self.pool_refs.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Frees a size class once none of its buffers exists and its half's table no longer names it. Returns whether it
    /// did.
    pub(crate) fn remove_if_unused(&mut self, id: u16) -> bool {
        let Some(size_class) = self.size_class(id) else {
            return false;
        };
        // SAFETY: this pool reference is borrowed exclusively.
        let names = |half: &Half| unsafe { half.names(id) };
        let named = self.half(size_class.half).is_some_and(names);
        if named || size_class.carved() > 0 {
            return false;
        }
        let removed = self
            .size_class_entry(id)
            .swap(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: from a box. No handle owns a buffer of it (none is carved), no table names it, and nothing is borrowed
        // from this pool reference.
        drop(unsafe { Box::from_raw(removed) });
        true
    }
}

/// The size classes of a half, by their numbers, smallest first.
pub(crate) struct HalfClasses<'ids> {
    /// The shift of [`bucket_shift`](super::class_table::bucket_shift).
    pub(crate) shift: u32,
    /// Those that serve requests: at least one.
    pub(crate) active: &'ids [u16],
    /// Those that are retired while buffers of theirs are in use.
    pub(crate) draining: &'ids [u16],
}

impl Deref for ControlRef {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.0
    }
}

impl Drop for ControlRef {
    fn drop(&mut self) {
        self.end_control();
    }
}

/// A half's pool reference: it keeps the core alive.
pub(crate) struct PoolRef(SharedPtr<Core>);

impl PoolRef {
    #[inline]
    pub(super) const fn state(&self) -> SharedPtr<PoolState> {
        self.0.state()
    }
}

impl Deref for PoolRef {
    type Target = Core;

    #[inline]
    fn deref(&self) -> &Core {
        // SAFETY: this pool reference is counted, and the core lives until the last one is dropped.
        unsafe { self.0.get() }
    }
}

impl Drop for PoolRef {
    fn drop(&mut self) {
        let core: &Core = self;
        if core.pool_refs.fetch_sub(1, POOL_REFS_COUNT_DOWN) != 1 {
            return;
        }
        let mut leased = 0;
        for size_class in live(&core.size_classes) {
            // SAFETY: what is in the directory is alive, and the control half is gone.
            let size_class = unsafe { &*size_class };
            let returned_to_inbox = size_class.shared.inbox.close();
            let returned_to_inbox = if cfg!(wavepool_mutant = "teardown_without_inbox") {
                0
            } else {
                returned_to_inbox
            };
            let idle = size_class.local() + returned_to_inbox + size_class.shared.surplus.length();
            leased += u64::from(size_class.carved() - idle);
        }
        // SAFETY: the teardown, which is the only one: the count of pool references reached zero once.
        unsafe { count_down_outstanding(self.state(), BIAS - leased) };
    }
}

#[cfg(all(test, loom))]
#[path = "pool_core_loom.rs"]
mod loom_models;

//! What both halves and every handle share, and who frees it.
//!
//! The core lives as long as anybody can reach it. The control half and the real-time halves are its *anchors*, counted
//! one by one. Handles are not counted while an anchor lives: that would cost every acquire an atomic operation.
//! Instead the last anchor to go closes every inbox and works out how many buffers are still in somebody's hands; from
//! then on a handle that is dropped meets a closed inbox and counts itself off. Zero frees.
//!
//! | last anchor | a handle, meanwhile |
//! |---|---|
//! | closes the inbox: n came home before | pushes before: is among the n |
//! | leased = carved − local − n − surplus | pushes after: refused, `outstanding −= 1` |
//! | `outstanding −= BIAS − leased` | whoever brings it to zero frees |
//!
//! `outstanding` starts at a bias above any number of handles, so that handles that count themselves off before the last
//! anchor has done its sum cannot bring it to zero.
#![deny(clippy::disallowed_types)] // No lock: real-time.
#![allow(unsafe_code)] // Shared ownership without a counter per handle.

use core::cell::UnsafeCell;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use super::arena::{Region, UNIT_BYTES};
use super::class_table::{BUCKETS, ClassTable};
use super::error::{PoolError, Table};
use super::free_list::{Counter, Shelf};
use super::leak_ring::LeakRing;
use super::slot_table::{Slot, SlotIndex, SlotTable};
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Regions a pool can grow to.
pub(super) const MAX_REGIONS: usize = if cfg!(loom) { 1 } else { 16 };
/// Real-time halves on one control.
pub(super) const MAX_HALVES: usize = if cfg!(loom) { 2 } else { 16 };
/// Shelves of all halves, old classes that still drain included.
pub(super) const MAX_SHELVES: usize = if cfg!(loom) { 4 } else { 256 };

const BIAS: u64 = 1 << 62;

/// A pointer to something that lives at least as long as the core lets its holder reach it.
///
/// Invariant: the holder is an anchor of the core, or a handle to one of its buffers, or is itself owned by the core;
/// each keeps the core (and the shelf of the buffer) alive. Only this file and `PoolControl` hand new ones out.
pub(super) struct Pinned<T>(NonNull<T>);

impl<T> Clone for Pinned<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Pinned<T> {}

impl<T> PartialEq for Pinned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Deref for Pinned<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the invariant keeps it alive and at its address; it was initialised before the pointer was made; only
        // shared references to it exist until it is freed; `T` is `Sync` where the pointer crosses threads.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: like `&T`.
unsafe impl<T: Sync> Send for Pinned<T> {}
// SAFETY: like `&T`.
unsafe impl<T: Sync> Sync for Pinned<T> {}

impl<T> Pinned<T> {
    /// # Safety
    /// `pointer` is not null, and keeps the type's invariant.
    pub(super) const unsafe fn new(pointer: *mut T) -> Self {
        // SAFETY: not null, says the caller.
        Self(unsafe { NonNull::new_unchecked(pointer) })
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn leak_for_test(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))))
    }

    #[cfg(all(test, not(loom)))]
    pub(super) const fn dangling_for_test() -> Self {
        Self(NonNull::dangling())
    }
}

/// What happens to samples when their buffer is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnRelease {
    /// They stay. Debug builds overwrite them with a signalling NaN.
    Leave,
    /// They are zeroed.
    Scrub,
    /// They must not be written: they belong to a mapped file.
    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    ReadOnly,
}

/// The pool's shared part.
pub(super) struct Core {
    pub(super) table: SlotTable,
    /// Where each region starts. Written once each, by the control half.
    bases: [AtomicPtr<f32>; MAX_REGIONS],
    /// Every shelf of every half. Written by the control half.
    shelves: Box<[AtomicPtr<Shelf>]>,
    halves: [AtomicPtr<Half>; MAX_HALVES],
    /// What happens to samples when their buffer is released.
    pub(super) on_release: OnRelease,
    /// Whether the control half is still there to collect what is shed.
    controlled: AtomicU32,
    /// Halves of both kinds that live.
    anchors: AtomicU32,
    /// See the table above.
    outstanding: AtomicU64,
    /// The memory. Touched by the control half alone, and by the drop.
    regions: UnsafeCell<Vec<Region>>,
    #[cfg(loom)]
    _leak_check: loom::alloc::Track<()>,
}

// SAFETY: everything but `regions` is atomic or never changes; `regions` is reached only through the one `ControlAnchor`,
// changed only through `&mut` of it, and through the drop, which is alone.
unsafe impl Sync for Core {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Core {}

impl Core {
    pub(super) fn new(most_slots: usize, on_release: OnRelease) -> Self {
        Self {
            table: SlotTable::new(most_slots),
            bases: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            shelves: (0..MAX_SHELVES)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            halves: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            on_release,
            controlled: AtomicU32::new(1),
            anchors: AtomicU32::new(0),
            outstanding: AtomicU64::new(BIAS),
            regions: UnsafeCell::new(Vec::new()),
            #[cfg(loom)]
            _leak_check: loom::alloc::Track::new(()),
        }
    }

    /// Where a slot's samples are.
    #[inline(always)]
    pub(super) fn samples_at(&self, slot: &Slot) -> NonNull<f32> {
        let base = self.bases[usize::from(slot.region()) % MAX_REGIONS].load(Ordering::Relaxed);
        // SAFETY: the slot was carved from this region, at this unit, within its length; the base was stored before the
        // slot was published, so it is not null; the region lives as long as the core.
        unsafe { NonNull::new_unchecked(base.byte_add(slot.unit() as usize * UNIT_BYTES)) }
    }

    pub(super) fn shelf_of(&self, index: SlotIndex) -> Pinned<Shelf> {
        let shelf = self.shelves[usize::from(self.table.slot(index).shelf()) % MAX_SHELVES]
            .load(Ordering::Relaxed);
        // SAFETY: a carved slot names a shelf that exists as long as one of its slots is carved.
        unsafe { Pinned::new(shelf) }
    }

    pub(super) fn shelves(&self) -> impl Iterator<Item = Pinned<Shelf>> {
        // SAFETY: what is in the directory is alive.
        live(&self.shelves).map(|shelf| unsafe { Pinned::new(shelf) })
    }

    pub(super) fn halves(&self) -> impl Iterator<Item = Pinned<Half>> {
        // SAFETY: what is in the directory is alive.
        live(&self.halves).map(|half| unsafe { Pinned::new(half) })
    }

    pub(super) fn is_controlled(&self) -> bool {
        // Relaxed: a hint whether shedding has a taker.
        self.controlled.load(Ordering::Relaxed) == 1
    }
}

fn live<T>(directory: &[AtomicPtr<T>]) -> impl Iterator<Item = *mut T> {
    directory
        .iter()
        // Relaxed: called by the control half, which wrote them, or by the teardown, which is ordered after it by the
        // count of anchors.
        .map(|entry| entry.load(Ordering::Relaxed))
        .filter(|entry| !entry.is_null())
}

fn add<T>(
    directory: &[AtomicPtr<T>],
    table: Table,
    make: impl FnOnce(u16) -> T,
) -> Result<Pinned<T>, PoolError> {
    let free = directory
        .iter()
        .position(|entry| entry.load(Ordering::Relaxed).is_null());
    let id = free.ok_or(PoolError::TableFull {
        table,
        capacity: directory.len(),
    })?;
    let made = Box::into_raw(Box::new(make(id as u16)));
    // Relaxed: a slot that names it is published with a list push (release) that follows.
    directory[id].store(made, Ordering::Relaxed);
    // SAFETY: from a box; it lives in the directory until it is removed, or the core goes.
    Ok(unsafe { Pinned::new(made) })
}

impl Drop for Core {
    fn drop(&mut self) {
        for shelf in live(&self.shelves) {
            // SAFETY: boxed in `add`, in the directory until now, freed once; the core is unreachable.
            drop(unsafe { Box::from_raw(shelf) });
        }
        for half in live(&self.halves) {
            // SAFETY: as above.
            drop(unsafe { Box::from_raw(half) });
        }
    }
}

impl Pinned<Core> {
    /// A handle brings its buffer home: one lock-free push, or, after the last anchor, one count.
    ///
    /// By value: a reference handed in would have to outlive the call, and this call may free what it refers to.
    #[inline]
    pub(super) fn send_home(self, shelf: Pinned<Shelf>, index: SlotIndex) {
        let slot = self.table.slot(index);
        if shelf.shared.inbox.push(slot, index).is_err() {
            self.settle(1);
        }
    }

    /// Counts `less` off what is outstanding; zero frees.
    #[cold]
    fn settle(self, less: u64) {
        // Release: what this thread did with the core happens before the free. Acquire: whoever frees sees what all the
        // others did. Both sides are this line.
        if self.outstanding.fetch_sub(less, Ordering::AcqRel) == less {
            // SAFETY: boxed in `ControlAnchor::new`. All anchors are gone and every handle has counted itself off, so this is
            // the last reference; the count reaches zero once.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

/// The control half's hold on the core: there is one, and it alone changes the directories.
pub(super) struct ControlAnchor(Anchor);

impl ControlAnchor {
    pub(super) fn new(core: Core) -> Self {
        let core = Box::into_raw(Box::new(core));
        // SAFETY: from a box; kept alive by the anchor counted here.
        let core = unsafe { Pinned::new(core) };
        core.anchors.store(1, Ordering::Relaxed);
        Self(Anchor(core))
    }

    /// A real-time half's hold.
    pub(super) fn another(&self) -> Anchor {
        // Relaxed: made from a live anchor, which keeps the core; like `Arc`.
        self.anchors.fetch_add(1, Ordering::Relaxed);
        Anchor(self.0.core())
    }

    pub(super) const fn core(&self) -> Pinned<Core> {
        self.0.core()
    }

    /// Takes over a region's memory.
    pub(super) fn add_region(&mut self, region: Region) -> Result<u8, PoolError> {
        // SAFETY: the list is reached through the one control anchor, here exclusively.
        let regions = unsafe { &mut *self.0.0.regions.get() };
        let id = regions.len();
        if id == MAX_REGIONS {
            return Err(PoolError::TableFull {
                table: Table::Regions,
                capacity: MAX_REGIONS,
            });
        }
        // Relaxed: slots of this region are published with a list push (release) that follows.
        self.bases[id].store(region.base().as_ptr(), Ordering::Relaxed);
        regions.reserve_exact(1);
        regions.push(region);
        Ok(id as u8)
    }

    /// Bytes of every table the core owns, itself included; the samples excluded.
    pub(super) fn heap_bytes(&self) -> usize {
        // SAFETY: the list is changed only through `&mut` of the one control anchor, which is borrowed here.
        let regions = unsafe { &*self.0.0.regions.get() };
        let halves: usize = self.halves().map(|half| half.heap_bytes()).sum();
        size_of::<Core>()
            + self.table.heap_bytes()
            + size_of_val(&*self.shelves)
            + self.shelves().count() * size_of::<Shelf>()
            + halves
            + regions.capacity() * size_of::<Region>()
    }

    /// Puts a shelf made for the first free number into the directory.
    pub(super) fn add_shelf(
        &mut self,
        make: impl FnOnce(u16) -> Shelf,
    ) -> Result<Pinned<Shelf>, PoolError> {
        add(&self.shelves, Table::Shelves, make)
    }

    /// Puts a half made for the first free number into the directory.
    pub(super) fn add_half(
        &mut self,
        make: impl FnOnce(u16) -> Half,
    ) -> Result<Pinned<Half>, PoolError> {
        add(&self.halves, Table::Halves, make)
    }

    /// The number the next half will get.
    pub(super) fn next_half(&self) -> Option<u16> {
        let free = |entry: &AtomicPtr<Half>| entry.load(Ordering::Relaxed).is_null();
        self.halves.iter().position(free).map(|id| id as u16)
    }

    /// Counts off the anchor of a half whose owner is dead.
    ///
    /// # Safety
    /// The anchor is never dropped, and belongs to this core.
    pub(super) unsafe fn forget_dead(&mut self) {
        // Relaxed: the dead thread has released nothing; this anchor stays, so it is not the last.
        self.anchors.fetch_sub(1, Ordering::Relaxed);
    }

    /// Frees a shelf once none of its buffers exists and its half's table no longer names it; answers whether it did.
    pub(super) fn remove_if_unused(&mut self, shelf: Pinned<Shelf>) -> bool {
        let named = self
            .halves()
            .filter(|half| half.id == shelf.half)
            .any(|half| {
                // The owner uses what was published last, and only this side publishes: the table stays while we look.
                !half.is_current() || half.current().all().any(|other| other.id == shelf.id)
            });
        if named || shelf.carved() > 0 {
            return false;
        }
        let entry = &self.shelves[usize::from(shelf.id) % MAX_SHELVES];
        entry.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: boxed in `add`; no handle holds a buffer of it (none is carved), and no table names it.
        drop(unsafe { Box::from_raw(shelf.0.as_ptr()) });
        true
    }
}

impl Deref for ControlAnchor {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.0
    }
}

impl Drop for ControlAnchor {
    fn drop(&mut self) {
        // From now on nobody collects what is shed. Relaxed: a hint.
        self.controlled.store(0, Ordering::Relaxed);
    }
}

/// A half's hold on the core.
pub(super) struct Anchor(Pinned<Core>);

impl Anchor {
    #[inline]
    pub(super) const fn core(&self) -> Pinned<Core> {
        self.0
    }
}

impl Deref for Anchor {
    type Target = Core;

    #[inline]
    fn deref(&self) -> &Core {
        &self.0
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        let core = self.0;
        // Release: what this half did with its lists and counts happens before the teardown. Acquire: the teardown sees
        // what every other half did. Both sides are this line.
        if core.anchors.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let mut leased = 0;
        for shelf in core.shelves() {
            let came_home = shelf.shared.inbox.close().length;
            let idle = shelf.local() + came_home + shelf.shared.surplus.length();
            leased += u64::from(shelf.carved() - idle);
        }
        core.settle(BIAS - leased);
    }
}

/// What one real-time half shares with the control half.
pub(super) struct Half {
    pub(super) id: u16,
    /// Whether a `RealtimePool` owns it.
    attached: AtomicU32,
    /// The table in use: the owner's. Read by others only while there is no owner.
    current: AtomicPtr<ClassTable>,
    /// The next table, and the one before, on their way between the control half and the owner.
    pending: AtomicPtr<ClassTable>,
    retired: AtomicPtr<ClassTable>,
    /// First frame of the quantum under way. Written by the owner, like all below.
    frame: AtomicU64,
    pub(super) quanta: Counter,
    /// Requests larger than the largest class, or of no samples.
    pub(super) refused: Counter,
    /// Requests by size: see `ClassTable::find`.
    demand: [AtomicU32; BUCKETS],
    pub(super) sites: LeakRing,
}

impl Half {
    pub(super) fn new(id: u16, table: Box<ClassTable>) -> Self {
        Self {
            id,
            attached: AtomicU32::new(1),
            current: AtomicPtr::new(Box::into_raw(table)),
            pending: AtomicPtr::new(ptr::null_mut()),
            retired: AtomicPtr::new(ptr::null_mut()),
            frame: AtomicU64::new(0),
            quanta: Counter::default(),
            refused: Counter::default(),
            demand: core::array::from_fn(|_| AtomicU32::new(0)),
            sites: LeakRing::new(),
        }
    }

    // The owner's side.

    /// The table the owner uses.
    pub(super) fn current(&self) -> Pinned<ClassTable> {
        // Relaxed: written by an owner; the next one comes after `detach` and `is_attached`.
        // SAFETY: never null; freed only once the owner has retired it, or with the core.
        unsafe { Pinned::new(self.current.load(Ordering::Relaxed)) }
    }

    /// The next table, if the control half made one and has collected the last. Wait-free.
    pub(super) fn pick_up(&self) -> Option<Pinned<ClassTable>> {
        if self.pending.load(Ordering::Relaxed).is_null()
            || !self.retired.load(Ordering::Relaxed).is_null()
        {
            return None;
        }
        // Acquire: pairs with the release in `publish`, the table is seen as it was built. Release: pairs with the acquire
        // in `is_current`, this thread's last use of a shelf that the new table no longer names is over.
        let next = self.pending.swap(ptr::null_mut(), Ordering::AcqRel);
        if next.is_null() {
            return None;
        }
        let old = self.current.load(Ordering::Relaxed);
        self.current.store(next, Ordering::Relaxed);
        // Release: pairs with the acquire in `collect_retired`, the old table is no longer read.
        self.retired.store(old, Ordering::Release);
        // SAFETY: came from `publish`, alive until retired.
        Some(unsafe { Pinned::new(next) })
    }

    #[inline]
    pub(super) fn count_demand(&self, bucket: usize) {
        let count = &self.demand[bucket % BUCKETS];
        // Relaxed: a statistic with one writer.
        count.store(
            count.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }

    pub(super) fn set_frame(&self, first_frame: u64) {
        // Relaxed: a statistic.
        self.frame.store(first_frame, Ordering::Relaxed);
    }

    /// The owner goes; its lists are whole.
    pub(super) fn detach(&self) {
        // Release: pairs with the acquire in `is_attached`; the lists are seen as the owner left them.
        self.attached.store(0, Ordering::Release);
    }

    // The control half's side.

    pub(super) fn is_attached(&self) -> bool {
        // Acquire: pairs with the release in `detach`.
        self.attached.load(Ordering::Acquire) == 1
    }

    /// Gives the half to a new owner. Only while there is none.
    pub(super) fn adopt(&self) {
        // Relaxed: the new owner is made from the control half's thread, and moved by the user.
        self.attached.store(1, Ordering::Relaxed);
    }

    /// Offers the owner a new table; one it never picked up is freed.
    pub(super) fn publish(&self, table: Box<ClassTable>) {
        // Release: pairs with the acquire in `pick_up`. Acquire: pairs with an earlier `publish` of this side.
        let unseen = self.pending.swap(Box::into_raw(table), Ordering::AcqRel);
        free_table(unseen);
    }

    /// Frees a table the owner is done with.
    pub(super) fn collect_retired(&self) {
        // Acquire: pairs with the release in `pick_up`.
        free_table(self.retired.swap(ptr::null_mut(), Ordering::Acquire));
    }

    /// Takes up what was published since the owner went, so that nothing old stays named. Only while there is none.
    pub(super) fn take_up_for_nobody(&self) {
        self.collect_retired();
        if self.pick_up().is_some() {
            self.collect_retired();
        }
    }

    /// Whether the owner uses the last table that was published.
    pub(super) fn is_current(&self) -> bool {
        // Acquire: pairs with the release of the swap in `pick_up`.
        self.pending.load(Ordering::Acquire).is_null()
    }

    pub(super) fn frame(&self) -> u64 {
        self.frame.load(Ordering::Relaxed)
    }

    pub(super) fn demand(&self) -> impl Iterator<Item = u32> {
        self.demand
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
    }

    fn heap_bytes(&self) -> usize {
        // The retired and the pending table come and go; each is there for a quantum or two.
        let table = size_of::<ClassTable>() + self.current().heap_bytes();
        let passing = [&self.pending, &self.retired]
            .into_iter()
            .filter(|table| !table.load(Ordering::Relaxed).is_null())
            .count();
        size_of::<Self>() + table + passing * size_of::<ClassTable>()
    }
}

/// A life from the making to the freeing of something, in which loom notices looks that are not ordered.
#[cfg(loom)]
pub(super) struct Life(loom::cell::UnsafeCell<()>);

// SAFETY: nothing is in it; loom checks who looks when.
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

fn free_table(table: *mut ClassTable) {
    if !table.is_null() {
        // SAFETY: from `Box::into_raw`, and just swapped out of the one place that named it, after its last reader.
        let table = unsafe { Box::from_raw(table) };
        #[cfg(loom)]
        table.life.end();
        drop(table);
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        for table in [&self.current, &self.pending, &self.retired] {
            free_table(table.load(Ordering::Relaxed));
        }
    }
}

#[cfg(all(test, loom))]
#[path = "pool_core_loom.rs"]
mod loom_models;

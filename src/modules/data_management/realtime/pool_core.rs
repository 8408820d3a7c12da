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
#![allow(unsafe_code)] // Shared ownership without a counter per handle.

use core::cell::UnsafeCell;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use super::half::Half;
use super::orderings::{
    ANCHORS_COUNT_DOWN, OUTSTANDING_COUNT_DOWN, REQUEST_EPOCH_RAISE, REQUEST_EPOCH_READ,
};
use super::shelf::Shelf;
use super::slot_table::{Loan, Slot, SlotIndex, SlotTable};
use crate::modules::data_management::control::arena::{Region, UNIT_BYTES};
use crate::modules::data_management::error::{PoolError, Table};
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Regions a pool can grow to: one for the mix of each half, and as many for growth.
pub(crate) const MAX_REGIONS: usize = if cfg!(loom) { 1 } else { 2 * MAX_HALVES };
/// Real-time halves on one control.
pub(crate) const MAX_HALVES: usize = if cfg!(loom) { 2 } else { 16 };
/// Shelves of all halves, old classes that still drain included.
pub(crate) const MAX_SHELVES: usize = if cfg!(loom) {
    4
} else if cfg!(miri) {
    // Each control step looks at all of them: most of what the interpreter does.
    48
} else {
    256
};

const BIAS: u64 = 1 << 62;

/// A pointer to something that lives at least as long as the core lets its holder reach it.
///
/// Invariant: the holder is an anchor of the core, or a handle to one of its buffers, or is itself owned by the core;
/// each keeps the core (and the shelf of the buffer) alive. Only this file and `PoolControl` hand new ones out.
pub(crate) struct Pinned<T>(NonNull<T>);

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

    pub(super) fn address(self) -> usize {
        self.0.addr().get()
    }

    /// Of something that the test keeps.
    #[cfg(all(test, not(loom)))]
    pub(super) fn of_test(value: &T) -> Self {
        Self(NonNull::from(value))
    }
}

#[cfg(all(test, not(loom)))]
impl Pinned<Core> {
    /// Of a core without a pool, for shelves that are tested by themselves.
    pub(super) fn for_test() -> Self {
        static CORE: std::sync::OnceLock<Core> = std::sync::OnceLock::new();
        Self::of_test(CORE.get_or_init(|| Core::new(1)))
    }
}

/// What happens to samples when their buffer is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnRelease {
    /// They stay. Debug builds overwrite them with a signalling NaN.
    Leave,
    /// They are zeroed.
    Scrub,
    /// They must not be written: they belong to a mapped file.
    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    ReadOnly,
}

/// The pool's shared part.
pub(crate) struct Core {
    pub(crate) table: SlotTable,
    /// Where each region starts. Written once each, by the control half.
    bases: [AtomicPtr<f32>; MAX_REGIONS],
    /// Every shelf of every half. Written by the control half.
    shelves: Box<[AtomicPtr<Shelf>]>,
    halves: [AtomicPtr<Half>; MAX_HALVES],
    /// Whether the control half is still there to collect what is shed.
    controlled: AtomicU32,
    /// How often the control half has asked something of a half's owner, by the half's number; wraps. Written by the control
    /// half, and next to never: each owner reads its own when a quantum begins.
    asked: [AtomicU32; MAX_HALVES],
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
    pub(crate) fn new(most_slots: usize) -> Self {
        Self {
            table: SlotTable::new(most_slots),
            bases: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            shelves: (0..MAX_SHELVES)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            halves: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            controlled: AtomicU32::new(1),
            asked: core::array::from_fn(|_| AtomicU32::new(0)),
            anchors: AtomicU32::new(0),
            outstanding: AtomicU64::new(BIAS),
            regions: UnsafeCell::new(Vec::new()),
            #[cfg(loom)]
            _leak_check: loom::alloc::Track::new(()),
        }
    }

    /// Where a slot's samples are.
    #[inline(always)]
    pub(crate) fn samples_at(&self, slot: Slot<'_>) -> NonNull<f32> {
        let base =
            self.bases[usize::from(slot.region() % MAX_REGIONS as u8)].load(Ordering::Relaxed);
        // SAFETY: the slot was carved from this region, at this unit, within its length; the base was stored before the
        // slot was published, so it is not null; the region lives as long as the core.
        unsafe { NonNull::new_unchecked(base.byte_add(slot.unit() as usize * UNIT_BYTES)) }
    }

    pub(crate) fn shelf_of(&self, index: SlotIndex) -> Pinned<Shelf> {
        let shelf = self.shelves[usize::from(self.table.slot(index).shelf()) % MAX_SHELVES]
            .load(Ordering::Relaxed);
        // SAFETY: a carved slot names a shelf that exists as long as one of its slots is carved.
        unsafe { Pinned::new(shelf) }
    }

    pub(crate) fn shelves(&self) -> impl Iterator<Item = Pinned<Shelf>> {
        // SAFETY: what is in the directory is alive.
        live(&self.shelves).map(|shelf| unsafe { Pinned::new(shelf) })
    }

    pub(crate) fn halves(&self) -> impl Iterator<Item = Pinned<Half>> {
        // SAFETY: what is in the directory is alive.
        live(&self.halves).map(|half| unsafe { Pinned::new(half) })
    }

    /// Has the owner of this half look at all of its shelves when its next quantum begins: after each wish.
    pub(super) fn ask(&self, half: u16) {
        let asked = &self.asked[usize::from(half) % MAX_HALVES];
        let more = asked.load(Ordering::Relaxed).wrapping_add(1);
        asked.store(more, REQUEST_EPOCH_RAISE);
    }

    /// How often this half's owner was asked.
    #[inline(always)]
    pub(super) fn asked(&self, half: u16) -> u32 {
        self.asked[usize::from(half) % MAX_HALVES].load(REQUEST_EPOCH_READ)
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
    /// By value: a reference handed in would have to outlive the call, and this call may free what it refers to. The loan
    /// need not: it is nothing but atomics.
    #[inline(always)]
    pub(super) fn send_home(self, shelf: Pinned<Shelf>, loan: &Loan, index: SlotIndex) {
        if shelf.shared.inbox.push(loan, index).is_err() {
            self.settle(1);
        }
    }

    /// Counts `less` off what is outstanding; zero frees.
    #[cold]
    fn settle(self, less: u64) {
        if self.outstanding.fetch_sub(less, OUTSTANDING_COUNT_DOWN) == less {
            // SAFETY: boxed in `ControlAnchor::new`. All anchors are gone and every handle has counted itself off, so this is
            // the last reference; the count reaches zero once.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

/// The control half's hold on the core: there is one, and it alone changes the directories.
pub(crate) struct ControlAnchor(Anchor);

impl ControlAnchor {
    pub(crate) fn new(core: Core) -> Self {
        let core = Box::into_raw(Box::new(core));
        // SAFETY: from a box; kept alive by the anchor counted here.
        let core = unsafe { Pinned::new(core) };
        core.anchors.store(1, Ordering::Relaxed);
        Self(Anchor(core))
    }

    /// A real-time half's hold.
    pub(crate) fn another(&self) -> Anchor {
        // Relaxed: made from a live anchor, which keeps the core; like `Arc`.
        self.anchors.fetch_add(1, Ordering::Relaxed);
        Anchor(self.0.core())
    }

    pub(crate) const fn core(&self) -> Pinned<Core> {
        self.0.core()
    }

    /// Takes over a region's memory.
    pub(crate) fn add_region(&mut self, region: Region) -> Result<u8, PoolError> {
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
    pub(crate) fn heap_bytes(&self) -> usize {
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
    pub(crate) fn add_shelf(
        &mut self,
        make: impl FnOnce(u16) -> Shelf,
    ) -> Result<Pinned<Shelf>, PoolError> {
        add(&self.shelves, Table::Shelves, make)
    }

    /// Puts a half made for the first free number into the directory.
    pub(crate) fn add_half(
        &mut self,
        make: impl FnOnce(u16) -> Half,
    ) -> Result<Pinned<Half>, PoolError> {
        add(&self.halves, Table::Halves, make)
    }

    /// The number the next half will get.
    pub(crate) fn next_half(&self) -> Option<u16> {
        let free = |entry: &AtomicPtr<Half>| entry.load(Ordering::Relaxed).is_null();
        self.halves.iter().position(free).map(|id| id as u16)
    }

    /// Counts off the anchor of a half whose owner is dead.
    ///
    /// # Safety
    /// The anchor is never dropped, and belongs to this core.
    pub(crate) unsafe fn forget_dead(&mut self) {
        // Relaxed: the dead thread has released nothing; this anchor stays, so it is not the last.
        self.anchors.fetch_sub(1, Ordering::Relaxed);
    }

    /// Frees a shelf once none of its buffers exists and its half's table no longer names it; answers whether it did.
    pub(crate) fn remove_if_unused(&mut self, shelf: Pinned<Shelf>) -> bool {
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
pub(crate) struct Anchor(Pinned<Core>);

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
        if core.anchors.fetch_sub(1, ANCHORS_COUNT_DOWN) != 1 {
            return;
        }
        let mut leased = 0;
        for shelf in core.shelves() {
            let came_home = shelf.shared.inbox.close();
            let came_home = if cfg!(wavepool_mutant = "teardown_without_inbox") {
                0
            } else {
                came_home
            };
            let idle = shelf.local() + came_home + shelf.shared.surplus.length();
            leased += u64::from(shelf.carved() - idle);
        }
        core.settle(BIAS - leased);
    }
}

#[cfg(all(test, loom))]
#[path = "pool_core_loom.rs"]
mod loom_models;

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
use core::cell::UnsafeCell;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use super::half::Half;
use super::orderings::{
    OUTSTANDING_COUNT_DOWN, POOL_REFS_COUNT_DOWN, REQUEST_EPOCH_RAISE, REQUEST_EPOCH_READ,
};
use super::size_class::SizeClass;
use super::slot_table::{Slot, SlotIndex, SlotState, SlotTable};
use crate::error::{PoolError, Table};
use crate::limits::UNIT_BYTES;
use crate::memory::Region;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Regions a pool can grow to: one for the mix of each half, and as many for growth.
pub(crate) const MAX_REGIONS: usize = if cfg!(loom) { 1 } else { 2 * MAX_HALVES };
/// Real-time halves of one control half.
pub(crate) const MAX_HALVES: usize = if cfg!(loom) { 2 } else { 16 };
/// Size classes of all halves, old classes that still drain included.
pub(crate) const MAX_SIZE_CLASSES: usize = if cfg!(loom) {
    4
} else if cfg!(miri) {
    // Each control step visits all of them: most of what the interpreter does.
    48
} else {
    256
};

/// Where the count of outstanding handles starts: see `docs/decisions/0012-handles-are-not-reference-counted.md`.
const BIAS: u64 = 1 << 62;

/// A pointer to something that the core keeps alive as long as its owner can use the pointer.
///
/// Invariant: the pointer is part of a pool reference, of a handle to one of the core's buffers, or of something that
/// the core owns; each keeps the core alive, and a handle keeps the size class of its buffer alive. Only `pool_core.rs`
/// and `half.rs` make new ones, by an unsafe function.
pub(crate) struct SharedPtr<T>(NonNull<T>);

impl<T> Clone for SharedPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SharedPtr<T> {}

impl<T> PartialEq for SharedPtr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Deref for SharedPtr<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the invariant keeps the value alive and at its address. It was initialised before the pointer was
        // made. Only shared references to it exist until it is freed. `T` is `Sync` where the pointer crosses threads.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: like `&T`.
unsafe impl<T: Sync> Send for SharedPtr<T> {}
// SAFETY: like `&T`.
unsafe impl<T: Sync> Sync for SharedPtr<T> {}

impl<T> SharedPtr<T> {
    /// # Safety
    /// `pointer` is not null, and keeps the type's invariant.
    pub(super) const unsafe fn new(pointer: *mut T) -> Self {
        // SAFETY: not null, by the function's contract.
        Self(unsafe { NonNull::new_unchecked(pointer) })
    }

    pub(super) fn address(self) -> usize {
        self.0.addr().get()
    }

    /// A pointer to something that the test keeps alive.
    #[cfg(all(test, not(loom)))]
    pub(super) fn of_test(value: &T) -> Self {
        Self(NonNull::from(value))
    }
}

#[cfg(all(test, not(loom)))]
impl SharedPtr<Core> {
    /// A pointer to a core without a pool, for tests of size classes alone.
    pub(super) fn for_test() -> Self {
        static CORE: std::sync::OnceLock<Core> = std::sync::OnceLock::new();
        Self::of_test(CORE.get_or_init(|| Core::new(1)))
    }
}

/// What happens to the samples of a released buffer.
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

/// The shared state of a pool.
pub(crate) struct Core {
    pub(crate) table: SlotTable,
    /// The start of each region. The control half writes each once.
    bases: [AtomicPtr<f32>; MAX_REGIONS],
    /// Every size class of every half. The control half writes it.
    size_classes: Box<[AtomicPtr<SizeClass>]>,
    halves: [AtomicPtr<Half>; MAX_HALVES],
    /// 1 while there is a control half, which collects what is shed.
    controlled: AtomicU32,
    /// Request epoch by half: how many requests the control half has made; wraps. The control half writes it seldom,
    /// and each owner reads its own when a quantum begins.
    request_epoch: [AtomicU32; MAX_HALVES],
    /// Pool references that exist.
    pool_refs: AtomicU32,
    /// Handles that outlive the last pool reference: see the table above.
    outstanding: AtomicU64,
    /// The memory. Used by the control half alone, and by the drop.
    regions: UnsafeCell<Vec<Region>>,
    #[cfg(loom)]
    _leak_check: loom::alloc::Track<()>,
}

// SAFETY: everything but `regions` is atomic or never changes. `regions` is reached only through the one `ControlRef`,
// is changed only through `&mut` of it, and by the drop, which is alone.
unsafe impl Sync for Core {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Core {}

impl Core {
    pub(crate) fn new(most_slots: usize) -> Self {
        Self {
            table: SlotTable::new(most_slots),
            bases: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            size_classes: (0..MAX_SIZE_CLASSES)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            halves: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            controlled: AtomicU32::new(1),
            request_epoch: core::array::from_fn(|_| AtomicU32::new(0)),
            pool_refs: AtomicU32::new(0),
            outstanding: AtomicU64::new(BIAS),
            regions: UnsafeCell::new(Vec::new()),
            #[cfg(loom)]
            _leak_check: loom::alloc::Track::new(()),
        }
    }

    /// The address of a slot's samples.
    #[inline(always)]
    pub(crate) fn samples_at(&self, slot: Slot<'_>) -> NonNull<f32> {
        let base =
            self.bases[usize::from(slot.region() % MAX_REGIONS as u8)].load(Ordering::Relaxed);
        // SAFETY: the slot was carved from this region, at this unit, within its length. The base was stored before
        // the slot was published, so that it is not null. The region lives as long as the core.
        unsafe { NonNull::new_unchecked(base.byte_add(slot.unit() as usize * UNIT_BYTES)) }
    }

    pub(crate) fn size_class_of(&self, index: SlotIndex) -> SharedPtr<SizeClass> {
        let size_class = self.size_classes
            [usize::from(self.table.slot(index).size_class()) % MAX_SIZE_CLASSES]
            .load(Ordering::Relaxed);
        // SAFETY: a carved slot names a size class, which exists as long as one of its slots is carved.
        unsafe { SharedPtr::new(size_class) }
    }

    pub(crate) fn size_classes(&self) -> impl Iterator<Item = SharedPtr<SizeClass>> {
        // SAFETY: what is in the directory is alive.
        live(&self.size_classes).map(|size_class| unsafe { SharedPtr::new(size_class) })
    }

    pub(crate) fn halves(&self) -> impl Iterator<Item = SharedPtr<Half>> {
        // SAFETY: what is in the directory is alive.
        live(&self.halves).map(|half| unsafe { SharedPtr::new(half) })
    }

    /// Has the owner of this half serve all of its size classes when its next quantum begins. Called after each
    /// request.
    pub(super) fn raise_request_epoch(&self, half: u16) {
        let request_epoch = &self.request_epoch[usize::from(half) % MAX_HALVES];
        let more = request_epoch.load(Ordering::Relaxed).wrapping_add(1);
        request_epoch.store(more, REQUEST_EPOCH_RAISE);
    }

    /// The number of requests made to the owner of this half.
    #[inline(always)]
    pub(super) fn request_epoch(&self, half: u16) -> u32 {
        self.request_epoch[usize::from(half) % MAX_HALVES].load(REQUEST_EPOCH_READ)
    }

    pub(super) fn is_controlled(&self) -> bool {
        // Relaxed: a hint whether the surplus is collected.
        self.controlled.load(Ordering::Relaxed) == 1
    }
}

fn live<T>(directory: &[AtomicPtr<T>]) -> impl Iterator<Item = *mut T> {
    directory
        .iter()
        // Relaxed: called by the control half, which wrote them, or by the teardown, which the count of pool
        // references orders after it.
        .map(|entry| entry.load(Ordering::Relaxed))
        .filter(|entry| !entry.is_null())
}

fn add<T>(
    directory: &[AtomicPtr<T>],
    table: Table,
    make: impl FnOnce(u16) -> T,
) -> Result<SharedPtr<T>, PoolError> {
    let free = directory
        .iter()
        .position(|entry| entry.load(Ordering::Relaxed).is_null());
    let id = free.ok_or(PoolError::TableFull {
        table,
        capacity: directory.len(),
    })?;
    let made = Box::into_raw(Box::new(make(id as u16)));
    // Relaxed: a slot that names it is published by a push (release) that follows.
    directory[id].store(made, Ordering::Relaxed);
    // SAFETY: from a box; it lives in the directory until it is removed, or until the core is freed.
    Ok(unsafe { SharedPtr::new(made) })
}

impl Drop for Core {
    fn drop(&mut self) {
        for size_class in live(&self.size_classes) {
            // SAFETY: boxed in `add`, in the directory until now, freed once; nothing reaches the core any more.
            drop(unsafe { Box::from_raw(size_class) });
        }
        for half in live(&self.halves) {
            // SAFETY: as above.
            drop(unsafe { Box::from_raw(half) });
        }
    }
}

impl SharedPtr<Core> {
    /// Releases a buffer from any thread: one lock-free push, or, after the last pool reference was dropped, one
    /// count.
    ///
    /// `self` by value: a reference would have to stay valid during the call, which may free what it refers to. The
    /// slot state need not: it is nothing but atomics.
    #[inline(always)]
    pub(super) fn push_or_count_down(
        self,
        size_class: SharedPtr<SizeClass>,
        state: &SlotState,
        index: SlotIndex,
    ) {
        if size_class.shared.inbox.push(state, index).is_err() {
            self.count_down_outstanding(1);
        }
    }

    /// Subtracts from the outstanding handles; frees the core at zero.
    #[cold]
    fn count_down_outstanding(self, less: u64) {
        if self.outstanding.fetch_sub(less, OUTSTANDING_COUNT_DOWN) == less {
            // SAFETY: boxed in `ControlRef::new`. All pool references are gone and every handle has counted itself
            // off, so that this is the last use. The count reaches zero once.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

/// The control half's pool reference: there is one, and it alone changes the directories.
pub(crate) struct ControlRef(PoolRef);

impl ControlRef {
    pub(crate) fn new(core: Core) -> Self {
        let core = Box::into_raw(Box::new(core));
        // SAFETY: from a box; the pool reference counted here keeps it alive.
        let core = unsafe { SharedPtr::new(core) };
        core.pool_refs.store(1, Ordering::Relaxed);
        Self(PoolRef(core))
    }

    /// A real-time half's pool reference.
    pub(crate) fn new_pool_ref(&self) -> PoolRef {
        // Relaxed: made from a live pool reference, which keeps the core alive; like `Arc`.
        self.pool_refs.fetch_add(1, Ordering::Relaxed);
        PoolRef(self.0.core())
    }

    pub(crate) const fn core(&self) -> SharedPtr<Core> {
        self.0.core()
    }

    /// Adds a region's memory.
    pub(crate) fn add_region(&mut self, region: Region) -> Result<u8, PoolError> {
        // SAFETY: the list is reached through the one control half's pool reference, here exclusively.
        let regions = unsafe { &mut *self.0.0.regions.get() };
        let id = regions.len();
        if id == MAX_REGIONS {
            return Err(PoolError::TableFull {
                table: Table::Regions,
                capacity: MAX_REGIONS,
            });
        }
        // Relaxed: slots of this region are published by a push (release) that follows.
        self.bases[id].store(region.base().as_ptr(), Ordering::Relaxed);
        regions.reserve_exact(1);
        regions.push(region);
        Ok(id as u8)
    }

    /// Bytes of every table that the core owns, itself included; the samples excluded.
    pub(crate) fn heap_bytes(&self) -> usize {
        // SAFETY: the list is changed only through `&mut` of the one control half's pool reference, which is borrowed
        // here.
        let regions = unsafe { &*self.0.0.regions.get() };
        let halves: usize = self.halves().map(|half| half.heap_bytes()).sum();
        size_of::<Core>()
            + self.table.heap_bytes()
            + size_of_val(&*self.size_classes)
            + self.size_classes().count() * size_of::<SizeClass>()
            + halves
            + regions.capacity() * size_of::<Region>()
    }

    /// Adds a size class, made for the first free number.
    pub(crate) fn add_size_class(
        &mut self,
        make: impl FnOnce(u16) -> SizeClass,
    ) -> Result<SharedPtr<SizeClass>, PoolError> {
        add(&self.size_classes, Table::SizeClasses, make)
    }

    /// Adds a half, made for the first free number.
    pub(crate) fn add_half(
        &mut self,
        make: impl FnOnce(u16) -> Half,
    ) -> Result<SharedPtr<Half>, PoolError> {
        add(&self.halves, Table::Halves, make)
    }

    /// The number that the next half will get.
    pub(crate) fn next_half(&self) -> Option<u16> {
        let free = |entry: &AtomicPtr<Half>| entry.load(Ordering::Relaxed).is_null();
        self.halves.iter().position(free).map(|id| id as u16)
    }

    /// Counts off the pool reference of a half whose owner died.
    ///
    /// # Safety
    /// That pool reference belongs to this core and is never dropped.
    pub(crate) unsafe fn release_abandoned(&mut self) {
        // Relaxed: the dead thread has released nothing. This pool reference stays, so that it is not the last.
        self.pool_refs.fetch_sub(1, Ordering::Relaxed);
    }

    /// Frees a size class once none of its buffers exists and its half's table no longer names it. Returns whether it
    /// did.
    pub(crate) fn remove_if_unused(&mut self, size_class: SharedPtr<SizeClass>) -> bool {
        let named = self
            .halves()
            .filter(|half| half.id == size_class.half)
            .any(|half| {
                // The owner uses the table that was published last, and only this side publishes: the table stays
                // during this look.
                !half.is_current() || half.current().all().any(|other| other.id == size_class.id)
            });
        if named || size_class.carved() > 0 {
            return false;
        }
        let entry = &self.size_classes[usize::from(size_class.id) % MAX_SIZE_CLASSES];
        entry.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: boxed in `add`. No handle owns a buffer of it (none is carved), and no table names it.
        drop(unsafe { Box::from_raw(size_class.0.as_ptr()) });
        true
    }
}

impl Deref for ControlRef {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.0
    }
}

impl Drop for ControlRef {
    fn drop(&mut self) {
        // From now on nobody collects what is shed. Relaxed: a hint.
        self.controlled.store(0, Ordering::Relaxed);
    }
}

/// A half's pool reference: it keeps the core alive.
pub(crate) struct PoolRef(SharedPtr<Core>);

impl PoolRef {
    #[inline]
    pub(super) const fn core(&self) -> SharedPtr<Core> {
        self.0
    }
}

impl Deref for PoolRef {
    type Target = Core;

    #[inline]
    fn deref(&self) -> &Core {
        &self.0
    }
}

impl Drop for PoolRef {
    fn drop(&mut self) {
        let core = self.0;
        if core.pool_refs.fetch_sub(1, POOL_REFS_COUNT_DOWN) != 1 {
            return;
        }
        let mut leased = 0;
        for size_class in core.size_classes() {
            let returned_to_inbox = size_class.shared.inbox.close();
            let returned_to_inbox = if cfg!(wavepool_mutant = "teardown_without_inbox") {
                0
            } else {
                returned_to_inbox
            };
            let idle = size_class.local() + returned_to_inbox + size_class.shared.surplus.length();
            leased += u64::from(size_class.carved() - idle);
        }
        core.count_down_outstanding(BIAS - leased);
    }
}

#[cfg(all(test, loom))]
#[path = "pool_core_loom.rs"]
mod loom_models;

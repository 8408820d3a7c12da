//! What every size class and every handle of a pool reads: its slots, its sample memory, and the signals of the control
//! half.
#![allow(unsafe_code)] // Sample addresses.

use core::ptr::NonNull;

use super::orderings::{REQUEST_EPOCH_RAISE, REQUEST_EPOCH_READ};
use super::slot_table::{Slot, SlotTable};
use crate::limits::UNIT_BYTES;
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

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

/// The part of a pool's shared state that its size classes use.
pub(crate) struct PoolState {
    pub(crate) table: SlotTable,
    /// The start of each region. The control half writes each once; until then it points to nothing.
    bases: [AtomicPtr<f32>; MAX_REGIONS],
    /// 1 while there is a control half, which collects what is shed.
    controlled: AtomicU32,
    /// Request epoch by half: how many requests the control half has made; wraps. The control half writes it seldom,
    /// and each owner reads its own when a quantum begins.
    request_epoch: [AtomicU32; MAX_HALVES],
}

impl PoolState {
    pub(super) fn new(most_slots: usize) -> Self {
        Self {
            table: SlotTable::new(most_slots),
            bases: core::array::from_fn(|_| AtomicPtr::new(NonNull::dangling().as_ptr())),
            controlled: AtomicU32::new(1),
            request_epoch: core::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// The address of a slot's samples.
    #[inline(always)]
    pub(crate) fn samples_at(&self, slot: Slot<'_>) -> NonNull<f32> {
        let base =
            self.bases[usize::from(slot.region() % MAX_REGIONS as u8)].load(Ordering::Relaxed);
        let samples = base.wrapping_byte_add(slot.unit() as usize * UNIT_BYTES);
        // SAFETY: no base is null, and no region reaches the end of the address space.
        unsafe { NonNull::new_unchecked(samples) }
    }

    /// Sets the start of a region's memory.
    pub(super) fn set_base(&self, region: usize, base: NonNull<f32>) {
        // Relaxed: slots of this region are published by a push (release) that follows.
        self.bases[region].store(base.as_ptr(), Ordering::Relaxed);
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

    /// From now on nobody collects what is shed.
    pub(super) fn end_control(&self) {
        // Relaxed: a hint.
        self.controlled.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
impl PoolState {
    /// The state of no pool, for tests of size classes alone.
    pub(super) fn for_test() -> &'static Self {
        static STATE: std::sync::OnceLock<PoolState> = std::sync::OnceLock::new();
        STATE.get_or_init(|| Self::new(1))
    }
}

//! Ownership of a half: only its owner uses its local lists, its caches and its current class table.
#![allow(unsafe_code)] // References to what the pool reference keeps alive.

use super::class_table::ClassTable;
use super::half::Half;
use super::pool_core::{ControlRef, Core, PoolRef};
use super::shared_ptr::SharedPtr;

/// The one owner of a half. Its drop detaches the half.
pub(crate) struct OwnedHalf {
    half: SharedPtr<Half>,
    /// The half's current table.
    table: SharedPtr<ClassTable>,
    // The last field: the half is detached before the core may be freed.
    pool: PoolRef,
}

impl ControlRef {
    /// Makes the caller the owner of a half, if it has none.
    pub(crate) fn own(&self, half: u16) -> Option<OwnedHalf> {
        let half = self.half(half).filter(|half| half.attach())?;
        Some(OwnedHalf {
            table: half.current(),
            half: SharedPtr::from(half),
            pool: self.new_pool_ref(),
        })
    }
}

impl OwnedHalf {
    pub(super) fn pool(&self) -> &Core {
        &self.pool
    }

    #[inline(always)]
    pub(crate) fn half(&self) -> &Half {
        // SAFETY: of the pool whose reference is here; halves are freed with their pool.
        unsafe { self.half.get() }
    }

    #[inline(always)]
    pub(super) fn table(&self) -> &ClassTable {
        // SAFETY: the current table is freed only after its owner has retired it: in `install_pending_table`, during which
        // nothing is borrowed from here.
        unsafe { self.table.get() }
    }

    /// Uses the class table that the control half published last, if there is one. Returns whether there was.
    pub(crate) fn install_pending_table(&mut self) -> bool {
        // SAFETY: this is the owner, and the former table is not used from here on.
        let installed = unsafe { self.half().pick_up_table() };
        self.table = self.half().current();
        installed
    }
}

impl Drop for OwnedHalf {
    fn drop(&mut self) {
        self.half().detach();
    }
}

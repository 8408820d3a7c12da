//! A pointer to a part of a pool, for those that keep the pool alive by other means than a borrow.
#![allow(unsafe_code)] // Shared ownership without a counter per handle.

use core::ptr::NonNull;

/// A pointer to a part of a pool: the core, a half, a class table, a size class. Whoever follows it argues what keeps the
/// part alive.
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

// SAFETY: like `&T`.
unsafe impl<T: Sync> Send for SharedPtr<T> {}
// SAFETY: like `&T`.
unsafe impl<T: Sync> Sync for SharedPtr<T> {}

impl<T> From<&T> for SharedPtr<T> {
    #[inline(always)]
    fn from(part: &T) -> Self {
        Self(NonNull::from(part))
    }
}

impl<T> SharedPtr<T> {
    /// # Safety
    /// `pointer` is not null.
    pub(super) const unsafe fn new(pointer: *mut T) -> Self {
        // SAFETY: the function's contract.
        Self(unsafe { NonNull::new_unchecked(pointer) })
    }

    pub(super) const fn as_ptr(self) -> *mut T {
        self.0.as_ptr()
    }

    /// The part.
    ///
    /// # Safety
    /// It lives as long as the reference is used.
    #[inline(always)]
    pub(super) const unsafe fn get<'part>(self) -> &'part T {
        // SAFETY: alive, by the function's contract, and so at its address. Initialised before the pointer was made. Only
        // shared references to it exist until it is freed.
        unsafe { self.0.as_ref() }
    }
}

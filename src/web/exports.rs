//! Raw exports: numbers in, numbers out, past wasm-bindgen, so that a crossing costs a call and nothing else.
#![allow(unsafe_code)] // JavaScript holds Rust values as numbers; they are references again here, and in the end freed.

use core::mem::ManuallyDrop;

/// Declares exports that get what JavaScript names by its address as a reference.
macro_rules! exports {
    ($($(#[$doc:meta])* fn $name:ident($this:ident: &mut $This:ty $(, $arg:ident: $Arg:ty)*) $(-> $Out:ty)? $body:block)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// The address is of one that is open, and this is the thread it belongs to.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($this: *mut $This $(, $arg: $Arg)*) $(-> $Out)? {
            // SAFETY: made by `Box::into_raw` and not yet closed, says the caller, so it is aligned, initialised and
            // alive; the host does not touch it between opening and closing it, and the thread it belongs to is one.
            let $this: &mut $This = unsafe { &mut *$this };
            $body
        }
    )*};
}
pub(super) use exports;

/// Something that another thread uses by its address until it is closed.
pub(super) struct Lent<T>(*mut T);

impl<T> Lent<T> {
    pub(super) fn new(value: Box<T>) -> Self {
        Self(Box::into_raw(value))
    }

    pub(super) fn address(&self) -> usize {
        self.0 as usize
    }

    /// For when its thread is known to be dead.
    pub(super) fn of_the_dead(&mut self) -> &mut T {
        // SAFETY: from `Box::into_raw`, not freed while `self` lives; the only thread that used it is gone, says the caller.
        unsafe { &mut *self.0 }
    }

    /// For when its thread has said that it will not use it again, or is gone.
    pub(super) fn take_back(self) -> Box<T> {
        let value = ManuallyDrop::new(self);
        // SAFETY: from `Box::into_raw`, and not dropped by `Lent`; nobody else uses it, says the caller.
        unsafe { Box::from_raw(value.0) }
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        // SAFETY: from `Box::into_raw`, freed here or by `take_back`. The host drops it when its thread has said that it will
        // not use it again (or is gone), so nobody else does.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

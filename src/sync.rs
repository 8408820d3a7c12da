//! The only source of atomics: `core`, or `loom` while a model is checked (`--cfg loom`).

#[cfg(not(any(loom, test)))]
pub(crate) use core::sync::atomic;
#[cfg(loom)]
pub(crate) use loom::sync::{Arc, atomic};
#[cfg(not(loom))]
pub(crate) use std::sync::Arc;

pub(crate) mod orderings;

/// Called by a loop that waits for another thread's store.
#[cfg(not(loom))]
pub(crate) use core::hint::spin_loop;
#[cfg(loom)]
pub(crate) use loom::hint::spin_loop;

/// `UnsafeCell` with loom's interface, so that a model sees every access.
#[cfg(not(loom))]
pub(crate) mod cell {
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}
#[cfg(loom)]
pub(crate) use loom::cell;

/// In unit tests a thread can be stopped before any of its stores.
#[cfg(all(test, not(loom)))]
pub(crate) mod atomic;

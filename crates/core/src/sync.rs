//! The only source of atomics: `core`, or `loom` while a model is checked (`--cfg loom`).

#[cfg(not(loom))]
pub use alloc::sync::Arc;
#[cfg(not(any(loom, any(test, all(feature = "stop-threads", debug_assertions)))))]
pub use core::sync::atomic;
#[cfg(loom)]
pub use loom::sync::{Arc, atomic};

/// Called by a loop that waits for another thread's store.
#[cfg(not(loom))]
pub use core::hint::spin_loop;
#[cfg(loom)]
pub use loom::hint::spin_loop;

/// `UnsafeCell` with loom's interface, so that a model sees every access.
#[cfg(not(loom))]
pub mod cell {
    #[derive(Debug)]
    pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        #[inline(always)]
        pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}
#[cfg(loom)]
pub use loom::cell;

/// In unit tests a thread can be stopped before any of its stores.
#[cfg(all(any(test, all(feature = "stop-threads", debug_assertions)), not(loom)))]
pub mod atomic;

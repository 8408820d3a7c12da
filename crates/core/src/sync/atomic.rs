//! Atomics of a thread that can be stopped before any of its stores: see [`stop_after`].

use core::cell::Cell;
use core::ops::{Deref, DerefMut};
pub use core::sync::atomic::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

std::thread_local! {
    static STORES_LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Runs `work` so that only its first `stores` stores happen, as if this thread were killed before the next one: it
/// continues without any effect on shared words, and may panic there. Returns how many stores there were.
pub fn stop_after(stores: u64, work: impl FnOnce()) -> u64 {
    STORES_LEFT.set(stores);
    let done = catch_unwind(AssertUnwindSafe(work));
    let left = STORES_LEFT.replace(u64::MAX);
    if let Err(panic) = done
        && left > 0
    {
        resume_unwind(panic);
    }
    stores - left
}

fn lives() -> bool {
    let left = STORES_LEFT.get();
    if left != u64::MAX {
        STORES_LEFT.set(left.saturating_sub(1));
    }
    left > 0
}

macro_rules! mortal {
    ($Name:ident, $Value:ty $(, $Param:ident)?) => {
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $Name$(<$Param>)?(core::sync::atomic::$Name$(<$Param>)?);

        #[allow(dead_code)] // Not every kind uses all of them.
        impl$(<$Param>)? $Name$(<$Param>)? {
            pub const fn new(value: $Value) -> Self {
                Self(core::sync::atomic::$Name::new(value))
            }

            pub fn store(&self, value: $Value, order: Ordering) {
                if lives() {
                    self.0.store(value, order);
                }
            }

            pub fn swap(&self, value: $Value, order: Ordering) -> $Value {
                if lives() { self.0.swap(value, order) } else { self.0.load(Ordering::SeqCst) }
            }

            pub fn compare_exchange(
                &self,
                current: $Value,
                new: $Value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$Value, $Value> {
                if lives() { self.0.compare_exchange(current, new, success, failure) } else { Ok(current) }
            }

            pub fn compare_exchange_weak(
                &self,
                current: $Value,
                new: $Value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$Value, $Value> {
                self.compare_exchange(current, new, success, failure)
            }
        }

        impl$(<$Param>)? Deref for $Name$(<$Param>)? {
            type Target = core::sync::atomic::$Name$(<$Param>)?;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl$(<$Param>)? DerefMut for $Name$(<$Param>)? {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.0
            }
        }
    };
}

mortal!(AtomicU32, u32);
mortal!(AtomicU64, u64);
mortal!(AtomicPtr, *mut T, T);

macro_rules! mortal_count {
    ($Name:ident, $Value:ty) => {
        impl $Name {
            pub fn fetch_add(&self, more: $Value, order: Ordering) -> $Value {
                if lives() {
                    self.0.fetch_add(more, order)
                } else {
                    self.0.load(Ordering::SeqCst)
                }
            }

            pub fn fetch_sub(&self, less: $Value, order: Ordering) -> $Value {
                if lives() {
                    self.0.fetch_sub(less, order)
                } else {
                    self.0.load(Ordering::SeqCst)
                }
            }
        }
    };
}

mortal_count!(AtomicU32, u32);
mortal_count!(AtomicU64, u64);

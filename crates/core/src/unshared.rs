//! A value that is `Sync` because it is never accessed through a shared reference.
#![allow(unsafe_code)] // Declares it `Sync`.

/// Contains a value that is `Send` and not `Sync`, in a type that must be both.
pub struct Unshared<T>(T);

// SAFETY: a shared reference gives no access to the value: `get`, the only access, needs an exclusive one.
unsafe impl<T> Sync for Unshared<T> {}

impl<T> Unshared<T> {
    /// Encloses a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub const fn get(&mut self) -> &mut T {
        &mut self.0
    }
}

//! Calls code of the library's user so that no panic leaves the call: neither its own nor one in the drop of its payload.
//!
//! On WebAssembly a panic ends the instance instead, and nothing is caught.

use core::any::Any;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

/// A panic that was caught.
pub(crate) struct CaughtPanic {
    payload: Box<dyn Any + Send>,
}

/// Runs `code`. The caller must not hold a lock: `code` may do anything, and so may the drop of the payload.
///
/// A value that `code` was changing when it panicked may be half changed: hence callers drop it, or give it to code of the
/// same user only.
pub(crate) fn contain<R>(code: impl FnOnce() -> R) -> Result<R, CaughtPanic> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| CaughtPanic { payload })
}

/// Runs `code` and returns how many panics were caught: its own, and one more if dropping the payload panics.
pub(crate) fn count_panics(code: impl FnOnce()) -> usize {
    contain(code).map_or_else(CaughtPanic::discard, |()| 0)
}

impl CaughtPanic {
    /// The text that the code panicked with.
    fn message(&self) -> &str {
        let text = self.payload.downcast_ref::<&str>().copied();
        text.or_else(|| self.payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a value that is not text")
    }

    /// The same, for those who keep it; drops the payload.
    pub(crate) fn into_message(self) -> String {
        let message = self.message().to_owned();
        self.discard();
        message
    }

    /// Drops the payload, which is a value of the user's. Returns how many panics there were in all: one or two.
    pub(crate) fn discard(self) -> usize {
        match catch_unwind(AssertUnwindSafe(|| drop(self.payload))) {
            Ok(()) => 1,
            Err(second) => {
                // Dropping this one could panic again, without end. It is leaked.
                core::mem::forget(second);
                2
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;

    /// Panics with another of its kind when it is dropped.
    struct Matryoshka;
    impl Drop for Matryoshka {
        fn drop(&mut self) {
            std::panic::panic_any(Matryoshka);
        }
    }

    #[test]
    fn panics_are_counted_with_those_of_their_payloads() {
        assert_eq!(count_panics(|| ()), 0);
        assert_eq!(count_panics(|| panic!("on purpose")), 1);
        assert_eq!(count_panics(|| std::panic::panic_any(Matryoshka)), 2);
    }

    #[test]
    fn panic_messages_are_those_of_the_code() {
        let message = |code: fn()| contain(code).err().map(CaughtPanic::into_message);
        assert_eq!(message(|| ()), None);
        assert_eq!(message(|| panic!("fixed")).as_deref(), Some("fixed"));
        let formatted = message(|| panic!("{}", "formatted"));
        assert_eq!(formatted.as_deref(), Some("formatted"));
        let other = message(|| std::panic::panic_any(7));
        assert_eq!(other.as_deref(), Some("a value that is not text"));
    }
}

//! Raw exports: functions on numbers, without wasm-bindgen, so that a call from JavaScript costs a call and nothing else.

use core::mem::ManuallyDrop;

use crate::thread_slots::{CAPACITY, Slots};
use wavepool::registry::ModuleError;

use super::thread_memory::ThreadMemory;

/// An object that another thread uses by its number.
pub(crate) trait ThreadObject: Send + Sized + 'static {
    /// Its name for people.
    const NAME: &'static str;
    /// The table of all objects of this type.
    fn slots() -> &'static Slots<Self>;
}

/// Implements [`ThreadObject`] for a type, with its table.
macro_rules! thread_object {
    ($This:ty, $name:literal) => {
        impl $crate::shared::exports::ThreadObject for $This {
            const NAME: &'static str = $name;

            fn slots() -> &'static $crate::thread_slots::Slots<Self> {
                static SLOTS: $crate::thread_slots::Slots<$This> =
                    $crate::thread_slots::Slots::new();
                &SLOTS
            }
        }
    };
}

/// Declares exports whose first argument is an object, which JavaScript names by its number. If no object has the number, they
/// return the value after `else`, or nothing.
macro_rules! exports {
    ($($(#[$doc:meta])* fn $name:ident($this:ident: &mut $This:ty $(, $arg:ident: $Arg:ty)*) $(-> $Out:ty)? $body:block $(else $refused:expr;)?)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        pub(crate) extern "C" fn $name(number: u32 $(, $arg: $Arg)*) $(-> $Out)? {
            let Some(mut inside) = <$This as $crate::shared::exports::ThreadObject>::slots().enter(number) else {
                return $($refused)?;
            };
            let $this: &mut $This = &mut inside;
            $body
        }
    )*};
}
pub(crate) use {exports, thread_object};

/// Whether a thread that uses an object may still run, as far as the host knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThreadState {
    /// The thread may still run.
    Running,
    /// JavaScript reports that the thread has stopped using the object, which is checked.
    Left,
    /// The thread was terminated, or never started.
    Terminated,
}

impl From<u8> for ThreadState {
    /// From JavaScript's numbers. An unknown number counts as `Running`.
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Left,
            2 => Self::Terminated,
            _ => Self::Running,
        }
    }
}

/// An object that was reclaimed from its thread.
pub(crate) enum Reclaimed<T> {
    /// The thread was not inside a call of the object.
    Consistent(Box<T>),
    /// The thread was terminated inside a call: the object may be half changed.
    Interrupted(Box<T>),
}

/// The host's handle of an object that another thread uses by its number, with the memory of that thread (shared mode).
pub(crate) struct ThreadHandle<T: ThreadObject> {
    number: u32,
    /// Freed only after the thread has ended.
    memory: ManuallyDrop<ThreadMemory>,
    kind: core::marker::PhantomData<T>,
}

impl<T: ThreadObject> ThreadHandle<T> {
    pub(crate) fn new(value: Box<T>) -> Result<Self, ModuleError> {
        let refused = |_| {
            format!(
                "{CAPACITY} {}s are open, which is the limit: close one first",
                T::NAME
            )
        };
        Ok(Self {
            number: T::slots().insert(value).map_err(refused)?,
            memory: ManuallyDrop::new(ThreadMemory::new()),
            kind: core::marker::PhantomData,
        })
    }

    /// The object's number, for its thread.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// The address at which the thread's stack ends and its thread-locals begin.
    pub(crate) fn thread_address(&self) -> usize {
        self.memory.address()
    }

    /// Calls the closure with the object; `None` if the thread is inside a call of the object.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        T::slots()
            .enter(self.number)
            .map(|mut inside| change(&mut inside))
    }

    /// Reclaims the object if its thread has ended; its number is stale then. Otherwise returns the handle.
    ///
    /// # Safety
    /// With `Terminated`, the thread does not run any more, and never will.
    #[allow(unsafe_code)] // Passes the caller's guarantee on.
    pub(crate) unsafe fn reclaim(self, end: ThreadState) -> Result<Reclaimed<T>, Self> {
        let slots = T::slots();
        match end {
            ThreadState::Running => return Err(self),
            ThreadState::Left if !slots.is_closed(self.number) => return Err(self),
            ThreadState::Left | ThreadState::Terminated => {}
        }
        let reclaimed = match slots.remove(self.number) {
            Some(object) => Reclaimed::Consistent(object),
            // SAFETY: the thread is still inside a call, so that it has not left: it was terminated, which the caller guarantees.
            None => match unsafe { slots.remove_broken(self.number) } {
                Some(object) => Reclaimed::Interrupted(object),
                None => return Err(self),
            },
        };
        drop(ManuallyDrop::into_inner(self.memory));
        Ok(reclaimed)
    }
}

/// Gives a number to an object of an instance that one thread has for itself (transfer mode); 0 if there are too many.
pub(crate) fn register_local<T: ThreadObject>(value: Box<T>) -> u32 {
    T::slots().insert(value).unwrap_or(0)
}

//! Raw exports: numbers in, numbers out, past wasm-bindgen, so that a crossing costs a call and nothing else.

use core::mem::ManuallyDrop;

use crate::registry::ModuleError;
use crate::thread_slots::{CAPACITY, Slots};

use super::thread_memory::ThreadMemory;

/// Something that another thread uses by its number.
pub(super) trait Lendable: Send + Sized + 'static {
    /// What it is, for people.
    const NAME: &'static str;
    /// The one table of its kind.
    fn slots() -> &'static Slots<Self>;
}

/// Gives a type its table.
macro_rules! lendable {
    ($This:ty, $name:literal) => {
        impl $crate::web::exports::Lendable for $This {
            const NAME: &'static str = $name;

            fn slots() -> &'static $crate::thread_slots::Slots<Self> {
                static SLOTS: $crate::thread_slots::Slots<$This> =
                    $crate::thread_slots::Slots::new();
                &SLOTS
            }
        }
    };
}

/// Declares exports that get what JavaScript names by its number. A number under which nothing is lent returns the value
/// after `else`, or nothing.
macro_rules! exports {
    ($($(#[$doc:meta])* fn $name:ident($this:ident: &mut $This:ty $(, $arg:ident: $Arg:ty)*) $(-> $Out:ty)? $body:block $(else $refused:expr;)?)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        pub(super) extern "C" fn $name(number: u32 $(, $arg: $Arg)*) $(-> $Out)? {
            let Some(mut inside) = <$This as $crate::web::exports::Lendable>::slots().enter(number) else {
                return $($refused)?;
            };
            let $this: &mut $This = &mut inside;
            $body
        }
    )*};
}
pub(super) use {exports, lendable};

/// What the host knows of the end of a thread that it lent something to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ThreadEnd {
    /// It may still run.
    Running,
    /// It said that it has stopped; what it was lent tells whether that is so.
    Left,
    /// It was ended, or never began.
    Gone,
}

impl From<u8> for ThreadEnd {
    /// By JavaScript's numbers; what is none of them says nothing of an end.
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Left,
            2 => Self::Gone,
            _ => Self::Running,
        }
    }
}

/// What came back from a thread.
pub(super) enum Returned<T> {
    /// As the thread left it.
    Whole(Box<T>),
    /// The thread ended in the middle of a change.
    Broken(Box<T>),
}

/// Something that another thread uses by its number, with the memory that this thread runs on (shared mode).
pub(super) struct Lent<T: Lendable> {
    number: u32,
    /// Freed only when the thread has ended.
    memory: ManuallyDrop<ThreadMemory>,
    kind: core::marker::PhantomData<T>,
}

impl<T: Lendable> Lent<T> {
    pub(super) fn new(value: Box<T>) -> Result<Self, ModuleError> {
        let refused = |_| format!("{CAPACITY} {}s are open, the most there can be", T::NAME);
        Ok(Self {
            number: T::slots().insert(value).map_err(refused)?,
            memory: ManuallyDrop::new(ThreadMemory::new()),
            kind: core::marker::PhantomData,
        })
    }

    /// What its thread calls it by.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// Where its thread's stack ends and its thread-locals begin.
    pub(super) fn thread_address(&self) -> usize {
        self.memory.address()
    }

    /// Looks at it, or changes it, while its thread is not inside.
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        T::slots()
            .enter(self.number)
            .map(|mut inside| change(&mut inside))
    }

    /// Takes it back if its thread has ended; the number is stale then. What cannot be taken back stays lent.
    ///
    /// # Safety
    /// With `Gone`, the thread does not run any more, and never will.
    #[allow(unsafe_code)] // Passes the caller's word on.
    pub(super) unsafe fn take_back(self, end: ThreadEnd) -> Result<Returned<T>, Self> {
        let slots = T::slots();
        match end {
            ThreadEnd::Running => return Err(self),
            ThreadEnd::Left if !slots.is_closed(self.number) => return Err(self),
            ThreadEnd::Left | ThreadEnd::Gone => {}
        }
        let returned = match slots.remove(self.number) {
            Some(whole) => Returned::Whole(whole),
            // SAFETY: only a thread that is gone is inside here: one that has left is not.
            None => match unsafe { slots.remove_broken(self.number) } {
                Some(broken) => Returned::Broken(broken),
                None => return Err(self),
            },
        };
        drop(ManuallyDrop::into_inner(self.memory));
        Ok(returned)
    }
}

/// Lends something within an instance that one thread has for itself (transfer mode); 0 if there is no room.
pub(super) fn lend_here<T: Lendable>(value: Box<T>) -> u32 {
    T::slots().insert(value).unwrap_or(0)
}

//! What the control worker does at this moment, in words that the page reads while the worker cannot answer.
//!
//! In shared mode the page looks at them several times a second. In transfer mode nobody can; writing them costs three stores.

use crate::sync::atomic::{AtomicU32, Ordering};

/// A piece of work. The page has the same numbers: `ACTIVITIES` of `web/lib/src/watchdog.ts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Activity {
    /// Nothing, or JavaScript's part.
    Idle = 0,
    /// Delivers events.
    Events = 1,
    /// Analyses a window of the stream with this number.
    Window = 2,
    /// The exercise's demand.
    Exercise = 3,
    /// The pool's control step.
    ControlStep = 4,
}

/// Written by the control worker, read by the page: pieces of work begun (wrapping), the activity, its stream.
static WORDS: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

/// A piece of work begins; the one before has ended.
pub(super) fn begin(activity: Activity, stream: u32) {
    let [begun, now, of] = &WORDS;
    // Relaxed: for people, and nothing is reached through them. One thread writes, so load and store suffice.
    of.store(stream, Ordering::Relaxed);
    now.store(activity as u32, Ordering::Relaxed);
    // Relaxed: see above.
    let next = begun.load(Ordering::Relaxed).wrapping_add(1);
    begun.store(next, Ordering::Relaxed);
}

/// Where the words are.
pub(super) fn address() -> usize {
    WORDS.as_ptr() as usize
}

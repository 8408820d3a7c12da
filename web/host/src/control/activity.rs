//! The current activity of the control worker, in shared words that the page can read while the worker does not respond.
//!
//! In shared mode the page reads them several times a second. In transfer mode they are written as well, which costs three
//! stores, but no other thread can read them.

use serde::Serialize;

use crate::sync::atomic::{AtomicU32, Ordering};

/// A piece of work. The page uses the same numbers: `ACTIVITIES` of `web/lib/src/page/watchdog.ts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub(crate) enum Activity {
    /// Code of JavaScript.
    Idle = 0,
    /// Delivering events.
    Events = 1,
    /// Analysing a window of the stream with the number in the third word.
    Window = 2,
    /// The requests of the exercise.
    Exercise = 3,
    /// The pool's control step.
    ControlStep = 4,
    /// Writing the figures for the page.
    Report = 5,
    /// Opening or closing a stream or a participant.
    Request = 6,
    /// Asleep until the next poll.
    Sleep = 7,
}

impl Activity {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 8] = [
        Self::Idle,
        Self::Events,
        Self::Window,
        Self::Exercise,
        Self::ControlStep,
        Self::Report,
        Self::Request,
        Self::Sleep,
    ];
}

/// Written by the control worker, read by the page: the number of pieces of work begun (wrapping), the activity, its stream.
static WORDS: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

/// Records that a piece of work begins; the previous one has ended.
pub(crate) fn begin(activity: Activity, stream: u32) {
    let [begun, now, of] = &WORDS;
    // Relaxed: figures for people; no other memory is read on the strength of them. One thread writes, so that a load and a
    // store are enough.
    of.store(stream, Ordering::Relaxed);
    now.store(activity as u32, Ordering::Relaxed);
    let next = begun.load(Ordering::Relaxed).wrapping_add(1);
    begun.store(next, Ordering::Relaxed);
}

/// The activity that began last.
pub(crate) fn current() -> Activity {
    // Relaxed: this thread wrote it.
    let number = WORDS[1].load(Ordering::Relaxed);
    let mut all = Activity::ALL.into_iter();
    all.find(|activity| *activity as u32 == number)
        .unwrap_or(Activity::Idle)
}

/// The address of the words.
pub(crate) fn address() -> usize {
    WORDS.as_ptr() as usize
}

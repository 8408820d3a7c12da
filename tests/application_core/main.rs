//! The event bus and the module registry with user code that misbehaves: it panics, also when it is dropped; it does not
//! return; it uses the bus while it runs; it publishes without end. Also every number that the two take.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod bus_numbers;
mod bus_shutdown;
mod bus_user_code;
mod declared_events;
mod modules;
mod watchdogs;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Serialize;
use wavepool::event_bus::{Event, Priority};

macro_rules! events {
    ($($Name:ident $priority:ident,)*) => {$(
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        struct $Name(u64);
        impl Event for $Name {
            const NAME: &'static str = stringify!($Name);
            const PRIORITY: Priority = Priority::$priority;
        }
    )*};
}

events! {
    Urgent Critical,
    Soon High,
    Later Normal,
}

/// The longest time that a test waits: longer than any step takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs `work` on a thread of its own: a deadlock in it fails this test, and not the whole run.
fn returns<R: Send + 'static>(what: &str, work: impl FnOnce() -> R + Send + 'static) -> R {
    let (send, result) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let result = work();
        // The receiver is dropped after the timeout.
        let _ = send.send(result);
    });
    match result.recv_timeout(TIMEOUT) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} has not returned"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => panic!("{what} returned nothing"),
        },
    }
}

/// Waits until `done`; returns how long that took, less the longest time for which a busy machine kept this thread from
/// checking.
fn until(what: &str, done: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    let (mut checked, mut stall) = (start, Duration::ZERO);
    while !done() {
        assert!(start.elapsed() < TIMEOUT, "{what}");
        std::thread::sleep(Duration::from_millis(1));
        stall = stall.max(checked.elapsed());
        checked = Instant::now();
    }
    start.elapsed().saturating_sub(stall)
}

/// Calls the closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

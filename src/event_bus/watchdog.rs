//! Records which handler the dispatching side is running, so that other threads can detect one that does not return: see
//! `docs/decisions/0005-stuck-calls-are-reported-on-request.md`.
#![allow(clippy::disallowed_types)] // A lock outside of the real-time path: the handler under way.

use core::fmt;
use core::time::Duration;
use std::sync::Mutex;

use crate::lock::lock;
use crate::stopwatch::Stopwatch;

/// A call of user code counts as stuck when it has run for this long.
pub const STUCK_AFTER: Duration = Duration::from_millis(500);

/// A handler that has not returned. Until it does, the bus delivers no other event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StuckHandler {
    /// Name of the event that the handler was called with. `None` while the inline handlers of a dropped publisher are dropped.
    pub event: Option<&'static str>,
    /// Type of the handler: for a closure, the path of the function that contains it. `Serialize` while the event's JSON
    /// form is made.
    pub subscriber: &'static str,
    /// How long ago the handler was called.
    pub running_for: Duration,
}

impl fmt::Display for StuckHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.subscriber)?;
        if let Some(event) = self.event {
            write!(f, ", called with the event `{event}`,")?;
        }
        write!(f, " has not returned for {:.1?}", self.running_for)
    }
}

struct Call {
    event: Option<&'static str>,
    subscriber: &'static str,
    running: Stopwatch,
}

/// Records the call that is under way. There is at most one: one thread dispatches at a time, and handlers do not nest.
#[derive(Default)]
pub(crate) struct HandlerWatch {
    /// Locked for moments and never while user code runs, so that readers do not wait for a handler.
    call: Mutex<Option<Call>>,
}

/// Removes the record of the call when it is dropped.
pub(crate) struct WatchedCall<'a>(&'a HandlerWatch);

impl HandlerWatch {
    pub(crate) fn enter(
        &self,
        event: Option<&'static str>,
        subscriber: &'static str,
    ) -> WatchedCall<'_> {
        *lock(&self.call) = Some(Call {
            event,
            subscriber,
            running: Stopwatch::start(),
        });
        WatchedCall(self)
    }

    /// The call under way, if it began at least `limit` ago.
    pub(crate) fn running_for(&self, limit: Duration) -> Option<StuckHandler> {
        let call = lock(&self.call);
        let call = call.as_ref()?;
        let running_for = call.running.elapsed();
        (running_for >= limit).then_some(StuckHandler {
            event: call.event,
            subscriber: call.subscriber,
            running_for,
        })
    }
}

impl Drop for WatchedCall<'_> {
    fn drop(&mut self) {
        *lock(&self.0.call) = None;
    }
}

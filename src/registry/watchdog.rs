//! Records the calls of modules that are under way, so that other threads can detect one that does not return: see
//! `docs/decisions/0005-stuck-calls-are-reported-on-request.md`.
#![allow(clippy::disallowed_types)] // A lock outside of the real-time path: the calls under way.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::event_bus::{STUCK_AFTER, TypedEventBus};
use crate::lock::lock;
use crate::stopwatch::Stopwatch;

/// Reports calls that do not return. A registry belongs to one thread, and while that thread is inside a module it cannot
/// call [`health`](super::ModuleRegistry::health); the watchdog is for all other threads. Clones are the same watchdog.
///
/// It reports calls that the registry makes (`construct`, `init`, `start`, `health`, `stop`, `drop`), calls that modules
/// record with a [`CallTracker`] (for example the pool's `tick`), and the bus's handlers.
///
/// # Real-time
/// No: it locks. It never waits for the call that it reports.
///
/// # Examples
/// ```
/// use wavepool::event_bus::TypedEventBus;
/// use wavepool::registry::ModuleRegistry;
///
/// let registry = ModuleRegistry::empty_builder(TypedEventBus::default()).boot()?;
/// let watchdog = registry.watchdog();
/// std::thread::spawn(move || {
///     // Every second or so.
///     for stuck in watchdog.stuck_calls() {
///         eprintln!("{stuck}"); // module `data_management` has not returned from `tick` for 1.2s
///     }
/// });
/// # Ok::<(), wavepool::registry::RegistryError>(())
/// ```
#[derive(Clone)]
pub struct Watchdog {
    calls: Arc<Calls>,
    bus: TypedEventBus,
}

/// A call that began [`STUCK_AFTER`] ago or earlier and has not returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckCall {
    /// Name of the module; `event_bus` for a handler.
    pub module: &'static str,
    /// Name of the call.
    pub call: String,
    /// How long ago it began.
    pub running_for: Duration,
}

impl fmt::Display for StuckCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            module,
            call,
            running_for,
        } = self;
        write!(
            f,
            "module `{module}` has not returned from `{call}` for {running_for:.1?}"
        )
    }
}

/// Records a module's own calls for the [`Watchdog`]. The module gets it from the [`InitContext`](super::InitContext), keeps it,
/// and calls [`enter`](Self::enter) at the beginning of each call that may fail to return.
#[derive(Clone)]
pub struct CallTracker {
    calls: Arc<Calls>,
    module: &'static str,
}

/// A recorded call; it ends when this is dropped.
#[must_use = "dropping it ends the call"]
pub struct TrackedCall {
    calls: Arc<Calls>,
    number: u64,
}

#[derive(Default)]
struct Calls {
    /// Locked for moments and never while a module's code runs.
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    next_number: u64,
    calls: Vec<Call>,
}

struct Call {
    number: u64,
    module: &'static str,
    name: &'static str,
    running: Stopwatch,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Running> {
        lock(&self.running)
    }
}

impl Watchdog {
    pub(super) fn new(bus: TypedEventBus) -> Self {
        Self {
            calls: Arc::default(),
            bus,
        }
    }

    /// The calls that began [`STUCK_AFTER`] ago or earlier and have not returned, the oldest first. On WebAssembly always empty:
    /// it has no clock, and the page watches its workers.
    #[must_use]
    pub fn stuck_calls(&self) -> Vec<StuckCall> {
        let mut stuck = self.running_for(STUCK_AFTER);
        stuck.extend(self.bus.stuck_handler().map(|handler| StuckCall {
            module: "event_bus",
            call: format!(
                "{} ({})",
                handler.subscriber,
                handler.event.unwrap_or("no event")
            ),
            running_for: handler.running_for,
        }));
        stuck.sort_by_key(|call| core::cmp::Reverse(call.running_for));
        stuck
    }

    /// The calls of modules that began at least `limit` ago and have not returned.
    pub(crate) fn running_for(&self, limit: Duration) -> Vec<StuckCall> {
        let running = self.calls.lock();
        let calls = running.calls.iter().map(|call| StuckCall {
            module: call.module,
            call: call.name.to_owned(),
            running_for: call.running.elapsed(),
        });
        calls.filter(|call| call.running_for >= limit).collect()
    }

    pub(super) fn tracker(&self, module: &'static str) -> CallTracker {
        CallTracker {
            calls: self.calls.clone(),
            module,
        }
    }
}

impl CallTracker {
    /// Records that a call of this name begins; it ends when the guard is dropped.
    ///
    /// # Real-time
    /// No: it locks and may allocate.
    pub fn enter(&self, name: &'static str) -> TrackedCall {
        let mut running = self.calls.lock();
        let number = running.next_number;
        running.next_number += 1;
        running.calls.push(Call {
            number,
            module: self.module,
            name,
            running: Stopwatch::start(),
        });
        TrackedCall {
            calls: self.calls.clone(),
            number,
        }
    }
}

impl Drop for TrackedCall {
    fn drop(&mut self) {
        let mut running = self.calls.lock();
        running.calls.retain(|call| call.number != self.number);
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.stuck_calls()).finish()
    }
}

impl fmt::Debug for CallTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallTracker")
            .field("module", &self.module)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TrackedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedCall")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

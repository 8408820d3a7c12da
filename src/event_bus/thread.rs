//! The native dispatcher. What it does at the end: `docs/decisions/0006-final-delivery-is-limited-to-pending-events.md`.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::bus::TypedEventBus;
use super::orderings::{COMMAND_LOAD, COMMAND_STORE};
use super::watchdog::StuckHandler;
use crate::sync::atomic::AtomicU8;

/// The poll interval while events come. Publishers do not wake the thread, since waking is a system call.
const SHORTEST_INTERVAL: Duration = Duration::from_micros(100);
/// The poll interval after a long time without events. The first event after it can be this late.
const LONGEST_INTERVAL: Duration = Duration::from_millis(5);
/// Empty polls before the interval grows: 0.1 s, which is many audio callbacks.
const POLLS_BEFORE_BACKOFF: u32 = 1_000;
/// Events per pump.
const BATCH: usize = 1_024;
/// How long dropping the dispatcher waits for one call of a handler.
const MAX_CALL_WAIT: Duration = Duration::from_secs(3);

// The thread's commands: pump; flush, then end; end without delivering anything more.
const PUMP: u8 = 0;
const FLUSH: u8 = 1;
const QUIT: u8 = 2;

/// A thread that pumps a bus, until it is dropped.
///
/// It polls every 100 µs while events come. After 0.1 s without events, the interval grows to 5 ms.
///
/// Dropping it delivers the events that were pending when the drop began, waits for their handlers, and joins the thread.
/// Events that are published meanwhile stay in their lanes. The drop does not wait longer than 3 s for one call of a handler:
/// the thread is then detached, and ends when the handler returns, without delivering anything more. If another thread is
/// pumping when the drop begins, that thread delivers the pending events.
#[derive(Debug)]
pub struct DispatcherThread {
    bus: TypedEventBus,
    command: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

/// The state of a [`DispatcherThread`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DispatcherHealth {
    /// It delivers events, or polls for them.
    Running,
    /// It cannot continue before this handler returns.
    Stuck(StuckHandler),
    /// The thread has ended although the dispatcher was not dropped.
    Ended,
}

impl DispatcherThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the operating system cannot start a thread.
    pub fn spawn(bus: &TypedEventBus) -> std::io::Result<Self> {
        let command = Arc::new(AtomicU8::new(PUMP));
        let thread = {
            let (command, bus) = (command.clone(), bus.clone());
            std::thread::Builder::new()
                .name("wavepool-events".into())
                .spawn(move || run(&bus, &command))?
        };
        Ok(Self {
            bus: bus.clone(),
            command,
            thread: Some(thread),
        })
    }

    /// The state at this moment. A handler is reported as stuck once it has run for
    /// [`STUCK_AFTER`](super::STUCK_AFTER), and until it returns.
    ///
    /// # Real-time
    /// No: it locks. It never waits for a handler, so that any other thread may call it at any time.
    #[must_use]
    pub fn health(&self) -> DispatcherHealth {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return DispatcherHealth::Ended;
        }
        let stuck = self.bus.stuck_handler();
        stuck.map_or(DispatcherHealth::Running, DispatcherHealth::Stuck)
    }
}

/// The body of the thread.
fn run(bus: &TypedEventBus, command: &AtomicU8) {
    let command = || command.load(COMMAND_LOAD);
    let mut empty_polls = 0_u32;
    while command() == PUMP {
        if bus.pump_while(BATCH, || command() == PUMP).taken() > 0 {
            empty_polls = 0;
            continue;
        }
        empty_polls = empty_polls.saturating_add(1);
        std::thread::park_timeout(poll_interval(empty_polls));
    }
    bus.flush(|| command() == FLUSH);
}

/// The interval after so many empty polls: [`SHORTEST_INTERVAL`], then doubled every [`POLLS_BEFORE_BACKOFF`] / 8 polls.
fn poll_interval(empty_polls: u32) -> Duration {
    let doublings = empty_polls
        .saturating_sub(POLLS_BEFORE_BACKOFF)
        .div_ceil(POLLS_BEFORE_BACKOFF / 8)
        .min(6);
    (SHORTEST_INTERVAL * (1 << doublings)).min(LONGEST_INTERVAL)
}

impl Drop for DispatcherThread {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.bus.begin_flush();
        self.command.store(FLUSH, COMMAND_STORE);
        thread.thread().unpark();
        // A handler that drops the dispatcher runs on the dispatcher's own thread, which cannot join itself; it ends later.
        if thread.thread().id() == std::thread::current().id() {
            return;
        }
        while !thread.is_finished() {
            if self.bus.inner.watch.running_for(MAX_CALL_WAIT).is_some() {
                self.command.store(QUIT, COMMAND_STORE);
                return;
            }
            std::thread::sleep(SHORTEST_INTERVAL);
        }
        // The thread catches panics of handlers; any other panic was printed by the panic hook.
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_bus::test_events::Beat;

    #[test]
    fn poll_interval_grows_after_many_empty_polls_up_to_a_limit() {
        assert_eq!(
            (poll_interval(0), poll_interval(POLLS_BEFORE_BACKOFF)),
            (SHORTEST_INTERVAL, SHORTEST_INTERVAL)
        );
        assert_eq!(
            poll_interval(POLLS_BEFORE_BACKOFF + 1),
            SHORTEST_INTERVAL * 2
        );
        assert_eq!(
            (
                poll_interval(POLLS_BEFORE_BACKOFF * 2),
                poll_interval(u32::MAX)
            ),
            (LONGEST_INTERVAL, LONGEST_INTERVAL)
        );
        assert!((0..3 * POLLS_BEFORE_BACKOFF).map(poll_interval).is_sorted());
    }

    #[test]
    fn dispatcher_drop_delivers_pending_events() {
        let bus = TypedEventBus::default();
        let queue = bus.queue::<Beat>(1024).unwrap();
        let publisher = bus.publisher().unwrap();
        let dispatcher = DispatcherThread::spawn(&bus).unwrap();
        for n in 0..1000 {
            publisher.publish(Beat(n));
        }
        drop(dispatcher);
        assert!(
            core::iter::from_fn(|| queue.try_next())
                .map(|beat| beat.0)
                .eq(0..1000)
        );
    }

    #[test]
    fn dispatcher_may_be_dropped_by_a_handler() {
        let bus = TypedEventBus::default();
        let slot = Arc::new(std::sync::Mutex::new(None::<DispatcherThread>));
        let own = slot.clone();
        let (ended, end) = std::sync::mpsc::channel();
        let _guard = bus.subscribe(move |_: &Beat| {
            drop(own.lock().unwrap().take());
            ended.send(()).unwrap();
        });
        *slot.lock().unwrap() = Some(DispatcherThread::spawn(&bus).unwrap());
        bus.publisher().unwrap().publish(Beat(0));
        end.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}

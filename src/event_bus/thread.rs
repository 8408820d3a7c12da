//! The native dispatcher. How it ends: `docs/decisions/0006-final-delivery-is-limited-to-pending-events.md`.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::bus::TypedEventBus;
use super::orderings::{DISPATCHER_ORDER, DISPATCHER_ORDER_READ};
use super::watchdog::StuckHandler;
use crate::sync::atomic::AtomicU8;

/// How often it looks while events come: publishers do not wake it, since waking is a system call.
const POLL: Duration = Duration::from_micros(100);
/// The longest pause when nothing comes. An event that ends a long silence can be this late.
const LONGEST_POLL: Duration = Duration::from_millis(5);
/// Empty looks before the pauses grow: 0.1 s, many audio callbacks.
const PATIENCE: u32 = 1_000;
/// Events per pump.
const BATCH: usize = 1_024;
/// How long dropping the dispatcher waits for one call of a handler to return.
const LONGEST_CALL: Duration = Duration::from_secs(3);

/// What the thread is to do: pump; deliver what is due, then end; end at once.
const PUMP: u8 = 0;
const FINISH: u8 = 1;
const ABANDON: u8 = 2;

/// A thread that pumps a bus, until it is dropped.
///
/// It polls every 100 µs while events come. After 0.1 s without any, its pauses grow to 5 ms.
///
/// Dropping it delivers the events that were pending when the drop began, waits for their handlers, and joins the thread.
/// What is published meanwhile, by handlers or by publishers that are faster than they, stays in its lane. A handler that
/// has not returned after 3 s is not waited for: the thread is left to end by itself when the handler returns, and delivers
/// nothing more. If another thread is pumping at that moment, the delivery is left to it.
#[derive(Debug)]
pub struct DispatcherThread {
    bus: TypedEventBus,
    order: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

/// How a [`DispatcherThread`] is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DispatcherHealth {
    /// It delivers, or waits for events.
    Running,
    /// It cannot go on before this handler returns.
    Stuck(StuckHandler),
    /// The thread has ended although nobody dropped it.
    Ended,
}

impl DispatcherThread {
    /// Starts it.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn spawn(bus: &TypedEventBus) -> std::io::Result<Self> {
        let order = Arc::new(AtomicU8::new(PUMP));
        let thread = {
            let (order, bus) = (order.clone(), bus.clone());
            std::thread::Builder::new()
                .name("wavepool-events".into())
                .spawn(move || dispatch(&bus, &order))?
        };
        Ok(Self {
            bus: bus.clone(),
            order,
            thread: Some(thread),
        })
    }

    /// How it is doing at this moment: a handler that does not return is told from
    /// [`STUCK_AFTER`](super::STUCK_AFTER) on, and until it returns.
    ///
    /// # Real-time
    /// No: it locks. It never waits for a handler, so that any other thread may ask at any time.
    #[must_use]
    pub fn health(&self) -> DispatcherHealth {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return DispatcherHealth::Ended;
        }
        let stuck = self.bus.stuck_handler();
        stuck.map_or(DispatcherHealth::Running, DispatcherHealth::Stuck)
    }
}

/// What the thread does.
fn dispatch(bus: &TypedEventBus, order: &AtomicU8) {
    let order = || order.load(DISPATCHER_ORDER_READ);
    let mut empty_looks = 0_u32;
    while order() == PUMP {
        if bus.pump_while(BATCH, || order() == PUMP).taken() > 0 {
            empty_looks = 0;
            continue;
        }
        empty_looks = empty_looks.saturating_add(1);
        std::thread::park_timeout(pause(empty_looks));
    }
    bus.deliver_due(|| order() == FINISH);
}

/// The pause after so many empty looks: [`POLL`], then doubling every [`PATIENCE`] / 8 looks.
fn pause(empty_looks: u32) -> Duration {
    let doublings = empty_looks
        .saturating_sub(PATIENCE)
        .div_ceil(PATIENCE / 8)
        .min(6);
    (POLL * (1 << doublings)).min(LONGEST_POLL)
}

impl Drop for DispatcherThread {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.bus.make_due();
        self.order.store(FINISH, DISPATCHER_ORDER);
        thread.thread().unpark();
        // A handler that drops the dispatcher runs on this very thread, which then ends by itself.
        if thread.thread().id() == std::thread::current().id() {
            return;
        }
        while !thread.is_finished() {
            if self.bus.inner.watch.running_for(LONGEST_CALL).is_some() {
                self.order.store(ABANDON, DISPATCHER_ORDER);
                return;
            }
            std::thread::sleep(POLL);
        }
        // The thread catches its handlers' panics; one of its own was printed by the panic hook.
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_bus::test_events::Beat;

    #[test]
    fn pauses_grow_only_after_a_long_silence_and_end() {
        assert_eq!((pause(0), pause(PATIENCE)), (POLL, POLL));
        assert_eq!(pause(PATIENCE + 1), POLL * 2);
        assert_eq!(
            (pause(PATIENCE * 2), pause(u32::MAX)),
            (LONGEST_POLL, LONGEST_POLL)
        );
        assert!((0..3 * PATIENCE).map(pause).is_sorted());
    }

    #[test]
    fn dropping_it_delivers_what_is_waiting() {
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
    fn a_handler_may_drop_the_dispatcher() {
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

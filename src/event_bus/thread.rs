//! The native dispatcher.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::bus::TypedEventBus;
use crate::sync::atomic::{AtomicBool, Ordering};

/// How often it looks while events come: publishers do not wake it, since waking is a system call.
const POLL: Duration = Duration::from_micros(100);
/// The longest pause when nothing comes. An event that ends a long silence can be this late.
const LONGEST_POLL: Duration = Duration::from_millis(5);
/// Empty looks before the pauses grow: 0.1 s, many audio callbacks.
const PATIENCE: u32 = 1_000;
/// Events per pump, so that stopping is noticed under any flood.
const BATCH: usize = 1_024;

/// A thread that pumps a bus. Dropping it delivers what is waiting and joins the thread.
///
/// It polls every 100 µs while events come. After 0.1 s without any, its pauses grow to 5 ms.
#[derive(Debug)]
pub struct DispatcherThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DispatcherThread {
    /// Starts it.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn spawn(bus: &TypedEventBus) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, bus) = (stop.clone(), bus.clone());
        let run = move || {
            let mut empty_looks = 0_u32;
            // Acquire pairs with the Release in `drop`: what was published before it is delivered below.
            while !stopped.load(Ordering::Acquire) {
                if bus.pump(BATCH).taken() > 0 {
                    empty_looks = 0;
                    continue;
                }
                empty_looks = empty_looks.saturating_add(1);
                std::thread::park_timeout(pause(empty_looks));
            }
            while bus.pump(BATCH).taken() > 0 {}
        };
        let thread = std::thread::Builder::new()
            .name("wavepool-events".into())
            .spawn(run)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
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
        // Release pairs with the Acquire in the thread's loop.
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A handler that drops the dispatcher runs on this very thread, which then ends by itself.
            if thread.thread().id() != std::thread::current().id() {
                // The thread catches its handlers' panics; one of its own was printed by the panic hook.
                let _ = thread.join();
            }
        }
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

//! Queues: subscriptions without a handler, for threads that take long over an event.
#![allow(clippy::disallowed_types)] // A channel between the dispatching thread and a subscriber.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use super::bus::{Subscription, TypedEventBus};
use super::error::BusError;
use super::event::Event;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The most events of one [`EventQueue`].
pub const MAX_QUEUE_EVENTS: usize = 1 << 20;

/// Events of one type for a thread of your own. If that thread is slow, only this queue loses events; it counts them.
#[derive(Debug)]
pub struct EventQueue<E> {
    events: Receiver<E>,
    missed: Arc<AtomicU64>,
    _subscription: Subscription,
}

impl TypedEventBus {
    /// Subscribes with a queue of `capacity` events instead of a handler. A capacity of 0 counts as 1.
    ///
    /// # Errors
    /// [`BusError::QueueTooLong`] above [`MAX_QUEUE_EVENTS`]; otherwise as [`declare`](Self::declare).
    pub fn queue<E: Event>(&self, capacity: usize) -> Result<EventQueue<E>, BusError> {
        if capacity > MAX_QUEUE_EVENTS {
            return Err(BusError::QueueTooLong {
                capacity,
                limit: MAX_QUEUE_EVENTS,
            });
        }
        let (sender, events) = sync_channel(capacity.max(1));
        let missed = Arc::new(AtomicU64::new(0));
        let count = missed.clone();
        let subscription = self.subscribe(move |event: &E| {
            if sender.try_send(*event).is_err() {
                // Relaxed: a counter.
                count.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        Ok(EventQueue {
            events,
            missed,
            _subscription: subscription,
        })
    }
}

impl<E: Event> EventQueue<E> {
    /// The oldest event, if the queue has one.
    pub fn try_next(&self) -> Option<E> {
        self.events.try_recv().ok()
    }

    /// The oldest event; waits up to `timeout` for one. `None`: no event came in time.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn next_within(&self, timeout: core::time::Duration) -> Option<E> {
        self.events.recv_timeout(timeout).ok()
    }

    /// Events that were lost because the queue was full.
    #[must_use]
    pub fn missed(&self) -> u64 {
        // Relaxed: a counter.
        self.missed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_bus::test_events::Note;

    #[test]
    fn queue_overflow_is_counted_by_that_queue_alone() {
        let bus = TypedEventBus::default();
        let slow = bus.queue::<Note>(2).unwrap();
        let quick = bus.queue::<Note>(5).unwrap();
        let publisher = bus.publisher().unwrap();
        for n in 0..5 {
            publisher.publish(Note(n));
        }
        bus.pump(10);
        assert_eq!(
            (slow.try_next(), slow.try_next(), slow.try_next()),
            (Some(Note(0)), Some(Note(1)), None)
        );
        assert_eq!((slow.missed(), quick.missed()), (3, 0));
        assert_eq!(core::iter::from_fn(|| quick.try_next()).count(), 5);
        assert_eq!(bus.stats().high.dropped, 0);
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn queue_wait_ends_with_an_event_or_the_timeout() {
        let bus = TypedEventBus::default();
        let queue = bus.queue::<Note>(1).unwrap();
        assert_eq!(
            queue.next_within(core::time::Duration::from_millis(1)),
            None
        );
        let _dispatcher = crate::event_bus::DispatcherThread::spawn(&bus).unwrap();
        bus.publisher().unwrap().publish(Note(7));
        assert_eq!(
            queue.next_within(core::time::Duration::from_secs(10)),
            Some(Note(7))
        );
    }
}

//! For subscribers that cannot be brief: events wait for them in a queue of their own.
#![allow(clippy::disallowed_types)] // A channel between the dispatching thread and a subscriber.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use super::bus::{Subscription, TypedEventBus};
use super::error::BusError;
use super::event::Event;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The most events of one [`EventQueue`].
pub const MAX_QUEUE_EVENTS: usize = 1 << 20;

/// Events of one type for a thread of your own. If it is slow, this queue alone loses events, and counts them.
#[derive(Debug)]
pub struct EventQueue<E> {
    events: Receiver<E>,
    missed: Arc<AtomicU64>,
    _subscription: Subscription,
}

impl TypedEventBus {
    /// Subscribes with a queue of `capacity` events (0 stands for 1) instead of a handler.
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
                // Relaxed: a count.
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
    /// The oldest event, if there is one.
    pub fn try_next(&self) -> Option<E> {
        self.events.try_recv().ok()
    }

    /// The oldest event, waited for. `None`: none came in time.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn next_within(&self, patience: core::time::Duration) -> Option<E> {
        self.events.recv_timeout(patience).ok()
    }

    /// Events that found the queue full.
    #[must_use]
    pub fn missed(&self) -> u64 {
        // Relaxed: a count.
        self.missed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_bus::test_events::Note;

    #[test]
    fn a_full_queue_counts_what_it_missed_and_nobody_else_does() {
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
    fn waiting_ends_with_the_event_or_the_patience() {
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

//! Handlers, and handing one event to them.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use super::bus::lock;
use super::cell::EventCell;
use super::event::{EventRecord, Priority};
use crate::sync::atomic::{AtomicBool, Ordering};

pub(crate) enum Handler {
    Cell(Box<dyn FnMut(&EventCell) + Send>),
    Record(Box<dyn FnMut(&EventRecord) + Send>),
}

/// A handler that can be ended from anywhere, its own call included.
pub(crate) struct Subscriber {
    ended: AtomicBool,
    /// `None` once ended. Locked for the length of a call; only the dispatching side waits for it.
    handler: Mutex<Option<Handler>>,
}

impl Subscriber {
    pub(crate) fn new(handler: Handler) -> Arc<Self> {
        Arc::new(Self {
            ended: AtomicBool::new(false),
            handler: Mutex::new(Some(handler)),
        })
    }

    /// Ends the subscription and drops the handler, or leaves that to the call that is under way.
    pub(crate) fn end(&self) {
        // Release pairs with the Acquire in `call`: a call that begins after this sees it.
        self.ended.store(true, Ordering::Release);
        if let Ok(mut handler) = self.handler.try_lock() {
            drop(handler.take());
        }
    }

    /// Returns false when the handler panicked.
    fn call(&self, run: impl FnOnce(&mut Handler)) -> bool {
        let mut handler = lock(&self.handler);
        // Acquire pairs with the Release in `end`.
        let ended = || self.ended.load(Ordering::Acquire);
        let calm = match &mut *handler {
            Some(handler) if !ended() => catch_unwind(AssertUnwindSafe(|| run(handler))).is_ok(),
            _ => true,
        };
        if ended() {
            drop(handler.take());
        }
        calm
    }
}

pub(crate) type Subscribers = Arc<[Arc<Subscriber>]>;

/// One event on its way out.
pub(crate) struct Taken {
    pub(crate) cell: EventCell,
    pub(crate) publisher: u32,
    pub(crate) seq: u64,
}

/// What to do with it.
pub(crate) struct Delivery {
    pub(crate) subscribers: Subscribers,
    pub(crate) records: Subscribers,
    pub(crate) name: &'static str,
    pub(crate) priority: Priority,
    pub(crate) to_json: fn(&EventCell) -> serde_json::Value,
}

impl Delivery {
    pub(crate) fn is_claimed(&self) -> bool {
        !self.subscribers.is_empty() || !self.records.is_empty()
    }

    /// Calls the handlers; returns how many panicked.
    pub(crate) fn run(&self, taken: &Taken) -> usize {
        let mut panics = 0;
        for subscriber in &*self.subscribers {
            let calm = subscriber.call(|handler| {
                if let Handler::Cell(handler) = handler {
                    handler(&taken.cell);
                }
            });
            panics += usize::from(!calm);
        }
        if self.records.is_empty() {
            return panics;
        }
        // The event's own `Serialize` may panic too.
        let Ok(data) = catch_unwind(AssertUnwindSafe(|| (self.to_json)(&taken.cell))) else {
            return panics + 1;
        };
        let record = EventRecord {
            version: EventRecord::VERSION,
            name: self.name,
            priority: self.priority,
            seq: taken.seq,
            publisher: taken.publisher,
            data,
        };
        for subscriber in &*self.records {
            let calm = subscriber.call(|handler| {
                if let Handler::Record(handler) = handler {
                    handler(&record);
                }
            });
            panics += usize::from(!calm);
        }
        panics
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_bus::test_events::Beat;
    use crate::event_bus::{Subscription, TypedEventBus};

    #[test]
    fn a_handler_may_end_its_own_subscription_and_is_dropped() {
        let bus = TypedEventBus::default();
        let alive = Arc::new(());
        let own: Arc<Mutex<Option<Subscription>>> = Arc::default();
        let (held, within) = (alive.clone(), own.clone());
        let mut calls = 0;
        let guard = bus.subscribe(move |_: &Beat| {
            let _held = &held;
            calls += 1;
            assert_eq!(calls, 1);
            drop(lock(&within).take());
        });
        *lock(&own) = Some(guard.unwrap());
        let publisher = bus.publisher().unwrap();
        publisher.publish(Beat(0));
        publisher.publish(Beat(1));
        let report = bus.pump(10);
        assert_eq!(
            (report.delivered, report.unclaimed, report.panics),
            (1, 1, 0)
        );
        assert_eq!(
            Arc::strong_count(&alive),
            1,
            "what the handler held is free"
        );
    }

    #[test]
    fn dropping_the_guard_frees_what_the_handler_held() {
        let bus = TypedEventBus::default();
        let alive = Arc::new(());
        let held = alive.clone();
        let guard = bus.subscribe(move |_: &Beat| drop(held.clone())).unwrap();
        drop(guard);
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn a_guard_may_outlive_its_bus() {
        let bus = TypedEventBus::default();
        let guard = bus.subscribe(|_: &Beat| ()).unwrap();
        let publisher = bus.publisher().unwrap();
        drop(bus);
        publisher.publish(Beat(0));
        drop((guard, publisher));
    }
}

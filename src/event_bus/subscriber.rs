//! Handlers, and handing one event to them.
//!
//! A handler, and whatever it holds, is code of the user's: it is called and dropped while no lock of the bus is held, and
//! its panics are caught and counted: see `docs/decisions/0003-handlers-run-one-at-a-time-outside-every-lock.md`.
#![allow(clippy::disallowed_types)] // A lock outside of the real-time path: the handler.

use core::mem;
use std::sync::{Arc, Mutex};

use super::bus::lock;
use super::cell::EventCell;
use super::event::{EventRecord, Priority};
use super::publisher::Core;
use super::watchdog::HandlerWatch;

pub(crate) enum Handler {
    Cell(Box<dyn FnMut(&EventCell) + Send>),
    Record(Box<dyn FnMut(&EventRecord) + Send>),
}

/// Where a subscriber's handler is.
enum Place {
    Idle(Handler),
    /// With the call that is under way.
    Running,
    Ended,
}

/// A handler that can be ended from anywhere, its own call included.
pub(crate) struct Subscriber {
    core: Arc<Core>,
    /// The handler's type: for a closure it names the function that contains it.
    name: &'static str,
    /// Locked for moments: the handler is taken out before it is called or dropped.
    place: Mutex<Place>,
}

impl Subscriber {
    pub(crate) fn new(core: Arc<Core>, name: &'static str, handler: Handler) -> Arc<Self> {
        Arc::new(Self {
            core,
            name,
            place: Mutex::new(Place::Idle(handler)),
        })
    }

    /// Ends the subscription and drops the handler, or leaves that to the call that is under way.
    pub(crate) fn end(&self) {
        let place = mem::replace(&mut *lock(&self.place), Place::Ended);
        self.core.count_panics(|| drop(place));
    }

    /// Calls the handler unless it ended; returns how many panics were caught.
    fn call(
        &self,
        watch: &HandlerWatch,
        event: &'static str,
        run: impl FnOnce(&mut Handler),
    ) -> usize {
        let mut handler = {
            let mut place = lock(&self.place);
            match mem::replace(&mut *place, Place::Running) {
                Place::Idle(handler) => handler,
                // `Running` is not met here: one thread dispatches at a time, and a handler that dispatches is refused.
                other => {
                    *place = other;
                    return 0;
                }
            }
        };
        let _call = watch.enter(Some(event), self.name);
        let panics = self.core.count_panics(|| run(&mut handler));
        {
            let mut place = lock(&self.place);
            if matches!(*place, Place::Running) {
                *place = Place::Idle(handler);
                return panics;
            }
        }
        // Ended during the call.
        panics + self.core.count_panics(|| drop(handler))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // Otherwise a panic would leave whatever drops the bus.
        self.end();
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

    /// Calls the handlers; returns how many panics were caught.
    pub(crate) fn run(&self, taken: &Taken, core: &Core, watch: &HandlerWatch) -> usize {
        let mut panics = 0;
        for subscriber in &*self.subscribers {
            panics += subscriber.call(watch, self.name, |handler| {
                if let Handler::Cell(handler) = handler {
                    handler(&taken.cell);
                }
            });
        }
        if self.records.is_empty() {
            return panics;
        }
        // The event's own `Serialize` is the user's code, too.
        let mut data = None;
        let serialize = watch.enter(Some(self.name), "Serialize");
        panics += core.count_panics(|| data = Some((self.to_json)(&taken.cell)));
        drop(serialize);
        let Some(data) = data else { return panics };
        let record = EventRecord {
            version: EventRecord::VERSION,
            name: self.name,
            priority: self.priority,
            seq: taken.seq,
            publisher: taken.publisher,
            data,
        };
        for subscriber in &*self.records {
            panics += subscriber.call(watch, self.name, |handler| {
                if let Handler::Record(handler) = handler {
                    handler(&record);
                }
            });
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

//! Subscribers, and the delivery of one event to them.
//!
//! A handler, and whatever it captures, is code of the user's. It is called and dropped while no lock of the bus is held, and
//! its panics are caught and counted: see `docs/decisions/0003-handlers-run-one-at-a-time-outside-every-lock.md`.
#![allow(clippy::disallowed_types)] // A lock outside of the real-time path: the handler.
#![allow(unsafe_code)] // Reads a cell as its event's own type; the cell's slot guarantees the type.

use core::mem;
use std::sync::{Arc, Mutex};

use super::cell::EventCell;
use super::event::{Event, EventRecord, Priority};
use super::shared::Shared;
use super::watchdog::HandlerWatch;
use crate::lock::lock;

pub(crate) enum Handler {
    Typed(Box<dyn FnMut(&EventCell) + Send>),
    Json(Box<dyn FnMut(&EventRecord) + Send>),
}

impl Handler {
    /// A handler for events of type `E`; it may only be called with cells of the slot of `E`.
    pub(crate) fn typed<E: Event>(mut handler: impl FnMut(&E) + Send + 'static) -> Self {
        Self::Typed(Box::new(move |cell: &EventCell| {
            // SAFETY: subscribers of a slot are called with cells of that slot only. A cell gets the slot of `E` from
            // `publish::<E>` (the type table compares `TypeId`s) or from forwarded cells, for whose types the caller of
            // `inject_cells` answers.
            handler(unsafe { cell.event::<E>() });
        }))
    }
}

/// The JSON form of the event in a cell of the slot of `E`.
pub(crate) fn to_json<E: Event>(cell: &EventCell) -> serde_json::Value {
    // SAFETY: the table entry of the slot of `E` holds this function, which is called with cells of that slot only; see
    // `Handler::typed`.
    let event = unsafe { cell.event::<E>() };
    serde_json::to_value(event)
        .unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }))
}

enum HandlerState {
    Idle(Handler),
    /// The call that is under way owns the handler.
    Running,
    Ended,
}

/// A handler whose subscription any thread may end, also during a call of the handler.
pub(crate) struct Subscriber {
    shared: Arc<Shared>,
    /// The handler's type: for a closure it names the function that contains it.
    name: &'static str,
    /// Locked for moments: the handler is moved out before it is called or dropped.
    state: Mutex<HandlerState>,
}

impl Subscriber {
    pub(crate) fn new(shared: Arc<Shared>, name: &'static str, handler: Handler) -> Arc<Self> {
        Arc::new(Self {
            shared,
            name,
            state: Mutex::new(HandlerState::Idle(handler)),
        })
    }

    /// Ends the subscription. Drops the handler, unless a call is under way, which then drops it.
    pub(crate) fn end(&self) {
        let state = mem::replace(&mut *lock(&self.state), HandlerState::Ended);
        self.shared.count_panics(|| drop(state));
    }

    /// Calls the handler unless it ended; returns how many panics were caught.
    fn call(
        &self,
        watch: &HandlerWatch,
        event: &'static str,
        run: impl FnOnce(&mut Handler),
    ) -> usize {
        let mut handler = {
            let mut state = lock(&self.state);
            match mem::replace(&mut *state, HandlerState::Running) {
                HandlerState::Idle(handler) => handler,
                // Only `Ended` occurs here: one thread dispatches at a time, and a handler cannot dispatch.
                other => {
                    *state = other;
                    return 0;
                }
            }
        };
        let _call = watch.enter(Some(event), self.name);
        let panics = self.shared.count_panics(|| run(&mut handler));
        {
            let mut state = lock(&self.state);
            if matches!(*state, HandlerState::Running) {
                *state = HandlerState::Idle(handler);
                return panics;
            }
        }
        // The subscription ended during the call.
        panics + self.shared.count_panics(|| drop(handler))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // Catches a panic in the drop of the handler, which would otherwise reach whoever drops the bus.
        self.end();
    }
}

pub(crate) type Subscribers = Arc<[Arc<Subscriber>]>;

/// An event that was popped from a lane.
pub(crate) struct PoppedEvent {
    pub(crate) cell: EventCell,
    pub(crate) publisher: u32,
    pub(crate) seq: u64,
}

/// The subscribers that get one event, as they were when it was popped.
pub(crate) struct Delivery {
    /// Whether the event waited longer than its priority's deadline.
    pub(crate) is_late: bool,
    pub(crate) subscribers: Subscribers,
    pub(crate) json_subscribers: Subscribers,
    pub(crate) name: &'static str,
    pub(crate) priority: Priority,
    pub(crate) to_json: fn(&EventCell) -> serde_json::Value,
}

impl Delivery {
    pub(crate) fn has_subscribers(&self) -> bool {
        !self.subscribers.is_empty() || !self.json_subscribers.is_empty()
    }

    /// Calls the handlers; returns how many panics were caught.
    pub(crate) fn run(&self, event: &PoppedEvent, shared: &Shared, watch: &HandlerWatch) -> usize {
        let mut panics = 0;
        for subscriber in &*self.subscribers {
            panics += subscriber.call(watch, self.name, |handler| {
                if let Handler::Typed(handler) = handler {
                    handler(&event.cell);
                }
            });
        }
        if self.json_subscribers.is_empty() {
            return panics;
        }
        // The event's `Serialize` is user code, too.
        let mut data = None;
        let serialize = watch.enter(Some(self.name), "Serialize");
        panics += shared.count_panics(|| data = Some((self.to_json)(&event.cell)));
        drop(serialize);
        let Some(data) = data else { return panics };
        let record = EventRecord {
            version: EventRecord::VERSION,
            name: self.name,
            priority: self.priority,
            seq: event.seq,
            publisher: event.publisher,
            data,
        };
        for subscriber in &*self.json_subscribers {
            panics += subscriber.call(watch, self.name, |handler| {
                if let Handler::Json(handler) = handler {
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
    fn subscription_ended_by_its_own_handler_drops_the_handler() {
        let bus = TypedEventBus::default();
        let alive = Arc::new(());
        let own: Arc<Mutex<Option<Subscription>>> = Arc::default();
        let (captured, within) = (alive.clone(), own.clone());
        let mut calls = 0;
        let guard = bus.subscribe(move |_: &Beat| {
            let _captured = &captured;
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
            "what the handler captured is dropped"
        );
    }

    #[test]
    fn subscription_drop_frees_what_the_handler_captured() {
        let bus = TypedEventBus::default();
        let alive = Arc::new(());
        let captured = alive.clone();
        let guard = bus
            .subscribe(move |_: &Beat| drop(captured.clone()))
            .unwrap();
        drop(guard);
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn subscription_may_outlive_its_bus() {
        let bus = TypedEventBus::default();
        let guard = bus.subscribe(|_: &Beat| ()).unwrap();
        let publisher = bus.publisher().unwrap();
        drop(bus);
        publisher.publish(Beat(0));
        drop((guard, publisher));
    }
}

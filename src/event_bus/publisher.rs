//! Publishers: the part of the bus that runs on the audio thread.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.

use core::any::Any;
use core::cell::Cell;
use std::sync::{Arc, Weak};

use super::error::BusError;
use super::event::{Event, Priority};
use super::inline_handlers::{InlineHandlers, MAX_INLINE_HANDLERS};
use super::inner::Inner;
use super::lane::LaneWriter;
use super::shared::Shared;
use crate::lock::lock;

/// The result of publishing one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The type has no subscribers (inline handlers do not count), and nothing was written.
    Idle,
    /// The event is in its lane.
    Queued,
    /// The lane was full. The loss is counted, and announced by [`EventsDropped`](super::EventsDropped).
    Dropped,
}

/// Publishes events from one thread. It is `Send`, so that one thread can make it for another, and not `Sync`.
///
/// # Real-time
/// [`publish`](Self::publish) is wait-free: it does not allocate, lock, wait, wake a thread or read a clock. Dropping
/// a publisher decrements a few counters while the bus lives; its pending events are still delivered, then the dispatching
/// side frees its lanes and inline handlers. A publisher that is dropped after the bus frees them itself.
///
/// # Examples
/// A publisher belongs to one thread:
/// ```compile_fail,E0277
/// fn shared(_: impl Sync) {}
/// shared(wavepool::event_bus::TypedEventBus::default().publisher().unwrap());
/// ```
pub struct Publisher {
    shared: Arc<Shared>,
    /// See `docs/decisions/0002-one-ring-per-publisher-and-priority.md`.
    lanes: [LaneWriter; 3],
    id: u32,
    inline: Arc<InlineHandlers>,
    inline_count: usize,
    /// Whether inline handlers are running.
    running_inline: Cell<bool>,
    /// Weak, because the last strong reference frees the bus, and a publisher may be dropped on the audio thread.
    bus: Weak<Inner>,
}

impl Publisher {
    pub(crate) fn new(
        shared: Arc<Shared>,
        bus: Weak<Inner>,
        lanes: [LaneWriter; 3],
        inline: Arc<InlineHandlers>,
        id: u32,
    ) -> Self {
        Self {
            shared,
            lanes,
            id,
            inline,
            inline_count: 0,
            running_inline: Cell::new(false),
            bus,
        }
    }

    /// This publisher's number in [`EventRecord`](super::EventRecord) and [`EventsDropped`](super::EventsDropped).
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Publishes an event to the subscribers of its type. A Critical event goes to the inline handlers first.
    ///
    /// Events of one publisher and one lane are delivered in the order in which they were published. There is no order
    /// between lanes, nor between publishers.
    ///
    /// # Real-time
    /// Wait-free, no allocation, no system call. Copies at most 64 bytes.
    #[inline]
    pub fn publish<E: Event>(&self, event: E) -> Published {
        if matches!(E::PRIORITY, Priority::Critical) && self.inline_count > 0 {
            // The handlers get a copy, so that the event itself stays in registers.
            let copy = event;
            self.run_inline(&copy);
        }
        let Some(slot) = self.shared.types.subscribed_slot::<E>() else {
            return Published::Idle;
        };
        let timestamp_ns = self.shared.clock.timestamp_ns();
        let lane = &self.lanes[E::PRIORITY.lane()];
        if lane.push(slot, timestamp_ns, event) {
            Published::Queued
        } else {
            Published::Dropped
        }
    }

    /// A cheap filter before [`has_subscribers`](Self::has_subscribers): false if neither type has subscribers or inline
    /// handlers, true if one of them may have some.
    #[inline(always)]
    pub(crate) fn may_have_subscribers<A: Event, B: Event>(&self) -> bool {
        let types = &self.shared.types;
        let subscribers = types.bucket_subscribers::<A>() | types.bucket_subscribers::<B>();
        (subscribers > 0) | (self.inline_count > 0)
    }

    /// Whether `publish` of an event of this type would reach a subscriber or an inline handler at this moment. For callers
    /// that check once and then publish often.
    ///
    /// # Real-time
    /// Wait-free, no allocation, no system call.
    #[must_use]
    pub fn has_subscribers<E: Event>(&self) -> bool {
        let inline = matches!(E::PRIORITY, Priority::Critical) && self.inline_count > 0;
        inline || self.shared.types.subscribed_slot::<E>().is_some()
    }

    /// The earlier name of [`has_subscribers`](Self::has_subscribers).
    #[doc(hidden)]
    #[must_use]
    pub fn is_heard<E: Event>(&self) -> bool {
        self.has_subscribers::<E>()
    }

    /// Declares an event type on this publisher's bus, as [`TypedEventBus::declare`](super::TypedEventBus::declare) does:
    /// JSON subscribers get its events from then on. Code that is given a publisher declares with it the types that it is
    /// going to publish. Does nothing once the bus was dropped.
    ///
    /// # Real-time
    /// No: it locks and allocates. Call it before the publisher moves to its thread.
    ///
    /// # Errors
    /// [`BusError::NameTaken`], [`BusError::TooManyTypes`].
    pub fn declare<E: Event>(&self) -> Result<(), BusError> {
        let Some(inner) = self.bus.upgrade() else {
            return Ok(());
        };
        inner.declare::<E>(&mut lock(&inner.state)).map(|_| ())
    }

    /// Adds a handler that runs within `publish`, on the publishing thread, before the event is queued. The handler must be
    /// real-time safe: it does not allocate, lock, wait or make system calls, and takes microseconds.
    ///
    /// A panic of the handler is caught natively and counted ([`BusStats::subscriber_panics`](super::BusStats)). Events that
    /// the handler publishes through this same publisher are queued without going to inline handlers, so that `publish`
    /// always returns.
    ///
    /// # Real-time
    /// No: it allocates. Add handlers before the publisher moves to its thread.
    ///
    /// # Errors
    /// [`BusError::TooManyInlineHandlers`] above [`MAX_INLINE_HANDLERS`].
    ///
    /// # Examples
    /// Only Critical events have inline handlers; for others this does not compile:
    /// ```compile_fail,E0080
    /// # use wavepool::event_bus::{EventsDropped, TypedEventBus};
    /// let mut publisher = TypedEventBus::default().publisher().unwrap();
    /// publisher.add_inline(|_: &EventsDropped| ()).unwrap();
    /// ```
    pub fn add_inline<E: Event>(
        &mut self,
        handler: impl Fn(&E) + Send + Sync + 'static,
    ) -> Result<(), BusError> {
        const {
            assert!(
                matches!(E::PRIORITY, Priority::Critical),
                "only Critical events are handled inline"
            )
        };
        if !self.inline.set(self.inline_count, handler) {
            return Err(BusError::TooManyInlineHandlers {
                limit: MAX_INLINE_HANDLERS,
            });
        }
        self.inline_count += 1;
        Ok(())
    }

    #[inline(never)] // Keeps the code for unwinding out of `publish`; most events have no inline handlers.
    fn run_inline(&self, event: &dyn Any) {
        if self.running_inline.replace(true) {
            return;
        }
        self.inline.run(event);
        self.running_inline.set(false);
    }
}

impl core::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Publisher")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_bus::test_events::Beat;
    use crate::event_bus::{EventRecord, TypedEventBus};
    use crate::sync::atomic::{AtomicU64, Ordering};

    #[derive(Clone, Copy, serde::Serialize)]
    struct Other;
    impl Event for Other {
        const NAME: &'static str = "Other";
        const PRIORITY: Priority = Priority::Critical;
    }

    #[test]
    fn inline_handlers_run_within_publish_and_need_no_subscriber() {
        let bus = TypedEventBus::default();
        let mut publisher = bus.publisher().unwrap();
        let seen = Arc::new(AtomicU64::new(0));
        let add = seen.clone();
        publisher
            .add_inline(move |beat: &Beat| {
                add.fetch_add(100 + beat.0, Ordering::Relaxed);
            })
            .unwrap();
        assert_eq!(publisher.publish(Beat(7)), Published::Idle);
        publisher.publish(Other);
        assert_eq!(
            seen.load(Ordering::Relaxed),
            107,
            "immediately, and for its own type only"
        );
        let _guard = bus.subscribe(|_: &Beat| ()).unwrap();
        assert_eq!(
            publisher.publish(Beat(1)),
            Published::Queued,
            "inline and queued"
        );
        assert_eq!(seen.load(Ordering::Relaxed), 208);
    }

    #[test]
    fn inline_handlers_are_bounded() {
        let bus = TypedEventBus::default();
        let mut publisher = bus.publisher().unwrap();
        for _ in 0..MAX_INLINE_HANDLERS {
            publisher.add_inline(|_: &Beat| ()).unwrap();
        }
        let refused = publisher.add_inline(|_: &Beat| ()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "this publisher has 8 inline handlers, which is the limit (MAX_INLINE_HANDLERS): use one handler for several purposes, or `TypedEventBus::subscribe`"
        );
    }

    #[test]
    fn inline_handler_panic_is_caught_and_counted_and_the_event_is_queued() {
        let bus = TypedEventBus::default();
        let mut publisher = bus.publisher().unwrap();
        let seen = Arc::new(AtomicU64::new(0));
        let add = seen.clone();
        publisher
            .add_inline(|_: &Beat| panic!("on purpose"))
            .unwrap();
        publisher
            .add_inline(move |_: &Beat| _ = add.fetch_add(1, Ordering::Relaxed))
            .unwrap();
        let _guard = bus.subscribe_json(|_: &EventRecord| ());
        bus.declare::<Beat>().unwrap();
        assert_eq!(publisher.publish(Beat(0)), Published::Queued);
        assert_eq!(
            (seen.load(Ordering::Relaxed), bus.stats().subscriber_panics),
            (1, 1)
        );
    }

    #[test]
    fn publisher_moves_to_a_thread_and_its_pending_events_outlive_it() {
        let bus = TypedEventBus::default();
        let queue = bus.queue::<Beat>(100).unwrap();
        let publisher = bus.publisher().unwrap();
        let publishing = std::thread::spawn(move || {
            for n in 0..50 {
                publisher.publish(Beat(n));
            }
        });
        publishing.join().unwrap();
        assert_eq!(bus.stats().publishers, 1);
        bus.pump(100);
        bus.pump(0);
        assert_eq!(bus.stats().publishers, 0, "its lanes are freed");
        assert!(
            core::iter::from_fn(|| queue.try_next())
                .map(|beat| beat.0)
                .eq(0..50)
        );
    }
}

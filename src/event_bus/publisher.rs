//! The publishing side: what may run on the audio thread.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.

use core::any::Any;
use core::cell::Cell;
use std::sync::{Arc, OnceLock, Weak};

use super::bus::{Inner, TypedEventBus};
use super::clock::Clock;
use super::error::BusError;
use super::event::{Event, Priority};
use super::interest::Interest;
use super::lane::LaneWriter;
use crate::contain::count_panics;
use crate::sync::atomic::{AtomicU64, Ordering};

/// How many inline handlers a publisher takes: what runs within `publish` stays bounded.
pub const MAX_INLINE_HANDLERS: usize = 8;

/// What publishers share with the bus. Never locked.
pub(crate) struct Core {
    pub(crate) interest: Interest,
    pub(crate) clock: Clock,
    /// Panics of user code that were caught, on whichever thread.
    pub(crate) panics: AtomicU64,
}

impl Core {
    /// Runs user code, and counts its panics and those of their payloads' drops. The caller holds no lock.
    pub(crate) fn count_panics(&self, code: impl FnOnce()) -> usize {
        let panics = count_panics(code);
        if panics > 0 {
            // Relaxed: a count.
            self.panics.fetch_add(panics as u64, Ordering::Relaxed);
        }
        panics
    }
}

/// What became of an event on its way into a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Nobody subscribes to this type (inline handlers apart), and nothing was written.
    Idle,
    /// It is in its lane.
    Queued,
    /// Its lane was full; counted, and announced by [`EventsDropped`](super::EventsDropped).
    Dropped,
}

type InlineHandler = Box<dyn Fn(&dyn Any) + Send + Sync>;

/// A publisher's inline handlers, from the first on. The dispatching side holds them too, only so that it is the one
/// that frees them.
pub(crate) struct InlineHandlers {
    handlers: [OnceLock<InlineHandler>; MAX_INLINE_HANDLERS],
    core: Arc<Core>,
}

impl Drop for InlineHandlers {
    fn drop(&mut self) {
        for handler in self.handlers.iter_mut().filter_map(OnceLock::take) {
            self.core.count_panics(|| drop(handler));
        }
    }
}

/// One thread's way into the bus: `Send`, so that it can be made here and used there, and not `Sync`.
///
/// # Real-time
/// [`publish`](Self::publish) is wait-free: it does not allocate, lock, wait, wake anybody or read a clock. Dropping
/// a publisher is a handful of decrements while the bus lives; whatever it published is still delivered, then the
/// dispatching side frees its lanes and inline handlers. Dropped after the bus, it frees them itself.
///
/// # Examples
/// A publisher belongs to one thread:
/// ```compile_fail,E0277
/// fn shared(_: impl Sync) {}
/// shared(wavepool::event_bus::TypedEventBus::default().publisher().unwrap());
/// ```
pub struct Publisher {
    core: Arc<Core>,
    lanes: [LaneWriter; 3],
    id: u32,
    inline: Arc<InlineHandlers>,
    inline_count: usize,
    /// Whether inline handlers are running.
    within_inline: Cell<bool>,
    bus: Weak<Inner>,
}

impl Publisher {
    pub(crate) fn new(core: Arc<Core>, bus: Weak<Inner>, lanes: [LaneWriter; 3], id: u32) -> Self {
        let inline = InlineHandlers {
            handlers: Default::default(),
            core: core.clone(),
        };
        Self {
            core,
            lanes,
            id,
            inline: Arc::new(inline),
            inline_count: 0,
            within_inline: Cell::new(false),
            bus,
        }
    }

    pub(crate) fn inline_handlers(&self) -> Arc<InlineHandlers> {
        self.inline.clone()
    }

    /// This publisher's number in [`EventRecord`](super::EventRecord) and [`EventsDropped`](super::EventsDropped).
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Sends an event to whoever subscribes to its type; a Critical one passes the inline handlers first.
    ///
    /// Events of one publisher and one lane are delivered in the order in which they were published. Between lanes,
    /// and between publishers, there is no order.
    ///
    /// # Real-time
    /// Wait-free, no allocation, no system call. Copies at most 64 bytes.
    #[inline]
    pub fn publish<E: Event>(&self, event: E) -> Published {
        if matches!(E::PRIORITY, Priority::Critical) && self.inline_count > 0 {
            // A copy, so that the event itself stays in registers.
            let seen = event;
            self.run_inline(&seen);
        }
        let Some(slot) = self.core.interest.wanted::<E>() else {
            return Published::Idle;
        };
        let stamp_ns = self.core.clock.stamp_ns();
        let lane = &self.lanes[E::PRIORITY.lane()];
        if lane.push(slot, stamp_ns, event) {
            Published::Queued
        } else {
            Published::Dropped
        }
    }

    /// Whether [`is_heard`](Self::is_heard) has to look closer at either type: seldom.
    #[inline(always)]
    pub(crate) fn may_be_heard<A: Event, B: Event>(&self) -> bool {
        let interest = &self.core.interest;
        let wanted = interest.wanted_nearby::<A>() | interest.wanted_nearby::<B>();
        (wanted > 0) | (self.inline_count > 0)
    }

    /// Whether `publish` would reach anybody at this moment: for callers that look once and then publish often.
    ///
    /// # Real-time
    /// Wait-free, no allocation, no system call.
    #[must_use]
    pub fn is_heard<E: Event>(&self) -> bool {
        let inline = matches!(E::PRIORITY, Priority::Critical) && self.inline_count > 0;
        inline || self.core.interest.wanted::<E>().is_some()
    }

    /// Makes a type known to this publisher's bus, as [`TypedEventBus::declare`] does: JSON subscribers get its events from
    /// then on. Whoever is handed a publisher declares with it what they are going to publish. Does nothing
    /// once the bus is gone.
    ///
    /// # Real-time
    /// No: it locks and allocates. Declare before the publisher goes to its thread.
    ///
    /// # Errors
    /// [`BusError::NameTaken`], [`BusError::TooManyTypes`].
    pub fn declare<E: Event>(&self) -> Result<(), BusError> {
        self.bus
            .upgrade()
            .map_or(Ok(()), |inner| TypedEventBus { inner }.declare::<E>())
    }

    /// Adds a handler that runs within `publish`, on the publishing thread, before the event is queued. By adding it
    /// you declare it real-time safe: it does not allocate, lock, wait or make system calls, and takes microseconds.
    ///
    /// A handler that panics is caught natively and counted ([`BusStats::subscriber_panics`](super::BusStats)). What it
    /// publishes through this same publisher is queued and passes no inline handler, so that `publish` always ends.
    ///
    /// # Real-time
    /// No: it allocates. Add handlers before the publisher goes to its thread.
    ///
    /// # Errors
    /// [`BusError::TooManyInlineHandlers`] above [`MAX_INLINE_HANDLERS`].
    ///
    /// # Examples
    /// Only Critical events have inline handlers; others do not compile:
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
        let Some(free) = self.inline.handlers.get(self.inline_count) else {
            self.core.count_panics(|| drop(handler));
            return Err(BusError::TooManyInlineHandlers {
                limit: MAX_INLINE_HANDLERS,
            });
        };
        free.get_or_init(|| {
            Box::new(move |event| {
                if let Some(event) = event.downcast_ref::<E>() {
                    handler(event);
                }
            })
        });
        self.inline_count += 1;
        Ok(())
    }

    #[inline(never)] // Keeps its unwinding out of `publish`, which most events pass without it.
    fn run_inline(&self, event: &dyn Any) {
        if self.within_inline.replace(true) {
            return;
        }
        for handler in self.inline.handlers.iter().map_while(OnceLock::get) {
            self.core.count_panics(|| handler(event));
        }
        self.within_inline.set(false);
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
            "at once, and its own type only"
        );
        let _guard = bus.subscribe(|_: &Beat| ()).unwrap();
        assert_eq!(publisher.publish(Beat(1)), Published::Queued, "both ways");
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
            "this publisher has 8 inline handlers, which is its limit"
        );
    }

    #[test]
    fn an_inline_panic_is_caught_and_counted_and_the_event_goes_on() {
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
    fn a_publisher_made_here_works_there_and_what_it_left_is_delivered() {
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
        assert_eq!(bus.stats().publishers, 0, "its lanes are reclaimed");
        assert!(
            core::iter::from_fn(|| queue.try_next())
                .map(|beat| beat.0)
                .eq(0..50)
        );
    }
}

//! Handlers, their captures, `Serialize` and panics' payloads run and are dropped while no lock of the bus is held.

use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde::{Serialize, Serializer};
use wavepool::event_bus::{
    DispatcherThread, Event, MAX_INLINE_HANDLERS, Priority, Published, TypedEventBus,
};

use super::{Later, OnDrop, Soon, Urgent, returns, until};

/// Calls every method of the bus that takes one of its locks.
fn use_everything(bus: &TypedEventBus) {
    drop(bus.subscribe(|_: &Later| ()).unwrap());
    drop(bus.subscribe_json(|_| ()));
    drop(bus.queue::<Soon>(4).unwrap());
    bus.declare::<Urgent>().unwrap();
    let publisher = bus.publisher().unwrap();
    publisher.declare::<Later>().unwrap();
    publisher.publish(Later(0));
    bus.pump(usize::MAX);
    bus.drain_cells(&mut []);
    let _ = (bus.stats(), bus.types(), bus.stuck_handler());
}

fn uses_everything_when_dropped(bus: &TypedEventBus) -> OnDrop<impl FnMut() + use<>> {
    let bus = bus.clone();
    OnDrop(move || use_everything(&bus))
}

/// A panic's payload whose drop panics, with a payload whose drop panics.
struct PanicsWhenDropped;
impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic_any(PanicsWhenDropped);
    }
}

#[test]
fn deadlock_free_when_an_inline_handler_owns_a_subscription() {
    returns("pumping after a publisher was dropped", || {
        let bus = TypedEventBus::default();
        for free in [
            (|bus| _ = bus.pump(9)) as fn(&TypedEventBus),
            |bus| drop(bus.publisher()),
            |bus| _ = bus.drain_cells(&mut []),
        ] {
            let guard = bus.subscribe(|_: &Later| ()).unwrap();
            let queue = bus.queue::<Soon>(4).unwrap();
            let captured = Mutex::new((guard, queue, uses_everything_when_dropped(&bus)));
            let mut publisher = bus.publisher().unwrap();
            publisher
                .add_inline(move |_: &Urgent| drop(captured.lock()))
                .unwrap();
            publisher.publish(Urgent(1));
            drop(publisher);
            free(&bus);
            // The second pump frees the publishers that the drop itself made.
            bus.pump(9);
            bus.pump(9);
            assert_eq!(bus.stats().publishers, 0);
        }
        assert_eq!(bus.stats().subscriber_panics, 0);
    });
}

#[test]
fn deadlock_free_when_handlers_and_serialize_use_the_bus() {
    static BUS: Mutex<Option<TypedEventBus>> = Mutex::new(None);

    #[derive(Clone, Copy)]
    struct Busy;
    impl Serialize for Busy {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let bus = BUS.lock().unwrap().clone().unwrap();
            use_everything(&bus);
            serializer.serialize_unit()
        }
    }
    impl Event for Busy {
        const NAME: &'static str = "Busy";
        const PRIORITY: Priority = Priority::High;
    }

    returns("handlers that use the bus", || {
        let bus = TypedEventBus::default();
        *BUS.lock().unwrap() = Some(bus.clone());
        let (typed, json) = (bus.clone(), bus.clone());
        let guards = (
            bus.subscribe(move |_: &Busy| use_everything(&typed))
                .unwrap(),
            bus.subscribe_json(move |_| use_everything(&json)),
        );
        let inline = bus.clone();
        let mut publisher = bus.publisher().unwrap();
        publisher
            .add_inline(move |_: &Urgent| use_everything(&inline))
            .unwrap();
        publisher.publish(Busy);
        publisher.publish(Urgent(0));
        assert!(bus.pump(100).delivered > 1);
        drop((guards, publisher));
        bus.pump(100);
        assert_eq!(bus.stats().subscriber_panics, 0);
        *BUS.lock().unwrap() = None;
    });
}

#[test]
fn deadlock_free_when_captures_of_a_handler_use_the_bus() {
    returns("dropping handlers", || {
        let bus = TypedEventBus::default();
        // The subscription is ended by its owner, by its own handler, and by the drop of the bus.
        let captured = uses_everything_when_dropped(&bus);
        drop(bus.subscribe(move |_: &Urgent| _ = &captured).unwrap());
        let captured = uses_everything_when_dropped(&bus);
        let own = Arc::new(Mutex::new(None));
        let within = own.clone();
        let guard = bus.subscribe(move |_: &Urgent| {
            let _captured = &captured;
            drop(within.lock().unwrap().take());
        });
        *own.lock().unwrap() = Some(guard.unwrap());
        bus.publisher().unwrap().publish(Urgent(1));
        assert_eq!(bus.pump(1).delivered, 1);
        let other = TypedEventBus::default();
        let captured = uses_everything_when_dropped(&bus);
        std::mem::forget(other.subscribe(move |_: &Urgent| _ = &captured).unwrap());
        drop(other);
        assert_eq!(bus.stats().subscriber_panics, 0);
    });
}

#[test]
fn deadlock_free_when_a_handler_owns_the_dispatcher() {
    returns("dropping the guard", || {
        let bus = TypedEventBus::default();
        let publisher = bus.publisher().unwrap();
        for round in 0..20 {
            let dispatcher = Arc::new(Mutex::new(None::<DispatcherThread>));
            let owned = dispatcher.clone();
            let guard = bus.subscribe(move |_: &Urgent| drop(owned.lock())).unwrap();
            *dispatcher.lock().unwrap() = Some(DispatcherThread::spawn(&bus).unwrap());
            drop(dispatcher);
            for _ in 0..round * 10 {
                publisher.publish(Urgent(round));
            }
            drop(guard);
        }
        // An inline handler owns the dispatcher that drops it.
        let mut publisher = bus.publisher().unwrap();
        let dispatcher = Mutex::new(DispatcherThread::spawn(&bus).unwrap());
        publisher
            .add_inline(move |_: &Urgent| drop(dispatcher.lock()))
            .unwrap();
        drop(publisher);
        until("the dispatcher drops itself", || {
            bus.stats().publishers == 1
        });
        assert_eq!(bus.stats().subscriber_panics, 0);
    });
}

#[test]
fn deadlock_free_when_the_dispatcher_is_about_to_call_the_handler_that_owns_it() {
    returns("dropping the guard", || {
        let bus = TypedEventBus::default();
        let (entered, within) = mpsc::channel();
        let (go_on, gate) = mpsc::channel::<()>();
        // Called first: while it runs, the call of the other handler is next.
        let _first = bus
            .subscribe(move |_: &Urgent| {
                entered.send(()).unwrap();
                gate.recv().unwrap();
            })
            .unwrap();
        let dispatcher = Arc::new(Mutex::new(None::<DispatcherThread>));
        let owned = dispatcher.clone();
        let guard = bus.subscribe(move |_: &Urgent| drop(owned.lock())).unwrap();
        *dispatcher.lock().unwrap() = Some(DispatcherThread::spawn(&bus).unwrap());
        drop(dispatcher);
        bus.publisher().unwrap().publish(Urgent(0));
        within.recv().unwrap();
        let dropping = std::thread::spawn(move || drop(guard));
        // Time for the drop to begin to wait for the dispatcher.
        std::thread::sleep(Duration::from_millis(200));
        go_on.send(()).unwrap();
        dropping.join().unwrap();
    });
}

#[test]
fn panic_in_a_drop_is_counted_and_the_dispatcher_continues() {
    returns("a dispatcher among panics", || {
        let bus = TypedEventBus::default();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        // Ends its own subscription, and its capture panics when it is dropped: one panic, on the dispatcher's thread.
        let own = Arc::new(Mutex::new(None));
        let within = own.clone();
        let captured = OnDrop(|| panic!("on purpose"));
        *own.lock().unwrap() = Some(
            bus.subscribe(move |_: &Urgent| {
                let _captured = &captured;
                drop(within.lock().unwrap().take());
            })
            .unwrap(),
        );
        // The payload of its panic panics as well: two panics for each event.
        let _payload = bus
            .subscribe(|_: &Urgent| panic_any(PanicsWhenDropped))
            .unwrap();
        let _json = bus.subscribe_json(|_| panic_any(PanicsWhenDropped));
        let _good = bus
            .subscribe(move |_: &Urgent| _ = count.fetch_add(1, Ordering::Relaxed))
            .unwrap();
        let dispatcher = DispatcherThread::spawn(&bus).unwrap();
        let publisher = bus.publisher().unwrap();
        for n in 0..100 {
            assert_eq!(publisher.publish(Urgent(n)), Published::Queued);
        }
        drop(dispatcher);
        assert_eq!(calls.load(Ordering::Relaxed), 100);
        assert_eq!(bus.stats().subscriber_panics, 1 + 100 * (2 + 2));
    });
}

/// An event type with the name of another one.
#[derive(Clone, Copy, Serialize)]
struct Impostor;
impl Event for Impostor {
    const NAME: &'static str = "Urgent";
    const PRIORITY: Priority = Priority::High;
}

#[test]
fn panic_in_a_drop_is_caught_wherever_it_happens() {
    returns("panicking drops", || {
        let bus = TypedEventBus::default();
        let panics = || bus.stats().subscriber_panics;
        let captured = OnDrop(|| panic!("on purpose"));
        drop(bus.subscribe(move |_: &Urgent| _ = &captured).unwrap());
        assert_eq!(panics(), 1, "where the guard is dropped");

        for free in [
            (|bus| _ = bus.pump(0)) as fn(&TypedEventBus),
            |bus| drop(bus.publisher()),
            |bus| _ = bus.drain_cells(&mut []),
        ] {
            let before = panics();
            let mut publisher = bus.publisher().unwrap();
            for _ in 0..3 {
                let captured = OnDrop(|| panic_any(PanicsWhenDropped));
                let hold = move |_: &Urgent| {
                    let _captured = &captured;
                    panic_any(PanicsWhenDropped)
                };
                publisher.add_inline(hold).unwrap();
            }
            publisher.publish(Urgent(0));
            assert_eq!(panics() - before, 6, "within publish");
            drop(publisher);
            free(&bus);
            bus.pump(0);
            assert_eq!(panics() - before, 12, "where a drained publisher is freed");
        }

        // Where a handler is rejected.
        let before = panics();
        let captured = OnDrop(|| panic!("on purpose"));
        assert!(bus.subscribe(move |_: &Impostor| _ = &captured).is_err());
        let mut publisher = bus.publisher().unwrap();
        for _ in 0..MAX_INLINE_HANDLERS {
            publisher.add_inline(|_: &Urgent| ()).unwrap();
        }
        let captured = OnDrop(|| panic!("on purpose"));
        assert!(
            publisher
                .add_inline(move |_: &Urgent| _ = &captured)
                .is_err()
        );
        assert_eq!(panics() - before, 2);

        // On the audio thread, where the publisher is dropped after the bus, and in the drop of the bus.
        let mut publisher = bus.publisher().unwrap();
        let captured = OnDrop(|| panic!("on purpose"));
        publisher
            .add_inline(move |_: &Urgent| _ = &captured)
            .unwrap();
        for _ in 0..2 {
            let captured = OnDrop(|| panic!("on purpose"));
            std::mem::forget(bus.subscribe(move |_: &Urgent| _ = &captured).unwrap());
        }
        drop(bus);
        std::thread::spawn(move || drop(publisher)).join().unwrap();
    });
}

#[test]
fn panic_in_serialize_is_counted_and_the_next_event_is_delivered() {
    #[derive(Clone, Copy)]
    struct PanicsInSerialize;
    impl Serialize for PanicsInSerialize {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic_any(PanicsWhenDropped)
        }
    }
    impl Event for PanicsInSerialize {
        const NAME: &'static str = "PanicsInSerialize";
        const PRIORITY: Priority = Priority::High;
    }
    let bus = TypedEventBus::default();
    bus.declare::<PanicsInSerialize>().unwrap();
    bus.declare::<Later>().unwrap();
    let records = Arc::new(Mutex::new(Vec::new()));
    let seen = records.clone();
    let _guard = bus.subscribe_json(move |record| seen.lock().unwrap().push(record.name));
    let publisher = bus.publisher().unwrap();
    publisher.publish(PanicsInSerialize);
    publisher.publish(Later(1));
    assert_eq!(bus.pump(9).panics, 2);
    assert_eq!(*records.lock().unwrap(), ["Later"]);
}

#[test]
fn inline_handler_recursion_ends() {
    use std::cell::RefCell;
    use std::rc::Rc;
    use wavepool::event_bus::Publisher;

    thread_local! {
        static OWN: RefCell<Option<Rc<Publisher>>> = const { RefCell::new(None) };
    }
    static CALLS: AtomicUsize = AtomicUsize::new(0);

    let bus = TypedEventBus::default();
    let queue = bus.queue::<Urgent>(9).unwrap();
    let mut publisher = bus.publisher().unwrap();
    publisher
        .add_inline(|urgent: &Urgent| {
            CALLS.fetch_add(1, Ordering::Relaxed);
            let own = OWN.with_borrow(Clone::clone).unwrap();
            assert_eq!(own.publish(Urgent(urgent.0 + 1)), Published::Queued);
        })
        .unwrap();
    let publisher = Rc::new(publisher);
    OWN.set(Some(publisher.clone()));
    publisher.publish(Urgent(1));
    publisher.publish(Urgent(10));
    assert_eq!(CALLS.load(Ordering::Relaxed), 2);
    bus.pump(9);
    let seen: Vec<_> = std::iter::from_fn(|| queue.try_next())
        .map(|e| e.0)
        .collect();
    assert_eq!(seen, [2, 1, 11, 10]);
}

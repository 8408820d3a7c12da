//! Pumps and dispatchers return, whatever is published meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use wavepool::event_bus::{
    BusConfig, DispatcherThread, Event, EventsDropped, Priority, Publisher, TypedEventBus,
};

use super::{Later, Soon, Urgent, returns, until};

/// A handler that publishes two events of type `E` for each one that it gets.
fn republish<E: Event>(bus: &TypedEventBus) -> impl FnMut(&E) + Send + use<E> {
    let publisher = bus.publisher().unwrap();
    move |event| {
        publisher.publish(*event);
        publisher.publish(*event);
    }
}

#[test]
fn shutdown_ends_while_handlers_republish() {
    returns("dropping the dispatcher", || {
        let bus = TypedEventBus::default();
        let _guards = (
            bus.subscribe(republish::<Urgent>(&bus)).unwrap(),
            bus.subscribe(republish::<Soon>(&bus)).unwrap(),
            bus.subscribe(republish::<Later>(&bus)).unwrap(),
            // Dropped events are announced by events, which this handler multiplies as well.
            bus.subscribe(republish::<EventsDropped>(&bus)).unwrap(),
        );
        let dispatcher = DispatcherThread::spawn(&bus).unwrap();
        let publisher = bus.publisher().unwrap();
        publisher.publish(Urgent(0));
        publisher.publish(Soon(0));
        publisher.publish(Later(0));
        until("the lanes fill", || bus.stats().critical.dropped > 0);
        drop(dispatcher);
    });
}

#[test]
fn shutdown_ends_while_publishers_are_faster_than_handlers() {
    returns("dropping the dispatcher", || {
        let bus = TypedEventBus::new(BusConfig {
            critical_cells: 64,
            ..BusConfig::default()
        });
        let slow = |_: &Urgent| std::thread::sleep(Duration::from_millis(1));
        let _guard = bus.subscribe(slow).unwrap();
        let dispatcher = DispatcherThread::spawn(&bus).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let publishing = [(); 3].map(|()| {
            let (publisher, stop) = (bus.publisher().unwrap(), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    publisher.publish(Urgent(0));
                }
            })
        });
        until("a publisher outruns the handler", || {
            bus.stats().critical.dropped > 0
        });
        let delivered = bus.stats().critical.delivered;
        drop(dispatcher);
        let more = bus.stats().critical.delivered - delivered;
        // The events of three full lanes, and those delivered before the drop began: at most one per millisecond.
        assert!(more <= 3 * 64 + 2_000, "{more}");
        stop.store(true, Ordering::Relaxed);
        for thread in publishing {
            thread.join().unwrap();
        }
    });
}

#[test]
fn shutdown_delivers_pending_events_and_none_published_later() {
    returns("dropping the dispatcher", || {
        let bus = TypedEventBus::default();
        let (entered, within) = mpsc::channel();
        let (go_on, gate) = mpsc::channel::<()>();
        // Blocks the dispatcher until the drop has begun, and some time longer.
        let _blocker = bus
            .subscribe(move |_: &Soon| {
                entered.send(()).unwrap();
                gate.recv().unwrap();
            })
            .unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let again = bus.publisher().unwrap();
        let _urgent = bus
            .subscribe(move |urgent: &Urgent| {
                log.lock().unwrap().push(("Urgent", urgent.0));
                again.publish(Urgent(urgent.0 + 1_000));
            })
            .unwrap();
        let log = seen.clone();
        let _later = bus
            .subscribe(move |later: &Later| log.lock().unwrap().push(("Later", later.0)))
            .unwrap();
        let publisher = bus.publisher().unwrap();
        let dispatcher = DispatcherThread::spawn(&bus).unwrap();
        publisher.publish(Soon(0));
        within.recv().unwrap();
        for n in 0..5 {
            publisher.publish(Later(n));
            publisher.publish(Urgent(n));
        }
        let dropping = std::thread::spawn(move || drop(dispatcher));
        // Longer than the drop needs to begin. If it began later, the events below would be pending, too, and the test would fail.
        std::thread::sleep(Duration::from_millis(500));
        for n in 100..105 {
            publisher.publish(Later(n));
            publisher.publish(Urgent(n));
        }
        go_on.send(()).unwrap();
        dropping.join().unwrap();
        let want: Vec<_> = (0..5)
            .map(|n| ("Urgent", n))
            .chain((0..5).map(|n| ("Later", n)))
            .collect();
        assert_eq!(*seen.lock().unwrap(), want);
        let stats = bus.stats();
        assert_eq!((stats.critical.pending, stats.normal.pending), (10, 5));
        // They are not lost: the next pump delivers them.
        bus.pump(5);
        assert_eq!(seen.lock().unwrap().len(), 15);
    });
}

#[test]
fn shutdown_does_not_wait_for_a_handler_that_does_not_return() {
    let (go_on, gate) = mpsc::channel::<()>();
    let (bus, calls) = returns("dropping the dispatcher", move || {
        let bus = TypedEventBus::default();
        let calls = Arc::new(AtomicU64::new(0));
        let (entered, within) = mpsc::channel();
        let count = calls.clone();
        let guard = bus.subscribe(move |_: &Urgent| {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = entered.send(());
            let _ = gate.recv();
        });
        std::mem::forget(guard.unwrap());
        let publisher = bus.publisher().unwrap();
        let dispatcher = DispatcherThread::spawn(&bus).unwrap();
        publisher.publish(Urgent(0));
        publisher.publish(Urgent(1));
        within.recv().unwrap();
        let start = Instant::now();
        drop(dispatcher);
        assert!(
            start.elapsed() >= Duration::from_secs(2),
            "the drop waits for the handler at first"
        );
        (bus, calls)
    });
    go_on.send(()).unwrap();
    drop(go_on);
    // The detached thread ends without delivering anything more: other threads may dispatch.
    until("another thread can pump", || bus.pump(1).delivered == 1);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn shutdown_of_two_dispatchers_that_drop_each_other_ends() {
    returns("both", || {
        let buses = [TypedEventBus::default(), TypedEventBus::default()];
        let dispatchers = [0, 1].map(|_| Arc::new(Mutex::new(None::<DispatcherThread>)));
        let meet = Arc::new(std::sync::Barrier::new(2));
        let (ended, end) = mpsc::channel();
        let guards: Vec<_> = [0, 1]
            .map(|n| {
                let (other, meet, ended) =
                    (dispatchers[1 - n].clone(), meet.clone(), ended.clone());
                buses[n].subscribe(move |_: &Urgent| {
                    meet.wait();
                    let other = other.lock().unwrap().take();
                    drop(other);
                    ended.send(n).unwrap();
                })
            })
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap();
        for n in [0, 1] {
            *dispatchers[n].lock().unwrap() = Some(DispatcherThread::spawn(&buses[n]).unwrap());
        }
        let publishers: Vec<Publisher> = buses.iter().map(|bus| bus.publisher().unwrap()).collect();
        for publisher in &publishers {
            publisher.publish(Urgent(0));
        }
        assert_eq!(end.iter().take(2).sum::<usize>(), 1);
        drop(guards);
    });
}

#[test]
fn pump_without_a_limit_ends_while_handlers_republish() {
    returns("pump(usize::MAX)", || {
        let bus = TypedEventBus::new(BusConfig {
            critical_cells: 8,
            ..BusConfig::default()
        });
        let _guard = bus.subscribe(republish::<Urgent>(&bus)).unwrap();
        let publisher = bus.publisher().unwrap();
        publisher.publish(Urgent(0));
        let taken = bus.pump(usize::MAX).taken();
        // The lanes of two publishers, and the three lanes of the bus itself.
        assert_eq!(taken, 2 * (8 + 256 + 256) + (1 + 128 + 1));
    });
}

#[test]
fn pump_delivers_all_pending_events() {
    let bus = TypedEventBus::default();
    let queue = bus.queue::<Later>(1024).unwrap();
    let publishers = [(); 4].map(|()| bus.publisher().unwrap());
    for n in 0..256 {
        for publisher in &publishers {
            publisher.publish(Later(n));
        }
    }
    assert_eq!(bus.pump(usize::MAX).delivered, 1024);
    assert_eq!(std::iter::from_fn(|| queue.try_next()).count(), 1024);
    assert_eq!(Later::PRIORITY, Priority::Normal);
}

//! Publishing on the audio thread allocates nothing and waits for no lock, whatever the dispatching side does. Allocations are
//! counted by this binary's own allocator.
//!
//! The tests run one at a time, because one of them measures the memory of the whole process.
#![allow(
    unsafe_code,
    reason = "an allocator that counts implements an unsafe trait"
)]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod counting_allocator;

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use counting_allocator::{calls_in, live_bytes};
use serde::Serialize;
use wavepool::event_bus::{
    BusConfig, DispatcherThread, Event, EventsDropped, FORWARDED_CELL_BYTES, Priority, Published,
    Publisher, TypedEventBus,
};

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! events {
    ($($Name:ident $priority:ident,)*) => {$(
        #[derive(Debug, Clone, Copy, Serialize)]
        struct $Name {
            first_frame: u64,
            payload: [u64; 6],
        }
        impl Event for $Name {
            const NAME: &'static str = stringify!($Name);
            const PRIORITY: Priority = Priority::$priority;
        }
        impl $Name {
            fn at(first_frame: u64) -> Self {
                Self { first_frame, payload: [first_frame; 6] }
            }
        }
    )*};
}

events! {
    Urgent Critical,
    Soon High,
    Later Normal,
    Unwanted Critical,
}

/// The events of one quantum: one for every lane, and one of a type without subscribers.
fn publish_all(publisher: &Publisher, frame: u64) -> [Published; 4] {
    [
        publisher.publish(Urgent::at(frame)),
        publisher.publish(Soon::at(frame)),
        publisher.publish(Later::at(frame)),
        publisher.publish(Unwanted::at(frame)),
    ]
}

/// The published and the dropped events of one publisher that calls [`publish_all`].
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    rounds: u64,
    dropped: u64,
}

impl Tally {
    fn round(&mut self, publisher: &Publisher) {
        let fates = publish_all(publisher, self.rounds);
        self.rounds += 1;
        self.dropped += fates
            .iter()
            .filter(|&&fate| fate == Published::Dropped)
            .count() as u64;
        assert_eq!(fates[3], Published::Idle);
    }

    /// Checks `published = delivered + dropped` per lane, and against the counts of this side.
    fn agrees_with(&self, bus: &TypedEventBus) {
        let stats = bus.stats();
        let lanes = [&stats.critical, &stats.high, &stats.normal];
        let announcements = stats.high.published - self.rounds;
        for lane in lanes {
            assert_eq!(lane.published, lane.delivered + lane.dropped, "{stats:?}");
            assert_eq!((lane.pending, lane.unclaimed), (0, 0));
        }
        assert_eq!([lanes[0].published, lanes[2].published], [self.rounds; 2]);
        assert_eq!(
            lanes.iter().map(|lane| lane.dropped).sum::<u64>(),
            self.dropped
        );
        assert!(announcements == 0 || self.dropped > 0);
    }
}

/// The processor time of this thread, which does not depend on the load of the machine.
#[cfg(target_os = "linux")]
fn thread_cpu_time() -> Duration {
    // The first number is the time in nanoseconds that this thread spent on a processor.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn allocation_counter_trips() {
    let _turn = one_at_a_time();
    let held = live_bytes();
    let (calls, kept) = calls_in(|| {
        drop(black_box(Vec::<u8>::with_capacity(8)));
        black_box(Vec::<u8>::with_capacity(10_000))
    });
    assert_eq!(calls, 3);
    assert!(live_bytes() - held > 4_096, "{}", kept.capacity());
}

#[test]
fn publishing_a_million_events_allocates_nothing() {
    let _turn = one_at_a_time();
    let bus = TypedEventBus::default();
    let delivered = Arc::new(AtomicU64::new(0));
    let count = delivered.clone();
    let _guards = (
        bus.subscribe(move |_: &Urgent| _ = count.fetch_add(1, Ordering::Relaxed))
            .unwrap(),
        bus.subscribe(|_: &Soon| ()).unwrap(),
        bus.subscribe(|_: &Later| ()).unwrap(),
        bus.queue::<EventsDropped>(16).unwrap(),
    );
    let mut publisher = bus.publisher().unwrap();
    let inline = Arc::new(AtomicU64::new(0));
    let (seen, unwanted) = (inline.clone(), inline.clone());
    publisher
        .add_inline(move |_: &Urgent| _ = seen.fetch_add(1, Ordering::Relaxed))
        .unwrap();
    publisher
        .add_inline(move |_: &Unwanted| _ = unwanted.fetch_add(1, Ordering::Relaxed))
        .unwrap();
    let dispatcher = DispatcherThread::spawn(&bus).unwrap();
    let mut tally = Tally::default();
    let audio = std::thread::spawn(move || {
        let (calls, ()) = calls_in(|| {
            for _ in 0..250_000 {
                tally.round(&publisher);
            }
            // The dispatching side frees its lanes.
            drop(publisher);
        });
        (calls, tally)
    });
    let (calls, tally) = audio.join().unwrap();
    drop(dispatcher);
    assert_eq!(calls, 0);
    assert_eq!(
        inline.load(Ordering::Relaxed),
        2 * tally.rounds,
        "inline handlers miss nothing"
    );
    assert_eq!(
        delivered.load(Ordering::Relaxed),
        bus.stats().critical.delivered
    );
    bus.pump(16);
    tally.agrees_with(&bus);
    assert_eq!(bus.stats().publishers, 0);
}

#[test]
fn draining_cells_allocates_nothing() {
    let _turn = one_at_a_time();
    let bus = TypedEventBus::default();
    bus.forward_all();
    bus.declare::<Urgent>().unwrap();
    let publisher = bus.publisher().unwrap();
    let mut bytes = vec![MaybeUninit::uninit(); 16 * FORWARDED_CELL_BYTES];
    let (calls, drained) = calls_in(|| {
        let mut drained = 0;
        for frame in 0..100_000 {
            publisher.publish(Urgent::at(frame));
            drained += bus.drain_cells(&mut bytes);
        }
        drained
    });
    assert_eq!((calls, drained), (0, 100_000 * FORWARDED_CELL_BYTES));
}

/// Publishes while `stalled` returns true; then checks that the stall cost the publisher dropped events and nothing else.
#[cfg(target_os = "linux")]
fn publish_through_a_stall(publisher: &Publisher, stalled: impl Fn() -> bool) -> Tally {
    let mut tally = Tally::default();
    // Fills the lanes, of which nothing is popped from here on.
    for _ in 0..2_000 {
        tally.round(publisher);
    }
    let (held, started) = (live_bytes(), thread_cpu_time());
    let (calls, rounds) = calls_in(|| {
        let from = tally.rounds;
        while stalled() {
            let dropped = tally.dropped;
            tally.round(publisher);
            assert_eq!(tally.dropped - dropped, 3, "full lanes drop at once");
        }
        tally.rounds - from
    });
    let per_round = (thread_cpu_time() - started) / u32::try_from(rounds).unwrap();
    assert_eq!(calls, 0);
    assert!(live_bytes() - held < 4_096, "memory is flat");
    assert!(rounds > 10_000, "only {rounds} rounds: something waited");
    assert!(
        per_round < Duration::from_micros(50),
        "{per_round:?} for four events and a look at the clock"
    );
    tally
}

#[cfg(target_os = "linux")]
#[test]
fn sleeping_subscriber_costs_the_publisher_dropped_events_only() {
    let _turn = one_at_a_time();
    let bus = TypedEventBus::default();
    let (asleep, fell_asleep) = mpsc::channel();
    let mut slept = false;
    let _guards = (
        bus.subscribe(move |_: &Urgent| {
            if !slept {
                slept = true;
                asleep.send(()).unwrap();
                std::thread::sleep(Duration::from_secs(2));
            }
        })
        .unwrap(),
        bus.subscribe(|_: &Soon| ()).unwrap(),
        bus.subscribe(|_: &Later| ()).unwrap(),
    );
    let drops = bus.queue::<EventsDropped>(16).unwrap();
    let publisher = bus.publisher().unwrap();
    let dispatcher = DispatcherThread::spawn(&bus).unwrap();
    let sleepy = bus.publisher().unwrap();
    sleepy.publish(Urgent::at(0));
    fell_asleep.recv().unwrap();
    let until = Instant::now() + Duration::from_millis(1_500);
    let tally = publish_through_a_stall(&publisher, || Instant::now() < until);
    assert_eq!(
        bus.stats().critical.pending,
        1_024,
        "figures can be read meanwhile"
    );
    drop(dispatcher);
    // The subscriber wakes; the pending events are delivered, and the dropped ones announced.
    let told: u64 = std::iter::from_fn(|| drops.try_next())
        .map(|event| event.dropped)
        .sum();
    assert_eq!(told, tally.dropped);
    let stats = bus.stats();
    assert_eq!(stats.critical.published, tally.rounds + 1);
    assert_eq!(stats.critical.delivered, 1_024 + 1);
}

#[cfg(target_os = "linux")]
#[test]
fn stopped_dispatcher_costs_the_publisher_dropped_events_only() {
    let _turn = one_at_a_time();
    let config = BusConfig {
        critical_cells: 64,
        high_cells: 64,
        normal_cells: 64,
        ..BusConfig::default()
    };
    let bus = TypedEventBus::new(config);
    let _guards = (
        bus.subscribe(|_: &Urgent| ()).unwrap(),
        bus.subscribe(|_: &Soon| ()).unwrap(),
        bus.subscribe(|_: &Later| ()).unwrap(),
    );
    let publisher = bus.publisher().unwrap();
    drop(DispatcherThread::spawn(&bus).unwrap());
    let until = Instant::now() + Duration::from_millis(300);
    let tally = publish_through_a_stall(&publisher, || Instant::now() < until);
    assert_eq!(tally.dropped, 3 * (tally.rounds - 64));
    // Another call pumps again.
    let _dispatcher = DispatcherThread::spawn(&bus).unwrap();
    while bus.stats().normal.pending > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    tally.agrees_with(&bus);
}

#[test]
fn events_of_each_publisher_and_lane_arrive_in_order_from_many_threads() {
    let _turn = one_at_a_time();
    const PER_THREAD: u64 = 50_000;
    let bus = TypedEventBus::new(BusConfig {
        normal_cells: 1 << 16,
        ..BusConfig::default()
    });
    let last: Arc<Mutex<Vec<Option<u64>>>> = Arc::new(Mutex::new(vec![None; 4]));
    let seen = last.clone();
    let _guard = bus
        .subscribe(move |event: &Later| {
            let mut seen = seen.lock().unwrap();
            let last = &mut seen[event.payload[0] as usize];
            assert_eq!(
                *last,
                event.first_frame.checked_sub(1),
                "thread {}",
                event.payload[0]
            );
            *last = Some(event.first_frame);
        })
        .unwrap();
    let dispatcher = DispatcherThread::spawn(&bus).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let publisher = bus.publisher().unwrap();
            scope.spawn(move || {
                for first_frame in 0..PER_THREAD {
                    let event = Later {
                        first_frame,
                        payload: [thread; 6],
                    };
                    assert_eq!(publisher.publish(event), Published::Queued);
                }
            });
        }
    });
    drop(dispatcher);
    assert_eq!(*last.lock().unwrap(), vec![Some(PER_THREAD - 1); 4]);
    assert_eq!(bus.stats().subscriber_panics, 0);
}

//! Publishing on the audio thread: no allocation, no lock waited for, whatever the dispatching side does. Counted by an
//! allocator of this binary's own.
//!
//! The tests take turns, because one of them looks at the whole process's memory.
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
    BusConfig, CARRIED_CELL_BYTES, DispatcherThread, Event, EventsDropped, Priority, Published,
    Publisher, TypedEventBus,
};

fn my_turn() -> MutexGuard<'static, ()> {
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

/// One quantum's worth of publishing: every lane, and a type that nobody wants.
fn publish_all(publisher: &Publisher, frame: u64) -> [Published; 4] {
    [
        publisher.publish(Urgent::at(frame)),
        publisher.publish(Soon::at(frame)),
        publisher.publish(Later::at(frame)),
        publisher.publish(Unwanted::at(frame)),
    ]
}

/// Attempts and drops of one publisher that calls [`publish_all`].
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

    /// `published = delivered + dropped`, lane by lane, and as this side counted.
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

/// The thread's own processor time, so that a busy machine does not count.
#[cfg(target_os = "linux")]
fn thread_cpu_time() -> Duration {
    // The first number: nanoseconds this thread spent on a processor.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn the_guard_trips() {
    let _turn = my_turn();
    let held = live_bytes();
    let (calls, kept) = calls_in(|| {
        drop(black_box(Vec::<u8>::with_capacity(8)));
        black_box(Vec::<u8>::with_capacity(10_000))
    });
    assert_eq!(calls, 3);
    assert!(live_bytes() - held > 4_096, "{}", kept.capacity());
}

#[test]
fn a_million_events_with_everything_attached_allocate_nothing() {
    let _turn = my_turn();
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
            // Its lanes are freed elsewhere.
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
fn draining_cells_to_carry_them_allocates_nothing() {
    let _turn = my_turn();
    let bus = TypedEventBus::default();
    bus.carry_all();
    bus.declare::<Urgent>().unwrap();
    let publisher = bus.publisher().unwrap();
    let mut bytes = vec![MaybeUninit::uninit(); 16 * CARRIED_CELL_BYTES];
    let (calls, carried) = calls_in(|| {
        let mut carried = 0;
        for frame in 0..100_000 {
            publisher.publish(Urgent::at(frame));
            carried += bus.drain_cells(&mut bytes);
        }
        carried
    });
    assert_eq!((calls, carried), (0, 100_000 * CARRIED_CELL_BYTES));
}

/// Publishes for as long as `stalled` says; then checks that the stall cost the publisher nothing but drops.
#[cfg(target_os = "linux")]
fn publish_through_a_stall(publisher: &Publisher, stalled: impl Fn() -> bool) -> Tally {
    let mut tally = Tally::default();
    // Fills the lanes; from here on nothing is taken.
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
fn a_subscriber_that_sleeps_costs_the_publisher_drops_and_nothing_else() {
    let _turn = my_turn();
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
    // Wakes, delivers what the lanes held, and tells what was lost.
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
fn a_dispatcher_that_stops_costs_the_publisher_drops_and_nothing_else() {
    let _turn = my_turn();
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
    // Somebody takes it up again.
    let _dispatcher = DispatcherThread::spawn(&bus).unwrap();
    while bus.stats().normal.pending > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    tally.agrees_with(&bus);
}

#[test]
fn events_of_each_publisher_and_lane_arrive_in_order_from_many_threads() {
    let _turn = my_turn();
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

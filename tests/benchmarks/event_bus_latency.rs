//! How late handlers are called: inline, and by the dispatcher thread under a flood of Normal events, at the rate of
//! audio and at ten times that.
//!
//! A machine that wakes threads late makes every queued figure late. Beside each stands the same quantile of a bare
//! thread that polls one queue every 100 µs in the same seconds on the same processor, and gets as much as the dispatcher
//! gets of Critical events, at the same moments: the machine's own floor. What publishes runs on another processor.

use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{park_timeout, scope, sleep};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use wavepool::event_bus::{
    BusConfig, DispatcherThread, Event, Priority, Publisher, Subscription, TypedEventBus,
};

use crate::Row;
use crate::processors::stay_on;

/// 128 frames at 48 kHz.
const QUANTUM: Duration = Duration::from_nanos(2_666_667);
const RUN: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_micros(100);
/// The flood: this many Normal events every 250 µs, 256,000 a second.
const BURST: usize = 64;
const BURST_EVERY: Duration = Duration::from_micros(250);

macro_rules! events {
    ($($Name:ident $priority:ident,)*) => {$(
        /// When it was sent, in nanoseconds since the run began.
        #[derive(Debug, Clone, Copy, Serialize)]
        struct $Name(u64);
        impl Event for $Name {
            const NAME: &'static str = stringify!($Name);
            const PRIORITY: Priority = Priority::$priority;
        }
        impl From<$Name> for u64 {
            fn from(event: $Name) -> Self {
                event.0
            }
        }
    )*};
}

events! {
    Urgent Critical,
    Soon High,
    Flood Normal,
}

#[derive(Debug, Clone, Copy)]
struct Time(Instant);

impl Time {
    fn now_ns(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Latencies in nanoseconds, in order of arrival.
type Latencies = Arc<Mutex<Vec<u64>>>;

/// Room for them in memory that is there: a page that has to be found first would count as latency.
fn room(latencies: usize) -> Vec<u64> {
    let mut room = vec![u64::MAX; latencies];
    room.clear();
    room
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// The value below which that share lies, in µs; `attempts` that did not arrive are infinitely late.
fn quantile_us(sorted: &[u64], attempts: u64, quantile: f64) -> f64 {
    let index = (attempts as f64 * quantile).ceil() as usize - 1;
    sorted
        .get(index)
        .map_or(f64::INFINITY, |&ns| ns as f64 / 1e3)
}

fn push_rows(
    rows: &mut Vec<Row>,
    bench: &'static str,
    rate: &str,
    (mut ours, attempts): (Vec<u64>, u64),
    floor: &[u64],
) {
    ours.sort_unstable();
    for (case, quantile) in QUANTILES {
        let floor = quantile_us(floor, floor.len() as u64, quantile);
        let ours = quantile_us(&ours, attempts, quantile);
        rows.push(Row::new(
            bench,
            format!("{case}{rate}"),
            ours,
            "us",
            Some(floor),
        ));
        rows.push(Row::new(
            bench,
            format!("floor {case}{rate}"),
            floor,
            "us",
            None,
        ));
    }
}

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<(), Box<dyn Error>> {
    inline(rows)?;
    queued(rows, "", QUANTUM)?;
    queued(rows, " at ten times", QUANTUM / 10)
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// From just before `publish` to the inside of the inline handler; beside it, two looks at the clock.
fn inline(rows: &mut Vec<Row>) -> Result<(), Box<dyn Error>> {
    const EVENTS: u64 = 200_000;
    let time = Time(Instant::now());
    let bus = TypedEventBus::default();
    let mut publisher = bus.publisher()?;
    let (handled, calls) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (at, count) = (handled.clone(), calls.clone());
    publisher.add_inline(move |_: &Urgent| {
        at.store(time.now_ns(), Ordering::Relaxed);
        count.fetch_add(1, Ordering::Relaxed);
    })?;
    let publish = |sent| {
        publisher.publish(Urgent(sent));
        handled.load(Ordering::Relaxed)
    };
    let look = |_| time.now_ns();
    let wall = |event: &dyn Fn(u64) -> u64| -> Vec<u64> {
        let latency = |_| {
            let sent = time.now_ns();
            event(black_box(sent)) - sent
        };
        (0..EVENTS).map(latency).collect()
    };
    let mut floor = wall(&look);
    floor.sort_unstable();
    push_rows(rows, "latency_inline", "", (wall(&publish), EVENTS), &floor);
    let cpu_us = |event: &dyn Fn(u64) -> u64| {
        let spent = |sent| {
            let start = thread_cpu_ns();
            black_box(event(sent));
            thread_cpu_ns() - start
        };
        (0..EVENTS)
            .map(spent)
            .max()
            .map_or(f64::INFINITY, |ns| ns as f64 / 1e3)
    };
    let floor = cpu_us(&look);
    rows.push(Row::new(
        "latency_inline",
        "cpu max",
        cpu_us(&publish),
        "us",
        Some(floor),
    ));
    rows.push(Row::new(
        "latency_inline",
        "floor cpu max",
        floor,
        "us",
        None,
    ));
    assert_eq!(
        calls.load(Ordering::Relaxed),
        2 * EVENTS,
        "inline handlers miss nothing"
    );
    Ok(())
}

fn collect<E: Event + Into<u64>>(
    bus: &TypedEventBus,
    time: Time,
) -> Result<(Latencies, Subscription), Box<dyn Error>> {
    let latencies: Latencies = Arc::new(Mutex::new(room(4 << 20)));
    let to = latencies.clone();
    let subscription = bus.subscribe(move |event: &E| {
        let latency = time.now_ns() - (*event).into();
        to.lock().expect("nobody panics with it").push(latency);
    })?;
    Ok((latencies, subscription))
}

/// The bare poller: how late is seen what is looked for every 100 µs.
fn floor(mut sent: rtrb::Consumer<u64>, stop: &AtomicBool, time: Time) -> Vec<u64> {
    let mut latencies = room(1 << 20);
    while !stop.load(Ordering::Relaxed) {
        while let Ok(sent) = sent.pop() {
            latencies.push(time.now_ns() - sent);
        }
        park_timeout(POLL);
    }
    latencies.extend(std::iter::from_fn(|| sent.pop().ok()).map(|sent| time.now_ns() - sent));
    latencies
}

fn flood(publisher: &Publisher, stop: &AtomicBool, time: Time) -> u64 {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            publisher.publish(Flood(time.now_ns()));
            sent += 1;
        }
        sleep(BURST_EVERY);
    }
    sent
}

/// Per quantum two Critical events and a High one, while the flood goes on.
fn queued(rows: &mut Vec<Row>, rate: &str, quantum: Duration) -> Result<(), Box<dyn Error>> {
    let bus = TypedEventBus::new(BusConfig {
        normal_cells: 1 << 16,
        ..BusConfig::default()
    });
    let time = Time(Instant::now());
    let (urgent, _urgent) = collect::<Urgent>(&bus, time)?;
    let (soon, _soon) = collect::<Soon>(&bus, time)?;
    let (normal, _normal) = collect::<Flood>(&bus, time)?;
    let (audio, flooding) = (bus.publisher()?, bus.publisher()?);
    let (mut beside, bare) = rtrb::RingBuffer::new(1 << 16);
    let stop = AtomicBool::new(false);
    stay_on(1);
    let dispatcher = DispatcherThread::spawn(&bus)?;
    let (quanta, flooded, mut floor) = scope(|threads| {
        let bare = threads.spawn(|| floor(bare, &stop, time));
        stay_on(0);
        let flooding = threads.spawn(|| {
            let flooding = flooding;
            flood(&flooding, &stop, time)
        });
        let (mut quanta, mut due) = (0, Duration::ZERO);
        while time.0.elapsed() < RUN {
            for _ in 0..2 {
                audio.publish(Urgent(time.now_ns()));
                beside.push(time.now_ns()).expect("room for a second");
            }
            audio.publish(Soon(time.now_ns()));
            quanta += 1;
            // A quantum that this thread overslept is an underrun: it is not made up for, as no sound card would.
            due = (due + quantum).max(time.0.elapsed());
            sleep(due.saturating_sub(time.0.elapsed()));
        }
        stop.store(true, Ordering::Relaxed);
        let joined = flooding
            .join()
            .and_then(|flooded| Ok((flooded, bare.join()?)));
        joined.map(|(flooded, floor)| (quanta, flooded, floor))
    })
    .map_err(|_| "a thread panicked")?;
    drop(dispatcher);
    assert_eq!(floor.len() as u64, 2 * quanta);
    floor.sort_unstable();
    let stats = bus.stats();
    for (bench, latencies, attempts, lane) in [
        ("latency_critical", urgent, 2 * quanta, &stats.critical),
        ("latency_high", soon, quanta, &stats.high),
        ("latency_normal", normal, flooded, &stats.normal),
    ] {
        let latencies = std::mem::take(&mut *latencies.lock().expect("nobody panics with it"));
        assert_eq!(
            lane.published, attempts,
            "{bench}: the bus counts what was published"
        );
        assert_eq!(
            lane.delivered,
            latencies.len() as u64,
            "{bench}: and what was delivered"
        );
        assert!(
            lane.dropped > 0 || lane.delivered == attempts,
            "{bench}: nothing is lost uncounted"
        );
        push_rows(rows, bench, rate, (latencies, attempts), &floor);
    }
    Ok(())
}

/// The targets that the figures miss.
pub(crate) fn missed(rows: &[Row]) -> Vec<String> {
    let mut missed = Vec::new();
    let mut at_most = |bench: &str, case: &str, limit: &dyn Fn(f64) -> f64| {
        for row in rows
            .iter()
            .filter(|row| row.bench == bench && row.case.starts_with(case))
        {
            let limit = limit(row.baseline.unwrap_or(0.0));
            if row.value > limit {
                missed.push(format!(
                    "{bench} {}: {:.1} us, limit {limit:.1} us",
                    row.case, row.value
                ));
            }
        }
    };
    at_most("latency_inline", "cpu max", &|_| 500.0);
    at_most("latency_critical", "p99.9", &|floor| floor + 200.0);
    at_most("latency_high", "p99.9", &|floor| {
        f64::max(5_000.0, floor + 500.0)
    });
    at_most("latency_normal", "max", &|_| 100_000.0);
    missed
}

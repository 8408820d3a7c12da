//! How late a single acquire can be while other threads return buffers: `latency`.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::allocators::{Allocated, Malloc};
use super::clock::thread_cpu_time;
use super::ours::OursOwned;
use super::rivals::{Opool, Pool, Queued};
use super::rows::Row;
use super::two_threads::wait;
use crate::processors::stay_on;

/// Acquires of each contender and clock.
const ACQUIRES: usize = 10_000_000;
/// They come in turns of this many.
const TURN: usize = 500_000;
/// Threads that return what was acquired.
const RELEASERS: usize = 2;
const FLIGHT: usize = 32;
const CLASS: usize = 2;
const SAMPLES: usize = 1024;

/// The clocks: the thread's own time, and what a listener would notice.
#[derive(Clone, Copy)]
enum Clock {
    Wall,
    Cpu,
}

/// Times every acquire of a turn on its own.
fn turn<P>(pool: &P, clock: Clock, seen: &mut Histogram<u64>)
where
    P: Pool,
    for<'pool> P::Buffer<'pool>: Send,
{
    thread::scope(|scope| {
        let mut outs = Vec::new();
        stay_on(0);
        for _ in 0..RELEASERS {
            let (out, mut there) = rtrb::RingBuffer::<P::Buffer<'_>>::new(FLIGHT);
            outs.push(out);
            scope.spawn(move || {
                stay_on(1);
                let mut turns = 0;
                while !there.is_abandoned() || !there.is_empty() {
                    if there.pop().is_err() {
                        wait(&mut turns);
                    }
                }
            });
        }
        for i in 0..TURN {
            let (took, buffer) = timed(clock, || pool.acquire(CLASS, SAMPLES));
            seen.saturating_record(took.as_nanos() as u64);
            // A full ring means that the releasers are late; then it is released here, untimed.
            if let Err(rtrb::PushError::Full(buffer)) = outs[i % RELEASERS].push(buffer) {
                pool.release(buffer);
            }
        }
    });
}

/// The same loop around nothing.
fn empty_turn(clock: Clock, seen: &mut Histogram<u64>) {
    for _ in 0..TURN {
        let (took, ()) = timed(clock, || ());
        seen.saturating_record(took.as_nanos() as u64);
    }
}

#[inline(always)]
fn timed<T>(clock: Clock, work: impl FnOnce() -> T) -> (Duration, T) {
    match clock {
        Clock::Wall => {
            let start = Instant::now();
            let made = std::hint::black_box(work());
            (start.elapsed(), made)
        }
        Clock::Cpu => {
            let start = thread_cpu_time();
            let made = std::hint::black_box(work());
            (thread_cpu_time().saturating_sub(start), made)
        }
    }
}

type Turn = dyn FnMut(Clock, &mut Histogram<u64>);

struct Contender {
    name: &'static str,
    turn: Box<Turn>,
}

fn contender<P>() -> Contender
where
    P: Pool,
    for<'pool> P::Buffer<'pool>: Send,
{
    let mut pool = P::new();
    Contender {
        name: P::NAME,
        turn: Box::new(move |clock, seen| {
            pool.rest();
            turn(&pool, clock, seen);
        }),
    }
}

pub(crate) fn measure() -> Vec<Row> {
    let mut contenders = [
        contender::<OursOwned>(),
        Contender {
            name: "floor",
            turn: Box::new(empty_turn),
        },
        contender::<Opool>(),
        contender::<Queued<crossbeam_queue::ArrayQueue<Vec<f32>>>>(),
        contender::<Allocated<Malloc>>(),
    ];
    let mut rows = Vec::new();
    for (clock, suffix) in [(Clock::Wall, ""), (Clock::Cpu, " thread-cpu")] {
        let empty = || Histogram::<u64>::new_with_max(10_000_000_000, 3).expect("bounds");
        let mut seen: Vec<_> = contenders.iter().map(|_| empty()).collect();
        for _ in 0..ACQUIRES / TURN {
            for (contender, seen) in contenders.iter_mut().zip(&mut seen) {
                (contender.turn)(clock, seen);
            }
        }
        for (rival, theirs) in contenders.iter().zip(&seen).skip(1) {
            for (quantile, name) in [
                (0.5, "p50"),
                (0.99, "p99"),
                (0.999, "p99.9"),
                (0.9999, "p99.99"),
                (1.0, "max"),
            ] {
                let at = |histogram: &Histogram<u64>| histogram.value_at_quantile(quantile) as f64;
                let case = format!("{} {name}{suffix}", rival.name);
                rows.push(Row::against(
                    "latency",
                    case,
                    "ns",
                    at(&seen[0]),
                    at(theirs),
                ));
            }
        }
    }
    rows
}

//! Buffers that come home from other threads: `remote`, `handover`, `four_producers`.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_queue::ArrayQueue;

use super::allocators::{Allocated, Malloc, MiMalloc};
use super::one_thread::{check, expected, quantile, sample, touch};
use super::ours::OursOwned;
use super::rivals::{
    Heapless, Linear, Mutexed, Nothing, ObjectPool, Opool, Pool, Queued, Samples, Spin,
};
use super::rows::Row;
use crate::processors::stay_on;

/// Buffers under way at once.
const FLIGHT: usize = 64;
/// Buffers that a ring's reader takes at once, at most, so that it says only so often that there is room.
const AT_ONCE: usize = 16;
/// Buffers of one timed run: short, so that some runs have both cores to themselves.
const COUNT: usize = 64 * FLIGHT;
/// Runs of each contender, in turn. The lowest tenth counts: in the others somebody waited for a core.
const ROUNDS: usize = 100;
/// 1024 samples.
const CLASS: usize = 2;
const SAMPLES: usize = 1024;

/// Waits for the other thread; gives it this core only when it seems to need it.
pub(crate) fn wait(turns: &mut u32) {
    *turns += 1;
    if turns.is_multiple_of(4096) {
        thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

/// Lets the clock run only when every thread is on its core.
#[derive(Default)]
struct Start(AtomicUsize);

impl Start {
    fn ready(&self, core: usize) {
        stay_on(core);
        self.0.fetch_add(1, Ordering::Release);
    }

    fn wait(&self, others: usize) -> Instant {
        stay_on(0);
        while self.0.load(Ordering::Acquire) < others {
            thread::yield_now();
        }
        Instant::now()
    }
}

// Inlined for all: left to the compiler it is a call for some and not for others, and a call returns a guard through memory.
#[inline(always)]
fn acquire<P: Pool>(pool: &P, i: usize) -> P::Buffer<'_> {
    let mut buffer = pool.acquire(CLASS, SAMPLES);
    buffer.samples()[0] = sample(i);
    buffer
}

/// Acquired here, dropped there, in batches: the cost of both ends, with next to nothing of the crossing.
fn remote<P>(pool: &P) -> f64
where
    P: Pool,
    for<'pool> P::Buffer<'pool>: Send,
{
    let start = Start::default();
    thread::scope(|scope| {
        let start = &start;
        let (mut out, mut there) = rtrb::RingBuffer::<Vec<P::Buffer<'_>>>::new(1);
        let (mut back, mut home) = rtrb::RingBuffer::<Vec<P::Buffer<'_>>>::new(1);
        let other = scope.spawn(move || {
            start.ready(1);
            let (mut sum, mut turns) = (0.0, 0);
            while !there.is_abandoned() || !there.is_empty() {
                let Ok(mut batch) = there.pop() else {
                    wait(&mut turns);
                    continue;
                };
                for mut buffer in batch.drain(..) {
                    sum += black_box(buffer.samples())[0];
                }
                // The owner is gone only after its last batch.
                let _ = back.push(batch);
            }
            sum
        });
        let mut batch = Vec::with_capacity(FLIGHT);
        let mut turns = 0;
        let start = start.wait(1);
        for round in 0..COUNT / FLIGHT {
            batch.extend((0..FLIGHT).map(|i| acquire(pool, round * FLIGHT + i)));
            assert!(out.push(batch).is_ok());
            batch = loop {
                match home.pop() {
                    Ok(batch) => break batch,
                    Err(_) => wait(&mut turns),
                }
            };
        }
        let took = start.elapsed();
        drop(out);
        let sum = other.join().expect("releasing thread");
        assert_eq!(sum, expected(COUNT), "{}", P::NAME);
        took.as_secs_f64() * 1e9 / COUNT as f64
    })
}

/// What buffers cross in.
trait Lane<T>: Sized {
    type Sender;
    type Receiver: Send;
    fn ends(&self) -> (Self::Sender, Self::Receiver);
    fn send(sender: &mut Self::Sender, item: T) -> Result<(), T>;
    /// Reads what is there, several at once where the lane has a way to; answers how many.
    fn receive(receiver: &mut Self::Receiver, read: impl FnMut(T)) -> usize;
}

/// A ring for one sender and one receiver.
struct Ring;

impl<T: Send> Lane<T> for Ring {
    type Sender = rtrb::Producer<T>;
    type Receiver = rtrb::Consumer<T>;

    fn ends(&self) -> (Self::Sender, Self::Receiver) {
        rtrb::RingBuffer::new(FLIGHT)
    }

    fn send(sender: &mut Self::Sender, item: T) -> Result<(), T> {
        sender
            .push(item)
            .map_err(|rtrb::PushError::Full(item)| item)
    }

    fn receive(receiver: &mut Self::Receiver, read: impl FnMut(T)) -> usize {
        let there = receiver.slots().min(AT_ONCE);
        let Ok(chunk) = receiver.read_chunk(there) else {
            return 0;
        };
        chunk.into_iter().for_each(read);
        there
    }
}

/// The queue that also keeps the idle buffers of the home-made pool.
struct Shared<T>(ArrayQueue<T>);

impl<'queue, T: Send> Lane<T> for &'queue Shared<T> {
    type Sender = &'queue ArrayQueue<T>;
    type Receiver = &'queue ArrayQueue<T>;

    fn ends(&self) -> (Self::Sender, Self::Receiver) {
        (&self.0, &self.0)
    }

    fn send(sender: &mut Self::Sender, item: T) -> Result<(), T> {
        sender.push(item)
    }

    fn receive(receiver: &mut Self::Receiver, read: impl FnMut(T)) -> usize {
        receiver.pop().map(read).map_or(0, |()| 1)
    }
}

/// A stream of buffers from one thread to another: acquired and written here, read and dropped there.
fn handover<'pool, P, L>(pool: &'pool P, lane: &L) -> f64
where
    P: Pool,
    L: Lane<P::Buffer<'pool>>,
    P::Buffer<'pool>: Send,
{
    let start = Start::default();
    thread::scope(|scope| {
        let start = &start;
        let (mut out, mut there) = lane.ends();
        let other = scope.spawn(move || {
            start.ready(1);
            let (mut sum, mut turns) = (0.0, 0);
            let mut left = COUNT;
            while left > 0 {
                let read = L::receive(&mut there, |mut buffer| sum += touch_read(buffer.samples()));
                left -= read;
                if read == 0 {
                    wait(&mut turns);
                }
            }
            sum
        });
        let mut turns = 0;
        let start = start.wait(1);
        for i in 0..COUNT {
            let mut buffer = pool.acquire(CLASS, SAMPLES);
            touch(buffer.samples(), sample(i));
            while let Err(full) = L::send(&mut out, buffer) {
                buffer = full;
                wait(&mut turns);
            }
        }
        let sum = other.join().expect("receiving thread");
        let took = start.elapsed();
        assert_eq!(sum, expected(COUNT), "{}", P::NAME);
        took.as_secs_f64() * 1e9 / COUNT as f64
    })
}

fn touch_read(samples: &mut [f32]) -> f32 {
    black_box(samples)[0]
}

/// One owner acquires, four threads give back, all at once.
fn four_producers<P>(pool: &P) -> f64
where
    P: Pool,
    for<'pool> P::Buffer<'pool>: Send,
{
    const OTHERS: usize = 4;
    let start = Start::default();
    thread::scope(|scope| {
        let (mut outs, mut others) = (Vec::new(), Vec::new());
        for other in 0..OTHERS {
            let (out, mut there) = rtrb::RingBuffer::<P::Buffer<'_>>::new(FLIGHT / OTHERS);
            outs.push(out);
            let start = &start;
            others.push(scope.spawn(move || {
                start.ready(1 + other);
                let (mut sum, mut turns) = (0.0, 0);
                while !there.is_abandoned() || !there.is_empty() {
                    match there.pop() {
                        Ok(mut buffer) => sum += touch_read(buffer.samples()),
                        Err(_) => wait(&mut turns),
                    }
                }
                sum
            }));
        }
        let mut turns = 0;
        let start = start.wait(OTHERS);
        for i in 0..COUNT {
            let mut buffer = acquire(pool, i);
            let mut next = i;
            while let Err(rtrb::PushError::Full(full)) = outs[next % OTHERS].push(buffer) {
                buffer = full;
                next += 1;
                if next.is_multiple_of(OTHERS) {
                    wait(&mut turns);
                }
            }
        }
        drop(outs);
        let sums = others
            .into_iter()
            .map(|other| other.join().expect("releasing thread"));
        let sum: f32 = sums.sum();
        let took = start.elapsed();
        assert_eq!(sum, expected(COUNT), "{}", P::NAME);
        took.as_secs_f64() * 1e9 / COUNT as f64
    })
}

struct Contender {
    name: &'static str,
    run: Box<dyn FnMut() -> f64>,
}

fn contender<P>(bench: &str) -> Contender
where
    P: Pool,
    for<'pool> P::Buffer<'pool>: Send,
{
    let mut pool = P::new();
    check(&pool);
    let run: fn(&P) -> f64 = match bench {
        "remote" => remote,
        "handover" => |pool| handover(pool, &Ring),
        _ => four_producers,
    };
    Contender {
        name: P::NAME,
        run: Box::new(move || {
            pool.rest();
            run(&pool)
        }),
    }
}

/// The home-made pool whose idle and whose full buffers both wait in such a queue.
fn both_ways() -> Contender {
    type Home = Queued<ArrayQueue<Vec<f32>>>;
    let pool = Home::new();
    Contender {
        name: "crossbeam-array-queue",
        run: Box::new(move || handover(&pool, &&Shared(ArrayQueue::new(FLIGHT)))),
    }
}

/// Ours first, then everybody it is measured against, in turn within each round. The guards of sharded-slab stay on
/// their thread, so it cannot take part.
pub(crate) fn measure(bench: &'static str) -> Vec<Row> {
    let mut contenders = vec![
        contender::<OursOwned>(bench),
        contender::<Nothing>(bench),
        contender::<Opool>(bench),
        contender::<ObjectPool>(bench),
        contender::<Linear>(bench),
        contender::<Spin>(bench),
        contender::<Mutexed>(bench),
        contender::<Queued<crossbeam_queue::SegQueue<Vec<f32>>>>(bench),
        contender::<Heapless>(bench),
        contender::<Allocated<Malloc>>(bench),
        contender::<Allocated<MiMalloc>>(bench),
    ];
    let queued = contender::<Queued<ArrayQueue<Vec<f32>>>>(bench);
    if bench == "handover" {
        contenders.push(both_ways());
        contenders.push(Contender {
            name: "crossbeam-array-queue over rtrb",
            ..queued
        });
    } else {
        contenders.push(queued);
    }
    let mut took = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    for _ in 0..ROUNDS {
        for (contender, took) in contenders.iter_mut().zip(&mut took) {
            took.push((contender.run)());
        }
    }
    let lowest_tenth = |took: Vec<f64>| quantile(took, 0.1);
    let took: Vec<f64> = took.into_iter().map(lowest_tenth).collect();
    let rivals = contenders.iter().zip(&took).skip(1);
    rivals
        .map(|(rival, &theirs)| Row::against(bench, rival.name, "ns", took[0], theirs))
        .collect()
}

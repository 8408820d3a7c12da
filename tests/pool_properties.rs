//! The pool against a naive twin: arbitrary sequences of operations, the accounts checked after each.
//!
//! Laws:
//! 1. What is written into a buffer is what is read from it and from every reference to it, whatever else happens.
//! 2. No two live buffers share memory; a buffer's address stays until its last handle is gone.
//! 3. Buffers in hands = handles in the twin, planar buffers once per channel.
//! 4. free + local + inbox + surplus + leased = carved, and carved + free arena = reserved (`PoolControl::is_valid`).
//! 5. Every acquire that succeeded was counted, and hits + misses = requests.
//! 6. A lease number answers exactly while the twin holds it; every other number, stale or forged, is refused.
//! 7. Memory stays within the limit.
//! 8. With everything given back, nothing is leased, and every half of the pool may go in any order.
//!
//! Each law is seen to trip: by a twin that errs in one thing, and by a pool that loses what it is given.
#![cfg(not(any(loom, target_arch = "wasm32")))]
#![allow(clippy::unwrap_used)] // A test fails by it.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use wavepool::modules::data_management::{
    BufferPool, BufferRef, ExhaustionPolicy, Lease, LeaseState, LeaseTable, PlanarBuffer,
    PlanarRef, PoolControl, PoolError, PoolFigures, PooledBuffer, RealtimePool,
};

const CLASSES: [usize; 3] = [32, 96, 256];
const LIMIT_SAMPLES: usize = 12_000;
const HOLDER: u8 = 3;

#[derive(Debug, Clone)]
enum Op {
    Acquire {
        half: usize,
        samples: usize,
        critical: bool,
    },
    Silent {
        half: usize,
        samples: usize,
    },
    Planar {
        half: usize,
        channels: usize,
        frames: usize,
    },
    Scratch {
        half: usize,
        samples: usize,
    },
    Write {
        handle: usize,
        value: i8,
    },
    Freeze {
        handle: usize,
    },
    Clone {
        handle: usize,
    },
    Drop {
        handle: usize,
        elsewhere: bool,
    },
    Release {
        handle: usize,
        half: usize,
    },
    Lease {
        handle: usize,
    },
    View {
        lease: usize,
    },
    EndView {
        lease: usize,
    },
    Share {
        lease: usize,
    },
    EndLease {
        lease: usize,
    },
    Forged {
        number: u32,
    },
    Grow {
        class: usize,
        count: u32,
    },
    Trim {
        class: usize,
        keep: u32,
    },
    Replenish {
        class: usize,
        idle: u32,
    },
    Shrink {
        class: usize,
        buffers: u32,
    },
    SetClasses {
        classes: usize,
    },
    Step {
        budget: u32,
    },
    Defragment,
    Quantum {
        half: usize,
    },
    Attach,
    Detach {
        half: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (pick, class) = (0usize..64, 0usize..CLASSES.len());
    let samples = 0usize..300;
    prop_oneof![
        6 => (pick.clone(), samples.clone(), any::<bool>())
            .prop_map(|(half, samples, critical)| Op::Acquire { half, samples, critical }),
        2 => (pick.clone(), samples.clone()).prop_map(|(half, samples)| Op::Silent { half, samples }),
        2 => (pick.clone(), 0usize..5, samples.clone())
            .prop_map(|(half, channels, frames)| Op::Planar { half, channels, frames }),
        2 => (pick.clone(), samples).prop_map(|(half, samples)| Op::Scratch { half, samples }),
        3 => (pick.clone(), any::<i8>()).prop_map(|(handle, value)| Op::Write { handle, value }),
        3 => pick.clone().prop_map(|handle| Op::Freeze { handle }),
        3 => pick.clone().prop_map(|handle| Op::Clone { handle }),
        6 => (pick.clone(), prop::bool::weighted(0.1))
            .prop_map(|(handle, elsewhere)| Op::Drop { handle, elsewhere }),
        3 => (pick.clone(), pick.clone()).prop_map(|(handle, half)| Op::Release { handle, half }),
        3 => pick.clone().prop_map(|handle| Op::Lease { handle }),
        2 => pick.clone().prop_map(|lease| Op::View { lease }),
        1 => pick.clone().prop_map(|lease| Op::EndView { lease }),
        1 => pick.clone().prop_map(|lease| Op::Share { lease }),
        3 => pick.clone().prop_map(|lease| Op::EndLease { lease }),
        2 => any::<u32>().prop_map(|number| Op::Forged { number }),
        1 => (class.clone(), 1u32..6).prop_map(|(class, count)| Op::Grow { class, count }),
        1 => (class.clone(), 0u32..4).prop_map(|(class, keep)| Op::Trim { class, keep }),
        1 => (class.clone(), 0u32..6).prop_map(|(class, idle)| Op::Replenish { class, idle }),
        1 => (class, 1u32..6).prop_map(|(class, buffers)| Op::Shrink { class, buffers }),
        1 => (1usize..8).prop_map(|classes| Op::SetClasses { classes }),
        3 => (0u32..12).prop_map(|budget| Op::Step { budget }),
        1 => Just(Op::Defragment),
        4 => pick.clone().prop_map(|half| Op::Quantum { half }),
        1 => Just(Op::Attach),
        1 => pick.prop_map(|half| Op::Detach { half }),
    ]
}

enum Handle {
    Owned(PooledBuffer),
    Shared(BufferRef),
    Planar(PlanarBuffer),
    PlanarShared(PlanarRef),
}

impl Handle {
    fn channels(&self) -> Vec<&[f32]> {
        match self {
            Self::Owned(buffer) => vec![buffer],
            Self::Shared(buffer) => vec![buffer],
            Self::Planar(buffer) => (0..buffer.channels()).map(|i| buffer.channel(i)).collect(),
            Self::PlanarShared(buffer) => {
                (0..buffer.channels()).map(|i| buffer.channel(i)).collect()
            }
        }
    }
}

/// What goes wrong on purpose, and the law that notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slip {
    /// The twin does not note what was written. Law 1.
    Write,
    /// The twin takes a clone for a buffer of its own. Law 2.
    Clone,
    /// The pool never gets what was dropped. Law 3.
    Loss,
    /// The twin takes a request for two. Law 5.
    Request,
    /// The twin thinks that a lease goes on after its end. Law 6.
    Lease,
    /// The twin thinks that half as much memory was allowed. Law 7.
    Limit,
    /// The pool does not get the last buffer back in the end. Law 8.
    Last,
}

const SLIPS: [(Slip, &str); 7] = [
    (Slip::Write, "law 1:"),
    (Slip::Clone, "law 2:"),
    (Slip::Loss, "law 3:"),
    (Slip::Request, "law 5:"),
    (Slip::Lease, "law 6:"),
    (Slip::Limit, "law 7:"),
    (Slip::Last, "law 8:"),
];

/// A handle and what the twin says it holds. Shared handles of one buffer have one `buffer` number.
struct Held {
    handle: Handle,
    buffer: u32,
    contents: f32,
}

struct Bench {
    control: PoolControl,
    halves: Vec<RealtimePool>,
    held: Vec<Held>,
    table: LeaseTable,
    /// Live leases: buffer number, contents, whether viewed.
    leases: HashMap<Lease, (u32, f32, bool)>,
    ended: Vec<Lease>,
    next_buffer: u32,
    asked: u64,
    frame: u64,
    slip: Option<Slip>,
}

impl Bench {
    fn new(policy: ExhaustionPolicy, slip: Option<Slip>) -> Self {
        let mut builder = BufferPool::builder()
            .limit_samples(LIMIT_SAMPLES)
            .exhaustion(policy)
            .leak_sampling(1);
        for class in CLASSES {
            builder = builder.class(class, 5);
        }
        let (control, half) = builder.build().unwrap();
        Self {
            control,
            halves: vec![half],
            held: Vec::new(),
            table: LeaseTable::new(HOLDER, 16),
            leases: HashMap::new(),
            ended: Vec::new(),
            next_buffer: 0,
            asked: 0,
            frame: 0,
            slip,
        }
    }

    fn slips(&self, slip: Slip) -> bool {
        self.slip == Some(slip)
    }

    fn half(&mut self, at: usize) -> Option<&mut RealtimePool> {
        let count = self.halves.len();
        self.halves.get_mut(at.checked_rem(count)?)
    }

    fn keep(&mut self, handle: Handle, contents: f32) {
        let buffer = self.next_buffer;
        self.next_buffer += 1;
        self.held.push(Held {
            handle,
            buffer,
            contents,
        });
    }

    fn take(&mut self, at: usize) -> Option<Held> {
        let at = at.checked_rem(self.held.len())?;
        Some(self.held.swap_remove(at))
    }

    fn lease(&self, at: usize) -> Option<Lease> {
        let mut leases: Vec<_> = self.leases.keys().copied().collect();
        leases.sort_unstable_by_key(|lease| lease.raw());
        leases.get(at.checked_rem(leases.len())?).copied()
    }

    /// Whether an answer is one that a request of this size may get.
    fn check(&mut self, samples: usize, channels: u64, error: Option<&PoolError>) {
        let largest = self.control.classes().max().unwrap_or(0);
        match error {
            Some(PoolError::ZeroLength) => assert_eq!(samples, 0),
            // A half that has not begun a quantum since may still have an older, larger class.
            Some(PoolError::TooLarge { requested, .. }) => {
                assert!(*requested == samples && samples > CLASSES[0].min(largest));
            }
            Some(PoolError::Exhausted {
                requested,
                class_samples,
                ..
            }) => {
                assert!(*requested as usize == samples && *class_samples as usize >= samples);
            }
            Some(other) => panic!("{other}"),
            None => {
                assert!(samples > 0);
                self.asked += channels * (1 + u64::from(self.slips(Slip::Request)));
            }
        }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Acquire {
                half,
                samples,
                critical,
            } => {
                let Some(half) = self.half(half) else { return };
                let got = if critical {
                    half.acquire_critical(samples)
                } else {
                    half.acquire(samples)
                };
                self.check(samples, 1, got.as_ref().err());
                if let Ok(mut buffer) = got {
                    assert!(buffer.len() == samples && buffer.capacity() >= samples);
                    buffer.fill(0.5);
                    self.keep(Handle::Owned(buffer), 0.5);
                }
            }
            Op::Silent { half, samples } => {
                let Some(half) = self.half(half) else { return };
                let got = half.acquire_silent(samples);
                self.check(samples, 1, got.as_ref().err());
                if let Ok(buffer) = got {
                    self.keep(Handle::Owned(buffer), 0.0);
                }
            }
            Op::Planar {
                half,
                channels,
                frames,
            } => {
                let Some(half) = self.half(half) else { return };
                let got = half.acquire_planar_silent(channels, frames);
                if channels == 0 {
                    assert!(matches!(
                        got.err(),
                        Some(PoolError::ChannelCount { requested: 0, .. })
                    ));
                    return;
                }
                self.check(frames, channels as u64, got.as_ref().err());
                if let Ok(buffer) = got {
                    self.keep(Handle::Planar(buffer), 0.0);
                }
            }
            Op::Scratch { half, samples } => {
                let Some(half) = self.half(half) else { return };
                let got = half.scratch(samples).map(|mut scratch| {
                    scratch.fill(1.0);
                    assert_eq!(scratch.len(), samples);
                });
                self.check(samples, 1, got.err().as_ref());
            }
            Op::Write { handle, value } => {
                let Some(mut held) = self.take(handle) else {
                    return;
                };
                let value = f32::from(value);
                match &mut held.handle {
                    Handle::Owned(buffer) => buffer.fill(value),
                    Handle::Planar(buffer) => {
                        (0..buffer.channels())
                            .for_each(|channel| buffer.channel_mut(channel).fill(value));
                    }
                    Handle::Shared(_) | Handle::PlanarShared(_) => return self.held.push(held),
                }
                if !self.slips(Slip::Write) {
                    held.contents = value;
                }
                self.held.push(held);
            }
            Op::Freeze { handle } => {
                let Some(mut held) = self.take(handle) else {
                    return;
                };
                let before = held
                    .handle
                    .channels()
                    .iter()
                    .map(|c| c.as_ptr().addr())
                    .collect::<Vec<_>>();
                held.handle = match held.handle {
                    Handle::Owned(buffer) => Handle::Shared(buffer.freeze()),
                    Handle::Planar(buffer) => Handle::PlanarShared(buffer.freeze()),
                    shared => shared,
                };
                assert!(
                    held.handle
                        .channels()
                        .iter()
                        .map(|c| c.as_ptr().addr())
                        .eq(before)
                );
                self.held.push(held);
            }
            Op::Clone { handle } => {
                let Some(held) = self.take(handle) else {
                    return;
                };
                let clone = match &held.handle {
                    Handle::Shared(buffer) => Some(Handle::Shared(buffer.clone())),
                    Handle::PlanarShared(buffer) => Some(Handle::PlanarShared(buffer.clone())),
                    _ => None,
                };
                let (mut buffer, contents) = (held.buffer, held.contents);
                self.held.push(held);
                if self.slips(Slip::Clone) {
                    self.next_buffer += 1;
                    buffer = self.next_buffer;
                }
                self.held.extend(clone.map(|handle| Held {
                    handle,
                    buffer,
                    contents,
                }));
            }
            Op::Drop { handle, elsewhere } => {
                let Some(held) = self.take(handle) else {
                    return;
                };
                if self.slips(Slip::Loss) {
                    std::mem::forget(held.handle);
                } else if elsewhere {
                    std::thread::spawn(move || drop(held.handle))
                        .join()
                        .unwrap();
                }
            }
            Op::Release { handle, half } => {
                let Some(held) = self.take(handle) else {
                    return;
                };
                match (held.handle, self.half(half)) {
                    (Handle::Owned(buffer), Some(half)) => half.release(buffer),
                    (Handle::Planar(buffer), Some(half)) => half.release_planar(buffer),
                    (handle, _) => drop(handle),
                }
            }
            Op::Lease { handle } => {
                let Some(held) = self.take(handle) else {
                    return;
                };
                let opened = match held.handle {
                    Handle::Owned(buffer) => self.table.open(buffer),
                    Handle::Shared(buffer) => self.table.open(buffer),
                    handle => return self.held.push(Held { handle, ..held }),
                };
                match opened {
                    Ok(lease) => drop(
                        self.leases
                            .insert(lease, (held.buffer, held.contents, false)),
                    ),
                    Err(error) => {
                        assert!(matches!(error, PoolError::TableFull { capacity: 16, .. }))
                    }
                }
            }
            Op::View { lease } => {
                let Some(lease) = self.lease(lease) else {
                    return;
                };
                let viewed = &mut self.leases.get_mut(&lease).unwrap().2;
                assert_eq!(self.table.view(lease).is_ok(), !*viewed);
                *viewed = true;
            }
            Op::EndView { lease } => {
                let Some(lease) = self.lease(lease) else {
                    return;
                };
                let viewed = &mut self.leases.get_mut(&lease).unwrap().2;
                assert_eq!(self.table.end_view(lease).is_ok(), *viewed);
                *viewed = false;
            }
            Op::Share { lease } => {
                let Some(lease) = self.lease(lease) else {
                    return;
                };
                let (buffer, contents, viewed) = self.leases[&lease];
                match self.table.share(lease) {
                    Ok(other) => drop(self.leases.insert(other, (buffer, contents, false))),
                    Err(PoolError::IllegalMove { state, .. }) => {
                        assert!(viewed && state == LeaseState::Viewed);
                    }
                    Err(error) => assert!(matches!(error, PoolError::TableFull { .. })),
                }
            }
            Op::EndLease { lease } => {
                let Some(lease) = self.lease(lease) else {
                    return;
                };
                self.table.release(lease).unwrap();
                if !self.slips(Slip::Lease) {
                    self.leases.remove(&lease);
                }
                self.ended.push(lease);
            }
            Op::Forged { number } => {
                let forged = Lease::from_raw(number);
                assert_eq!(
                    self.table.get(forged).is_ok(),
                    self.leases.contains_key(&forged)
                );
                if !self.leases.contains_key(&forged) {
                    assert!(
                        self.table.release(forged).is_err() && self.table.view(forged).is_err()
                    );
                }
            }
            Op::Grow { class, count } => self.allow(|control| control.grow(CLASSES[class], count)),
            Op::Trim { class, keep } => self.allow(|control| control.trim(CLASSES[class], keep)),
            Op::Replenish { class, idle } => {
                self.allow(|control| control.replenish_below(CLASSES[class], idle));
            }
            Op::Shrink { class, buffers } => {
                self.allow(|control| control.shrink(CLASSES[class], buffers))
            }
            Op::SetClasses { classes } => {
                let chosen = CLASSES
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| classes >> i & 1 == 1);
                let sizes: Vec<_> = chosen.map(|(_, &size)| size).collect();
                self.allow(|control| control.set_classes(&sizes));
            }
            Op::Step { budget } => drop(self.control.step(budget)),
            Op::Defragment => {
                let result = self.control.defragment();
                assert!(result.buffers_moved <= result.steps);
            }
            Op::Quantum { half } => {
                self.frame += 128;
                let frame = self.frame;
                if let Some(half) = self.half(half) {
                    half.begin_quantum(frame);
                }
            }
            Op::Attach => match self.control.attach() {
                Ok(half) => self.halves.push(half),
                Err(error) => assert!(error.is_retryable(), "{error}"),
            },
            Op::Detach { half } => {
                if let Some(at) = half.checked_rem(self.halves.len()) {
                    drop(self.halves.swap_remove(at));
                }
            }
        }
    }

    /// What the control half may refuse: beyond the limit, or a class that is gone.
    fn allow(&mut self, change: impl FnOnce(&mut PoolControl) -> Result<(), PoolError>) {
        if let Err(error) = change(&mut self.control) {
            assert!(
                error.is_retryable()
                    || matches!(
                        error,
                        PoolError::UnknownClass { .. }
                            | PoolError::NoHalf { .. }
                            | PoolError::LimitReached { .. }
                    ),
                "{error}"
            );
        }
    }

    fn agree(&self) {
        assert!(self.control.is_valid(), "law 4: the accounts disagree");
        assert!(
            self.ended
                .iter()
                .all(|&lease| self.table.get(lease).is_err()),
            "law 6: a lease goes on after its end"
        );
        let mut ranges = HashMap::new();
        for held in &self.held {
            for (channel, samples) in held.handle.channels().into_iter().enumerate() {
                assert!(
                    samples.iter().all(|&sample| sample == held.contents),
                    "law 1: a buffer holds something else"
                );
                ranges.insert((held.buffer, channel), samples.as_ptr_range());
            }
        }
        for (&lease, &(buffer, contents, viewed)) in &self.leases {
            let leased = self.table.get(lease);
            let samples = leased.expect("law 6: a live lease is refused").samples();
            assert!(
                samples.iter().all(|&sample| sample == contents),
                "law 1: a leased buffer holds something else"
            );
            let state = if viewed {
                LeaseState::Viewed
            } else {
                LeaseState::Allocated
            };
            assert_eq!(self.table.state(lease), Ok(state));
            ranges.insert((buffer, 0), samples.as_ptr_range());
        }
        let buffers = ranges.len() as u64;
        let mut ranges: Vec<_> = ranges.into_values().collect();
        ranges.sort_unstable_by_key(|range| range.start);
        assert!(
            ranges.windows(2).all(|pair| pair[0].end <= pair[1].start),
            "law 2: two buffers share memory"
        );
        assert_eq!(self.control.leased(), buffers, "law 3: buffers in hands");
        let metrics = self.control.metrics();
        let allowed = LIMIT_SAMPLES * size_of::<f32>();
        let allowed = allowed / (1 + usize::from(self.slips(Slip::Limit)));
        assert!(
            metrics.bytes_reserved <= metrics.bytes_limit && metrics.bytes_limit <= allowed,
            "law 7: more memory than was allowed"
        );
        assert!(
            metrics.pool_hits + metrics.borrowed >= self.asked,
            "law 5: an acquire was not counted"
        );
        assert_eq!(
            metrics.total_allocations,
            metrics.pool_hits + metrics.pool_misses,
            "law 5: hits and misses"
        );
    }
}

/// Everything a run is made of.
#[derive(Debug, Clone)]
struct Run {
    ops: Vec<Op>,
    policy: ExhaustionPolicy,
    control_first: bool,
}

fn run() -> impl Strategy<Value = Run> {
    let policy = prop_oneof![
        Just(ExhaustionPolicy::Fail),
        Just(ExhaustionPolicy::BorrowNextLarger),
        (1u32..4).prop_map(ExhaustionPolicy::Reserve),
    ];
    (vec(op(), 1..160), policy, any::<bool>()).prop_map(|(ops, policy, control_first)| Run {
        ops,
        policy,
        control_first,
    })
}

fn obeys(run: &Run, slip: Option<Slip>) {
    let mut bench = Bench::new(run.policy, slip);
    for op in &run.ops {
        bench.run(op);
        bench.agree();
    }
    if bench.slips(Slip::Last) {
        std::mem::forget(bench.held.pop());
    }
    bench.held.clear();
    assert_eq!(bench.table.reclaim(), bench.leases.len());
    assert_eq!(bench.control.leased(), 0, "law 8: leased in the end");
    assert!(bench.control.is_valid(), "law 8: the accounts in the end");
    let Bench {
        control, halves, ..
    } = bench;
    if run.control_first {
        drop(control);
        drop(halves);
    } else {
        drop(halves);
        drop(control);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn the_pool_agrees_with_its_twin(run in run()) {
        obeys(&run, None);
    }
}

#[test]
fn each_law_trips_on_a_twin_or_a_pool_that_errs() {
    for (slip, law) in SLIPS {
        let config = ProptestConfig {
            cases: 192,
            max_shrink_iters: 0,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let outcome = runner.run(&run(), |run| {
            obeys(&run, Some(slip));
            Ok(())
        });
        match outcome {
            Err(TestError::Fail(reason, _)) => {
                assert!(reason.message().contains(law), "{slip:?}: {reason}");
            }
            other => panic!("{slip:?} was not noticed: {other:?}"),
        }
    }
}

//! The pool beside its twin, which keeps plain accounts of what it should do.

use std::collections::HashMap;

use wavepool::modules::data_management::{
    BufferPool, BufferRef, ExhaustionPolicy, Lease, LeaseState, LeaseTable, PlanarBuffer,
    PlanarRef, PoolControl, PoolError, PoolFigures, PooledBuffer, RealtimePool,
};

use crate::operations::Op;

pub(crate) const CLASSES: [usize; 3] = [32, 96, 256];
const LIMIT_SAMPLES: usize = 12_000;
const HOLDER: u8 = 3;
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
pub(crate) enum Slip {
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

pub(crate) const SLIPS: [(Slip, &str); 7] = [
    (Slip::Write, "law 1:"),
    (Slip::Clone, "law 2:"),
    (Slip::Loss, "law 3:"),
    (Slip::Request, "law 5:"),
    (Slip::Lease, "law 6:"),
    (Slip::Limit, "law 7:"),
    (Slip::Last, "law 8:"),
];

/// A handle and what the twin says it holds. Shared handles of one buffer have one `buffer` number.
pub(crate) struct Held {
    handle: Handle,
    buffer: u32,
    contents: f32,
}

pub(crate) struct Bench {
    pub(crate) control: PoolControl,
    pub(crate) halves: Vec<RealtimePool>,
    pub(crate) held: Vec<Held>,
    pub(crate) table: LeaseTable,
    /// Live leases: buffer number, contents, whether viewed.
    pub(crate) leases: HashMap<Lease, (u32, f32, bool)>,
    ended: Vec<Lease>,
    next_buffer: u32,
    asked: u64,
    frame: u64,
    slip: Option<Slip>,
}

impl Bench {
    pub(crate) fn new(policy: ExhaustionPolicy, slip: Option<Slip>) -> Self {
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

    pub(crate) fn slips(&self, slip: Slip) -> bool {
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

    pub(crate) fn run(&mut self, op: &Op) {
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

    pub(crate) fn agree(&self) {
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

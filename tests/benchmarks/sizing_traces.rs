//! Synthetic demand for the sizing benchmark: the same operations, frame by frame, in every run.

use wavepool::modules::data_management::sizing::demand_trace::{
    DemandTrace, TraceError, TraceOp, TraceOpKind,
};
use wavepool::modules::data_management::sizing::sizing_profile::SizingProfile;

pub(crate) const SAMPLE_RATE_HZ: f64 = 48_000.0;
pub(crate) const QUANTUM_FRAMES: u32 = 128;
const QUANTA_PER_SECOND: u64 = 375;

/// A trace, and from which frame on its hit rate counts: what comes before is the first cycle, from which to learn.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) trace: DemandTrace,
    pub(crate) warm_from_frame: u64,
    /// What an earlier run saved; none starts from the configuration all traces share.
    pub(crate) start_from: Option<SizingProfile>,
}

impl Scenario {
    fn new(
        name: &'static str,
        trace: DemandTrace,
        warm_from_quantum: u64,
    ) -> Result<Self, TraceError> {
        Ok(Self {
            name,
            trace,
            warm_from_frame: frames(warm_from_quantum),
            start_from: None,
        })
    }
}

/// xorshift64*: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// Buffers in use, kept at a wanted number per size: each lives a while, and is followed by another if still wanted.
struct Population {
    random: Random,
    ops: Vec<TraceOp>,
    frame: u64,
    /// Per kind of buffer: when each ends, and its number.
    live: Vec<Vec<(u64, u32)>>,
    free: Vec<u32>,
    numbers: u32,
    lifetime_quanta: (u64, u64),
}

impl Population {
    fn new(seed: u64, lifetime_quanta: (u64, u64)) -> Self {
        Self {
            random: Random(seed),
            ops: Vec::new(),
            frame: 0,
            live: Vec::new(),
            free: Vec::new(),
            numbers: 0,
            lifetime_quanta,
        }
    }

    fn acquire(&mut self, samples: u32) -> u32 {
        let buffer = self.free.pop().unwrap_or_else(|| {
            self.numbers += 1;
            self.numbers - 1
        });
        self.ops.push(TraceOp {
            frame: self.frame,
            buffer,
            kind: TraceOpKind::Acquire(samples),
        });
        buffer
    }

    fn release(&mut self, buffer: u32) {
        self.free.push(buffer);
        self.ops.push(TraceOp {
            frame: self.frame,
            buffer,
            kind: TraceOpKind::Release,
        });
    }

    /// One quantum in which `wanted` buffers of each kind should be in use; `size` draws the samples of a new one.
    fn quantum(&mut self, wanted: &[u64], mut size: impl FnMut(&mut Random, usize) -> u32) {
        self.live.resize_with(wanted.len(), Vec::new);
        for (kind, &wanted) in wanted.iter().enumerate() {
            let now = self.frame;
            let (ended, live) = std::mem::take(&mut self.live[kind])
                .into_iter()
                .partition(|&(end, _)| end <= now);
            self.live[kind] = live;
            let ended: Vec<(u64, u32)> = ended;
            ended
                .into_iter()
                .for_each(|(_, buffer)| self.release(buffer));
            while (self.live[kind].len() as u64) < wanted {
                let samples = size(&mut self.random, kind);
                let buffer = self.acquire(samples);
                let (shortest, longest) = self.lifetime_quanta;
                let quanta = shortest + self.random.below(longest - shortest + 1);
                self.live[kind].push((now + quanta * u64::from(QUANTUM_FRAMES), buffer));
            }
        }
        self.frame += u64::from(QUANTUM_FRAMES);
    }

    fn finish(mut self) -> Result<DemandTrace, TraceError> {
        let left: Vec<u32> = self
            .live
            .iter()
            .flatten()
            .map(|&(_, buffer)| buffer)
            .collect();
        left.into_iter().for_each(|buffer| self.release(buffer));
        DemandTrace::new(SAMPLE_RATE_HZ, QUANTUM_FRAMES, self.ops)
    }
}

fn frames(quanta: u64) -> u64 {
    quanta * u64::from(QUANTUM_FRAMES)
}

/// Windows of 2 to 8 quanta are what tuners, meters and spectra hold.
const LIFETIME: (u64, u64) = (2, 8);
const SIZES: [u32; 5] = [256, 512, 1024, 2048, 4096];

/// The same use of all five sizes for eight seconds.
fn steady() -> Result<Scenario, TraceError> {
    let mut population = Population::new(1, LIFETIME);
    for _ in 0..8 * QUANTA_PER_SECOND {
        population.quantum(&[256, 192, 128, 96, 64], |_, kind| SIZES[kind]);
    }
    Scenario::new("steady", population.finish()?, QUANTA_PER_SECOND)
}

/// From a tenth of full use to all of it and back, in four seconds, three times.
fn ramp() -> Result<Scenario, TraceError> {
    let mut population = Population::new(2, LIFETIME);
    let cycle = 4 * QUANTA_PER_SECOND;
    for quantum in 0..3 * cycle {
        let phase = quantum % cycle;
        let height = phase.min(cycle - phase) * 2;
        let wanted =
            [400, 300, 200, 100, 50].map(|full| full / 10 + full * 9 * height / cycle / 10);
        population.quantum(&wanted, |_, kind| SIZES[kind]);
    }
    Scenario::new("ramp", population.finish()?, cycle)
}

/// All memory goes from one size to another and back, again and again: each change takes `shift_quanta`.
pub(crate) fn phase_shift(name: &'static str, shift_quanta: u64) -> Result<Scenario, TraceError> {
    let mut population = Population::new(3, LIFETIME);
    let half = QUANTA_PER_SECOND;
    for quantum in 0..30 * half {
        let (phase, back) = (quantum % half, (quantum / half).is_multiple_of(2));
        let there = phase.min(shift_quanta);
        let there = if back { shift_quanta - there } else { there };
        let wanted = [512 - 512 * there / shift_quanta, 128 * there / shift_quanta];
        population.quantum(&wanted, |_, kind| [1024, 4096][kind]);
    }
    Scenario::new(name, population.finish()?, 4 * half)
}

/// Steady use with a burst of one size twice a second, all of it within one quantum.
fn bursts() -> Result<Scenario, TraceError> {
    let mut population = Population::new(4, LIFETIME);
    for quantum in 0..10 * QUANTA_PER_SECOND {
        let burst = if quantum % (QUANTA_PER_SECOND / 2) < 4 {
            96
        } else {
            0
        };
        population.quantum(&[64, 64, 64 + burst, 96, 64], |_, kind| SIZES[kind]);
    }
    Scenario::new("bursts", population.finish()?, QUANTA_PER_SECOND)
}

/// Windows of 10, 20, 30, 40, 60 and 80 ms at 44.1 kHz: sizes that are no powers of two.
const ODD_SIZES: [u32; 6] = [441, 882, 1323, 1764, 2646, 3528];

const ODD_HALF: u64 = 6 * QUANTA_PER_SECOND;

fn odd_sizes() -> Result<Scenario, TraceError> {
    let mut population = Population::new(5, LIFETIME);
    for _ in 0..2 * ODD_HALF {
        population.quantum(&[600], |random, _| {
            ODD_SIZES[random.below(ODD_SIZES.len() as u64) as usize]
        });
    }
    Scenario::new("odd-sizes", population.finish()?, ODD_HALF)
}

/// The trace cut in two: what is in use at the cut ends with the first half.
pub(crate) fn halves(trace: &DemandTrace) -> Result<[DemandTrace; 2], TraceError> {
    let cut = frames(ODD_HALF);
    let mut live = std::collections::BTreeSet::new();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for &op in trace.ops() {
        let half = if op.frame < cut {
            &mut first
        } else {
            &mut second
        };
        match op.kind {
            TraceOpKind::Acquire(_) if op.frame < cut => drop(live.insert(op.buffer)),
            TraceOpKind::Release if op.frame < cut => drop(live.remove(&op.buffer)),
            // Acquired before the cut: the first half released it.
            TraceOpKind::Release if live.remove(&op.buffer) => continue,
            _ => {}
        }
        half.push(TraceOp {
            frame: if op.frame < cut {
                op.frame
            } else {
                op.frame - cut
            },
            ..op
        });
    }
    let ended: std::collections::BTreeSet<u32> = unreleased(&first);
    first.extend(ended.into_iter().map(|buffer| TraceOp {
        frame: cut,
        buffer,
        kind: TraceOpKind::Release,
    }));
    Ok([
        DemandTrace::new(SAMPLE_RATE_HZ, QUANTUM_FRAMES, first)?,
        DemandTrace::new(SAMPLE_RATE_HZ, QUANTUM_FRAMES, second)?,
    ])
}

fn unreleased(ops: &[TraceOp]) -> std::collections::BTreeSet<u32> {
    let mut live = std::collections::BTreeSet::new();
    for op in ops {
        match op.kind {
            TraceOpKind::Acquire(_) => drop(live.insert(op.buffer)),
            TraceOpKind::Release => drop(live.remove(&op.buffer)),
        }
    }
    live
}

/// Fills memory with small buffers, keeps one in each stretch of the next size, asks for the next size: what Robson
/// used to show that no allocator that leaves live buffers in place can stay close to what is used.
fn adversarial() -> Result<Scenario, TraceError> {
    const TOTAL: u64 = 1 << 20;
    let mut population = Population::new(6, (1, 1));
    for _ in 0..6 {
        let mut kept: Vec<(u32, u32)> = Vec::new();
        for size in SIZES {
            let used: u64 = kept.iter().map(|&(_, samples)| u64::from(samples)).sum();
            for index in 0..(TOTAL - used) / u64::from(size) {
                let buffer = population.acquire(size);
                kept.push((buffer, size));
                // A quantum now and then, so that control steps come between.
                if index % 64 == 63 {
                    population.frame += u64::from(QUANTUM_FRAMES);
                }
            }
            // Every second buffer of this size stays, and all that stayed before.
            let mut place = 0;
            let (stay, go): (Vec<_>, Vec<_>) = kept.into_iter().partition(|&(_, samples)| {
                place += u32::from(samples == size);
                samples < size || place % 2 == 0
            });
            for (index, (buffer, _)) in go.into_iter().enumerate() {
                population.release(buffer);
                if index % 64 == 63 {
                    population.frame += u64::from(QUANTUM_FRAMES);
                }
            }
            population.frame += frames(QUANTA_PER_SECOND / 10);
            kept = stay;
        }
        kept.into_iter()
            .for_each(|(buffer, _)| population.release(buffer));
        population.frame += frames(QUANTA_PER_SECOND / 10);
    }
    Scenario::new("adversarial", population.finish()?, 0)
}

/// One of them, by its name.
pub(crate) fn named(name: &str) -> Result<Scenario, TraceError> {
    match name {
        "steady" => steady(),
        "ramp" => ramp(),
        "phase-shift" => phase_shift("phase-shift", 20),
        "phase-shift-instant" => phase_shift("phase-shift-instant", 1),
        "bursts" => bursts(),
        "odd-sizes" => odd_sizes(),
        "adversarial" => adversarial(),
        _ => panic!("no trace is called {name}"),
    }
}

//! Every figure of the pool's metrics, computed a second way that shares no counter with the first: from a ledger of
//! what the callers saw, from the addresses of the buffers, and from an allocator that counts.
#![allow(unsafe_code)] // A counting global allocator.

mod counting_allocator;

use std::collections::{HashMap, HashSet};

use counting_allocator::live_bytes;
use wavepool::modules::data_management::pool_metrics::{Statistic, Statistics, Unit};
use wavepool::modules::data_management::{
    BufferPool, ExhaustionPolicy, LeaseTable, ObjectCosts, PoolControl, PoolError, PoolFigures,
    PoolMetrics, PooledBuffer, RealtimePool, WasmJsBridge,
};

const CLASSES: [usize; 3] = [256, 1024, 4096];
const RESERVED: usize = 1 << 18;
const COSTS: ObjectCosts = ObjectCosts {
    view_bytes: 96,
    message_bytes: 160,
    array_bytes: 112,
};

/// What a caller can tell by itself.
#[derive(Default)]
struct Ledger {
    held: Vec<PooledBuffer>,
    /// By class asked for: hits, borrowed, refused.
    answers: [[u64; 3]; 3],
    most_held: [u64; 3],
    reclaimed: u64,
    /// Buffers that were out at the last leak report, and how many were news then.
    told: HashSet<u32>,
    leaked: u64,
    /// The memory that each number stood for when JavaScript made its array.
    arrays: HashMap<u32, (usize, usize)>,
    /// Arrays that JavaScript had to make: for each number, whenever it stands for other memory.
    made: u64,
    unpooled: u64,
}

impl Ledger {
    fn acquire(&mut self, half: &RealtimePool, samples: usize) {
        let answer = half.acquire(samples);
        self.count(samples, &answer);
        self.held.extend(answer);
        self.note_peaks([0; 3]);
    }

    fn count(&mut self, samples: usize, answer: &Result<PooledBuffer, PoolError>) {
        let own = CLASSES
            .into_iter()
            .position(|class| class >= samples)
            .unwrap_or(0);
        let what = match answer {
            Ok(buffer) if buffer.capacity() == CLASSES[own] => 0,
            Ok(_) => 1,
            Err(PoolError::Exhausted { .. }) => 2,
            Err(error) => panic!("{error}"),
        };
        self.answers[own][what] += 1;
    }

    /// A participant that dies with its leases.
    fn participant(&mut self, half: &RealtimePool, control: &mut PoolControl) {
        let mut leases = LeaseTable::new(1, 4);
        let mut leased = [0; 3];
        for _ in 0..3 {
            let answer = half.acquire(200);
            self.count(200, &answer);
            let Ok(buffer) = answer else { continue };
            for (leased, class) in leased.iter_mut().zip(CLASSES) {
                *leased += u64::from(buffer.capacity() == class);
            }
            let _ = leases.open(buffer);
        }
        self.reclaimed += leased.iter().sum::<u64>();
        self.note_peaks(leased);
        control.reclaim_leases(&mut leases);
    }

    /// The most that was ever out, with those that are in other hands than the ledger's.
    fn note_peaks(&mut self, elsewhere: [u64; 3]) {
        for (index, class) in CLASSES.into_iter().enumerate() {
            let out = self.held_of(class).count() as u64 + elsewhere[index];
            self.most_held[index] = self.most_held[index].max(out);
        }
    }

    /// JavaScript looks at a buffer and gives it back.
    fn script(
        &mut self,
        bridge: &mut WasmJsBridge,
        half: &RealtimePool,
        samples: usize,
    ) -> Result<(), PoolError> {
        let Some(index) = CLASSES.into_iter().position(|class| class >= samples) else {
            return Ok(());
        };
        let lent = match bridge.acquire(half, samples) {
            Ok(lent) => lent,
            Err(PoolError::Exhausted { .. }) => {
                self.answers[index][2] += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let view = bridge.view(lent)?;
        let hit = view.capacity == CLASSES[index];
        self.answers[index][usize::from(!hit)] += 1;
        let memory = (view.address, view.capacity);
        if self.arrays.insert(view.slot, memory) != Some(memory) {
            self.made += 1;
        }
        self.unpooled += samples as u64 * 4 + u64::from(COSTS.array_bytes);
        self.note_peaks(CLASSES.map(|class| u64::from(view.capacity == class)));
        bridge.end_view(lent)?;
        bridge.release(lent)
    }

    fn report_leaks(&mut self, control: &mut PoolControl) {
        let out: HashSet<u32> = self.held.iter().map(PooledBuffer::slot_index).collect();
        self.leaked += out.difference(&self.told).count() as u64;
        self.told = out;
        control.report_leaks(|_| false);
    }

    fn held_of(&self, class: usize) -> impl Iterator<Item = &PooledBuffer> {
        self.held
            .iter()
            .filter(move |buffer| buffer.capacity() == class)
    }

    fn all(&self, what: usize) -> u64 {
        self.answers.iter().map(|answers| answers[what]).sum()
    }

    fn bytes(&self, of: impl Fn(&PooledBuffer) -> usize) -> usize {
        self.held.iter().map(|buffer| of(buffer) * 4).sum()
    }
}

/// Gaps between the buffers' addresses in the one region that begins at `base`, in samples.
fn gaps(control: &PoolControl, base: usize) -> Vec<usize> {
    let mut places: Vec<(usize, usize)> = control
        .slots()
        .map(|slot| (slot.address, slot.samples * 4))
        .collect();
    places.push((base + RESERVED * 4, 0));
    places.sort_unstable();
    let mut end = base;
    let mut gaps = Vec::new();
    for (address, bytes) in places {
        assert!(address >= end, "buffers overlap");
        gaps.extend((address > end).then_some((address - end) / 4));
        end = address + bytes;
    }
    gaps
}

/// Every statistic is held against its twin; one that is declared and has none is a failure.
fn compare<'a>(
    figures: impl Iterator<Item = (&'a Statistic, Option<f64>)>,
    twins: &[(&str, Option<f64>)],
) {
    for (statistic, value) in figures.filter(|(one, _)| one.unit != Unit::Records) {
        let twin = twins.iter().find(|(name, _)| *name == statistic.name);
        let (name, twin) = twin.unwrap_or_else(|| panic!("{} has no twin", statistic.name));
        assert_eq!(value, *twin, "{name}");
    }
}

fn check(
    metrics: &PoolMetrics,
    ledger: &Ledger,
    control: &PoolControl,
    base: usize,
    overhead: Option<usize>,
) {
    let percent =
        |part: f64, whole: f64| (whole > 0.0).then(|| f64::from((part / whole * 100.0) as f32));
    let number = |count: usize| Some(count as f64);
    let count = |count: u64| Some(count as f64);
    let (hits, borrowed, refused) = (ledger.all(0), ledger.all(1), ledger.all(2));
    let requests = hits + borrowed + refused;
    let (capacity, asked) = (
        ledger.bytes(PooledBuffer::capacity),
        ledger.bytes(|buffer| buffer.len()),
    );
    let gaps = gaps(control, base);
    let short: usize = gaps.iter().filter(|&&gap| gap < CLASSES[2]).sum();
    let script = ledger.made * u64::from(COSTS.view_bytes);
    let measured = |name: &str| overhead.is_some() || !name.starts_with("memory_overhead");
    let overhead = overhead.unwrap_or(0);
    compare(
        metrics.figures().filter(|(one, _)| measured(one.name)),
        &[
            ("total_allocations", count(requests)),
            ("pool_hits", count(hits)),
            ("pool_misses", count(borrowed + refused)),
            ("hit_rate_percentage", percent(hits as f64, requests as f64)),
            ("memory_overhead_bytes", number(overhead)),
            (
                "fragmentation_percentage",
                percent(short as f64, RESERVED as f64),
            ),
            (
                "js_gc_pressure_reduction",
                percent(
                    ledger.unpooled as f64 - script as f64,
                    ledger.unpooled as f64,
                ),
            ),
            ("wasm_js_boundary_allocations", number(ledger.made as usize)),
            ("borrowed", count(borrowed)),
            ("created", count(0)),
            ("exhausted", count(refused)),
            ("leased", number(ledger.held.len())),
            ("leases_reclaimed", count(ledger.reclaimed)),
            ("buffers_leaked", count(ledger.leaked)),
            ("bytes_leased", number(capacity)),
            (
                "bytes_held",
                number(control.slots().map(|slot| slot.samples * 4).sum()),
            ),
            ("bytes_reserved", number(RESERVED * 4)),
            ("bytes_limit", number(RESERVED * 4)),
            ("sample_bytes", number(RESERVED * 4)),
            (
                "memory_overhead_percentage",
                percent(overhead as f64, (RESERVED * 4) as f64),
            ),
            (
                "largest_free_run_samples",
                number(gaps.into_iter().max().unwrap_or(0)),
            ),
            (
                "internal_waste_percentage",
                percent((capacity - asked) as f64, capacity as f64),
            ),
        ],
    );
    for (class, (answers, most)) in metrics
        .classes
        .iter()
        .zip(ledger.answers.into_iter().zip(ledger.most_held))
    {
        let slots = control.slots().filter(|slot| slot.samples == class.samples);
        let carved = slots.count();
        let held = ledger.held_of(class.samples).count();
        let asked: usize = ledger
            .held_of(class.samples)
            .map(|buffer| buffer.len())
            .sum();
        compare(
            // See `metrics_of_change.rs`.
            class.figures().filter(|(one, _)| one.name != "draining"),
            &[
                (
                    "samples",
                    CLASSES
                        .into_iter()
                        .find(|&own| own == class.samples)
                        .map(|own| own as f64),
                ),
                ("carved", number(carved)),
                ("idle", number(carved - held)),
                ("leased", number(held)),
                ("high_water", count(most)),
                // No control step has begun it anew.
                ("recent_high_water", count(most)),
                ("hits", count(answers[0])),
                ("borrowed", count(answers[1])),
                ("created", count(0)),
                ("exhausted", count(answers[2])),
                ("retired", count(0)),
                ("requested_samples", number(asked)),
            ],
        );
    }
}

#[test]
fn every_figure_agrees_with_its_twin() {
    let before = live_bytes();
    let pool = CLASSES
        .into_iter()
        .fold(BufferPool::builder(), |pool, samples| {
            pool.class(samples, 6)
        });
    let pool = pool
        .reserve_samples(RESERVED)
        .exhaustion(ExhaustionPolicy::BorrowNextLarger);
    let (mut control, mut half) = pool.build().unwrap();
    let overhead = (live_bytes() - before) as usize - RESERVED * 4;
    assert_eq!(control.metrics().memory_overhead_bytes, overhead);

    let base = control.slots().map(|slot| slot.address).min().unwrap();
    let mut ledger = Ledger::default();
    let mut bridge = WasmJsBridge::new(2, 4, control.most_slots());
    bridge.calibrate(COSTS);
    let mut random = 1u64;
    for step in 0..20_000u64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let draw = (random >> 33) as usize;
        match draw % 8 {
            0..4 => ledger.acquire(&half, draw / 8 % 4096 + 1),
            4 | 5 if !ledger.held.is_empty() => {
                let buffer = ledger.held.swap_remove(draw / 8 % ledger.held.len());
                if draw & 64 == 0 {
                    half.release(buffer)
                } else {
                    drop(buffer)
                }
            }
            6 if draw & 15 == 6 => drop(control.grow(CLASSES[draw / 64 % 3], 1)),
            6 => ledger
                .script(&mut bridge, &half, draw / 8 % 4096 + 1)
                .unwrap(),
            7 if draw & 15 == 7 => control.shrink(CLASSES[draw / 64 % 3], 1).unwrap(),
            7 if draw & 31 == 15 => ledger.participant(&half, &mut control),
            _ => {}
        }
        if step % 16 == 0 {
            half.begin_quantum(step * 8);
            control.step(8);
            if step % 256 == 0 {
                control.defragment();
                ledger.report_leaks(&mut control);
            }
        }
        if step % 7 == 0 {
            let mut counts = control.counts();
            counts.boundary = bridge.counts();
            let metrics = PoolMetrics::from_counts(&counts);
            // The allocator cannot tell the pool's tables from the ledger's later on.
            check(
                &metrics,
                &ledger,
                &control,
                base,
                (step == 0).then_some(overhead),
            );
        }
    }
    assert!(
        ledger.all(0) > 1000 && ledger.all(1) > 100 && ledger.all(2) > 100,
        "the run did not reach every case"
    );
    assert!(ledger.reclaimed > 100 && ledger.leaked > 10 && ledger.made > 10);
}

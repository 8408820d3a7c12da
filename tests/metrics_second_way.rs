//! Every figure of the pool's metrics, computed a second way that shares no counter with the first: from a ledger of
//! what the callers saw, from the addresses of the buffers, and from an allocator that counts.
#![allow(unsafe_code)] // A counting global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use wavepool::modules::data_management::{
    BufferPool, ExhaustionPolicy, PoolControl, PoolError, PoolMetrics, PooledBuffer, RealtimePool,
};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system allocator with its arguments as they came; the count does not touch memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

const CLASSES: [usize; 3] = [256, 1024, 4096];
const RESERVED: usize = 1 << 18;

/// What a caller can tell by itself.
#[derive(Default)]
struct Ledger {
    held: Vec<PooledBuffer>,
    requests: u64,
    hits: u64,
    borrowed: u64,
    refused: u64,
    most_held: [u64; 3],
}

impl Ledger {
    fn acquire(&mut self, half: &RealtimePool, samples: usize) {
        self.requests += 1;
        let own = CLASSES.into_iter().find(|&class| class >= samples);
        match half.acquire(samples) {
            Ok(buffer) => {
                self.hits += u64::from(Some(buffer.capacity()) == own);
                self.borrowed += u64::from(Some(buffer.capacity()) != own);
                self.held.push(buffer);
            }
            Err(PoolError::Exhausted { .. }) => self.refused += 1,
            Err(error) => panic!("{error}"),
        }
        for (most, class) in self.most_held.iter_mut().zip(CLASSES) {
            *most = (*most).max(
                self.held
                    .iter()
                    .filter(|buffer| buffer.capacity() == class)
                    .count() as u64,
            );
        }
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

fn check(metrics: &PoolMetrics, ledger: &Ledger, control: &PoolControl, base: usize) {
    let percent = |part: usize, whole: usize| (part as f64 / whole as f64 * 100.0) as f32;
    assert_eq!(metrics.total_allocations, ledger.requests);
    assert_eq!(metrics.pool_hits, ledger.hits);
    assert_eq!(metrics.pool_misses, ledger.borrowed + ledger.refused);
    assert_eq!(
        (metrics.borrowed, metrics.exhausted),
        (ledger.borrowed, ledger.refused)
    );
    let rate =
        (ledger.requests > 0).then(|| percent(ledger.hits as usize, ledger.requests as usize));
    assert_eq!(metrics.hit_rate_percentage, rate);
    assert_eq!(metrics.leased, ledger.held.len() as u64);
    assert_eq!(metrics.bytes_leased, ledger.bytes(PooledBuffer::capacity));
    let (capacity, asked) = (
        ledger.bytes(PooledBuffer::capacity),
        ledger.bytes(|buffer| buffer.len()),
    );
    let waste = (capacity > 0).then(|| percent(capacity - asked, capacity));
    assert_eq!(metrics.internal_waste_percentage, waste);
    let held: usize = control.slots().map(|slot| slot.samples * 4).sum();
    assert_eq!(metrics.bytes_held, held);
    assert_eq!(
        (metrics.bytes_reserved, metrics.sample_bytes),
        (RESERVED * 4, RESERVED * 4)
    );
    let gaps = gaps(control, base);
    let short: usize = gaps.iter().filter(|&&gap| gap < CLASSES[2]).sum();
    assert_eq!(metrics.fragmentation_percentage, percent(short, RESERVED));
    assert_eq!(
        metrics.largest_free_run_samples,
        gaps.into_iter().max().unwrap_or(0)
    );
    for (class, most) in metrics.classes.iter().zip(ledger.most_held) {
        assert_eq!(class.high_water, most, "class {}", class.samples);
        assert_eq!(
            class.carved,
            control
                .slots()
                .filter(|slot| slot.samples == class.samples)
                .count() as u64
        );
        let held = ledger
            .held
            .iter()
            .filter(|buffer| buffer.capacity() == class.samples);
        assert_eq!(class.leased, held.count() as u64);
    }
}

#[test]
fn every_figure_agrees_with_its_twin() {
    let before = LIVE.load(Ordering::Relaxed);
    let pool = CLASSES
        .into_iter()
        .fold(BufferPool::builder(), |pool, samples| {
            pool.class(samples, 6)
        });
    let pool = pool
        .reserve_samples(RESERVED)
        .exhaustion(ExhaustionPolicy::BorrowNextLarger);
    let (mut control, mut half) = pool.build().unwrap();
    let held_by_pool = LIVE.load(Ordering::Relaxed) - before;
    let metrics = control.metrics();
    assert_eq!(metrics.memory_overhead_bytes, held_by_pool - RESERVED * 4);
    let overhead = metrics.memory_overhead_bytes as f64 / (RESERVED * 4) as f64 * 100.0;
    assert_eq!(metrics.memory_overhead_percentage, Some(overhead as f32));

    let base = control.slots().map(|slot| slot.address).min().unwrap();
    let mut ledger = Ledger::default();
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
            7 if draw & 15 == 7 => control.shrink(CLASSES[draw / 64 % 3], 1).unwrap(),
            _ => {}
        }
        if step % 16 == 0 {
            half.begin_quantum(step * 8);
            control.step(8);
            if step % 256 == 0 {
                control.defragment();
            }
        }
        if step % 7 == 0 {
            check(&control.metrics(), &ledger, &control, base);
        }
    }
    assert!(
        ledger.hits > 1000 && ledger.borrowed > 100 && ledger.refused > 100,
        "the run did not reach every case"
    );
}

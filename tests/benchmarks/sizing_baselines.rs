//! What the pool is held against: the system allocator, and a fixed pool of five buckets of vectors.

use std::collections::HashMap;

use wavepool::modules::data_management::sizing::demand_trace::{DemandTrace, TraceOpKind};

use crate::COUNTING;
use crate::sizing_limits::Row;
use crate::sizing_replays::bytes_used_peak;

#[derive(Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// Bytes the process's heap took from the system, by the allocator's own account.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn heap_from_system() -> Option<u64> {
    // SAFETY: no arguments, no pointers; it only reads the allocator's counters.
    let info = unsafe { libc::mallinfo2() };
    Some((info.arena + info.hblkhd) as u64)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn heap_from_system() -> Option<u64> {
    None
}

/// The same after what is free was given back: the trace was read and left holes, which would be used again for nothing.
fn trimmed_heap() -> Option<u64> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no pointers; it only gives free pages back to the system.
    unsafe {
        libc::malloc_trim(0);
    }
    heap_from_system()
}

/// A vector from the system allocator for each request. To be run in a process of its own, whose heap is still empty.
pub(crate) fn system_allocator(trace: &DemandTrace, warm_from_frame: u64) -> Row {
    let mut buffers: Vec<Vec<f32>> = vec![Vec::new(); trace.buffers()];
    let before = trimmed_heap();
    let (mut held_peak, mut held, mut used) = (0, Mean::default(), 0);
    for op in trace.ops() {
        let buffer = &mut buffers[op.buffer as usize];
        used -= buffer.capacity() as u64 * 4;
        match op.kind {
            TraceOpKind::Acquire(samples) => {
                *buffer = std::hint::black_box(Vec::with_capacity(samples as usize));
            }
            TraceOpKind::Release => *buffer = Vec::new(),
        }
        used += buffer.capacity() as u64 * 4;
        if let (Some(now), Some(before)) = (
            heap_from_system().filter(|_| op.frame >= warm_from_frame),
            before,
        ) {
            // Holes that were there before are filled without the heap growing.
            let now = now.saturating_sub(before).max(used);
            held_peak = held_peak.max(now);
            held.add(now as f64);
        }
    }
    let measured = held.get();
    Row {
        case: "system-allocator".into(),
        hit_rate_pct: Some(0.0),
        internal_waste_pct: Some(0.0),
        bytes_held_peak: measured.map(|_| held_peak),
        bytes_held_mean: measured.map(|mean| mean as u64),
        bytes_used_peak: bytes_used_peak(trace, warm_from_frame),
        bytes_reserved: measured.map(|_| held_peak),
        ..Row::default()
    }
}

/// Five buckets of vectors, 64 of each from the start; a miss allocates, a bucket keeps what comes back up to 256.
struct FixedBuckets {
    buckets: HashMap<usize, Vec<Vec<f32>>>,
}

const BUCKET_SIZES: [usize; 5] = [256, 512, 1024, 2048, 4096];
const BUCKET_START: usize = 64;
const BUCKET_LIMIT: usize = 256;

impl FixedBuckets {
    fn new() -> Self {
        let bucket = |&size: &usize| {
            (
                size,
                (0..BUCKET_START)
                    .map(|_| Vec::with_capacity(size))
                    .collect(),
            )
        };
        Self {
            buckets: BUCKET_SIZES.iter().map(bucket).collect(),
        }
    }

    fn bucket(samples: usize) -> usize {
        BUCKET_SIZES
            .into_iter()
            .find(|&size| size >= samples)
            .unwrap_or(samples)
    }

    /// The vector, and whether it came from a bucket.
    fn get(&mut self, samples: usize) -> (Vec<f32>, bool) {
        let size = Self::bucket(samples);
        match self.buckets.get_mut(&size).and_then(Vec::pop) {
            Some(vector) => (vector, true),
            None => (Vec::with_capacity(size), false),
        }
    }

    fn put(&mut self, vector: Vec<f32>) {
        if let Some(bucket) = self
            .buckets
            .get_mut(&vector.capacity())
            .filter(|bucket| bucket.len() < BUCKET_LIMIT)
        {
            bucket.push(vector);
        }
    }

    fn idle_bytes(&self) -> u64 {
        self.buckets
            .values()
            .flatten()
            .map(|vector| vector.capacity() as u64 * 4)
            .sum()
    }
}

pub(crate) fn fixed_buckets(trace: &DemandTrace, warm_from_frame: u64) -> Row {
    let mut buffers: Vec<(Vec<f32>, u32)> = vec![(Vec::new(), 0); trace.buffers()];
    let before = COUNTING.live_bytes();
    let mut pool = FixedBuckets::new();
    let (mut hits, mut requests) = (0u64, 0u64);
    let (mut capacity, mut asked) = (0u64, 0u64);
    let mut idle = pool.idle_bytes();
    let (mut held, mut waste, mut overhead) = (Mean::default(), Mean::default(), 0.0f64);
    let mut held_peak = 0;
    for op in trace.ops() {
        let (buffer, samples_asked) = &mut buffers[op.buffer as usize];
        match op.kind {
            TraceOpKind::Acquire(samples) => {
                let (vector, hit) = pool.get(samples as usize);
                let bytes = vector.capacity() as u64 * 4;
                idle -= if hit { bytes } else { 0 };
                hits += u64::from(hit && op.frame >= warm_from_frame);
                requests += u64::from(op.frame >= warm_from_frame);
                capacity += bytes;
                asked += u64::from(samples) * 4;
                (*buffer, *samples_asked) = (vector, samples);
            }
            TraceOpKind::Release => {
                let vector = std::mem::take(buffer);
                capacity -= vector.capacity() as u64 * 4;
                asked -= u64::from(*samples_asked) * 4;
                pool.put(vector);
                idle = pool.idle_bytes();
            }
        }
        if op.frame < warm_from_frame {
            continue;
        }
        held_peak = held_peak.max(capacity + idle);
        held.add((capacity + idle) as f64);
        if capacity > 0 {
            waste.add((capacity - asked) as f64 / capacity as f64 * 100.0);
        }
        let samples = (capacity + idle) as f64;
        overhead =
            overhead.max(((COUNTING.live_bytes() - before) as f64 - samples) / samples * 100.0);
    }
    Row {
        case: "fixed-buckets".into(),
        hit_rate_pct: (requests > 0).then(|| hits as f64 / requests as f64 * 100.0),
        internal_waste_pct: waste.get(),
        overhead_pct: Some(overhead),
        bytes_held_peak: Some(held_peak),
        bytes_held_mean: held.get().map(|mean| mean as u64),
        bytes_used_peak: bytes_used_peak(trace, warm_from_frame),
        bytes_reserved: Some(held_peak),
        ..Row::default()
    }
}

/// What the rows, rivals' among them, fall short of beside their own limits.
pub(crate) fn shortcomings(rows: &[Row]) -> Vec<String> {
    let row = |trace: &str, case: &str| {
        rows.iter()
            .find(|row| row.trace == trace && row.case == case)
    };
    let mut found = Vec::new();
    let mut expect = |name: &str, figure: Option<f64>, limit: Option<f64>| {
        let holds = figure
            .zip(limit)
            .is_some_and(|(figure, limit)| figure <= limit);
        if !holds {
            found.push(format!(
                "{name} is {figure:?}, at most {limit:?} is allowed"
            ));
        }
    };
    let system = row("adversarial", "system-allocator");
    // Where the system's allocator does not tell, there is nothing to compare.
    if let Some(held) = system.and_then(Row::held_per_used) {
        let ours = row("adversarial", "ours").and_then(Row::held_per_used);
        expect(
            "adversarial: bytes held ÷ bytes used, beside the system allocator's,",
            ours,
            Some(held),
        );
    }
    let ours = row("odd-sizes-held-out", "ours").and_then(|row| row.internal_waste_pct);
    let powers = row("odd-sizes-held-out", "fixed-buckets").and_then(|row| row.internal_waste_pct);
    expect(
        "odd-sizes-held-out: internal waste, beside a third of that of powers of two,",
        ours,
        powers.map(|powers| powers / 3.0),
    );
    let grown = row("phase-shift", "ours").and_then(|row| row.pages_grown);
    expect(
        "phase-shift: pages by which WebAssembly memory grew after the first cycle",
        Some(grown.unwrap_or(0) as f64),
        Some(0.0),
    );
    found
}

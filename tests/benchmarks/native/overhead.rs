//! What the pool takes beside the samples: its own account, and what the allocator saw.
#![allow(unsafe_code)] // An allocator is an unsafe trait.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use wavepool::modules::data_management::{BufferPool, DEFAULT_MIX, PoolBuilder, PoolFigures};

use super::rows::Row;

/// The system's allocator, with an account of the bytes in use.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;
static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's word.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's word.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's word.
        unsafe { System.dealloc(block, layout) }
    }
}

fn rows(case: &str, builder: impl FnOnce() -> PoolBuilder) -> [Row; 2] {
    let before = IN_USE.load(Ordering::Relaxed);
    let (control, _half) = builder().build().expect("pool");
    let seen = IN_USE.load(Ordering::Relaxed) - before;
    let metrics = control.metrics();
    let samples = metrics.sample_bytes;
    assert_eq!(
        metrics.memory_overhead_bytes,
        seen - samples,
        "the pool's own account of {case} is not what the allocator saw"
    );
    let of_samples = |bytes: usize| bytes as f64 * 100.0 / samples as f64;
    [
        Row::alone(
            "overhead",
            case,
            "percent",
            of_samples(metrics.memory_overhead_bytes),
        ),
        Row::alone(
            "overhead",
            format!("{case} as the allocator saw it"),
            "percent",
            of_samples(seen - samples),
        ),
    ]
}

/// The default mix, and the same memory in buffers of 256 samples.
pub(crate) fn measure() -> Vec<Row> {
    let samples: usize = DEFAULT_MIX
        .iter()
        .map(|&(samples, buffers)| samples * buffers as usize)
        .sum();
    let small = || BufferPool::builder().class(256, (samples / 256) as u32);
    rows("default-mix", BufferPool::builder)
        .into_iter()
        .chain(rows("all-256", small))
        .collect()
}

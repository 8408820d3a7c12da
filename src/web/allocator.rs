//! An allocator that counts each thread's calls: an audio thread must make none once it runs.
#![allow(unsafe_code)] // Passes every call on to the system's allocator.

use core::cell::Cell;
use std::alloc::{GlobalAlloc, Layout, System};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Below this nothing but unused stack lies. A new thread allocates its stack and its thread-locals before it has them;
/// what it would count then lies here.
const FIRST_STATIC: usize = 4096;

/// The system's allocator; counts allocations, growths and frees alike, for all of them may wait for another thread.
///
/// # Real-time
/// Not for the audio thread: that it is not called there is what the count shows.
#[derive(Debug)]
pub struct CountingAllocator;

/// Calls that this thread has made.
pub(super) fn calls() -> u64 {
    CALLS.with(Cell::get)
}

fn count() {
    CALLS.with(|calls| {
        if core::ptr::from_ref(calls).addr() >= FIRST_STATIC {
            calls.set(calls.get() + 1);
        }
    });
}

// SAFETY: each call goes to `System` with the caller's own arguments; counting neither allocates nor unwinds, as the
// cell needs no start and no end.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `realloc`'s contract, and the block came from `System`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps `dealloc`'s contract, and the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

//! An allocator that counts the calls of each thread: a running audio thread must make none.
#![allow(unsafe_code)] // Forwards every call to the system's allocator.

use core::cell::Cell;
use std::alloc::{GlobalAlloc, Layout, System};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Below this address is unused stack only. A new thread allocates its stack and its thread-locals before it has them; the
/// counter of such a call has an address below this one, and must not be written.
const FIRST_STATIC: usize = 4096;

/// The system's allocator with a counter. Allocations, reallocations and frees all count, since each may wait for another
/// thread.
///
/// # Real-time
/// Not for the audio thread: the counter shows that it is not called there.
#[derive(Debug)]
struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The number of calls of this thread.
pub(crate) fn calls() -> u64 {
    CALLS.with(Cell::get)
}

fn count() {
    CALLS.with(|calls| {
        if core::ptr::from_ref(calls).addr() >= FIRST_STATIC {
            calls.set(calls.get() + 1);
        }
    });
}

// SAFETY: each call is forwarded to `System` with the caller's arguments. Counting neither allocates nor unwinds, because the
// cell has a constant initial value and no destructor.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller upholds `realloc`'s contract, and the block came from `System`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller upholds `dealloc`'s contract, and the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

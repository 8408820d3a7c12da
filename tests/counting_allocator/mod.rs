//! The system allocator, counting each thread's calls and the bytes that are out: for the test binaries that guard either.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Bytes allocated and not yet freed by anybody.
static LIVE: AtomicI64 = AtomicI64::new(0);

fn count(bytes: i64) {
    CALLS.with(|calls| calls.set(calls.get() + 1));
    // Relaxed: read when the threads that count are still.
    LIVE.fetch_add(bytes, Ordering::Relaxed);
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system allocator unchanged; counting neither allocates nor unwinds, since the
// thread-local is constant-initialised and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Calls into the allocator, freeing included, that this thread made in `run`, and what that answered.
#[allow(dead_code, reason = "not every guard asks both")]
pub(crate) fn calls_in<R>(run: impl FnOnce() -> R) -> (u64, R) {
    let before = CALLS.with(Cell::get);
    let result = run();
    (CALLS.with(Cell::get) - before, result)
}

/// Bytes allocated and not yet freed, by all threads.
#[allow(dead_code, reason = "not every guard asks both")]
pub(crate) fn live_bytes() -> i64 {
    LIVE.load(Ordering::Relaxed)
}

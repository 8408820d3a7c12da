//! The story's trait where the system refuses memory: a typed error, counted and published, and the pool goes on.
#![cfg(not(any(loom, target_arch = "wasm32")))]
#![allow(clippy::unwrap_used)] // A test fails by it.
#![allow(unsafe_code)] // An allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::mpsc;

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::data_management::pool_events::PoolExhausted;
use wavepool::modules::data_management::{BufferRecyclingPool, DataManagementModule, PoolError};
use wavepool::registry::ModuleRegistry;

/// More than anything else here needs.
const REFUSED_BYTES: usize = 1 << 26;

/// The system allocator without large blocks.
struct Refusing;

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

// SAFETY: a refusal is a null pointer, which is allowed; every other call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= REFUSED_BYTES {
            return null_mut();
        }
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn refused_memory_is_a_typed_error_counted_and_published() {
    let bus = TypedEventBus::default();
    let (sent, seen) = mpsc::channel();
    let _guard = bus
        .subscribe(move |event: &PoolExhausted| sent.send(*event).unwrap())
        .unwrap();
    let mut registry = ModuleRegistry::builder(bus).boot().unwrap();
    let data = registry.get_mut::<DataManagementModule>().unwrap();
    let bytes = REFUSED_BYTES + 4;
    let refused = data.recycling_pool().unwrap().get_or_create(bytes / 4);
    assert_eq!(refused, Err(PoolError::OutOfMemory { bytes }));
    let metrics = data.metrics().unwrap();
    assert_eq!((metrics.exhausted, metrics.pool_misses), (1, 1));
    assert_eq!(data.vectors().unwrap().bytes_held, 0);
    let vector = data.recycling_pool().unwrap().get_or_create(5000).unwrap();
    data.recycling_pool().unwrap().recycle(vector).unwrap();
    registry.bus().pump(usize::MAX);
    let published = seen.try_recv().unwrap();
    assert_eq!(published.requested as usize, bytes / 4);
    assert!(seen.try_recv().is_err());
}

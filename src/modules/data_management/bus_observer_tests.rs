#![allow(unsafe_code)] // Reclaims halves that a test has abandoned.

use std::mem::forget;
use std::sync::{Arc, Mutex};

use super::*;
use crate::event_bus::TypedEventBus;
use crate::modules::data_management::BufferPool;

#[test]
fn publishers_of_dead_owners_free_their_lanes_after_delivery() {
    let bus = TypedEventBus::default();
    let published = Arc::new(Mutex::new((0, 0)));
    let (on_allocation, on_reclaim) = (published.clone(), published.clone());
    let _guards = (
        bus.subscribe(move |event: &BufferPoolAllocation| {
            on_allocation.lock().unwrap().0 += event.count;
        }),
        bus.subscribe(move |event: &LeasesReclaimed| {
            on_reclaim.lock().unwrap().1 += event.count;
        }),
    );
    let (mut control, first) = BufferPool::builder().class(64, 2).build().unwrap();
    drop(first);
    control.attach_publisher(bus.publisher().unwrap()).unwrap();
    const DEAD: u32 = 1000;
    for abandoned in 0..DEAD {
        let mut half = control.attach_with(&[(64, 2)]).unwrap();
        let publisher = bus.publisher();
        let publisher = publisher.unwrap_or_else(|error| panic!("{abandoned}: {error}"));
        half.attach_publisher(publisher).unwrap();
        half.begin_round();
        forget(half.acquire(64));
        let (id, publisher) = half.abandon();
        drop(publisher);
        // SAFETY: abandoned, and what it acquired is forgotten.
        unsafe { control.reclaim(id) };
        bus.pump(usize::MAX);
    }
    assert_eq!(*published.lock().unwrap(), (DEAD, DEAD));
    bus.pump(0);
    assert_eq!((bus.stats().publishers, control.leased()), (1, 0));
}

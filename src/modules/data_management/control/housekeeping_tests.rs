use std::sync::{Arc, Mutex};

use super::*;
use crate::event_bus::{Event, Subscription, TypedEventBus};
use crate::modules::data_management::BufferPool;

fn seen<E: Event>(bus: &TypedEventBus) -> (Arc<Mutex<Vec<E>>>, Subscription) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let guard = bus.subscribe(move |event: &E| sink.lock().unwrap().push(*event));
    (seen, guard.unwrap())
}

#[test]
fn leak_is_published_once_and_again_for_another_buffer() {
    let bus = TypedEventBus::default();
    let (published, _guard) = seen::<BufferLeaked>(&bus);
    let (mut control, mut half) = BufferPool::builder()
        .class(64, 4)
        .leak_sampling(1)
        .build()
        .unwrap();
    control.attach_publisher(bus.publisher().unwrap()).unwrap();
    assert_eq!(control.report_leaks(|_| false), 0);
    half.begin_quantum(128);
    let (leaked, kept) = (half.acquire(50).unwrap(), half.acquire(64).unwrap());
    let excused = kept.slot_index();
    assert_eq!(control.report_leaks(|slot| slot == excused), 1);
    assert_eq!(control.report_leaks(|slot| slot == excused), 0);
    assert_eq!(control.metrics().buffers_leaked, 1);
    bus.pump(usize::MAX);
    let first = BufferLeaked {
        slot: leaked.slot_index(),
        class_samples: 64,
        requested: 50,
        first_frame: Some(128),
    };
    assert_eq!(*published.lock().unwrap(), [first]);
    drop(leaked);
    assert_eq!(control.report_leaks(|_| false), 1);
    drop(kept);
    assert_eq!(control.report_leaks(|_| false), 0);
}

#[test]
fn leases_of_a_dead_participant_are_reclaimed_and_published() {
    let bus = TypedEventBus::default();
    let (published, _guard) = seen::<LeasesReclaimed>(&bus);
    let (mut control, half) = BufferPool::builder().class(64, 4).build().unwrap();
    control.attach_publisher(bus.publisher().unwrap()).unwrap();
    let mut leases = LeaseTable::new(3, 4);
    for _ in 0..2 {
        leases.open(half.acquire(64).unwrap()).unwrap();
    }
    assert_eq!(control.reclaim_leases(&mut leases), 2);
    assert_eq!(
        (control.leased(), control.metrics().leases_reclaimed),
        (0, 2)
    );
    bus.pump(usize::MAX);
    let published = published.lock().unwrap();
    assert_eq!(
        (published.len(), published[0].holder, published[0].count),
        (1, 3, 2)
    );
}

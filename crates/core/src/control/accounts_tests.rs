use core::mem::replace;

use super::super::arena::Fit;
use super::*;
use crate::BufferPool;

#[test]
fn counts_of_a_retired_class_stay() {
    let (mut control, mut half) = BufferPool::builder()
        .class(64, 2)
        .class(128, 2)
        .build()
        .unwrap();
    for _ in 0..10 {
        half.release(half.acquire(64).unwrap());
    }
    assert_eq!(control.recycled(), 10);
    control.set_classes(&[128]).unwrap();
    for frame in 0..20 {
        half.begin_quantum(frame);
        control.step(100);
    }
    assert_eq!(control.pool.size_classes().count(), 1);
    assert_eq!(control.recycled(), 10);
}

/// Makes each account wrong in turn, and right again.
#[test]
fn invariant_check_trips_on_each_account() {
    let (mut control, half) = BufferPool::builder()
        .class(64, 5)
        .reserve_samples(1024)
        .build()
        .unwrap();
    let mut held: Vec<_> = (0..5).map(|_| half.acquire(64).unwrap()).collect();
    // One buffer is cached, two are on the list, one is in the inbox, one is in use.
    held.drain(..3).for_each(|buffer| half.release(buffer));
    drop(held.pop());
    let size_class = control.pool.size_classes().next().unwrap();
    let listed = size_class.peek_local().first.get().unwrap();
    let core = control.pool.core();
    let mut indices = core.table.indices();
    let out = indices
        .find(|index| index.raw() == held[0].slot_index())
        .unwrap();
    let places = [out, listed].map(|index| {
        let slot = core.table.slot(index);
        (slot, slot.region(), slot.unit())
    });
    assert!(control.is_valid());
    let wrong = |control: &PoolControl, what| assert!(!control.is_valid(), "{what}");

    size_class.add_carved(1);
    wrong(&control, "a buffer is counted that is nowhere");
    size_class.sub_carved(1);

    let lost = size_class.shared.inbox.front.take();
    wrong(&control, "a released buffer is on no list");
    control.put_back(&size_class, lost, 0);

    let collected = replace(&mut control.collected, (size_class.peek_cache(), 64));
    wrong(&control, "a buffer is on two lists");
    control.collected = collected;

    let spare = replace(&mut control.spare, size_class.peek_local());
    wrong(&control, "a slot with memory waits for memory");
    control.spare = spare;

    let [(slot, region, unit), idle] = places;
    slot.uncarve();
    wrong(&control, "a buffer is out whose memory went back");
    slot.carve(region, unit, size_class.id);
    wrong(&control, "a buffer is out that nobody asked for");
    held.clear();
    assert!(control.is_valid());

    let (slot, region, unit) = idle;
    slot.carve(region, unit, size_class.id + 1);
    wrong(&control, "a buffer is on the list of another class");
    slot.carve(region, unit, size_class.id);

    size_class.set_reclaim_threshold(0);
    size_class.set_draining(1);
    wrong(&control, "all buffers lie beyond the line, not one");
    size_class.set_reclaim_threshold(NO_THRESHOLD);

    let run = control.free.take(&mut Fit::new(1, 1)).unwrap();
    wrong(&control, "memory is nobody's");
    control.free.give(run);

    control.reserved_units += 1;
    wrong(&control, "memory is counted that is nowhere");
    control.reserved_units -= 1;
    assert!(control.is_valid());
}

use core::mem::replace;

use super::super::carving::put_back;
use super::super::free_runs::Fit;
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
    let id = control.pool.size_classes().next().unwrap().id;
    let slot_index = held[0].slot_index();
    let out = control
        .pool
        .table
        .indices()
        .find(|index| index.raw() == slot_index);
    let listed = control
        .pool
        .size_class(id)
        .unwrap()
        .peek_local()
        .first
        .get();
    assert!(control.is_valid());
    let wrong = |control: &PoolControl, what| assert!(!control.is_valid(), "{what}");
    macro_rules! size_class {
        () => {
            control.pool.size_class(id).unwrap()
        };
    }

    size_class!().add_carved(1);
    wrong(&control, "a buffer is counted that is nowhere");
    size_class!().sub_carved(1);

    let lost = size_class!().shared.inbox.front.take();
    wrong(&control, "a released buffer is on no list");
    put_back(&control.pool, size_class!(), lost, 0);

    let cached = size_class!().peek_cache();
    let collected = replace(&mut control.carver.collected, (cached, id));
    wrong(&control, "a buffer is on two lists");
    control.carver.collected = collected;

    let local = size_class!().peek_local();
    let spare = replace(&mut control.carver.spare, local);
    wrong(&control, "a slot with memory waits for memory");
    control.carver.spare = spare;

    let carve = |control: &PoolControl, index, size_class| {
        let slot = control.pool.table.slot(index);
        slot.carve_for_test(slot.region(), slot.unit(), size_class);
    };
    control.pool.table.slot(out.unwrap()).uncarve();
    wrong(&control, "a buffer is out whose memory went back");
    carve(&control, out.unwrap(), id);
    wrong(&control, "a buffer is out that nobody asked for");
    held.clear();
    assert!(control.is_valid());

    carve(&control, listed.unwrap(), id + 1);
    wrong(&control, "a buffer is on the list of another class");
    carve(&control, listed.unwrap(), id);

    size_class!().request_drain(1, u64::MAX - 1);
    wrong(
        &control,
        "no buffer lies above the threshold, one is requested",
    );
    size_class!().end_drain();

    size_class!().count_shed(1);
    wrong(&control, "a buffer was shed that is nowhere");
    size_class!().recount_shed();

    control.carver.stretches.add(id, 0);
    wrong(&control, "a stretch counts a buffer that is nowhere");
    control.carver.stretches.remove(id, 0);

    let run = control.carver.arena.take(16, &mut Fit::new(1, 1)).unwrap();
    wrong(&control, "memory is nobody's");
    control.carver.arena.free.give(run);
    wrong(&control, "a capacity is counted that is nowhere");
    control.carver.arena.free.take(&mut Fit::new(1, 1)).unwrap();
    control.carver.arena.give(16, run);

    control.carver.arena.reserved_units += 1;
    wrong(&control, "memory is counted that is nowhere");
    control.carver.arena.reserved_units -= 1;
    assert!(control.is_valid());
}

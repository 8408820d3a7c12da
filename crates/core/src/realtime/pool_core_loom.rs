//! The laws of the shared state, each checked by one model over every interleaving of its threads. Beside each stands the
//! change of the code that its model is seen to notice: `cargo xtask verify mutants` compiles each of them and runs the model.
//!
//! | law | mutants |
//! |---|---|
//! | 1. Inbox: whatever is pushed is taken exactly once, and the taker reads its contents. | `list_push_relaxed` |
//! | 2. A push while the owner is taking the inbox goes to the second list, and is taken at the next look. | `begin_take_relaxed`, `push_ignores_mark` |
//! | 3. Surplus: the one pusher needs at most two attempts, and nothing is lost to a take in between. | `single_push_tried_once` |
//! | 4. Newly carved buffers pushed by the control half are counted apart from returned ones. | `newly_carved_not_counted` |
//! | 5. References: the last drop of a shared buffer comes after every other thread's last read. | `last_reference_without_fence` |
//! | 6. A refill during releases loses none of them. | `refill_without_mark` |
//! | 7. A release while a quantum begins is joined to the local list then or at the next one. | `join_without_mark` |
//! | 8. Shedding, pushing back and collecting during releases: each buffer ends in one place. | `push_scanned_does_nothing`, `push_scanned_forgets_the_rest`, `overflow_beyond_its_end` |
//! | 9. Growth that is undone during an acquire and a release loses no buffer and leaves none. | `take_ignores_mark` |
//! | 10. A dropped half reaches its next owner with everything in it. | `detach_relaxed` |
//! | 11. Teardown: in whichever order control half, real-time halves and handles are dropped, the memory is freed once, and not before its last use. | `outstanding_relaxed`, `pool_refs_relaxed`, `teardown_without_inbox` |
//! | 12. A new class table is read whole, and the old one is freed only after its last use. | `table_publish_relaxed`, `table_retire_relaxed` |
//! | 13. Reclaiming from an owner that died, during drops of its frozen buffers, takes none of them twice. | `frozen_buffers_reclaimed` |
//! | 14. Exactly one of several references releases the buffer. | `buffer_released_by_two_references` |
//! | 15. A request of the control half while a quantum begins is served then or at the next one. | `request_epoch_relaxed`, `epoch_read_after_the_look` |
//! | 16. The record of an acquire is read whole or not at all. | `record_without_write_fence`, `record_without_read_fence` |
//!
//! Loom tries another order only where a thread meets what another last *wrote*: a model whose owner begins with an empty list
//! never has a push come first. So these models begin with something in the inbox.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --lib --release loom`; `LOOM_MAX_PREEMPTIONS` deepens the search.
#![allow(unsafe_code)] // Cells in which loom notices unordered access.

use core::panic::Location;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::realtime::free_list::{Inbox, SharedList};
use crate::realtime::leak_ring::LeakRing;
use crate::realtime::raw_handle::drop_reference;
use crate::realtime::slot_table::SlotTable;
use crate::{BufferPool, PoolControl, PooledBuffer, RealtimePool};

/// Two preemptions; with `LOOM_MAX_PREEMPTIONS=100` every interleaving there is.
fn model(check: impl Fn() + Send + Sync + 'static) {
    model_within(usize::MAX, check);
}

/// For a model whose interleavings would all together take hours.
fn model_within(most_preemptions: usize, check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let preemptions = builder.preemption_bound.unwrap_or(2);
    builder.preemption_bound = Some(preemptions.min(most_preemptions));
    // Steps and walks over the tables are long.
    builder.max_branches = 10_000;
    builder.check(check);
}

/// A list, its slots, and for each slot a cell in which loom notices unordered access.
struct Bench {
    table: SlotTable,
    list: SharedList,
    contents: Vec<UnsafeCell<u32>>,
}

// SAFETY: loom checks every access to the cells.
unsafe impl Sync for Bench {}

fn bench(slots: usize) -> (Arc<Bench>, Vec<SlotIndex>) {
    let table = SlotTable::new(slots);
    let indices = (0..slots).map(|_| table.add().unwrap()).collect();
    let bench = Bench {
        table,
        list: SharedList::new(),
        contents: (0..slots).map(|_| UnsafeCell::new(0)).collect(),
    };
    (Arc::new(bench), indices)
}

impl Bench {
    fn write(&self, index: SlotIndex) {
        // SAFETY: loom checks that nobody else is here.
        self.contents[index.raw() as usize].with_mut(|contents| unsafe { *contents += 1 });
    }

    fn take(&self) -> Vec<u32> {
        let mut chain = self.list.take();
        let mut taken = Vec::new();
        while let Some(index) = chain.pop(&self.table) {
            self.write(index);
            taken.push(index.raw());
        }
        assert_eq!(chain.length, 0);
        taken
    }
}

#[test]
fn loom_inbox_loses_nothing_and_shows_the_contents() {
    model(|| {
        let (bench, slots) = bench(3);
        let pushers: Vec<_> = [vec![slots[0], slots[1]], vec![slots[2]]]
            .into_iter()
            .map(|slots| {
                let bench = bench.clone();
                thread::spawn(move || {
                    for slot in slots {
                        bench.write(slot);
                        bench.list.push(bench.table.slot(slot).state, slot).unwrap();
                    }
                })
            })
            .collect();
        let mut taken = bench.take();
        for pusher in pushers {
            pusher.join().unwrap();
        }
        taken.extend(bench.take());
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2]);
    });
}

#[test]
fn loom_surplus_needs_two_attempts_at_most() {
    model(|| {
        let (bench, slots) = bench(2);
        let taker = bench.clone();
        let taker = thread::spawn(move || [taker.take(), taker.take()].concat());
        for slot in slots {
            bench.write(slot);
            bench.list.push_single(&bench.table, slot).unwrap();
        }
        let mut taken = taker.join().unwrap();
        taken.extend(bench.take());
        taken.sort_unstable();
        assert_eq!(taken, [0, 1]);
    });
}

#[test]
fn loom_newly_carved_buffers_are_counted_apart_from_returned_ones() {
    model(|| {
        let (bench, slots) = bench(2);
        let (other, newly_carved) = (bench.clone(), slots[0]);
        let control = thread::spawn(move || {
            other
                .list
                .push_newly_carved(&other.table, newly_carved)
                .unwrap()
        });
        bench
            .list
            .push(bench.table.slot(slots[1]).state, slots[1])
            .unwrap();
        let first = bench.list.take();
        control.join().unwrap();
        let rest = bench.list.take();
        assert_eq!(first.length + rest.length, 2);
        assert_eq!(first.newly_carved + rest.newly_carved, 1);
    });
}

#[test]
fn loom_last_reference_is_dropped_after_every_other_read() {
    model(|| {
        let (bench, slots) = bench(1);
        bench
            .table
            .slot(slots[0])
            .extent
            .refs
            .store(2, Ordering::Relaxed);
        let holder = |bench: Arc<Bench>, slot: SlotIndex| {
            // SAFETY: loom checks that nobody writes meanwhile.
            bench.contents[0].with(|contents| assert_eq!(unsafe { *contents }, 0));
            if drop_reference(&bench.table.slot(slot).extent.refs) {
                bench.write(slot);
            }
        };
        let (other, slot) = (bench.clone(), slots[0]);
        let reader = thread::spawn(move || holder(other, slot));
        holder(bench.clone(), slot);
        reader.join().unwrap();
        // SAFETY: the only thread left.
        bench.contents[0].with(|contents| assert_eq!(unsafe { *contents }, 1));
    });
}

fn pool() -> (PoolControl, RealtimePool) {
    pool_of(2)
}

fn pool_of(buffers: u32) -> (PoolControl, RealtimePool) {
    BufferPool::builder()
        .class(16, buffers)
        .prefault(false)
        .build()
        .unwrap()
}

#[test]
fn loom_exactly_one_reference_releases_the_buffer() {
    model(|| {
        let (control, half) = pool();
        let shared = half.acquire(16).unwrap().freeze();
        let other = shared.clone();
        let reader = thread::spawn(move || drop(other.clone()));
        drop(shared);
        reader.join().unwrap();
        assert_eq!(control.leased(), 0);
        assert!(control.is_valid());
    });
}

#[test]
fn loom_teardown_with_two_halves_and_a_handle() {
    model(|| {
        let (control, half) = pool();
        let handle = half.acquire(16).unwrap();
        let audio = thread::spawn(move || {
            // What the half counts here must be visible to the teardown.
            half.release(half.acquire(16).unwrap());
            drop(half);
        });
        let worker = thread::spawn(move || drop(handle));
        drop(control);
        audio.join().unwrap();
        worker.join().unwrap();
    });
}

#[test]
fn loom_teardown_with_two_handles_on_two_threads() {
    model(|| {
        let (control, half) = pool();
        let (one, other) = (
            half.acquire(16).unwrap(),
            half.acquire(16).unwrap().freeze(),
        );
        drop(control);
        let one = thread::spawn(move || drop(one));
        let other = thread::spawn(move || drop(other));
        drop(half);
        one.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn loom_class_table_is_read_whole_and_outlives_its_use() {
    model_within(4, || {
        let (mut control, mut half) = pool();
        let audio = thread::spawn(move || {
            drop(half.scratch(16));
            half.begin_quantum(0);
            drop(half.scratch(16));
            half
        });
        control.set_classes(&[8, 16]).unwrap();
        control.step(1);
        let half = audio.join().unwrap();
        control.step(1);
        drop((control, half));
    });
}

#[test]
fn loom_release_while_a_quantum_begins_is_joined_by_the_next() {
    model(|| {
        let (control, mut half) = pool();
        let (one, other) = (half.acquire(16).unwrap(), half.acquire(16).unwrap());
        drop(one);
        let worker = thread::spawn(move || drop(other));
        half.begin_quantum(0);
        worker.join().unwrap();
        half.begin_quantum(128);
        let both = (half.acquire(16).unwrap(), half.acquire(16).unwrap());
        assert_ne!(both.0.slot_index(), both.1.slot_index());
        drop(both);
        assert_eq!(control.leased(), 0);
        assert!(control.is_valid());
    });
}

#[test]
fn loom_request_while_a_quantum_begins_is_served_by_the_next() {
    model(|| {
        let (control, mut half) = pool();
        let size_class = control.the_class();
        // After this the class is idle; the next quantum serves all classes, because of a first request.
        half.begin_quantum(0);
        size_class.set_limit(2);
        let quantum = thread::spawn(move || {
            half.begin_quantum(128);
            half
        });
        size_class.restart_window_peak();
        let mut half = quantum.join().unwrap();
        half.begin_quantum(256);
        assert_ne!(size_class.window_peak.get(), u32::MAX);
        assert!(!size_class.needs_service());
        drop((half, control));
    });
}

#[test]
fn loom_inbox_push_while_the_owner_is_taking_is_not_lost() {
    model(|| {
        let (bench, slots) = bench(2);
        let inbox = Arc::new(Inbox::new());
        let push = |bench: &Bench, inbox: &Inbox, slot: SlotIndex| {
            bench.write(slot);
            inbox.push(bench.table.slot(slot).state, slot).unwrap();
        };
        push(&bench, &inbox, slots[0]);
        let (other, its_inbox) = (bench.clone(), inbox.clone());
        let pusher = thread::spawn(move || push(&other, &its_inbox, slots[1]));
        let take = || {
            let mut taken = Vec::new();
            for list in inbox.lists().into_iter().filter(|list| list.length() > 0) {
                let mut chain = list.begin_take();
                for _ in 0..chain.length {
                    let index = chain.pop(&bench.table).unwrap();
                    bench.write(index);
                    taken.push(index.raw());
                }
                list.end_take();
            }
            taken
        };
        let mut taken = take();
        pusher.join().unwrap();
        taken.extend(take());
        taken.sort_unstable();
        assert_eq!(taken, [0, 1]);
    });
}

/// Everything the half can acquire now; each buffer once.
fn all(half: &RealtimePool) -> Vec<PooledBuffer> {
    let all: Vec<_> = core::iter::from_fn(|| half.acquire(16).ok()).collect();
    let mut numbers: Vec<_> = all.iter().map(PooledBuffer::slot_index).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), all.len());
    all
}

#[test]
fn loom_refill_during_releases_loses_none() {
    model(|| {
        let (control, half) = pool();
        let mut held = all(&half);
        drop(held.pop());
        let worker = thread::spawn(move || drop(held));
        let some = all(&half);
        worker.join().unwrap();
        let rest = all(&half);
        assert_eq!(some.len() + rest.len(), 2);
        drop((some, rest));
        assert!(control.leased() == 0 && control.is_valid());
    });
}

#[test]
fn loom_shedding_during_releases_puts_each_buffer_in_one_place() {
    model(|| {
        let (mut control, mut half) = pool_of(4);
        let mut held = all(&half);
        held.sort_unstable_by_key(|buffer| buffer.as_ptr().addr());
        let handles = [held.remove(1), held.remove(1)];
        held.into_iter().for_each(|buffer| half.release(buffer));
        // The last of the four lies above the threshold: of the two idle ones one is shed, and one is pushed back to
        // the inbox, or kept if others push meanwhile.
        control.drain_for_model(1);
        control.step(0);
        let audio = thread::spawn(move || {
            half.begin_quantum(0);
            half
        });
        let worker = thread::spawn(move || drop(handles));
        let mut collected = control.collect(&mut 4);
        worker.join().unwrap();
        let half = audio.join().unwrap();
        collected += control.collect(&mut 4);
        assert_eq!((collected, control.the_class().carved()), (1, 3));
        assert!(control.leased() == 0 && control.is_valid());
        drop(half);
    });
}

#[test]
fn loom_control_step_during_a_quantum_and_a_release_leaves_each_buffer_in_one_place() {
    // A step reads every figure there is: each preemption more takes four times as long.
    model_within(4, || {
        let (mut control, mut half) = pool();
        let handle = half.acquire(16).unwrap();
        control.drain_for_model(1);
        let audio = thread::spawn(move || {
            half.begin_quantum(0);
            half
        });
        let worker = thread::spawn(move || drop(handle));
        control.step(4);
        worker.join().unwrap();
        let half = audio.join().unwrap();
        assert!(control.leased() == 0 && control.is_valid());
        drop(half);
    });
}

#[test]
fn loom_growth_undone_during_an_acquire_leaves_nothing() {
    model_within(4, || {
        let (mut control, half) = BufferPool::builder()
            .class(16, 1)
            .reserve_samples(32)
            .prefault(false)
            .build()
            .unwrap();
        let handle = half.acquire(16).unwrap();
        let audio = thread::spawn(move || {
            drop(half.scratch(16));
            half
        });
        let worker = thread::spawn(move || drop(handle));
        control.carve_and_undo();
        worker.join().unwrap();
        let half = audio.join().unwrap();
        assert!(control.leased() == 0 && control.is_valid());
        assert_eq!(all(&half).len(), control.the_class().carved() as usize);
    });
}

#[test]
fn loom_detached_half_reaches_its_next_owner_whole() {
    model(|| {
        let (mut control, half) = pool();
        let handle = half.acquire(16).unwrap();
        let audio = thread::spawn(move || {
            half.release(half.acquire(16).unwrap());
            drop(half);
        });
        let worker = thread::spawn(move || drop(handle));
        let next = control.attach_with(&[]).unwrap();
        drop(next.scratch(16));
        audio.join().unwrap();
        worker.join().unwrap();
        drop(next);
        control.step(4);
        assert_eq!((control.bytes_held(), control.leased()), (0, 0));
    });
}

#[test]
fn loom_teardown_with_planes() {
    model(|| {
        let (control, half) = pool();
        let shared = half.acquire_planar(2, 16).unwrap().freeze();
        let other = shared.clone();
        let audio = thread::spawn(move || drop(half));
        let worker = thread::spawn(move || drop(other));
        drop(control);
        drop(shared);
        audio.join().unwrap();
        worker.join().unwrap();
    });
}

#[test]
fn loom_reclaim_during_releases_takes_nothing_twice() {
    model(|| {
        let (mut control, half) = pool();
        let shared = half.acquire(16).unwrap().freeze();
        core::mem::forget(half.acquire(16));
        let id = half.id();
        core::mem::forget(half);
        let worker = thread::spawn(move || drop(shared));
        // SAFETY: forgotten, with the buffer that is not frozen.
        unsafe { control.reclaim(id) };
        worker.join().unwrap();
        // Its idle buffers return to the arena, and as many are carved.
        let next = control.attach_with(&[(16, 2)]).unwrap();
        assert_eq!(all(&next).len(), 2);
        assert!(control.leased() == 0 && control.is_valid());
    });
}

#[test]
fn loom_leak_record_is_read_whole_or_not_at_all() {
    model(|| {
        let (bench, slots) = bench(2);
        let ring = Arc::new(LeakRing::new());
        let record = |ring: &LeakRing, bench: &Bench, index: SlotIndex| {
            let frame = u64::from(index.raw());
            ring.record(&bench.table, index, Some(frame), Location::caller());
        };
        record(&ring, &bench, slots[0]);
        bench.table.slot(slots[0]).clear();
        let read = ring.clone();
        let owner = thread::spawn(move || record(&ring, &bench, slots[1]));
        for sampled in read.iter() {
            assert_eq!(sampled.frame, Some(sampled.slot.into()));
        }
        owner.join().unwrap();
        assert_eq!(read.iter().count(), 1);
    });
}

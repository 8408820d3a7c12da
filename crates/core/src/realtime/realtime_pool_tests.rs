use super::*;
use crate::MAX_CHANNELS;
use crate::control::usage::ClassMetrics;
use crate::observer::recorder::{Recorder, Report};
use crate::{ArenaSpan, BufferPool, PoolControl, RELEASED_BITS, SpanState};

fn pool(class: usize, buffers: u32) -> (PoolControl, RealtimePool) {
    BufferPool::builder().class(class, buffers).build().unwrap()
}

#[test]
fn release_of_every_handle_leaves_accounts_in_agreement() {
    let (control, mut half) = BufferPool::builder().build().unwrap();
    assert!(control.is_valid());
    half.begin_quantum(0);
    let scratch = half.scratch(100).unwrap();
    let owned = half.acquire(300).unwrap();
    let shared = half.acquire_silent(4096).unwrap().freeze();
    let planar = half.acquire_planar(3, 1000).unwrap();
    assert_eq!((control.leased(), control.is_valid()), (6, true));
    drop((scratch, shared.clone(), planar.freeze().clone()));
    half.release(owned);
    half.release_planar(half.acquire_planar(2, 1000).unwrap());
    assert_eq!((control.leased(), control.is_valid()), (1, true));
    std::thread::spawn(move || drop(shared)).join().unwrap();
    assert_eq!((control.leased(), control.is_valid()), (0, true));
    let usage = control.usage();
    assert_eq!(usage.sum(ClassMetrics::acquires), 8);
    assert_eq!(usage.sum(|class| class.hits), 8);
}

#[test]
fn shedding_ends_without_a_control_half() {
    let (mut control, mut half) = pool(256, 8);
    let held: Vec<_> = core::iter::from_fn(|| half.acquire(256).ok()).collect();
    control.shrink(256, 8).unwrap();
    (0..8).for_each(|_| _ = control.step(100));
    drop(control);
    held.into_iter().for_each(|buffer| half.release(buffer));
    half.begin_quantum(0);
    let all: Vec<_> = core::iter::from_fn(|| half.acquire(256).ok()).collect();
    assert_eq!(all.len(), 8);
}

#[test]
fn scratch_from_the_cache_is_in_use_and_no_waste() {
    let (control, half) = pool(256, 2);
    drop(half.scratch(256));
    let scratch = half.scratch(256);
    assert_eq!(control.leased(), 1);
    assert_eq!(control.usage().sum(|class| class.requested_samples), 256);
    let in_use = |span: &&ArenaSpan| span.state == SpanState::Leased;
    assert_eq!(
        control.arena_map(100).spans.iter().filter(in_use).count(),
        1
    );
    drop(scratch);
    assert_eq!(control.leased(), 0);
}

#[test]
fn scratch_buffers_are_apart_and_writable() {
    let (_control, half) = pool(64, 3);
    let mut all: Vec<_> = (0..3).map(|_| half.scratch(64).unwrap()).collect();
    for (value, scratch) in all.iter_mut().enumerate() {
        scratch.fill(value as f32);
    }
    for (value, scratch) in all.iter().enumerate() {
        assert!(scratch.iter().all(|&sample| sample == value as f32));
    }
    assert!(matches!(
        half.scratch(1).err(),
        Some(PoolError::Exhausted {
            requested: 1,
            class_samples: 64,
            carved: 3
        })
    ));
}

#[test]
fn address_stays_from_acquire_to_the_last_clone() {
    let (_control, half) = pool(256, 1);
    let buffer = half.acquire(200).unwrap();
    let (address, slot) = (buffer.address(), buffer.slot_index());
    let shared = buffer.freeze();
    let other = shared.clone();
    drop(shared);
    let other = std::thread::spawn(move || other).join().unwrap();
    assert_eq!(
        (other.address(), other.slot_index(), other.capacity()),
        (address, slot, 256)
    );
    assert_eq!(address % 64, 0);
    drop(other);
    assert_eq!(half.acquire(256).unwrap().address(), address);
}

#[test]
fn planar_acquire_is_all_or_nothing() {
    let (control, half) = pool(128, 3);
    assert!(matches!(
        half.acquire_planar(4, 128).err(),
        Some(PoolError::Exhausted { .. })
    ));
    assert_eq!((control.leased(), control.is_valid()), (0, true));
    assert!(matches!(
        half.acquire_planar(0, 128).err(),
        Some(PoolError::ChannelCount {
            requested: 0,
            most: MAX_CHANNELS
        })
    ));
    let mut planar = half.acquire_planar_silent(2, 100).unwrap();
    planar.channel_mut(1).fill(1.0);
    assert_eq!((planar.channels(), planar.frames()), (2, 100));
    assert!(planar.channel(0).iter().all(|&sample| sample == 0.0));
    let shared = planar.freeze();
    let clone = shared.clone();
    drop(shared);
    assert_eq!(clone.channel(1), [1.0; 100]);
    drop(clone);
    assert_eq!(control.leased(), 0);
}

#[test]
fn released_samples_are_left_poisoned_or_scrubbed() {
    let (_control, half) = pool(16, 1);
    half.acquire(16).unwrap().fill(1.0);
    let left = half.acquire(16).unwrap();
    if cfg!(debug_assertions) {
        assert!(left.iter().all(|sample| sample.to_bits() == RELEASED_BITS));
    } else {
        assert_eq!(*left, [1.0; 16]);
    }
    half.release(left);
    assert_eq!(*half.acquire_silent(16).unwrap(), [0.0; 16]);

    let (_control, half) = BufferPool::builder()
        .class(16, 1)
        .scrub_on_release(true)
        .build()
        .unwrap();
    half.acquire(16).unwrap().fill(1.0);
    assert_eq!(*half.acquire(16).unwrap(), [0.0; 16]);
    half.scratch(16).unwrap().fill(1.0);
    assert_eq!(*half.scratch(16).unwrap(), [0.0; 16]);
}

#[test]
fn release_on_another_half_goes_to_the_owner_s_inbox() {
    let (mut control, first) = BufferPool::builder()
        .class(64, 1)
        .limit_samples(1024)
        .build()
        .unwrap();
    let second = control.attach().unwrap();
    assert_ne!(first.id(), second.id());
    let buffer = first.acquire(64).unwrap();
    second.release(buffer);
    assert!(control.is_valid());
    assert_eq!(control.leased(), 0);
    assert!(first.acquire(64).is_ok());
}

#[test]
fn metadata_stays_with_the_handle() {
    let (_control, half) = pool(64, 1);
    let mut buffer = half.acquire(64).unwrap();
    assert_eq!(*buffer.metadata(), AudioMetadata::default());
    let metadata = AudioMetadata {
        sample_rate_hz: 48_000.0,
        channels: 2,
        channel: 1,
        first_frame: 4096,
    };
    buffer.set_metadata(metadata);
    assert_eq!(*buffer.freeze().clone().metadata(), metadata);
}

use crate::AudioMetadata;

#[test]
fn events_add_up_to_the_pool_s_own_counts() {
    let recorder = Recorder::default();
    let (control, mut half) = pool(64, 4);
    half.attach_observer(recorder.observer());
    for quantum in 0..10 {
        half.begin_quantum(quantum * 128);
        let held: Vec<_> = core::iter::from_fn(|| half.acquire(64).ok()).collect();
        drop(held);
        half.release(half.acquire(64).unwrap());
        drop((half.scratch(1).unwrap(), half.scratch(1).unwrap()));
    }
    half.begin_quantum(1280);
    let sum = |count: fn(&Report) -> u32| {
        recorder
            .all(|report| Some(count(report)))
            .iter()
            .sum::<u32>()
    };
    let allocated = sum(|report| match report {
        Report::Allocated(allocated) => allocated.count,
        _ => 0,
    });
    let recycled = sum(|report| match report {
        Report::Recycled(recycled) => recycled.count,
        _ => 0,
    });
    let exhausted = sum(|report| u32::from(matches!(report, Report::Exhausted(_))));
    let usage = control.usage();
    assert_eq!(u64::from(allocated), usage.sum(|class| class.hits));
    assert_eq!(u64::from(recycled), control.recycled());
    assert_eq!((exhausted, usage.sum(|class| class.exhausted)), (10, 10));
}

use super::*;
use crate::BufferPool;
use crate::control::pool_builder::PoolBuilder;
use crate::control::pool_control::settle;
use crate::control::sizing_step::SizingStep;
use crate::control::usage::ClassMetrics;
use crate::realtime::realtime_pool::RealtimePool;
use proptest::prelude::*;

fn change(control: &mut PoolControl, classes: &[(usize, u32)]) -> Result<(), PoolError> {
    let classes = classes.iter().map(|&(samples, buffers)| ClassBuffers {
        samples,
        buffers: buffers as _,
    });
    control.apply(&SizingStep::SetClasses {
        classes: classes.collect(),
    })
}

#[test]
fn class_change_drains_old_classes() {
    let (mut control, mut half) = BufferPool::builder()
        .class(256, 4)
        .class(1024, 4)
        .limit_samples(1 << 16)
        .build()
        .unwrap();
    let old = half.acquire(200).unwrap();
    control.set_classes(&[384, 1024]).unwrap();
    control.grow(384, 4).unwrap();
    assert_eq!(old.capacity(), 256);
    settle(&mut control, &mut half);
    assert_eq!(half.acquire(200).unwrap().capacity(), 384);
    drop(old);
    settle(&mut control, &mut half);
    let usage = control.usage();
    assert_eq!(control.classes().collect::<Vec<_>>(), [384, 1024]);
    assert_eq!(usage.sum(ClassMetrics::acquires), 2);
    assert_eq!(control.leased(), 0);
    assert!(
        usage
            .classes
            .iter()
            .all(|class| !class.retired || class.carved == 0)
    );
    assert_eq!(
        control.set_classes(&[2048]),
        Err(PoolError::TooLarge {
            requested: 2048,
            largest: 1024
        })
    );
    assert!(matches!(
        control.set_classes(&[512, 256]),
        Err(PoolError::BadClasses { .. })
    ));
}

#[test]
fn class_change_keeps_a_class_until_its_last_buffer_is_back() {
    let (mut control, mut half) = BufferPool::builder()
        .class(64, 50)
        .class(128, 1)
        .build()
        .unwrap();
    control.set_classes(&[128]).unwrap();
    for quantum in 0..20 {
        half.begin_quantum(quantum);
    }
    for quantum in 0..10 {
        assert!(!control.step(1).complete);
        half.begin_quantum(quantum);
        assert!(control.is_valid());
        assert!(
            control
                .slots()
                .all(|slot| slot.samples == 64 || slot.samples == 128)
        );
    }
    settle(&mut control, &mut half);
    assert_eq!(control.slots().count(), 1);
}

#[test]
fn class_change_refused_leaves_nothing_carved() {
    let (mut control, half) = BufferPool::builder()
        .class(64, 0)
        .class(256, 0)
        .class(1024, 1)
        .limit_samples(1024 + 4 * (64 + 256) + 4 * 80 + 256)
        .build()
        .unwrap();
    let own = control.attach_with(&[(64, 4), (256, 4)]).unwrap();
    let before = control.bytes_held();
    for _ in 0..3 {
        let refused = change(&mut control, &[(80, 0), (320, 0), (1024, 0)]);
        assert!(matches!(refused, Err(PoolError::LimitReached { .. })));
        assert_eq!((control.bytes_held(), control.is_valid()), (before, true));
    }
    assert_eq!(control.classes().collect::<Vec<_>>(), [64, 256, 1024]);
    drop((own, half));
}

#[test]
fn class_change_replaces_a_draining_class_once() {
    let (mut control, mut half) = BufferPool::builder()
        .class(64, 0)
        .class(1024, 1)
        .limit_samples(1 << 16)
        .build()
        .unwrap();
    let mut own = control.attach_with(&[(64, 4)]).unwrap();
    let held = own.acquire(64).unwrap();
    for size in [80, 96, 112] {
        change(&mut control, &[(size, 0), (1024, 1)]).unwrap();
        for _ in 0..4 {
            own.begin_quantum(0);
            settle(&mut control, &mut half);
        }
    }
    let usage = control.usage();
    let replacement = usage.classes.iter().find(|class| class.samples == 112);
    assert_eq!(replacement.map(|class| class.carved), Some(4));
    drop(held);
}

#[test]
fn class_change_to_too_large_classes_is_refused_before_anything_is_carved() {
    let (mut control, _half) = BufferPool::builder()
        .class(64, 2)
        .limit_samples(1 << 20)
        .build()
        .unwrap();
    let before = control.bytes_held();
    let size_classes = control.pool.size_classes().count();
    assert!(matches!(
        change(&mut control, &[(128, 2), (1 << 14, 2)]),
        Err(PoolError::TooLarge { .. })
    ));
    assert_eq!(control.bytes_held(), before);
    assert_eq!(control.pool.size_classes().count(), size_classes);
    change(&mut control, &[(256, u32::MAX)]).unwrap();
    assert!(control.is_valid());
}

#[test]
fn class_change_reaches_a_detached_half() {
    let (mut control, mut half) = BufferPool::builder()
        .class(64, 2)
        .class(256, 2)
        .limit_samples(1 << 12)
        .build()
        .unwrap();
    let gone = control.attach().unwrap();
    drop(gone);
    control.set_classes(&[128, 256]).unwrap();
    settle(&mut control, &mut half);
    let retired = |size_class: &&SizeClass| size_class.samples == 64;
    assert_eq!(control.pool.size_classes().filter(retired).count(), 0);
    let next = control.attach_with(&[(128, 1)]).unwrap();
    assert_eq!(next.acquire(60).unwrap().capacity(), 128);
}

#[test]
fn class_change_without_room_succeeds() {
    let (mut control, half) = BufferPool::builder().class(1024, 8).build().unwrap();
    let held: Vec<_> = (0..8).map(|_| half.acquire(600).unwrap()).collect();
    change(&mut control, &[(608, 8), (1024, 0)]).unwrap();
    assert_eq!(control.classes().collect::<Vec<_>>(), [608, 1024]);
    assert!(control.is_valid());
    drop(held);
}

#[test]
fn class_added_for_others_takes_no_requests_of_a_half_with_its_own_mix() {
    let (mut control, _half) = BufferPool::builder()
        .class(256, 2)
        .class(1024, 2)
        .limit_samples(1 << 14)
        .build()
        .unwrap();
    let mut own = control.attach_with(&[(256, 4)]).unwrap();
    change(&mut control, &[(64, 4), (256, 2), (1024, 2)]).unwrap();
    own.begin_quantum(0);
    let buffers: Vec<_> = (0..4).map(|_| own.acquire(64).unwrap()).collect();
    assert!(buffers.iter().all(|buffer| buffer.capacity() == 256));
    assert!(own.acquire(64).is_err());
    drop(buffers);
    control.grow(64, 1).unwrap();
    drop(own);
    let next = control.attach_with(&[(64, 1), (1024, 1)]).unwrap();
    assert_eq!(next.acquire(64).unwrap().capacity(), 64);
    assert_eq!(next.acquire(65).unwrap().capacity(), 1024);
    assert_eq!(
        next.acquire(1025).err(),
        Some(PoolError::TooLarge {
            requested: 1025,
            largest: 1024
        })
    );
    assert!(control.is_valid());
}

#[test]
fn class_that_grows_on_a_half_with_its_own_mix_serves_it() {
    let builder = BufferPool::builder().class(64, 0).class(256, 0);
    let (mut control, half) = builder.limit_samples(1 << 14).build().unwrap();
    drop(half);
    let mut own = control.attach_with(&[(256, 1)]).unwrap();
    assert_eq!(own.acquire(64).unwrap().capacity(), 256);
    control.grow(64, 1).unwrap();
    own.begin_quantum(0);
    assert_eq!(own.acquire(64).unwrap().capacity(), 64);
}

/// How many requests of a size a half can serve at the same time.
fn served_at_once(half: &RealtimePool, samples: usize) -> usize {
    let held: Vec<_> = core::iter::from_fn(|| half.acquire(samples).ok()).collect();
    held.len()
}

/// Attaches a half with a mix of its own, changes the classes, and checks that the half serves as many requests of each
/// size at the same time as before.
fn change_beside_own_mix(before: &[usize], after: &[usize], mix: &[u32]) {
    let builder = BufferPool::builder().limit_samples(1 << 18);
    let with_class = |builder: PoolBuilder, &size: &usize| builder.class(size, 0);
    let (mut control, _half) = before.iter().fold(builder, with_class).build().unwrap();
    let mix: Vec<_> = before.iter().copied().zip(mix.iter().copied()).collect();
    let mut own = control.attach_with(&mix).unwrap();
    let requests: Vec<usize> = (1..=LARGEST).step_by(17).collect();
    let served = |own: &RealtimePool| -> Vec<_> {
        let served = requests.iter().map(|&samples| served_at_once(own, samples));
        served.collect()
    };
    let could = served(&own);
    let wanted: Vec<_> = after.iter().map(|&size| (size, 2)).collect();
    change(&mut control, &wanted).unwrap();
    for quantum in 0..8 {
        own.begin_quantum(quantum);
    }
    for ((request, before), after) in requests.iter().zip(could).zip(served(&own)) {
        assert!(
            after >= before,
            "{request} samples: {before} at once before, {after} after"
        );
    }
    assert!(control.is_valid());
}

#[test]
fn class_change_carves_replacements_in_a_class_that_had_no_buffers() {
    change_beside_own_mix(&[16, LARGEST], &[LARGEST], &[1, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 64 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn class_change_takes_nothing_from_a_half_with_its_own_mix(
        before in classes(),
        after in classes(),
        mix in prop::collection::vec(0_u32..4, 8),
    ) {
        change_beside_own_mix(&before, &after, &mix);
    }
}

/// Miri takes minutes for a request of each length up to 2048.
const LARGEST: usize = if cfg!(miri) { 128 } else { 2048 };

/// Up to seven classes, and the largest one.
fn classes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::btree_set((1..LARGEST / 16).prop_map(|units| units * 16), 0..7)
        .prop_map(|sizes| sizes.into_iter().chain([LARGEST]).collect())
}

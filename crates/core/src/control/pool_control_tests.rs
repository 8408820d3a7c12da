use super::*;
use crate::PoolBuilder;
use crate::{BufferPool, DefragmentationResult};

#[test]
fn grow_is_bounded_by_the_limit_and_all_or_none() {
    let (mut control, half) = BufferPool::builder()
        .class(256, 2)
        .limit_samples(256 * 5)
        .build()
        .unwrap();
    let before = control.bytes_held();
    assert!(matches!(
        control.grow(256, 4),
        Err(PoolError::LimitReached { limit: 1280, .. })
    ));
    assert_eq!(control.bytes_held(), before);
    control.grow(256, 3).unwrap();
    assert!(matches!(
        control.grow(256, 1),
        Err(PoolError::LimitReached { available: 0, .. })
    ));
    assert_eq!(
        control.grow(512, 1),
        Err(PoolError::UnknownClass {
            samples: 512,
            nearest: 256
        })
    );
    let held: Vec<_> = core::iter::from_fn(|| half.acquire(256).ok()).collect();
    assert_eq!((held.len(), control.is_valid()), (5, true));
}

#[test]
fn grow_keeps_every_address() {
    let (mut control, half) = BufferPool::builder()
        .class(64, 1)
        .limit_samples(1 << 16)
        .build()
        .unwrap();
    let mut held = vec![half.acquire(64).unwrap()];
    held[0].fill(7.0);
    let address = held[0].address();
    for _ in 0..100 {
        control.grow(64, 1).unwrap();
        held.push(half.acquire(64).unwrap());
    }
    assert_eq!((held[0].address(), held[0][63]), (address, 7.0));
    let slots: Vec<_> = control.slots().collect();
    assert_eq!(slots.len(), 101);
    assert!(
        slots
            .iter()
            .all(|slot| slot.requested_samples == 64 && slot.samples == 64)
    );
    assert!(control.is_valid());
}

#[test]
fn trim_returns_idle_buffers_and_leaves_leased_ones() {
    let (mut control, mut half) = BufferPool::builder().class(256, 8).build().unwrap();
    let held = half.acquire(256).unwrap();
    control.trim(256, 2).unwrap();
    settle(&mut control, &mut half);
    assert_eq!(control.bytes_held(), 3 * 1024);
    drop(held);
    settle(&mut control, &mut half);
    assert_eq!(control.bytes_held(), 2 * 1024);
    control.replenish_below(256, 2).unwrap();
    settle(&mut control, &mut half);
    assert_eq!(control.bytes_held(), 2 * 1024);
}

#[test]
fn trim_waits_for_the_half_to_begin_a_quantum() {
    let (mut control, mut half) = BufferPool::builder().class(256, 8).build().unwrap();
    drop(half.acquire(256).unwrap());
    control.trim(256, 2).unwrap();
    while !control.step(100).complete {}
    assert_eq!(control.bytes_held(), 8 * 1024);
    half.begin_quantum(0);
    while !control.step(100).complete {}
    assert_eq!(control.bytes_held(), 2 * 1024);
    drop(half);
    while !control.step(100).complete {}
    assert_eq!((control.bytes_held(), control.is_valid()), (0, true));
}

#[test]
fn replenish_below_keeps_so_many_idle() {
    let (mut control, mut half) = BufferPool::builder()
        .class(256, 1)
        .limit_samples(256 * 20)
        .build()
        .unwrap();
    control.replenish_below(256, 3).unwrap();
    let held: Vec<_> = (0..6)
        .map(|_| {
            settle(&mut control, &mut half);
            half.acquire(256).unwrap()
        })
        .collect();
    assert_eq!(
        (held.len(), control.usage().sum(|class| class.exhausted)),
        (6, 0)
    );
}

#[test]
fn dropped_half_returns_its_buffers_to_the_arena() {
    let (mut control, half) = BufferPool::builder().class(256, 4).build().unwrap();
    let outlives = half.acquire(256).unwrap().freeze();
    drop(half);
    control.step(100);
    assert_eq!((control.bytes_held(), control.leased()), (1024, 1));
    drop(outlives);
    assert!(control.step(100).complete);
    assert_eq!(
        (control.bytes_held(), control.leased(), control.is_valid()),
        (0, 0, true)
    );
}

#[test]
fn control_step_moves_no_more_than_its_budget() {
    let (mut control, half) = BufferPool::builder().class(64, 50).build().unwrap();
    drop(half);
    let report = control.step(20);
    assert_eq!((report.collected, report.complete), (20, false));
    assert!(control.is_valid());
    assert_eq!(control.step(100).collected, 30);
}

#[test]
fn defragmentation_leaves_leased_buffers_alone() {
    let (mut control, mut half) = BufferPool::builder().class(256, 16).build().unwrap();
    let held = half.acquire(256).unwrap();
    let address = held.address();
    let mut moved = 0;
    for quantum in 0..ROUNDS {
        let DefragmentationResult { buffers_moved, .. } = control.defragment();
        moved += buffers_moved;
        half.begin_quantum(quantum);
        control.step(64);
    }
    assert!(control.bytes_held() < 16 * 1024, "{moved} moved");
    assert_eq!(
        (held.address(), control.leased(), control.is_valid()),
        (address, 1, true)
    );
}

#[test]
fn leak_report_names_the_line_that_acquired_the_buffer() {
    let (control, mut half) = BufferPool::builder()
        .class(256, 4)
        .leak_sampling(1)
        .build()
        .unwrap();
    half.begin_quantum(1000);
    let leaked = half.acquire(200).unwrap();
    let line = line!() - 1;
    drop(half.acquire(256).unwrap());
    half.begin_quantum(5000);
    let report = control.leak_report();
    assert_eq!((report.leased, report.sites.len()), (1, 1));
    let site = report.sites[0];
    assert_eq!(
        (site.slot, site.requested, site.class_samples),
        (leaked.slot_index(), 200, 256)
    );
    assert_eq!(
        (site.first_frame, site.held_frames),
        (Some(1000), Some(4000))
    );
    assert!(site.site.file().ends_with("pool_control_tests.rs") && site.site.line() == line);
    drop(leaked);
    assert!(control.leak_report().sites.is_empty());
}

#[test]
fn handles_outlive_both_halves() {
    let (control, half) = BufferPool::builder().class(64, 4).build().unwrap();
    let mut owned = half.acquire(64).unwrap();
    let shared = half.acquire_silent(64).unwrap().freeze();
    drop(control);
    drop(half);
    owned.fill(1.0);
    let shared = std::thread::spawn(move || (shared.clone(), shared).0)
        .join()
        .unwrap();
    assert_eq!((owned[63], shared[63]), (1.0, 0.0));
    drop(owned);
    drop(shared);
}

#[test]
fn builder_refuses_invalid_classes() {
    let refused = |builder: PoolBuilder| builder.build().err();
    assert!(matches!(
        refused(BufferPool::builder().class(0, 1)),
        Some(PoolError::BadClasses { smallest: 0, .. })
    ));
    assert!(matches!(
        refused(BufferPool::builder().class(256, 1).class(256, 1)),
        Some(PoolError::BadClasses { count: 2, .. })
    ));
    let many = (1..=17).fold(BufferPool::builder(), |builder, i| builder.class(i * 16, 1));
    assert!(matches!(
        refused(many),
        Some(PoolError::BadClasses {
            count: 17,
            most: 16,
            ..
        })
    ));
    assert!(matches!(
        refused(BufferPool::builder().class(1 << 31, 1)),
        Some(PoolError::TooLarge { .. })
    ));
    // The interpreter gives up on such a size itself.
    #[cfg(not(miri))]
    assert!(matches!(
        refused(BufferPool::builder().class(1 << 28, 1 << 14)),
        Some(PoolError::OutOfMemory { .. } | PoolError::TableFull { .. })
    ));
}

#[test]
fn buffers_passed_between_threads_are_not_lost() {
    let (control, mut half) = BufferPool::builder().class(256, 16).build().unwrap();
    let (send, receive) = std::sync::mpsc::sync_channel::<(u32, crate::BufferRef)>(8);
    let reader = std::thread::spawn(move || {
        for (number, buffer) in receive {
            assert!(buffer.clone().iter().all(|&sample| sample == number as f32));
        }
    });
    let rounds = if cfg!(miri) { 50 } else { 20_000 };
    for number in 0..rounds {
        half.begin_quantum(u64::from(number) * 128);
        if let Ok(mut buffer) = half.acquire(256) {
            buffer.fill(number as f32);
            send.send((number, buffer.freeze())).unwrap();
        }
    }
    drop(send);
    reader.join().unwrap();
    assert_eq!((control.leased(), control.is_valid()), (0, true));
}

#[test]
fn last_handle_frees_the_pool() {
    let (mut control, half) = BufferPool::builder()
        .class(64, 4)
        .limit_samples(1024)
        .build()
        .unwrap();
    let other = control.attach().unwrap();
    let (owned, planar) = (half.acquire(64).unwrap(), other.acquire_planar(2, 64));
    drop(control);
    drop((half, other));
    let thread = std::thread::spawn(move || drop(owned));
    drop(planar);
    thread.join().unwrap();
}

#[test]
fn padding_is_overhead_and_not_held() {
    let (control, _half) = BufferPool::builder().class(100, 8).build().unwrap();
    let usage = control.usage();
    assert_eq!(control.bytes_held(), 3200);
    assert_eq!((usage.bytes_reserved, usage.padding_bytes), (3584, 384));
}

use super::*;
use crate::BufferPool;
use crate::error::Table;
use crate::realtime::pool_state::MAX_HALVES;

#[test]
fn attach_after_a_drop_uses_the_half_again() {
    let (mut control, half) = BufferPool::builder().class(256, 4).build().unwrap();
    let outlives = half.acquire(256).unwrap();
    assert!(matches!(
        control.attach().err(),
        Some(PoolError::LimitReached { .. })
    ));
    drop(half);
    assert_eq!(
        control.grow(256, 1),
        Err(PoolError::NoHalf { class_samples: 256 })
    );
    let next = control.attach_with(&[(256, 3)]).unwrap();
    drop(outlives);
    let held: Vec<_> = core::iter::from_fn(|| next.acquire(256).ok()).collect();
    assert_eq!((held.len(), control.is_valid()), (4, true));
    assert!(matches!(
        control.attach_with(&[(300, 1)]).err(),
        Some(PoolError::UnknownClass {
            samples: 300,
            nearest: 256
        })
    ));
}

#[test]
fn attach_with_gives_buffers_of_later_classes() {
    let builder = BufferPool::builder().class(256, 2).class(1024, 2);
    let (mut control, first) = builder.limit_samples(1 << 14).build().unwrap();
    control.set_classes(&[256, 512, 1024]).unwrap();
    let second = control.attach().unwrap();
    assert!(second.acquire(256).is_ok());
    assert!(matches!(
        second.acquire(512).err(),
        Some(PoolError::Exhausted { .. })
    ));
    let third = control.attach_with(&[(512, 2)]).unwrap();
    assert!(third.acquire(512).is_ok());
    assert!(control.is_valid());
    drop(first);
}

#[test]
fn attach_beyond_the_most_halves_is_refused_without_a_trace() {
    let (mut control, half) = BufferPool::builder().class(64, 0).build().unwrap();
    let mut halves = vec![half];
    for _ in 1..MAX_HALVES {
        halves.push(control.attach().unwrap());
    }
    let size_classes = control.pool.size_classes().count();
    assert!(matches!(
        control.attach().err(),
        Some(PoolError::TableFull {
            table: Table::Halves,
            ..
        })
    ));
    assert_eq!(control.pool.size_classes().count(), size_classes);
}

#[test]
fn attach_that_fails_frees_its_size_classes() {
    let wide = (1..=16).fold(BufferPool::builder(), |builder, i| builder.class(i * 16, 0));
    let (mut control, _half) = wide.build().unwrap();
    control.make_size_classes(&[8]).unwrap();
    let mut halves = Vec::new();
    let refused = loop {
        match control.attach() {
            Ok(half) => halves.push(half),
            Err(error) => break error,
        }
    };
    assert!(matches!(
        refused,
        PoolError::TableFull {
            table: Table::SizeClasses,
            ..
        }
    ));
    assert_eq!(
        control.pool.size_classes().count(),
        16 * (halves.len() + 1) + 1
    );
}

#[test]
#[cfg(target_pointer_width = "64")] // Elsewhere no size is too wide.
fn class_sizes_are_not_truncated() {
    let (mut control, _half) = BufferPool::builder()
        .class(64, 1)
        .limit_samples(1024)
        .build()
        .unwrap();
    let samples = (1 << 32) + 64;
    assert!(matches!(
        control.attach_with(&[(samples, 1)]).err(),
        Some(PoolError::UnknownClass { .. })
    ));
}

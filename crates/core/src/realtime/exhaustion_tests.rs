use super::*;
use crate::control::usage::ClassMetrics;
use crate::{BufferPool, PoolControl};

fn pool(class: usize, buffers: u32) -> (PoolControl, RealtimePool) {
    BufferPool::builder().class(class, buffers).build().unwrap()
}

#[test]
fn exhausted_and_invalid_requests_are_refused_with_numbers() {
    let (control, half) = pool(256, 1);
    assert_eq!(half.acquire(0).err(), Some(PoolError::ZeroLength));
    assert_eq!(
        half.acquire(257).err(),
        Some(PoolError::TooLarge {
            requested: 257,
            largest: 256
        })
    );
    let _held = half.acquire(1).unwrap();
    assert!(matches!(
        half.acquire(1).err(),
        Some(PoolError::Exhausted { .. })
    ));
    assert_eq!(control.usage().sum(|class| class.exhausted), 1);
    assert_eq!(control.usage().sum(|class| class.hits), 1);
}

#[test]
fn borrow_next_larger_takes_the_next_class_and_counts_a_miss() {
    let (control, half) = BufferPool::builder()
        .class(256, 1)
        .class(512, 1)
        .class(1024, 1)
        .exhaustion(ExhaustionPolicy::BorrowNextLarger)
        .build()
        .unwrap();
    let first = half.acquire(256).unwrap();
    let second = half.acquire(256).unwrap();
    assert_eq!(
        (first.capacity(), second.capacity(), second.len()),
        (256, 512, 256)
    );
    assert!(half.acquire(256).is_err());
    let [hits, borrowed, exhausted] = [
        |class: &ClassMetrics| class.hits,
        |class: &ClassMetrics| class.borrowed,
        |class: &ClassMetrics| class.exhausted,
    ]
    .map(|count| control.usage().sum(count));
    assert_eq!((hits, borrowed, exhausted), (1, 1, 1));
    half.release(second);
    assert_eq!(half.acquire(512).unwrap().capacity(), 512);
    assert!(control.is_valid());
}

#[test]
fn reserve_is_kept_for_critical_acquires() {
    let (_control, half) = BufferPool::builder()
        .class(256, 3)
        .exhaustion(ExhaustionPolicy::Reserve(2))
        .build()
        .unwrap();
    let _held = half.acquire(256).unwrap();
    assert!(half.acquire(256).is_err());
    assert!(half.scratch(256).is_err());
    let _critical = half.acquire_critical(256).unwrap();
    let _second = half.acquire_critical(256).unwrap();
    assert!(half.acquire_critical(256).is_err());
}

#[test]
fn reserve_is_at_most_what_a_refill_walks_over() {
    let (_control, half) = BufferPool::builder()
        .class(16, 200)
        .exhaustion(ExhaustionPolicy::Reserve(u32::MAX))
        .build()
        .unwrap();
    let held: Vec<_> = core::iter::from_fn(|| half.acquire(16).ok()).collect();
    assert_eq!(held.len(), 200 - ExhaustionPolicy::MAX_RESERVE as usize);
}

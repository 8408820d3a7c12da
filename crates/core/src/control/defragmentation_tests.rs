use super::*;
use crate::{BufferPool, PooledBuffer, RealtimePool};

const SMALL: usize = 256;
const LARGE: usize = 1024;

/// A pool of 64 small buffers with memory for as many again.
fn pool() -> (PoolControl, RealtimePool) {
    let pool = BufferPool::builder().class(SMALL, 64).class(LARGE, 1);
    pool.reserve_samples(2 * 64 * SMALL).build().unwrap()
}

fn acquire(half: &RealtimePool, count: usize) -> Vec<PooledBuffer> {
    (0..count).map(|_| half.acquire(SMALL).unwrap()).collect()
}

fn address(buffer: &PooledBuffer) -> usize {
    buffer.as_ptr().addr()
}

/// Runs quanta and steps until the owner has shed everything that was requested.
fn settle(control: &mut PoolControl, half: &mut RealtimePool) {
    for quantum in 0..32 {
        half.begin_quantum(quantum * 128);
        control.step(u32::MAX);
    }
}

#[test]
fn shrink_reclaims_from_the_top() {
    let (mut control, mut half) = pool();
    let mut held = acquire(&half, 64);
    held.sort_unstable_by_key(address);
    let (low, high): (Vec<_>, Vec<_>) = {
        let high = held.split_off(40);
        (held, high)
    };
    let kept: Vec<usize> = low.iter().map(address).collect();
    control.shrink(SMALL, 24).unwrap();
    // Half of them are released on the owner's thread, the others on another one.
    for (index, buffer) in high.into_iter().enumerate() {
        if index % 2 == 0 {
            half.release(buffer)
        } else {
            drop(buffer)
        }
    }
    settle(&mut control, &mut half);
    let usage = control.usage();
    assert_eq!(
        (usage.classes[0].carved, usage.classes[0].draining),
        (40, 0)
    );
    drop(low);
    settle(&mut control, &mut half);
    let mut left: Vec<usize> = control
        .slots()
        .filter(|slot| slot.samples == SMALL)
        .map(|slot| slot.address)
        .collect();
    left.sort_unstable();
    assert_eq!(left, kept);
    assert!(control.is_valid());
}

#[test]
fn shrink_waits_for_a_leased_buffer() {
    let (mut control, mut half) = pool();
    let held = acquire(&half, 64);
    control.shrink(SMALL, 64).unwrap();
    settle(&mut control, &mut half);
    assert_eq!(control.usage().classes[0].draining, 64);
    assert_eq!(control.leased(), 64);
    drop(held);
    settle(&mut control, &mut half);
    assert_eq!(control.usage().classes[0].carved, 0);
}

#[test]
fn grow_cancels_a_pending_shrink_first() {
    let (mut control, half) = pool();
    let held = acquire(&half, 64);
    control.shrink(SMALL, 10).unwrap();
    control.grow(SMALL, 4).unwrap();
    let class = control.usage().classes[0].clone();
    assert_eq!((class.carved, class.draining), (64, 6));
    control.grow(SMALL, 8).unwrap();
    let class = control.usage().classes[0].clone();
    assert_eq!((class.carved, class.draining), (66, 0));
    drop(held);
}

#[test]
fn defragmentation_fills_gaps_from_above_and_leased_buffers_stay() {
    let (mut control, mut half) = pool();
    // The upper half is released, then every other buffer of the lower half; those released last are shed first.
    let mut held = acquire(&half, 64);
    held.sort_unstable_by_key(address);
    held.drain(32..).for_each(|buffer| half.release(buffer));
    for index in (0..16).rev() {
        half.release(held.remove(2 * index));
    }
    let kept: Vec<usize> = held.iter().map(address).collect();
    control.trim(SMALL, 32).unwrap();
    settle(&mut control, &mut half);
    control.trim(SMALL, u32::MAX).unwrap();
    let gaps = control.fragmentation_percentage();
    assert_eq!(gaps, (16 * SMALL) as f32 / (2 * 64 * SMALL) as f32 * 100.0);
    let (mut runs, mut steps) = (0, 0);
    let result = loop {
        let result = control.defragment();
        assert!(result.steps <= DEFRAGMENTATION_STEPS);
        (runs, steps) = (runs + 1, steps + result.steps);
        half.begin_quantum(0);
        if result.complete {
            break result;
        }
        assert!(runs < 100, "does not come to an end");
    };
    assert!(
        result.after_percentage < gaps / 2.0,
        "{gaps} -> {}",
        result.after_percentage
    );
    assert!(steps > 0);
    assert_eq!(held.iter().map(address).collect::<Vec<_>>(), kept);
    assert!(control.is_valid());
}

#[test]
fn defragmentation_returns_what_is_not_in_use() {
    let (mut control, mut half) = pool();
    drop(acquire(&half, 60));
    settle(&mut control, &mut half);
    control.begin_peak_window();
    let held = acquire(&half, 10);
    let before = control.bytes_held();
    control.defragment();
    // Some of them may lie above the threshold: these are shed when they are released.
    drop(held);
    settle(&mut control, &mut half);
    assert_eq!(control.usage().classes[0].carved, with_margin(10));
    assert!(control.bytes_held() < before);
}

#[test]
fn defragmentation_returns_idle_buffers_below_a_gap_that_cannot_be_filled() {
    // The reserve ends in a run that is too short for the largest class, above every buffer that would fit in it.
    let pool = BufferPool::builder().class(SMALL, 64).class(LARGE, 4);
    let pool = pool.reserve_samples(64 * SMALL + 4 * LARGE + 2 * SMALL);
    let (mut control, mut half) = pool.build().unwrap();
    drop(acquire(&half, 64));
    settle(&mut control, &mut half);
    assert!(control.fragmentation_percentage() > 0.0);
    control.begin_peak_window();
    for quantum in 0..64 {
        control.defragment();
        half.begin_quantum(quantum * 128);
    }
    let usage = control.usage();
    // No use, and the margin of one buffer.
    let left = usage
        .classes
        .iter()
        .map(|class| (class.carved, class.draining));
    assert_eq!(left.collect::<Vec<_>>(), [(1, 0), (1, 0)]);
    assert!(control.is_valid());
}

#[test]
fn unknown_class_is_refused_with_the_nearest() {
    let (mut control, _half) = pool();
    assert_eq!(
        control.shrink(77, 1),
        Err(PoolError::UnknownClass {
            samples: 77,
            nearest: SMALL
        })
    );
}

#[test]
fn shrink_counts_what_a_limit_sheds_meanwhile() {
    let (mut control, mut half) = pool();
    control.shrink(SMALL, 10).unwrap();
    control.trim(SMALL, 60).unwrap();
    settle(&mut control, &mut half);
    let class = control.usage().classes[0].clone();
    assert_eq!((class.carved, class.draining), (54, 0));
    control.trim(SMALL, 40).unwrap();
    settle(&mut control, &mut half);
    control.shrink(SMALL, 1).unwrap();
    settle(&mut control, &mut half);
    assert_eq!(control.usage().classes[0].carved, 39);
    assert!(control.is_valid());
}

#[test]
fn shrink_is_exact_within_a_stretch_of_the_arena() {
    let pool = BufferPool::builder().class(16, 8).reserve_samples(1 << 20);
    let (mut control, mut half) = pool.build().unwrap();
    for left in (0..8).rev() {
        control.shrink(16, 1).unwrap();
        settle(&mut control, &mut half);
        assert_eq!(control.usage().classes[0].carved, left);
    }
}

#[test]
fn shrink_reaches_buffers_that_are_released_and_acquired_again_between_two_quanta() {
    let (mut control, mut half) = BufferPool::builder().class(64, 8).build().unwrap();
    half.begin_quantum(0);
    // The buffers at the highest addresses are the ones that stay in use.
    let mut all: Vec<_> = (0..8).map(|_| half.acquire(64).unwrap()).collect();
    all.sort_by_key(|buffer| buffer.as_ptr().addr());
    let mut windows: std::collections::VecDeque<_> = all.split_off(5).into();
    all.into_iter().for_each(|buffer| half.release(buffer));
    control.shrink(64, 4).unwrap();
    for quantum in 1..200 {
        // As a stream does whose windows are released when the next one begins: while a step's scan lasts, none of them is idle.
        if quantum % 8 == 0 {
            drop(windows.pop_front().map(PooledBuffer::freeze));
        }
        half.begin_quantum(quantum * 128);
        if quantum % 8 == 0 {
            windows.push_back(half.acquire(64).unwrap());
            control.step(64);
        }
    }
    assert_eq!(control.bytes_held(), 4 * 64 * 4);
    assert!(control.is_valid());
}

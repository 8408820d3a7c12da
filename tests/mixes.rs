//! A pool can always be built with its own mix only, and halves with mixes of their own can be attached to it, if the limit
//! or the reserve covers them.
//!
//! `WAVEPOOL_MIXES` is the number of random mixes: `cargo xtask verify mixes` builds 20,000.
#![allow(missing_docs)]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use wavepool::prelude::*;
use wavepool_tools::capacity_plan::{CapacityPlan, StreamNeed};

/// Usual sizes of blocks and windows.
const COMMON: [usize; 23] = [
    32, 48, 64, 80, 96, 120, 128, 160, 192, 240, 256, 320, 441, 480, 512, 882, 960, 1024, 1764,
    1920, 2048, 4096, 8192,
];

type Mix = Vec<(usize, u32)>;

fn runner() -> TestRunner {
    let cases = std::env::var("WAVEPOOL_MIXES")
        .ok()
        .and_then(|count| count.parse().ok());
    TestRunner::new(Config {
        cases: cases.unwrap_or(400),
        failure_persistence: None,
        ..Config::default()
    })
}

fn samples(mix: &[(usize, u32)]) -> usize {
    mix.iter()
        .map(|&(samples, buffers)| samples * buffers as usize)
        .sum()
}

fn of_mix(mix: &[(usize, u32)]) -> PoolBuilder {
    let pool = BufferPool::builder().prefault(false);
    mix.iter().fold(pool, |pool, &(samples, buffers)| {
        pool.class(samples, buffers)
    })
}

/// Builds the pool and attaches the halves; each has the buffers of its mix.
fn build(pool: PoolBuilder, first: &Mix, others: &[Mix]) -> Result<(), TestCaseError> {
    let refused = |error: PoolError| TestCaseError::fail(error.to_string());
    let (mut control, half) = pool.build().map_err(refused)?;
    has(&control, &half, first)?;
    let mut halves = vec![half];
    for mix in others {
        let half = control.attach_with(mix).map_err(refused)?;
        has(&control, &half, mix)?;
        halves.push(half);
    }
    prop_assert!(control.is_valid());
    Ok(())
}

fn has(control: &PoolControl, half: &RealtimePool, mix: &Mix) -> Result<(), TestCaseError> {
    for &(samples, buffers) in mix {
        let of_class = control
            .slots()
            .filter(|slot| (slot.half, slot.samples) == (half.id(), samples));
        prop_assert_eq!(of_class.count(), buffers as usize);
    }
    Ok(())
}

#[test]
fn limit_is_not_reached_by_the_pool_s_own_mix() {
    let mixes: [&[(usize, u32)]; 5] = [
        &[(32, 1), (64, 1), (240, 1)],
        &[(441, 4), (882, 4), (1764, 4)],
        &[(1, 1), (16, 3), (17, 5)],
        &[(256, 64), (512, 64), (1024, 64), (2048, 64), (4096, 64)],
        &[(1024, 0)],
    ];
    for mix in mixes {
        build(of_mix(mix), &mix.to_vec(), &[]).unwrap();
        let (again, limit) = (vec![mix.to_vec(); 3], 4 * samples(mix));
        build(of_mix(mix).limit_samples(limit), &mix.to_vec(), &again).unwrap();
        build(of_mix(mix).reserve_samples(limit), &mix.to_vec(), &again).unwrap();
    }
}

#[test]
fn limit_that_covers_random_mixes_is_not_reached() {
    let size = || prop_oneof![4 => select(COMMON.to_vec()), 1 => 8usize..3000];
    let mixes = (
        vec((size(), 0u32..9), 1..=16),
        vec(vec((0usize..16, 0u32..9), 0..=16), 0..=3),
        0..3,
    );
    let mixes = mixes.prop_map(|(mut first, others, cover): (Mix, Vec<Vec<_>>, i32)| {
        first.sort_unstable();
        first.dedup_by_key(|class| class.0);
        let own = |classes: Vec<(usize, u32)>| {
            let classes = classes
                .into_iter()
                .map(|(class, buffers)| (first[class % first.len()].0, buffers));
            let mut own: Mix = classes.collect();
            own.sort_unstable();
            own.dedup_by_key(|class| class.0);
            own
        };
        let others: Vec<Mix> = others.into_iter().map(own).collect();
        (first, others, cover)
    });
    let built = runner().run(&mixes, |(first, others, cover)| {
        let covered = samples(&first) + others.iter().map(|mix| samples(mix)).sum::<usize>();
        let pool = of_mix(&first);
        let pool = match cover {
            0 => pool.limit_samples(covered),
            1 => pool.reserve_samples(covered),
            _ => pool.limit_samples(covered).reserve_samples(covered),
        };
        build(pool, &first, &others)
    });
    built.unwrap();
}

#[test]
fn limit_that_covers_a_capacity_plan_is_not_reached() {
    let stream = (
        1u32..=8,
        prop_oneof![select(COMMON.to_vec()), 16usize..5000],
        1u32..=4,
        0u32..40,
    )
        .prop_map(|(channels, window, overlap, hold_ms)| StreamNeed {
            sample_rate_hz: 48_000,
            channels,
            window: window as u32,
            hop: (window as u32 / overlap).max(1),
            hold_ms: hold_ms.into(),
            quantum_frames: 128,
        });
    let built = runner().run(&vec(stream, 1..=8), |streams| {
        // More buffers of a class than a pool can be built with are refused.
        let Ok(plan) = CapacityPlan::for_streams(&streams) else {
            return Ok(());
        };
        let mix: Mix = plan
            .classes
            .iter()
            .map(|class| (class.samples, class.buffers))
            .collect();
        // One half for all streams.
        build(of_mix(&mix), &mix, &[])?;
        // A half for each stream, and one without buffers.
        let empty: Mix = mix.iter().map(|&(samples, _)| (samples, 0)).collect();
        let own = plan
            .streams
            .iter()
            .map(|need| vec![(need.samples, need.buffers)]);
        let own: Vec<Mix> = own.collect();
        build(of_mix(&empty).limit_samples(plan.samples()), &empty, &own)
    });
    built.unwrap();
}

#[test]
fn limit_reached_by_an_attached_half_changes_nothing() {
    let mix = [(441, 4), (882, 4)];
    let (mut control, _half) = of_mix(&mix)
        .limit_samples(2 * samples(&mix))
        .build()
        .unwrap();
    let before = control.metrics();
    for _ in 0..3 {
        let refused = control.attach_with(&[(441, 4), (882, 5)]).err();
        let limit = 2 * samples(&mix);
        assert_eq!(
            refused,
            Some(PoolError::LimitReached {
                requested: samples(&mix) + 882,
                available: samples(&mix),
                limit
            })
        );
        let after = control.metrics();
        assert_eq!(
            (after.bytes_held, after.bytes_reserved),
            (before.bytes_held, before.bytes_reserved)
        );
    }
    let twice = control.attach_with(&[(441, 1), (882, 1), (441, 2)]).err();
    assert_eq!(twice, Some(PoolError::ClassGivenTwice { samples: 441 }));
    assert!(control.attach_with(&mix).is_ok());
}

use super::*;
use crate::modules::data_management::pool_optimization::tests::{AGE, Bench, WINDOW_MS};
use crate::modules::data_management::sizing::sizing_profile::ClassBuffers;

#[test]
fn targets_of_steady_use_become_constant() {
    let mut bench = Bench::new(&[(256, 8), (1024, 8)], SizingPolicy::default());
    for _ in 0..AGE {
        bench.step(&[30, 10]);
    }
    assert!(bench.carved()[0] >= with_margin(30) && bench.carved()[1] >= with_margin(10));
    let peak = (30 * 256 + 10 * 1024) * 4;
    assert!(bench.metrics.bytes_held as f64 <= CARVED_LIMIT * f64::from(peak));
    assert!((0..AGE).all(|_| bench.step(&[30, 10]).is_none()));
}

#[test]
fn targets_follow_a_steady_rise_without_exhaustion() {
    let mut bench = Bench::new(&[(512, 8)], SizingPolicy::default());
    for leased in (0..400).step_by(4) {
        bench.step(&[leased]);
    }
    assert_eq!(bench.exhausted(), 0);
}

#[test]
fn targets_move_idle_memory_between_classes() {
    let mut bench = Bench::new(&[(256, 130), (1024, 8)], SizingPolicy::default());
    let peak = 128 * 256 * 4;
    let mut most = 0;
    for cycle in 0..20 {
        for step in 0..100u64 {
            // Ten steps (50 ms) from one class to the other, then forty without a change.
            let there = (step % 50).min(10);
            let there = if step < 50 { there } else { 10 - there };
            bench.step(&[128 - 128 * there / 10, 32 * there / 10]);
            if cycle > 4 {
                most = most.max(bench.metrics.bytes_held);
            }
        }
        if cycle == 4 {
            bench
                .metrics
                .classes
                .iter_mut()
                .for_each(|class| class.exhausted = 0);
        }
    }
    assert_eq!(bench.exhausted(), 0);
    assert!(most as f64 <= 1.3 * f64::from(peak), "{most} of {peak}");
}

#[test]
fn targets_shrink_only_after_demand_has_aged() {
    let mut bench = Bench::new(&[(256, 100)], SizingPolicy::default());
    for _ in 0..10 {
        bench.step(&[90]);
    }
    for _ in 0..AGE - 20 {
        assert!(bench.step(&[10]).is_none());
    }
    for _ in 0..AGE {
        bench.step(&[10]);
    }
    assert_eq!(bench.carved(), [12], "a fifth above the peak of use");
}

#[test]
fn targets_shrink_more_with_each_level_of_pressure() {
    let use_and_press = |pressure| {
        let mut bench = Bench::new(&[(256, 100)], SizingPolicy::default());
        for _ in 0..5 {
            bench.step(&[90]);
        }
        for _ in 0..2 * WINDOW_MS as usize / 5 + 2 {
            bench.step(&[50]);
        }
        for _ in 0..5 {
            bench.step(&[10]);
        }
        bench.engine.set_memory_pressure(pressure);
        for _ in 0..3 {
            bench.step(&[10]);
        }
        bench.carved()[0]
    };
    assert_eq!(use_and_press(MemoryPressure::None), 100);
    assert_eq!(use_and_press(MemoryPressure::Moderate), with_margin(50));
    assert_eq!(use_and_press(MemoryPressure::Critical), with_margin(10));
}

#[test]
fn targets_keep_the_floor_under_any_pressure() {
    let floors = vec![ClassBuffers {
        samples: 256,
        buffers: 40,
    }];
    let mut bench = Bench::new(
        &[(256, 60)],
        SizingPolicy {
            floors,
            ..Default::default()
        },
    );
    bench.engine.set_memory_pressure(MemoryPressure::Critical);
    for _ in 0..AGE {
        bench.step(&[1]);
    }
    assert_eq!(bench.carved(), [40]);
}

#[test]
fn strategy_follows_the_pattern_of_requests() {
    let policy = SizingPolicy {
        may_borrow: true,
        window_ms: WINDOW_MS,
        ..Default::default()
    };
    let mut bench = Bench::new(&[(256, 4), (512, 4), (1024, 4)], policy);
    let mut last = None;
    for step in 0..400u64 {
        // 256: one buffer every 0.4 s. 512: steady. 1024: never.
        last = bench
            .step(&[u64::from(step % 80 == 0), 6 + step % 3, 0])
            .or(last);
    }
    let strategies: Vec<_> = last
        .unwrap()
        .classes
        .iter()
        .map(|class| class.strategy)
        .collect();
    assert_eq!(
        strategies,
        [
            Strategy::BorrowedFromAbove,
            Strategy::Prewarmed,
            Strategy::OnDemand
        ]
    );
}

#[test]
fn strategies_hold_different_numbers_of_idle_buffers() {
    let policy = SizingPolicy {
        may_borrow: true,
        ..Default::default()
    };
    let mut bench = Bench::new(&[(256, 4), (512, 20), (1024, 4)], policy);
    // 256: one buffer every 0.4 s. 512: steady. 1024: never.
    let use_all = |bench: &mut Bench, pressure| {
        bench.engine.set_memory_pressure(pressure);
        for step in 0..2 * AGE {
            bench.step(&[u64::from(step % 80 == 0), 6, 0]);
        }
        bench.carved()
    };
    // Moderate pressure takes all idle memory above recent use.
    let [borrowed, prewarmed, on_demand] = use_all(&mut bench, MemoryPressure::Moderate)[..] else {
        panic!("{:?}", bench.carved());
    };
    assert_eq!((borrowed, prewarmed, on_demand), (0, with_margin(6), 0));
    // Without pressure a class that is not used has one buffer for its first request.
    let without = use_all(&mut bench, MemoryPressure::None);
    assert_eq!(without[1..], [with_margin(6), 1]);
    // A request that was refused brings buffers back, whatever the pressure.
    use_all(&mut bench, MemoryPressure::Critical);
    assert_eq!(bench.carved()[2], 0);
    bench.step(&[0, 6, 2]);
    assert!(bench.carved()[2] > 0, "{:?}", bench.carved());
}

use super::*;
use crate::modules::data_management::pool_optimization::tests::Bench;
use crate::modules::data_management::sizing::sizing_profile::MAX_BUFFERS_AT_ONCE;
use wavepool_core::internal::MAX_SAMPLES;

#[test]
fn sizing_pressure_rises_in_a_nearly_full_pool() {
    let pressed = |limit_buffers: usize| {
        let mut bench = Bench::new(&[(256, 100)], SizingPolicy::default());
        bench.metrics.bytes_limit = limit_buffers * 256 * 4;
        bench.step(&[10]).map(|plan| plan.pressure)
    };
    assert_eq!(pressed(120), None);
    assert_eq!(pressed(110), Some(MemoryPressure::Moderate));
    assert_eq!(pressed(101), Some(MemoryPressure::Critical));
}

#[test]
fn sizing_policy_outside_its_limits_is_refused_with_name_value_and_limits() {
    use crate::modules::data_management::pool_optimization::PoolOptimizationEngine;
    use crate::setting_error::tests::NEVER_ACCEPTED;
    let refused = |policy: SizingPolicy| PoolOptimizationEngine::new(policy).unwrap_err();
    let default = SizingPolicy::default;
    for window_ms in NEVER_ACCEPTED
        .into_iter()
        .chain([0.0, 0.999, 86_400_001.0, f64::MAX])
    {
        let error = refused(SizingPolicy {
            window_ms,
            ..default()
        });
        assert_eq!(
            (error.setting, error.least),
            ("SizingPolicy::window_ms", 1.0)
        );
    }
    for buffers_per_step in [0, MAX_BUFFERS_AT_ONCE + 1, u32::MAX] {
        let error = refused(SizingPolicy {
            buffers_per_step,
            ..default()
        });
        assert_eq!(
            error.to_string(),
            format!(
                "invalid SizingPolicy::buffers_per_step: must be 1 to {MAX_BUFFERS_AT_ONCE} (got {buffers_per_step})"
            )
        );
    }
    for samples in [0, MAX_SAMPLES + 1, usize::MAX] {
        let floors = vec![ClassBuffers {
            samples,
            buffers: 1,
        }];
        let error = refused(SizingPolicy {
            floors,
            ..default()
        });
        assert_eq!(error.setting, "SizingPolicy::floors.samples");
    }
    for (window_ms, buffers_per_step) in [(1.0, 1), (86_400_000.0, MAX_BUFFERS_AT_ONCE)] {
        let floors = vec![ClassBuffers {
            samples: MAX_SAMPLES,
            buffers: u32::MAX,
        }];
        let policy = SizingPolicy {
            window_ms,
            buffers_per_step,
            floors,
            ..default()
        };
        assert!(PoolOptimizationEngine::new(policy).is_ok());
    }
}

#[test]
fn sizing_plan_of_extreme_metrics_does_not_overflow() {
    let numbers = [0, 1, u64::from(u32::MAX), u64::MAX / 2, u64::MAX];
    let pressures = [
        MemoryPressure::None,
        MemoryPressure::Moderate,
        MemoryPressure::Critical,
    ];
    for ((a, b), pressure) in (numbers.into_iter().flat_map(|a| numbers.map(|b| (a, b))))
        .flat_map(|pair| pressures.map(|pressure| (pair, pressure)))
    {
        let class = |samples, carved, leased| ClassMetrics {
            samples,
            carved,
            leased,
            recent_high_water: leased,
            hits: a,
            exhausted: b,
            draining: a / 2,
            ..Default::default()
        };
        let mut bench = Bench::new(
            &[],
            SizingPolicy {
                floors: vec![ClassBuffers {
                    samples: 16,
                    buffers: u32::MAX,
                }],
                may_borrow: true,
                ..SizingPolicy::default()
            },
        );
        bench.engine.set_memory_pressure(pressure);
        bench.engine.observe_size(a as usize, b);
        bench.engine.observe_size(b as usize, a);
        let times = [
            0.0,
            5.0,
            f64::NAN,
            10.0,
            -1.0,
            f64::INFINITY,
            1000.0,
            2000.0,
        ];
        for (step, now_ms) in times.into_iter().enumerate() {
            let (first, second) = if step % 2 == 0 { (a, b) } else { (b, a) };
            let metrics = PoolMetrics {
                bytes_limit: a as usize,
                bytes_held: b as usize,
                pool_hits: first,
                total_allocations: second,
                classes: vec![class(16, first, second), class(usize::MAX, second, first)],
                ..Default::default()
            };
            if let Some(plan) = bench.engine.step(now_ms, &metrics) {
                let text = serde_json::to_string(&plan).unwrap();
                assert!(!text.is_empty() && !plan.to_string().is_empty());
            }
            let last = bench.engine.last_plan().and_then(|plan| plan.measured);
            let hit_rate = last.and_then(|effect| effect.hit_rate_percentage);
            assert!((0.0..=100.0).contains(&hit_rate.unwrap_or(0.0)));
        }
        let json = bench.engine.profile().to_json();
        assert!(json.contains("bytes_budget"));
    }
}

#[test]
fn sizing_step_is_bounded() {
    let mut bench = Bench::new(&[(256, 1), (512, 1000)], SizingPolicy::default());
    bench.engine.set_memory_pressure(MemoryPressure::Critical);
    bench.metrics.classes[0].carved = 500;
    let plan = bench.step(&[500, 0]).unwrap();
    let (mut carved, mut taken) = (0, 0);
    for planned in plan.steps {
        match planned.step {
            SizingStep::Grow { buffers, .. } => carved += buffers,
            SizingStep::Shrink { buffers, .. } => taken += buffers,
            SizingStep::SetClasses { .. } => {}
        }
    }
    assert_eq!((carved, taken), (30, 128));
}

use super::*;

fn monitor() -> PoolMetricsMonitor {
    PoolMetricsMonitor::new(AlertRules::default()).unwrap()
}

#[test]
fn alert_threshold_without_hysteresis_is_judged_on_the_right_side() {
    let same = Threshold {
        raise: 90.0,
        clear: 90.0,
    };
    let rules = AlertRules {
        hit_rate: same,
        minimum_requests: 1,
        ..AlertRules::default()
    };
    for (hits, raised) in [(95, false), (50, true)] {
        let mut monitor = PoolMetricsMonitor::new(rules).unwrap();
        let metrics = |share: u64| PoolMetrics {
            pool_hits: hits * share,
            total_allocations: 100 * share,
            ..Default::default()
        };
        drop(monitor.observe(0.0, &metrics(0)));
        drop(monitor.observe(2000.0, &metrics(10)));
        assert_eq!(monitor.is_active(AlertKind::HitRateLow), raised);
    }
}

#[test]
fn monitor_continues_after_nan_and_a_clock_set_back() {
    let mut monitor = monitor();
    let exhausted = |exhausted| PoolMetrics {
        exhausted,
        ..Default::default()
    };
    drop(monitor.observe(1000.0, &exhausted(1)));
    for given in [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        f64::MAX,
        -5.0,
    ] {
        drop(monitor.observe(given, &exhausted(1)));
        assert!(monitor.is_active(AlertKind::Exhausted));
    }
    drop(monitor.observe(1995.0, &exhausted(1)));
    assert!(!monitor.is_active(AlertKind::Exhausted));
}

fn kinds(
    monitor: &mut PoolMetricsMonitor,
    now_ms: f64,
    metrics: &PoolMetrics,
) -> Vec<(AlertKind, bool)> {
    monitor
        .observe(now_ms, metrics)
        .map(|alert| (alert.kind, alert.raised))
        .collect()
}

fn rate(hits: u64, requests: u64) -> PoolMetrics {
    PoolMetrics {
        pool_hits: hits,
        total_allocations: requests,
        ..Default::default()
    }
}

#[test]
fn alert_kinds_are_indexed_in_order() {
    for (index, kind) in KINDS.into_iter().enumerate() {
        assert_eq!(kind as usize, index);
    }
}

#[test]
fn hit_rate_alert_is_judged_per_window() {
    let mut monitor = monitor();
    assert!(kinds(&mut monitor, 0.0, &rate(1_000_000, 1_000_000)).is_empty());
    // First window: from zero to a million hits.
    assert!(kinds(&mut monitor, 1000.0, &rate(1_000_000, 1_000_000)).is_empty());
    // 100 more requests, 85 hits: the total is still 99.99 %.
    assert_eq!(
        kinds(&mut monitor, 2000.0, &rate(1_000_085, 1_000_100)),
        [(AlertKind::HitRateLow, true)]
    );
    // 91 %: better than the threshold, but not enough to end the alert.
    assert!(kinds(&mut monitor, 3000.0, &rate(1_000_176, 1_000_200)).is_empty());
    assert_eq!(
        kinds(&mut monitor, 4000.0, &rate(1_000_276, 1_000_300)),
        [(AlertKind::HitRateLow, false)]
    );
}

#[test]
fn hit_rate_alert_ignores_windows_with_few_requests() {
    let mut monitor = monitor();
    kinds(&mut monitor, 0.0, &rate(0, 0));
    assert!(kinds(&mut monitor, 1000.0, &rate(0, 49)).is_empty());
    assert!(!kinds(&mut monitor, 2000.0, &rate(0, 99)).is_empty());
}

#[test]
fn alerts_are_raised_and_cleared_with_hysteresis() {
    let mut monitor = monitor();
    let mut metrics = PoolMetrics {
        memory_overhead_percentage: Some(3.0),
        ..Default::default()
    };
    metrics.fragmentation_percentage = 5.0;
    assert!(kinds(&mut monitor, 0.0, &metrics).is_empty());
    metrics.memory_overhead_percentage = Some(3.01);
    metrics.fragmentation_percentage = 5.01;
    assert_eq!(
        kinds(&mut monitor, 1.0, &metrics),
        [
            (AlertKind::MemoryOverheadHigh, true),
            (AlertKind::Fragmentation, true)
        ]
    );
    metrics.memory_overhead_percentage = Some(2.6);
    metrics.fragmentation_percentage = 4.1;
    assert!(kinds(&mut monitor, 2.0, &metrics).is_empty());
    assert_eq!(monitor.active().count(), 2);
    let states: Vec<_> = monitor.states().collect();
    assert_eq!(
        states[2],
        AlertState {
            kind: AlertKind::Fragmentation,
            raised: true,
            value: Some(f64::from(4.1f32)),
            raise: 5.0,
            clear: Some(4.0)
        }
    );
    // No window has ended: the hit rate was not judged.
    assert_eq!((states[0].value, states[0].raised), (None, false));
    metrics.memory_overhead_percentage = Some(2.5);
    metrics.fragmentation_percentage = 4.0;
    assert_eq!(
        kinds(&mut monitor, 3.0, &metrics),
        [
            (AlertKind::MemoryOverheadHigh, false),
            (AlertKind::Fragmentation, false)
        ]
    );
    assert_eq!(monitor.active().count(), 0);
}

#[test]
fn exhaustion_alert_ends_after_a_window_without_failures() {
    let mut monitor = monitor();
    let metrics = PoolMetrics {
        exhausted: 3,
        ..Default::default()
    };
    assert_eq!(
        kinds(&mut monitor, 0.0, &metrics),
        [(AlertKind::Exhausted, true)]
    );
    assert!(kinds(&mut monitor, 999.0, &metrics).is_empty());
    assert_eq!(
        kinds(&mut monitor, 1000.0, &metrics),
        [(AlertKind::Exhausted, false)]
    );
}

#[test]
fn leak_alert_for_each_further_leak() {
    let mut monitor = monitor();
    let leaked = |n| PoolMetrics {
        buffers_leaked: n,
        ..Default::default()
    };
    assert_eq!(
        kinds(&mut monitor, 0.0, &leaked(1)),
        [(AlertKind::Leaked, true)]
    );
    assert!(kinds(&mut monitor, 1.0, &leaked(1)).is_empty());
    assert_eq!(
        kinds(&mut monitor, 2.0, &leaked(2)),
        [(AlertKind::Leaked, true)]
    );
    assert!(monitor.is_active(AlertKind::Leaked));
}

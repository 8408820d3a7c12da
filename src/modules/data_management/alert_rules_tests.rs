use super::*;
use crate::modules::data_management::pool_monitor::PoolMetricsMonitor;
use crate::setting_error::tests::NEVER_ACCEPTED;

#[test]
fn alert_rules_outside_their_limits_are_refused_with_name_value_and_limits() {
    type Set = fn(&mut AlertRules, f32);
    let set: [(&str, Set); 6] = [
        ("AlertRules::hit_rate.raise", |rules, value| {
            rules.hit_rate.raise = value
        }),
        ("AlertRules::hit_rate.clear", |rules, value| {
            rules.hit_rate.clear = value
        }),
        ("AlertRules::memory_overhead.raise", |rules, value| {
            rules.memory_overhead.raise = value
        }),
        ("AlertRules::memory_overhead.clear", |rules, value| {
            rules.memory_overhead.clear = value
        }),
        ("AlertRules::fragmentation.raise", |rules, value| {
            rules.fragmentation.raise = value
        }),
        ("AlertRules::fragmentation.clear", |rules, value| {
            rules.fragmentation.clear = value
        }),
    ];
    for (name, set) in set {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0] {
            let mut rules = AlertRules::default();
            set(&mut rules, value);
            let error = PoolMetricsMonitor::new(rules).unwrap_err();
            assert_eq!(error.setting, name);
        }
    }
    // `clear` is on the wrong side of `raise`.
    let refused = |rules| PoolMetricsMonitor::new(rules).unwrap_err().to_string();
    let default = AlertRules::default();
    let threshold = |raise, clear| Threshold { raise, clear };
    assert_eq!(
        refused(AlertRules {
            hit_rate: threshold(90.0, 80.0),
            ..default
        }),
        "invalid AlertRules::hit_rate.clear: must be 90 to 100 (got 80)"
    );
    assert_eq!(
        refused(AlertRules {
            fragmentation: threshold(5.0, 6.0),
            ..default
        }),
        "invalid AlertRules::fragmentation.clear: must be 0 to 5 (got 6)"
    );
    for window_ms in NEVER_ACCEPTED {
        assert!(
            refused(AlertRules {
                window_ms,
                ..default
            })
            .contains("window_ms")
        );
    }
    for minimum_requests in [0, u64::MAX] {
        assert!(
            PoolMetricsMonitor::new(AlertRules {
                minimum_requests,
                ..default
            })
            .is_ok()
        );
    }
}

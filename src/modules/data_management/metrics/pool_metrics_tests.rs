use super::*;

fn counts() -> PoolCounts {
    PoolCounts {
        classes: vec![
            ClassMetrics {
                samples: 256,
                carved: 8,
                idle: 6,
                leased: 2,
                hits: 90,
                borrowed: 4,
                requested_samples: 400,
                ..Default::default()
            },
            ClassMetrics {
                samples: 1024,
                carved: 4,
                idle: 3,
                leased: 1,
                hits: 5,
                exhausted: 1,
                requested_samples: 1000,
                ..Default::default()
            },
        ],
        overhead_bytes: 300,
        padding_bytes: 0,
        bytes_reserved: 32_768,
        bytes_limit: 65_536,
        bytes_shelved: 0,
        short_run_samples: 256,
        largest_free_run_samples: 2048,
        boundary: BoundaryCounts {
            objects: 3,
            bytes_allocated: 100,
            bytes_unpooled: 1000,
        },
        ..Default::default()
    }
}

#[test]
fn metrics_follow_their_formulas() {
    let metrics = PoolMetrics::from_counts(&counts());
    assert_eq!(
        (
            metrics.total_allocations,
            metrics.pool_hits,
            metrics.pool_misses
        ),
        (100, 95, 5)
    );
    assert_eq!(metrics.hit_rate_percentage, Some(95.0));
    assert_eq!(metrics.bytes_held, (8 * 256 + 4 * 1024) * 4);
    assert_eq!(metrics.bytes_leased, (2 * 256 + 1024) * 4);
    assert_eq!(
        metrics.memory_overhead_percentage,
        Some((300.0f64 / 32_768.0 * 100.0) as f32)
    );
    assert_eq!(metrics.fragmentation_percentage, 3.125);
    assert_eq!(
        metrics.internal_waste_percentage,
        Some(((1536.0f64 - 1400.0) / 1536.0 * 100.0) as f32)
    );
    assert_eq!(metrics.js_gc_pressure_reduction, Some(90.0));
}

#[test]
fn metrics_that_were_not_measured_are_none_and_null() {
    let metrics = PoolMetrics::from_counts(&PoolCounts::default());
    assert_eq!(metrics.hit_rate_percentage, None);
    assert_eq!(metrics.js_gc_pressure_reduction, None);
    assert_eq!(metrics.internal_waste_percentage, None);
    assert_eq!(metrics.memory_overhead_percentage, None);
    let json = serde_json::to_value(&metrics).unwrap();
    assert!(json["hit_rate_percentage"].is_null());
}

#[test]
fn metrics_declarations_equal_the_fields() {
    for (json, table) in [
        (
            serde_json::to_value(PoolMetrics::default()).unwrap(),
            PoolMetrics::STATISTICS,
        ),
        (
            serde_json::to_value(ClassMetrics::default()).unwrap(),
            ClassMetrics::STATISTICS,
        ),
    ] {
        let fields: std::collections::BTreeSet<_> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            fields,
            table.iter().map(|statistic| statistic.name).collect()
        );
        assert!(
            table.iter().all(|s| s.since <= METRICS_VERSION
                && !s.meaning.is_empty()
                && !s.formula.is_empty())
        );
    }
}

#[test]
fn metrics_of_extreme_counts_are_finite_and_do_not_overflow() {
    let numbers = [0, 1, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
    for (a, b) in numbers.into_iter().flat_map(|a| numbers.map(|b| (a, b))) {
        let class = ClassMetrics {
            samples: b as usize,
            carved: a,
            leased: b,
            hits: a,
            borrowed: b,
            created: a,
            exhausted: b,
            draining: a,
            requested_samples: b,
            ..Default::default()
        };
        let mut counts = PoolCounts {
            classes: vec![class.clone(), class],
            overhead_bytes: a as usize,
            padding_bytes: b as usize,
            bytes_reserved: a as usize,
            bytes_shelved: b as usize,
            short_run_samples: b as usize,
            buffers_leaked: a,
            boundary: BoundaryCounts {
                objects: a,
                bytes_allocated: b,
                bytes_unpooled: a,
            },
            ..Default::default()
        };
        counts.add(&counts.clone());
        let metrics = PoolMetrics::from_counts(&counts);
        for (statistic, value) in metrics.figures() {
            let value = value.unwrap_or(0.0);
            assert!(value.is_finite(), "{}: {value}", statistic.name);
        }
        assert!(metrics.hit_rate_percentage.unwrap_or(0.0) <= 100.0);
    }
}

#[test]
fn metrics_refresh_reuses_its_memory() {
    let mut metrics = PoolMetrics::from_counts(&counts());
    let before = metrics.classes.as_ptr();
    metrics.refresh(&counts());
    assert_eq!(before, metrics.classes.as_ptr());
}

#[test]
fn metrics_json_round_trips() {
    let metrics = PoolMetrics::from_counts(&counts());
    let text = serde_json::to_string(&metrics).unwrap();
    assert_eq!(serde_json::from_str::<PoolMetrics>(&text).unwrap(), metrics);
}

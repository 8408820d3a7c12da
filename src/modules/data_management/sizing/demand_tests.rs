use super::*;

fn snapshot(leased: u64, peak: u64, hits: u64) -> PoolMetrics {
    let class = ClassMetrics {
        samples: 256,
        leased,
        recent_high_water: peak,
        hits,
        ..Default::default()
    };
    PoolMetrics {
        total_allocations: hits,
        classes: vec![class],
        ..Default::default()
    }
}

#[test]
fn peak_rise_and_pauses_follow_the_counters() {
    let mut demand = Demand::new(1000.0).unwrap();
    demand.observe(0.0, &snapshot(2, 4, 10));
    demand.observe(10.0, &snapshot(2, 9, 20));
    let class = &demand.classes[0];
    assert_eq!((class.peak, class.rise(), class.trend()), (9, 5, 0));
    // Ten requests in 10 ms: 1 ms apart.
    assert_eq!(class.inter_arrival_us.quantile(0.5, 1), Some(1000));
    assert_eq!(demand.peak_bytes(), 9 * 256 * 4);
    let mut trend = |peak| {
        demand.observe(20.0, &snapshot(0, peak, 20));
        demand.classes[0].trend()
    };
    assert_eq!([12, 20, 19, 15, 14].map(&mut trend), [3, 3, 0, -1, -1]);
}

#[test]
fn silence_does_not_age() {
    let mut demand = Demand::new(10.0).unwrap();
    demand.observe(0.0, &snapshot(8, 8, 1));
    for step in 1..100 {
        demand.observe(f64::from(step) * 10.0, &snapshot(0, 0, 1));
    }
    assert!(!demand.is_aged());
    assert_eq!(demand.peak_bytes(), 8 * 256 * 4);
    for step in 100..110 {
        demand.observe(f64::from(step) * 10.0, &snapshot(0, 0, step as u64));
    }
    assert!(demand.is_aged());
    assert_eq!(demand.peak_bytes(), 0);
}

#[test]
fn requests_now_and_then_age_like_those_of_every_step() {
    let age = |steps_per_request: u64| {
        let mut demand = Demand::new(100.0).unwrap();
        let steps = 1..;
        let aged = steps.map(|step| {
            demand.observe(
                step as f64 * 3.0,
                &snapshot(1, 1, 1 + step / steps_per_request),
            );
            (step, demand.is_aged())
        });
        aged.skip_while(|(_, aged)| !aged)
            .map(|(step, _)| step)
            .next()
    };
    let (each, seldom) = (age(1).unwrap(), age(8).unwrap());
    assert!(each.abs_diff(seldom) <= 4 * 8, "{each} and {seldom} steps");
}

#[test]
fn new_classes_expect_their_share_of_the_old_ones() {
    let mut demand = Demand::new(1000.0).unwrap();
    demand.observe(0.0, &snapshot(8, 8, 5));
    demand.add_size(96, 30);
    demand.add_size(240, 10);
    demand.expect_classes([96, 240].into_iter());
    let peaks: Vec<_> = demand
        .classes
        .iter()
        .map(|c| (c.samples, c.concurrent.quantile(1.0, WINDOWS).unwrap()))
        .collect();
    assert_eq!(peaks, [(96, 6), (240, 2), (256, 8)]);
}

#[test]
fn sizes_of_one_class_that_take_turns_each_expect_all_of_it() {
    let mut demand = Demand::new(1000.0).unwrap();
    demand.observe(0.0, &snapshot(8, 8, 1000));
    demand.add_size(240, 1000);
    for step in 1..20 {
        demand.add_size(96, 25);
        demand.observe(f64::from(step), &snapshot(7, 7, 1000 + 25 * step as u64));
    }
    assert!(demand.expected_use(0, 96) > 6.0);
    assert!(demand.expected_use(96, 240) > 5.0);
}

#[test]
fn what_a_retired_class_served_is_expected_of_the_one_that_serves_it_now() {
    let mut demand = Demand::new(1000.0).unwrap();
    let mut retired = snapshot(8, 8, 1000);
    let class = ClassMetrics {
        samples: 128,
        retired: true,
        ..Default::default()
    };
    retired.classes.insert(0, class);
    demand.add_size(96, 1000);
    demand.observe(0.0, &retired);
    assert_eq!(demand.expected_use(0, 96), 8.0);
}

#[test]
fn classes_that_go_on_keep_their_record() {
    let mut demand = Demand::new(1000.0).unwrap();
    demand.observe(0.0, &snapshot(5, 5, 5));
    let mut next = snapshot(5, 5, 5);
    next.classes.insert(
        0,
        ClassMetrics {
            samples: 128,
            ..Default::default()
        },
    );
    demand.observe(1.0, &next);
    let peaks: Vec<_> = demand
        .classes
        .iter()
        .map(|c| c.concurrent.quantile(1.0, WINDOWS))
        .collect();
    assert_eq!(peaks, [Some(0), Some(5)]);
}

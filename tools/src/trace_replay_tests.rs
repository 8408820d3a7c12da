use super::*;
use crate::capacity_plan::{CapacityPlan, StreamNeed};
use wavepool::modules::data_management::BufferPool;
use wavepool::modules::data_management::sizing::demand_trace::TraceOp;

fn options(pool: PoolBuilder, policy: Option<SizingPolicy>) -> ReplayOptions {
    ReplayOptions {
        pool,
        policy,
        quanta_per_step: 1,
        score_from_frame: 0,
        clock_us: None,
    }
}

/// The buffers of a stream, each in use for the longest time.
fn stream_ops(stream: &StreamNeed, windows: u64) -> Vec<TraceOp> {
    let hold = (stream.hold_ms / 1000.0 * f64::from(stream.sample_rate_hz)).ceil() as u64;
    let [window, hop] = [stream.window, stream.hop].map(u64::from);
    let quantum = u64::from(stream.quantum_frames);
    let mut ops = Vec::new();
    for index in 0..windows {
        let begin = index * hop / quantum * quantum;
        let end = (index * hop + window + hold).next_multiple_of(quantum);
        let buffer = index as u32;
        ops.push((
            end,
            0,
            TraceOp {
                frame: end,
                buffer,
                kind: TraceOpKind::Release,
            },
        ));
        ops.push((
            begin,
            1,
            TraceOp {
                frame: begin,
                buffer,
                kind: TraceOpKind::Acquire(stream.window),
            },
        ));
    }
    ops.sort_unstable_by_key(|&(frame, order, op)| (frame, order, op.buffer));
    ops.into_iter().map(|(_, _, op)| op).collect()
}

#[test]
fn capacity_plan_pool_is_never_exhausted_and_one_buffer_less_is() {
    let stream: StreamNeed = "48000:1:1000/300:4".parse().unwrap();
    // Miri is slow.
    let windows = if cfg!(miri) { 80 } else { 400 };
    let trace = DemandTrace::new(48_000.0, 128, stream_ops(&stream, windows)).unwrap();
    let plan = CapacityPlan::for_streams(std::slice::from_ref(&stream)).unwrap();
    let build = |less: u32| {
        let classes = plan.classes.iter();
        classes.fold(BufferPool::builder(), |pool, class| {
            pool.class(class.samples, class.buffers - less)
        })
    };
    assert_eq!(
        replay(&trace, &options(build(0), None)).unwrap().exhausted,
        0
    );
    assert!(replay(&trace, &options(build(1), None)).unwrap().exhausted > 0);
}

#[test]
fn capacity_plan_floor_survives_the_optimizer() {
    let stream: StreamNeed = "48000:1:1024/256:20".parse().unwrap();
    let plan = CapacityPlan::for_streams(&[stream]).unwrap();
    let pool = plan
        .classes
        .iter()
        .fold(BufferPool::builder(), |pool, class| {
            pool.class(class.samples, class.buffers)
        });
    let policy = SizingPolicy {
        floors: plan.classes.clone(),
        window_ms: 10.0,
        ..Default::default()
    };
    // One buffer at a time for a second: from this demand alone, the plan would return nearly all buffers. Miri is slow.
    let requests = if cfg!(miri) { 75 } else { 375 };
    let use_one = |index: u64| {
        [
            (index * 128, 0, 1024).into(),
            (index * 128 + 64, 0, 0).into(),
        ]
    };
    let trace = DemandTrace::new(48_000.0, 128, (0..requests).flat_map(use_one).collect()).unwrap();
    let report = replay(&trace, &options(pool.clone(), Some(policy))).unwrap();
    assert_eq!(report.bytes_held_mean, report.bytes_held_peak);
    let report = replay(
        &trace,
        &options(
            pool,
            Some(SizingPolicy {
                window_ms: 10.0,
                ..Default::default()
            }),
        ),
    )
    .unwrap();
    assert!(report.bytes_held_mean < report.bytes_held_peak);
}

#[test]
fn replay_report_agrees_with_the_trace() {
    let ops = vec![
        (0, 0, 200),
        (0, 1, 300),
        (0, 2, 300),
        (128, 0, 0),
        (256, 3, 100),
        (384, 1, 0),
        (384, 2, 0),
        (384, 3, 0),
    ];
    let trace =
        DemandTrace::new(48_000.0, 128, ops.into_iter().map(TraceOp::from).collect()).unwrap();
    let pool = BufferPool::builder().class(256, 1).class(512, 1);
    let report = replay(&trace, &options(pool, None)).unwrap();
    assert_eq!((report.requests, report.hits, report.exhausted), (4, 3, 1));
    assert_eq!(report.hit_rate_percentage(), Some(75.0));
    assert_eq!(report.bytes_used_peak, 500 * 4);
    assert_eq!(report.bytes_held_peak, (256 + 512) * 4);
    assert!(report.control_step_us.is_empty());
}

#[test]
fn replay_from_a_saved_profile_has_no_misses() {
    // Each of 40 buffers is released and acquired again in turn.
    let requests = if cfg!(miri) { 200 } else { 2000_u64 };
    let ops = (0..requests).flat_map(|index| {
        let (frame, buffer) = (index * 32, (index % 40) as u32);
        let release = [(frame, buffer, 0)]
            .into_iter()
            .filter(move |_| index >= 40);
        release.chain([(frame, buffer, 700)]).map(TraceOp::from)
    });
    let trace = DemandTrace::new(48_000.0, 128, ops.collect()).unwrap();
    let cold = BufferPool::builder().class(1024, 2).limit_samples(1 << 20);
    let first = replay(&trace, &options(cold, Some(SizingPolicy::default()))).unwrap();
    assert!(first.exhausted > 0);
    let profile = SizingProfile::from_json(&first.profile.unwrap().to_json()).unwrap();
    let warm = profile
        .mix()
        .iter()
        .fold(BufferPool::builder(), |pool, class| {
            pool.class(class.samples, class.buffers)
        });
    let second = replay(&trace, &options(warm, Some(SizingPolicy::default()))).unwrap();
    assert_eq!(
        (second.exhausted, second.hit_rate_percentage()),
        (0, Some(100.0))
    );
}

#[test]
fn replay_options_outside_of_their_limits_are_refused_with_name_and_limits() {
    let trace = DemandTrace::new(48_000.0, 128, vec![(0, 0, 16).into()]).unwrap();
    let pool = BufferPool::builder().class(256, 1);
    let refused = |options: ReplayOptions| match replay(&trace, &options) {
        Err(ReplayError::Setting(error)) => error.setting,
        other => panic!("{other:?}"),
    };
    let default = options(pool.clone(), None);
    assert_eq!(
        refused(ReplayOptions {
            quanta_per_step: 0,
            ..default.clone()
        }),
        "ReplayOptions::quanta_per_step"
    );
    let not_finite = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::MAX];
    for window_ms in not_finite.into_iter().chain([0.0, -0.0, 0.5, 1e9]) {
        let policy = Some(SizingPolicy {
            window_ms,
            ..SizingPolicy::default()
        });
        let refused = refused(ReplayOptions {
            policy,
            ..default.clone()
        });
        assert_eq!(refused, "SizingPolicy::window_ms");
    }
    for (quanta_per_step, score_from_frame) in [(1, 0), (u32::MAX, u64::MAX)] {
        let report = replay(
            &trace,
            &ReplayOptions {
                quanta_per_step,
                score_from_frame,
                ..default.clone()
            },
        );
        assert!(report.is_ok());
    }
}

#[test]
fn replay_of_a_request_above_the_largest_class_is_an_error() {
    let trace = DemandTrace::new(48_000.0, 128, vec![(0, 0, 5000).into()]).unwrap();
    let result = replay(&trace, &options(BufferPool::builder().class(256, 1), None));
    assert_eq!(
        result,
        Err(ReplayError::Pool(PoolError::TooLarge {
            requested: 5000,
            largest: 256
        }))
    );
}

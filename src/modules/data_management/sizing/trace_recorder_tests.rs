use super::*;

fn op(frame: u64, buffer: u32, samples: u32) -> TraceOp {
    (frame, buffer, samples).into()
}

#[test]
fn trace_recorder_releases_the_oldest_buffer_of_a_class_first() {
    let mut recorder = TraceRecorder::new(48_000.0, 128, 100).unwrap();
    recorder.released(1000, 256, 3);
    recorder.acquired(1000, 256, 200, 2);
    recorder.acquired(1128, 512, 512, 1);
    recorder.released(1256, 256, 1);
    recorder.acquired(1384, 256, 100, 1);
    let trace = recorder.finish().unwrap();
    assert_eq!(
        trace.ops(),
        [
            op(0, 0, 200),
            op(0, 1, 200),
            op(128, 2, 512),
            op(256, 0, 0),
            op(384, 0, 100)
        ]
    );
    assert_eq!(trace.buffers(), 3);
    assert_eq!(DemandTrace::from_json(&trace.to_json()).unwrap(), trace);
}

#[test]
fn trace_recorder_records_every_release_when_full() {
    let mut recorder = TraceRecorder::new(48_000.0, 128, 6).unwrap();
    recorder.acquired(0, 256, 256, 10);
    recorder.released(1, 256, 10);
    let trace = recorder.finish().unwrap();
    assert_eq!((trace.ops().len(), trace.dropped), (6, 7));
}

#[test]
fn trace_recorder_orders_late_events() {
    let mut recorder = TraceRecorder::new(48_000.0, 128, 100).unwrap();
    recorder.acquired(1000, 256, 256, 1);
    recorder.acquired(1300, 256, 256, 1);
    recorder.released(1100, 256, 2);
    let frames: Vec<u64> = recorder
        .finish()
        .unwrap()
        .ops()
        .iter()
        .map(|op| op.frame)
        .collect();
    assert_eq!(frames, [0, 300, 300, 300]);
}

#[test]
fn trace_recorder_of_extreme_numbers_counts_dropped_requests_and_can_be_replayed() {
    let extremes = [0, 1, 16, MAX_SAMPLES, MAX_SAMPLES + 1, usize::MAX];
    let mut recorder = TraceRecorder::new(48_000.0, 128, usize::MAX).unwrap();
    let mut asked = 0u64;
    for frame in [0, 1, last_frame(128), last_frame(128) + 1, u64::MAX] {
        for class in extremes {
            for requested in extremes {
                recorder.acquired(frame, class, requested, 1);
                asked += 1;
            }
            recorder.released(frame, class, u64::MAX);
        }
    }
    assert_eq!(recorder.requests() + recorder.dropped(), asked);
    assert!(recorder.requests() > 0 && recorder.dropped() > 0);
    recorder.acquired(0, 16, 16, u64::MAX);
    assert!(recorder.dropped() >= u64::MAX - u64::from(MAX_BUFFERS));
    assert!(recorder.requests() <= u64::from(MAX_BUFFERS) + asked);
    assert!(recorder.finish().is_ok());
}

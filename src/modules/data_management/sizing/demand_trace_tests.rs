use super::*;

fn op(frame: u64, buffer: u32, samples: u32) -> TraceOp {
    (frame, buffer, samples).into()
}

#[test]
fn trace_numbers_above_the_limits_are_refused_with_operation_value_and_limit() {
    let last = last_frame(128);
    let most = u64::from(MAX_BUFFERS) - 1;
    let samples = MAX_SAMPLES as u64;
    let table = [
        (op(u64::MAX, 0, 256), "the frame", u64::MAX, last),
        (op(last + 1, 0, 256), "the frame", last + 1, last),
        (
            op(0, u32::MAX, 256),
            "the buffer's number",
            u32::MAX.into(),
            most,
        ),
        (
            op(0, u32::MAX - 1, 256),
            "the buffer's number",
            u64::from(u32::MAX) - 1,
            most,
        ),
        (
            op(0, MAX_BUFFERS, 256),
            "the buffer's number",
            most + 1,
            most,
        ),
        (op(0, 0, u32::MAX), "the size", u32::MAX.into(), samples),
        (
            op(0, 0, samples as u32 + 1),
            "the size",
            samples + 1,
            samples,
        ),
    ];
    for (wrong, what, value, most) in table {
        let ops = vec![op(0, 7, 16), op(0, 7, 0), wrong];
        let json = serde_json::json!({
            "version": 1, "sample_rate_hz": 48_000.0, "quantum_frames": 128, "dropped": 0, "ops": &ops,
        });
        let message =
            format!("demand trace, operation 2: {what} must be at most {most} (got {value})");
        let made = DemandTrace::new(48_000.0, 128, ops).unwrap_err();
        assert_eq!(made.to_string(), message);
        let read = DemandTrace::from_json(&json.to_string()).unwrap_err();
        assert_eq!(read.to_string(), message);
        // Deserialising with serde checks the numbers as well.
        let direct = serde_json::from_value::<DemandTrace>(json).unwrap_err();
        assert_eq!(direct.to_string(), message);
    }
    let largest = [op(0, MAX_BUFFERS - 1, samples as u32), op(last, 0, 1)];
    assert!(DemandTrace::new(48_000.0, 128, largest.to_vec()).is_ok());
    for (rate, quantum) in [
        (0.0, 1),
        (-1.0, 1),
        (f64::NAN, 1),
        (f64::INFINITY, 1),
        (0.5, 1),
        (1e8, 1),
        (1.0, 0),
    ] {
        assert!(matches!(
            DemandTrace::new(rate, quantum, vec![]),
            Err(TraceError::Clock { .. })
        ));
    }
    assert!(DemandTrace::new(1.0, u32::MAX, vec![op(1, 0, 1)]).is_ok());
}

#[test]
fn trace_of_too_many_operations_is_refused_with_their_number() {
    let error = |count| DemandTrace::new(48_000.0, 128, vec![op(0, 0, 16); count]).unwrap_err();
    let too_many = MAX_OPERATIONS + 1;
    assert!(matches!(error(too_many), TraceError::TooLong { count } if count == too_many));
    // Up to the limit, operations are checked one by one.
    let error = error(MAX_OPERATIONS);
    assert!(matches!(error, TraceError::Operation { index: 1, .. }));
}

#[test]
fn trace_of_contradicting_operations_is_refused() {
    let error = |ops| {
        DemandTrace::new(48_000.0, 128, ops)
            .unwrap_err()
            .to_string()
    };
    assert!(
        error(vec![op(0, 0, 0)]).ends_with("operation 0: releases a buffer that is not in use")
    );
    assert!(
        error(vec![op(0, 0, 1), op(0, 0, 1)])
            .ends_with("operation 1: acquires a buffer that is in use")
    );
    assert!(
        error(vec![op(5, 0, 1), op(4, 0, 0)])
            .ends_with("operation 1: earlier than the one before it")
    );
    assert!(matches!(
        DemandTrace::new(0.0, 128, vec![]),
        Err(TraceError::Clock { .. })
    ));
    assert!(matches!(
        DemandTrace::new(f64::NAN, 128, vec![]),
        Err(TraceError::Clock { .. })
    ));
    assert!(matches!(
        DemandTrace::from_json("[]"),
        Err(TraceError::Json(_))
    ));
    assert!(matches!(
        TraceRecorder::new(48_000.0, 0, 1),
        Err(TraceError::Clock { .. })
    ));
    let old = DemandTrace::new(1.0, 1, vec![])
        .unwrap()
        .to_json()
        .replace("\"version\":1", "\"version\":7");
    assert!(matches!(
        DemandTrace::from_json(&old),
        Err(TraceError::Version { found: 7 })
    ));
}

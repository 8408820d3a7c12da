use super::*;
use proptest::prelude::*;

fn stream(text: &str) -> StreamNeed {
    text.parse().unwrap()
}

/// The length of a simulation in windows. Miri is slow.
const LENGTH: u64 = if cfg!(miri) { 3 } else { 40 };

/// Simulates the stream quantum by quantum, with every window in use for the longest time; returns the most windows at a
/// time.
fn simulated(stream: &StreamNeed) -> usize {
    let hold = (stream.hold_ms / 1000.0 * f64::from(stream.sample_rate_hz)).ceil() as u64;
    let [window, hop, quantum] = [stream.window, stream.hop, stream.quantum_frames].map(u64::from);
    let (mut open, mut next, mut most) = (Vec::new(), 0, 0);
    for start in (0..LENGTH * (window + hold + hop)).step_by(quantum as usize) {
        open.retain(|&first: &u64| first + window + hold > start);
        while next < start + quantum {
            open.push(next);
            next += hop;
        }
        most = most.max(open.len());
    }
    most
}

proptest! {
    #[test]
    fn capacity_plan_is_an_upper_bound_for_any_stream(
        window in 16u32..2048, hop in 16u32..2048, quantum in prop::sample::select(vec![1u32, 64, 128, 480]),
        hold_ms in 0.0f64..30.0,
    ) {
        let stream = StreamNeed {
            sample_rate_hz: 48_000, channels: 1, window, hop, hold_ms, quantum_frames: quantum,
        };
        prop_assert!(simulated(&stream) <= stream.windows_at_once().unwrap() as usize);
    }
}

#[test]
fn capacity_plan_is_reached_by_a_simulation() {
    // With quanta of one frame, in which every phase of window and quantum occurs.
    for (window, hop, hold_ms) in [(4096, 1024, 0.0), (1024, 1024, 10.0), (1000, 300, 1.0)] {
        let stream = StreamNeed {
            sample_rate_hz: 48_000,
            channels: 1,
            window,
            hop,
            hold_ms,
            quantum_frames: 1,
        };
        assert_eq!(
            simulated(&stream),
            stream.windows_at_once().unwrap() as usize
        );
    }
}

#[test]
fn capacity_plan_classes_are_the_windows_and_streams_add_up() {
    let streams = [
        stream("48000:2:4096/1024:0"),
        stream("48000:1:441/441:0"),
        stream("44100:1:4096/4096:0"),
    ];
    let plan = CapacityPlan::for_streams(&streams).unwrap();
    // (4096 + 127) / 1024 -> 5 windows of 2 channels; 1 + 127 frames more than one window -> 2; likewise 2.
    let needs: Vec<_> = plan
        .streams
        .iter()
        .map(|need| (need.samples, need.buffers))
        .collect();
    assert_eq!(needs, [(4096, 10), (448, 2), (4096, 2)]);
    let classes: Vec<_> = plan
        .classes
        .iter()
        .map(|class| (class.samples, class.buffers))
        .collect();
    assert_eq!(classes, [(448, 2), (4096, 12)]);
    assert_eq!(plan.samples(), 2 * 448 + 12 * 4096);
}

#[test]
fn capacity_plan_shares_classes_if_there_are_too_many_windows() {
    let streams: Vec<_> = (1..=20)
        .map(|i| stream(&format!("48000:1:{}/64:0", i * 64)))
        .collect();
    let plan = CapacityPlan::for_streams(&streams).unwrap();
    assert_eq!((plan.classes.len(), plan.streams.len()), (MAX_CLASSES, 20));
}

#[test]
fn capacity_plan_of_no_streams_is_empty() {
    assert_eq!(CapacityPlan::for_streams(&[]).unwrap().samples(), 0);
}

#[test]
fn invalid_stream_text_is_refused_with_the_expected_form() {
    for text in [
        "",
        "48000",
        "48000:2:4096:50",
        "48000:2:4096/1024",
        "a:2:4096/1024:5",
        "48000:2:4096/4294967296:5",
        "48000:-1:4096/1024:5",
        "48000:2:4096/1024:5:6",
    ] {
        assert!(
            matches!(text.parse::<StreamNeed>(), Err(CapacityError::Form { .. })),
            "{text}"
        );
    }
}

#[test]
fn stream_numbers_from_zero_to_their_largest_are_planned_for_or_refused_with_their_limits() {
    let good = stream("48000:2:4096/1024:50");
    let numbers = [0, 1, 64, 4096, 1 << 29, u32::MAX - 1, u32::MAX];
    let holds = [
        0.0,
        -0.0,
        1e-300,
        50.0,
        86_400_000.0,
        1e300,
        -1.0,
        f64::NAN,
        f64::INFINITY,
        f64::MAX,
    ];
    let fields: [fn(&mut StreamNeed, u32); 5] = [
        |stream, number| stream.sample_rate_hz = number,
        |stream, number| stream.channels = number,
        |stream, number| stream.window = number,
        |stream, number| stream.hop = number,
        |stream, number| stream.quantum_frames = number,
    ];
    let mut refused = 0;
    for (first, second) in (0..5).flat_map(|a| (0..5).map(move |b| (a, b))) {
        for (a, b) in numbers.into_iter().flat_map(|a| numbers.map(|b| (a, b))) {
            for hold_ms in holds {
                let mut stream = good.clone();
                fields[first](&mut stream, a);
                fields[second](&mut stream, b);
                stream.hold_ms = hold_ms;
                match CapacityPlan::for_streams(&[stream.clone(), stream.clone()]) {
                    Ok(plan) => {
                        assert!(plan.samples() >= stream.window as usize * 2);
                        assert_eq!(plan.streams[0].buffers, stream.buffers().unwrap());
                    }
                    Err(CapacityError::Form { text }) => panic!("{text}"),
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_stream_number_outside_of_its_limits_is_refused_with_name_value_and_limits() {
    for (text, message) in [
        ("48000:2:4096/0:50", "HOP must be 1 to 4294967295 (got 0)"),
        ("0:2:4096/1024:50", "RATE must be 1 to 10000000 (got 0)"),
        (
            "48000:2:4096/1024:1e300",
            "HOLD_MS must be 0 to 86400000 (got 1e300)",
        ),
        (
            "48000:2:4096/1024:inf",
            "HOLD_MS must be 0 to 86400000 (got inf)",
        ),
        (
            "48000:2:4096/1024:NaN",
            "HOLD_MS must be 0 to 86400000 (got NaN)",
        ),
        (
            "48000:2:4096/1024:-1",
            "HOLD_MS must be 0 to 86400000 (got -1)",
        ),
        (
            "48000:2:4294967295/1:0",
            "WINDOW must be 1 to 536870911 (got 4294967295)",
        ),
    ] {
        let error = text.parse::<StreamNeed>().unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
    let long = stream("48000:2:4096/1:86400000");
    assert!(matches!(
        long.buffers(),
        Err(CapacityError::TooManyBuffers { samples: 4096, .. })
    ));
    let large = vec![stream("48000:1:536870911/536870911:0"); 512];
    assert!(matches!(
        CapacityPlan::for_streams(&large),
        Err(CapacityError::TooManySamples { .. })
    ));
    let many = vec![stream("48000:1:64/64:0"); MAX_STREAMS + 1];
    assert_eq!(
        CapacityPlan::for_streams(&many).unwrap_err(),
        CapacityError::TooManyStreams {
            count: MAX_STREAMS + 1
        }
    );
}

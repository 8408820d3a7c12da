//! Sound of arbitrary bit patterns through captures, analyses and engines. Laws:
//! 1. Every call returns after a number of steps that is bounded by the window, hop and quantum, whatever the samples are.
//! 2. Pitch, level, clarity and every number of an event are finite; a figure that was not measured is absent.
//! 3. The output of an engine is finite where its input is; after samples that are not finite, it becomes finite again.
//! 4. A window has exactly the captured samples, bit by bit.
//!
//! `PROPTEST_CASES=100000 cargo test --release --lib bounded_tests -- --nocapture` runs more cases and prints the largest
//! number of steps for one window.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::processor::{DcBlocker, Gain, Meter, Processor};
use super::reblocker::MAX_QUANTUM_FRAMES;
use super::steps;
use super::test_rig::Rig;
use super::*;

/// A kind of test signal.
#[derive(Debug, Clone)]
enum Sound {
    /// Random bits: also NaN with payloads, infinities, denormals.
    Bits(u64),
    /// White noise of this peak.
    Noise {
        seed: u64,
        peak: f32,
    },
    Sine {
        period: f32,
        peak: f32,
    },
    Square {
        period: usize,
        peak: f32,
    },
    /// This bit pattern every `every` frames, silence between.
    Spikes {
        every: usize,
        bits: u32,
    },
    /// A feedback loop with a gain above one, which grows to infinity and then NaN.
    Runaway {
        gain: f32,
    },
    Constant(u32),
    /// A tone in which one sample has another bit pattern.
    Broken {
        period: f32,
        at: usize,
        bits: u32,
    },
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

fn sine(frame: usize, period: f32) -> f32 {
    (core::f32::consts::TAU * (frame as f32 / period).fract()).sin()
}

impl Sound {
    fn samples(&self, frames: usize) -> Vec<f32> {
        match *self {
            Self::Bits(seed) => {
                let mut seed = seed | 1;
                (0..frames)
                    .map(|_| f32::from_bits((random(&mut seed) >> 20) as u32))
                    .collect()
            }
            Self::Noise { seed, peak } => {
                let mut seed = seed | 1;
                (0..frames)
                    .map(|_| ((random(&mut seed) >> 40) as f32 / (1 << 23) as f32 - 1.0) * peak)
                    .collect()
            }
            Self::Sine { period, peak } => (0..frames).map(|n| peak * sine(n, period)).collect(),
            Self::Square { period, peak } => (0..frames)
                .map(|n| if n / period % 2 == 0 { peak } else { -peak })
                .collect(),
            Self::Spikes { every, bits } => (0..frames)
                .map(|n| {
                    if n % every == 0 {
                        f32::from_bits(bits)
                    } else {
                        0.0
                    }
                })
                .collect(),
            Self::Runaway { gain } => {
                let mut loud = [1.0_f32, 0.0];
                (0..frames)
                    .map(|_| {
                        loud = [gain * loud[0] - loud[1], loud[0]];
                        loud[0]
                    })
                    .collect()
            }
            Self::Constant(bits) => vec![f32::from_bits(bits); frames],
            Self::Broken { period, at, bits } => {
                let mut samples: Vec<f32> = (0..frames).map(|n| 0.5 * sine(n, period)).collect();
                if let Some(sample) = samples.get_mut(at) {
                    *sample = f32::from_bits(bits);
                }
                samples
            }
        }
    }
}

/// Bit patterns of extreme values, and random ones.
fn bits() -> impl Strategy<Value = u32> {
    let edges = [
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        0.0,
        -0.0,
        1e19,
        -1e17,
        0.5,
    ];
    prop_oneof![
        prop::sample::select(edges.map(f32::to_bits).to_vec()),
        any::<u32>(),
    ]
}

/// From the smallest denormal to the largest finite number.
fn peak() -> impl Strategy<Value = f32> {
    (-45.0_f64..38.53).prop_map(|exponent| 10_f64.powf(exponent) as f32)
}

fn sound() -> impl Strategy<Value = Sound> {
    prop_oneof![
        any::<u64>().prop_map(Sound::Bits),
        (any::<u64>(), peak()).prop_map(|(seed, peak)| Sound::Noise { seed, peak }),
        (2.0_f32..2000.0, peak()).prop_map(|(period, peak)| Sound::Sine { period, peak }),
        (1_usize..1000, peak()).prop_map(|(period, peak)| Sound::Square { period, peak }),
        (1_usize..5000, bits()).prop_map(|(every, bits)| Sound::Spikes { every, bits }),
        (0.5_f32..4.0).prop_map(|gain| Sound::Runaway { gain }),
        bits().prop_map(Sound::Constant),
        (2.0_f32..2000.0, 0_usize..5000, bits()).prop_map(|(period, at, bits)| Sound::Broken {
            period,
            at,
            bits
        }),
    ]
}

/// All streams that the pool of the tests can serve.
fn config() -> impl Strategy<Value = StreamConfig> {
    let window = prop_oneof![Just(4096), Just(1024), MIN_WINDOW..=4096_usize];
    let rate = prop_oneof![
        prop::sample::select(vec![
            44_100.0,
            48_000.0,
            MIN_SAMPLE_RATE_HZ,
            MAX_SAMPLE_RATE_HZ
        ]),
        MIN_SAMPLE_RATE_HZ..=MAX_SAMPLE_RATE_HZ,
    ];
    (window, rate, 1_usize..=2).prop_flat_map(|(window, sample_rate_hz, channels)| {
        (window.div_ceil(MAX_OVERLAP)..=window).prop_map(move |hop| StreamConfig {
            sample_rate_hz,
            channels,
            window,
            hop,
        })
    })
}

/// The bound for one pitch detection: each lag twice, and for each doubling of the period a search range, the longest of which
/// is an eighth of the window.
fn max_steps_of_a_window(window: usize) -> u64 {
    let lags = window as u64 / 2;
    2 * lags + u64::from(window.ilog2()) * (lags / 4 + 4)
}

/// The bound for one quantum: each window with a part in it is opened, filled, and completed or abandoned.
fn max_steps_of_a_quantum(config: &StreamConfig) -> u64 {
    let open = (MAX_QUANTUM_FRAMES + config.window - 2) / config.hop + 1;
    4 * open as u64
}

static MAX_OF_A_WINDOW: AtomicU64 = AtomicU64::new(0);
static MAX_OF_A_QUANTUM: AtomicU64 = AtomicU64::new(0);
static WINDOWS: AtomicU64 = AtomicU64::new(0);

/// Checks that every number of an event is finite. JSON has no other numbers: serde writes them as null, which is allowed for
/// some fields only.
fn check_event(name: &str, data: &serde_json::Value) {
    const MAY_BE_ABSENT: [&str; 5] = ["hz", "note", "cents", "rms_dbfs", "peak_dbfs"];
    const AUDIO_EVENTS: [&str; 5] = [
        "StreamOpened",
        "StreamClosed",
        "WindowSkipped",
        "LevelMeasured",
        "PitchDetected",
    ];
    if !AUDIO_EVENTS.contains(&name) {
        return;
    }
    for (field, value) in data.as_object().unwrap() {
        let absent = value.is_null() && MAY_BE_ABSENT.contains(&field.as_str());
        assert!(absent || !value.is_null(), "{name}.{field}: {data}");
    }
}

fn finite(samples: &[f32]) -> bool {
    samples.iter().all(|sample| sample.is_finite())
}

/// Checks the reading of a window with these channels.
fn check_reading(reading: &Reading, parts: &[&[f32]], config: &StreamConfig) {
    let all_finite = parts.iter().all(|samples| finite(samples));
    assert_eq!(reading.level.is_some(), all_finite);
    if let Some(level) = reading.level {
        assert!(level.rms.is_finite() && level.peak.is_finite() && level.rms <= level.peak);
        for dbfs in [level.rms_dbfs(), level.peak_dbfs()] {
            assert!((FLOOR_DBFS..=CEILING_DBFS).contains(&dbfs), "{level:?}");
        }
    }
    let Pitch { hz, clarity } = reading.pitch;
    assert!((0.0..=1.0).contains(&clarity), "{reading:?}");
    if let Some(hz) = hz {
        assert!((LOWEST_HZ..=HIGHEST_HZ).contains(&hz), "{reading:?}");
        assert!(hz < config.sample_rate_hz, "{reading:?}");
    }
    if parts.iter().all(|samples| !finite(samples)) {
        assert_eq!(reading.pitch, Pitch::default());
    }
}

/// Captures the sounds, one per channel, in quanta of `quantum` frames, and analyses every window.
fn play_and_read(rig: &mut Rig, config: StreamConfig, sounds: &[Vec<f32>], quantum: usize) {
    let (mut capture, mut analysis) = rig.open(config);
    let inputs = |from: usize, to: usize| -> Vec<&[f32]> {
        let channels = sounds.iter().cycle().take(config.channels);
        channels.map(|samples| &samples[from..to]).collect()
    };
    let frames = sounds[0].len();
    for from in (0..frames).step_by(quantum) {
        let input = inputs(from, (from + quantum).min(frames));
        let (count, _) = steps::of(|| capture.process(&input, from as u64));
        assert!(
            count <= max_steps_of_a_quantum(&config),
            "{count} steps of a quantum"
        );
        MAX_OF_A_QUANTUM.fetch_max(count, Ordering::Relaxed);
        while let Some(window) = analysis.next_window() {
            let first = window.metadata().first_frame as usize;
            let played = inputs(first, first + config.window);
            for (channel, played) in played.iter().enumerate() {
                let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
                assert!(window.channel(channel).iter().zip(*played).all(same));
            }
            let (count, reading) = steps::of(|| analysis.analyser.analyse(&window).unwrap());
            assert!(
                count <= max_steps_of_a_window(config.window),
                "{count} steps of a window"
            );
            MAX_OF_A_WINDOW.fetch_max(count, Ordering::Relaxed);
            WINDOWS.fetch_add(1, Ordering::Relaxed);
            check_reading(&reading, &played, &config);
        }
    }
    capture.push_silence(quantum, frames as u64);
    drop((capture, analysis));
    for event in rig.all_events() {
        check_event(event.name, &event.data);
    }
    assert_eq!(rig.leased(), 0);
}

/// Processes the sounds with an engine, one after the other, then an ordinary tone.
fn run_engine(rig: &mut Rig, sounds: &[Vec<f32>], quantum: usize, gain: f32) {
    let mut moving = Gain::new(0.25).unwrap();
    moving.set(gain).unwrap();
    let chain: Vec<Box<dyn Processor>> = vec![
        Box::new(Meter),
        Box::new(moving),
        Box::new(DcBlocker::default()),
        Box::new(Meter),
    ];
    let mut engine = rig.engine(2, chain);
    let tone: Vec<f32> = (0..8192).map(|n| 0.5 * sine(n, 100.0)).collect();
    let mut at = 0;
    let mut output = [vec![0.0; quantum], vec![0.0; quantum]];
    for samples in sounds.iter().chain([&tone]) {
        for input in samples.chunks(quantum) {
            let [left, right] = &mut output;
            let frames = input.len();
            let outputs = &mut [&mut left[..frames], &mut right[..frames]];
            engine.process(&[input, input], outputs, at);
            at += frames as u64;
            assert!(outputs.iter().all(|samples| finite(samples)));
        }
    }
    // The output contains the tone again, and the rest of the offset before it.
    assert!(Level::measure(&output[0]).unwrap().peak > 0.02 * gain);
    drop(engine);
    for event in rig.all_events() {
        check_event(event.name, &event.data);
    }
}

fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default,
        None => ProptestConfig {
            cases: 200,
            ..default
        },
    }
}

#[test]
fn nan_infinity_and_any_other_bits_are_analysed_in_bounded_steps() {
    let mut runner = proptest::test_runner::TestRunner::new(cases());
    let rig = core::cell::RefCell::new(Rig::boot());
    let case = (
        config(),
        prop::collection::vec(sound(), 2),
        prop::sample::select(vec![1_usize, 64, 128, 441, 1024, 4096, 5000]),
        0.2_f32..4.0,
    );
    runner
        .run(&case, |(config, sounds, quantum, gain)| {
            let rig = &mut *rig.borrow_mut();
            let frames = config.window + 2 * config.hop.max(config.window / 8);
            let sounds: Vec<Vec<f32>> = sounds.iter().map(|sound| sound.samples(frames)).collect();
            play_and_read(rig, config, &sounds, quantum.max(frames / 100));
            run_engine(rig, &sounds, quantum.clamp(16, 1024), gain);
            rig.settle();
            Ok(())
        })
        .unwrap();
    println!(
        "{} windows, {} steps at most for a window, {} for a quantum",
        WINDOWS.load(Ordering::Relaxed),
        MAX_OF_A_WINDOW.load(Ordering::Relaxed),
        MAX_OF_A_QUANTUM.load(Ordering::Relaxed),
    );
}

#[test]
fn bounded_step_checks_trip() {
    let (count, ()) = steps::of(|| (0..5).for_each(|_| steps::count()));
    assert_eq!(count, 5);
    let event = serde_json::json!({ "hz": null, "clarity": f32::NAN });
    let tripped = std::panic::catch_unwind(|| check_event("PitchDetected", &event));
    assert!(tripped.is_err());
    assert!(!finite(&[0.0, f32::INFINITY]));
}

#[test]
fn push_silence_of_any_length_is_bounded() {
    let mut rig = Rig::boot();
    let config = StreamConfig {
        sample_rate_hz: 48_000.0,
        channels: 1,
        window: 1024,
        hop: 16,
    };
    let (mut capture, analysis) = rig.open(config);
    for frames in [0, 1, 5000, MAX_SILENCE_FRAMES + 1, usize::MAX] {
        let first = capture.counters().frames;
        let (count, _) = steps::of(|| capture.push_silence(frames, first));
        let quanta = frames.min(MAX_SILENCE_FRAMES).div_ceil(MAX_QUANTUM_FRAMES);
        assert!(count <= quanta as u64 * max_steps_of_a_quantum(&config));
        let captured = capture.counters().frames - first;
        assert_eq!(captured, frames.min(MAX_SILENCE_FRAMES) as u64);
    }
    drop((capture, analysis));
    assert_eq!(rig.leased(), 0);
}

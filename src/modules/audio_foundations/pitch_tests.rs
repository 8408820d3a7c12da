//! Pitch detection: of tones, of windows without a pitch, and at any amplitude.

use super::*;
use core::f64::consts::TAU;

/// Under Miri, which is slow, only one in so many similar cases runs.
const STEP: usize = if cfg!(miri) { 88 } else { 1 };
const RATES: &[f32] = if cfg!(miri) {
    &[44_100.0]
} else {
    &[44_100.0, 48_000.0]
};

fn detector(rate: f32, window: usize) -> PitchDetector {
    PitchDetector::new(rate, window).unwrap()
}

fn detect(rate: f32, window: &[f32]) -> Pitch {
    let detector = detector(rate, window.len());
    let n = detector.work_samples();
    // The previous contents of work slices must not matter.
    let [mut lags, mut near, mut far, mut fft] = [(); 4].map(|()| vec![f32::NAN; n]);
    let work = PitchWork {
        lags: &mut lags,
        near: &mut near,
        far: &mut far,
        fft: &mut fft,
    };
    detector.detect(window, work).unwrap()
}

fn cents(hz: f32, reference: f32) -> f32 {
    1200.0 * (hz / reference).log2()
}

/// A sum of partials (frequency ratio, amplitude), each with its own phase, decaying at `decay` per second.
fn tone(rate: f32, len: usize, hz: f32, decay: f64, partials: &[(f64, f64)]) -> Vec<f32> {
    (0..len)
        .map(|n| {
            let t = n as f64 / f64::from(rate);
            let sum: f64 = partials
                .iter()
                .enumerate()
                .filter(|(_, (ratio, _))| ratio * f64::from(hz) < f64::from(rate) / 2.0)
                .map(|(i, (ratio, level))| {
                    let phase = 0.7 + 1.9 * i as f64;
                    level
                        * (-decay * t * (1.0 + i as f64)).exp()
                        * (TAU * ratio * f64::from(hz) * t + phase).sin()
                })
                .sum();
            (0.3 * sum) as f32
        })
        .collect()
}

fn saw() -> Vec<(f64, f64)> {
    (1..=40)
        .map(|k| (f64::from(k), 1.0 / f64::from(k)))
        .collect()
}

/// The partials of a piano string: partial k at k √(1 + B k²) with level 1 ÷ k^`rolloff`, the fundamental with level `weak`.
fn string(inharmonicity: f64, rolloff: f64, weak: f64) -> Vec<(f64, f64)> {
    (1..=12)
        .map(f64::from)
        .map(|k| {
            let level = if k == 1.0 { weak } else { k.powf(-rolloff) };
            (k * (1.0 + inharmonicity * k * k).sqrt(), level)
        })
        .collect()
}

fn assert_close(found: Pitch, hz: f32, tolerance: f32, what: &str) {
    let detected = found
        .hz
        .unwrap_or_else(|| panic!("{what}, {hz} Hz: no pitch, {found:?}"));
    let off = cents(detected, hz);
    assert!(
        off.abs() <= tolerance,
        "{what}, {hz} Hz: detected {detected} Hz, off by {off} cents"
    );
}

#[test]
fn pitch_of_sines_and_saws_over_the_whole_range() {
    for &rate in RATES {
        for number in (21..=108_u8).step_by(STEP) {
            let hz = 440.0 * ((f32::from(number) - 69.0) / 12.0).exp2();
            let sine = detect(rate, &tone(rate, 4096, hz, 0.0, &[(1.0, 1.0)]));
            assert_close(sine, hz, 3.0, "sine");
            let saw = detect(rate, &tone(rate, 4096, hz, 0.0, &saw()));
            assert_close(saw, hz, 1.0, "saw");
        }
    }
}

#[test]
fn pitch_of_decaying_inharmonic_strings() {
    // B is about 1e-4 in the bass of a grand piano and 1e-2 in the highest octave, where overtones are weak.
    for &rate in RATES {
        for (hz, inharmonicity, rolloff, weak) in [
            (55.0, 1e-4, 1.0, 0.05),
            (65.4, 1e-4, 1.0, 0.1),
            (110.0, 1e-4, 1.0, 0.3),
            (220.0, 2e-4, 1.2, 0.7),
            (440.0, 6e-4, 1.6, 1.0),
            (880.0, 2e-3, 2.5, 1.0),
            (2093.0, 1e-2, 5.0, 1.0),
        ]
        .into_iter()
        .step_by(STEP)
        {
            let window = tone(rate, 4096, hz, 1.5, &string(inharmonicity, rolloff, weak));
            assert_close(detect(rate, &window), hz, 20.0, "string");
        }
    }
}

#[test]
fn pitch_of_a_missing_fundamental_is_detected() {
    let window = tone(48_000.0, 4096, 110.0, 0.0, &saw()[1..]);
    assert_close(detect(48_000.0, &window), 110.0, 1.0, "missing fundamental");
}

#[test]
fn pitch_has_a_lower_limit_per_window_length() {
    let windows = [256, 300, 512, 1024, 2048, 3000, 4096, 8192];
    for window in windows.into_iter().step_by(STEP.min(3)) {
        let detector = detector(48_000.0, window);
        let hz = detector.lowest_hz() * 1.02;
        let samples = tone(48_000.0, window, hz, 0.0, &saw());
        assert_close(detect(48_000.0, &samples), hz, 10.0, "lowest");
    }
    assert_eq!(detector(48_000.0, 4096).lowest_hz(), LOWEST_HZ);
    assert_eq!(detector(96_000.0, 8192).lowest_hz(), LOWEST_HZ);
    assert!(detector(96_000.0, 4096).lowest_hz() > 47.0);
}

#[test]
fn work_slices_fit_a_buffer_of_the_window() {
    for window in [256, 512, 1024, 2048, 4096, 8192] {
        assert!(detector(48_000.0, window).work_samples() <= window);
    }
}

#[test]
fn pitch_above_or_below_the_range_is_none() {
    let outside = [4_800.0, 8_000.0, 11_111.0, 20.0, 12.0];
    for hz in outside.into_iter().step_by(STEP.min(4)) {
        let found = detect(48_000.0, &tone(48_000.0, 4096, hz, 0.0, &[(1.0, 1.0)]));
        assert_eq!(found.hz, None, "{hz} Hz: {found:?}");
    }
}

struct Noise(u64);

impl Noise {
    fn white(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

#[test]
fn white_and_pink_noise_have_no_pitch() {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    // Kellet's filter: white noise through three one-pole filters, -3 dB per octave within 0.5 dB.
    let mut pole = [0.0_f32; 3];
    for _ in 0..200 / STEP {
        let white: Vec<f32> = (0..4096).map(|_| noise.white()).collect();
        assert!(detect(48_000.0, &white).clarity < 0.2);
        let pink: Vec<f32> = (0..4096)
            .map(|_| {
                let w = noise.white();
                pole[0] = 0.99765 * pole[0] + w * 0.099_046;
                pole[1] = 0.96300 * pole[1] + w * 0.296_516_4;
                pole[2] = 0.57000 * pole[2] + w * 1.052_691_3;
                0.1 * (pole.iter().sum::<f32>() + w * 0.1848)
            })
            .collect();
        let found = detect(48_000.0, &pink);
        assert!(found.hz.is_none() && found.clarity < 0.7, "{found:?}");
    }
}

#[test]
fn pitch_of_a_tone_in_noise_is_detected_up_to_a_noise_level() {
    let mut noise = Noise(7);
    let tone = tone(48_000.0, 4096, 440.0, 0.0, &[(1.0, 1.0)]);
    let mut with = |level: f32| -> Pitch {
        let mixed: Vec<f32> = tone.iter().map(|x| x + level * noise.white()).collect();
        detect(48_000.0, &mixed)
    };
    assert_close(with(0.05), 440.0, 3.0, "16 dB above noise");
    assert_eq!(with(1.0).hz, None);
}

#[test]
fn silence_dc_clicks_and_denormals_have_no_pitch() {
    let mut click = vec![0.0; 4096];
    click[1000] = 0.9;
    let ramp = (0..4096).map(|n| n as f32 / 4096.0).collect();
    for (what, window) in [
        ("silence", vec![0.0; 4096]),
        ("offset", vec![0.5; 4096]),
        ("click", click),
        ("ramp", ramp),
        (
            "denormals",
            tone(48_000.0, 4096, 440.0, 0.0, &[(1.0, 1e-39)]),
        ),
        ("not a number", vec![f32::NAN; 4096]),
        ("infinity", vec![f32::INFINITY; 4096]),
    ] {
        assert_eq!(detect(48_000.0, &window).hz, None, "{what}");
    }
}

#[test]
fn pitch_is_independent_of_an_offset() {
    let mut window = tone(48_000.0, 4096, 440.0, 0.0, &[(1.0, 0.1)]);
    window.iter_mut().for_each(|x| *x += 0.5);
    assert_close(detect(48_000.0, &window), 440.0, 3.0, "offset");
}

#[test]
fn nsdf_by_fft_equals_the_direct_sum() {
    let mut noise = Noise(99);
    let window: Vec<f32> = (0..300).map(|_| noise.white()).collect();
    let detector = detector(48_000.0, window.len());
    let mean = window.iter().sum::<f32>() / 300.0;
    let n = detector.fft_len;
    let (mut lags, mut near, mut far) = (vec![0.0; n], vec![0.0; n + 2], vec![0.0; n + 2]);
    let mut fft = vec![0.0; detector.work_samples()];
    let scaled = Scaled {
        samples: &window,
        scale: 1.0,
        mean,
    };
    detector.autocorrelate(&scaled, &mut lags, &mut near, &mut far, &mut fft);
    let end = n - 150;
    detector.normalise(&scaled, scaled.energy(), &mut lags[..end]);
    for lag in 0..end {
        let pairs = || window.iter().zip(&window[lag..]);
        let product: f64 = pairs()
            .map(|(a, b)| f64::from((a - mean) * (b - mean)))
            .sum();
        let overlap: f64 = pairs()
            .map(|(a, b)| square(a - mean) + square(b - mean))
            .sum();
        let plain = 2.0 * product / overlap;
        assert!((f64::from(lags[lag]) - plain).abs() < 1e-4, "lag {lag}");
    }
}

#[test]
fn pitch_is_independent_of_amplitude() {
    for hz in [27.6_f32, 100.0, 440.0, 4186.0]
        .into_iter()
        .step_by(STEP.min(3))
    {
        let usual = detect(48_000.0, &tone(48_000.0, 4096, hz, 0.0, &[(1.0, 1.0)]));
        assert_close(usual, hz, 3.0, "usual");
        // The amplitude of the tone is 0.3 times this: from just above silence to the largest finite sample.
        for amplitude in [2e-3, 1e3, 1e16, 1e19, 1e30, f64::from(f32::MAX) / 0.3] {
            let window = tone(48_000.0, 4096, hz, 0.0, &[(1.0, amplitude)]);
            let found = detect(48_000.0, &window);
            assert_close(found, hz, 3.0, "another amplitude");
            assert!((found.clarity - usual.clarity).abs() < 1e-3);
        }
        let window = tone(48_000.0, 4096, hz, 0.0, &[(1.0, 1.0)]);
        for scale in [0.25, 4.0, 2_f32.powi(100)] {
            let scaled: Vec<f32> = window.iter().map(|x| x * scale).collect();
            assert_eq!(detect(48_000.0, &scaled), usual, "{scale}");
        }
    }
}

#[test]
fn loud_sound_without_a_period_has_no_pitch() {
    let with = |sample: fn(usize) -> f32| (0..4096).map(sample).collect::<Vec<f32>>();
    for (what, window) in [
        ("spike", with(|n| if n == 1234 { 1e19 } else { 0.0 })),
        (
            "spike in sound",
            with(|n| {
                if n == 9 {
                    -1e30
                } else {
                    (n as f32 * 0.05).sin()
                }
            }),
        ),
        (
            "alternating",
            with(|n| if n % 2 == 0 { 1e17 } else { -1e17 }),
        ),
        (
            "largest, alternating",
            with(|n| if n % 2 == 0 { f32::MAX } else { f32::MIN }),
        ),
        ("largest, constant", with(|_| f32::MAX)),
        ("step", with(|n| if n < 2048 { f32::MIN } else { f32::MAX })),
        ("runaway", with(|n| (n as f32 * 0.021).exp())),
        (
            "one NaN",
            with(|n| {
                if n == 4095 {
                    f32::NAN
                } else {
                    (n as f32 * 0.05).sin()
                }
            }),
        ),
        (
            "one infinity",
            with(|n| {
                if n == 0 {
                    f32::NEG_INFINITY
                } else {
                    (n as f32 * 0.05).sin()
                }
            }),
        ),
        ("below silence", with(|n| 1e-30 * (n as f32 * 0.05).sin())),
    ] {
        let found = detect(48_000.0, &window);
        assert_eq!(found.hz, None, "{what}: {found:?}");
        assert!((0.0..=1.0).contains(&found.clarity), "{what}: {found:?}");
    }
}

#[test]
fn fft_length_is_the_longest_even_one_without_large_prime_factors() {
    let smooth = |mut n: usize| {
        for factor in [2, 3, 5] {
            while n.is_multiple_of(factor) {
                n /= factor;
            }
        }
        n == 1
    };
    let mut best = 2;
    for most in 2..if cfg!(miri) { 100 } else { 20_000 } {
        if most % 2 == 0 && smooth(most) {
            best = most;
        }
        assert_eq!(longest_transform(most), best, "{most}");
    }
    assert_eq!(longest_transform(usize::MAX / 2 + 1), usize::MAX / 2 + 1);
}

#[test]
fn detector_numbers_are_checked_from_zero_to_the_types_maximum() {
    for window in [0, 1, 63, (1 << 24) + 1, usize::MAX] {
        let refused = PitchDetector::new(48_000.0, window).err().unwrap();
        let text = format!("the window must be 64 to 16777216 samples (got {window})");
        assert_eq!(refused.to_string(), text);
    }
    for rate in [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e-40, f32::MAX] {
        let refused = PitchDetector::new(rate, 64).err().unwrap();
        let text = format!("the sample rate must be 1 to 10000000 Hz (got {rate:?})");
        assert_eq!(refused.to_string(), text);
    }
    for (rate, window) in [(1.0, 64), (1e7, 64), (1.0, 4096), (1e7, 4096)] {
        let found = detect(rate, &tone(rate, window, rate / 20.0, 0.0, &[(1.0, 1.0)]));
        assert_eq!(found.hz, None, "{rate} Hz, {window}: {found:?}");
        assert!(detector(rate, window).lowest_hz().is_finite());
    }
}

#[test]
fn windows_and_work_of_another_length_are_refused() {
    let detector = detector(48_000.0, 256);
    let least = detector.work_samples();
    let detect = |window: usize, lengths: [usize; 4]| {
        let [mut lags, mut near, mut far, mut fft] = lengths.map(|length| vec![0.0; length]);
        let work = PitchWork {
            lags: &mut lags,
            near: &mut near,
            far: &mut far,
            fft: &mut fft,
        };
        detector.detect(&vec![0.5; window], work)
    };
    for window in [0, 255, 257, 4096] {
        assert_eq!(
            detect(window, [least; 4]),
            Err(AudioError::WindowLength {
                given: window,
                expected: 256
            })
        );
    }
    for short in 0..4 {
        for given in [0, least - 1] {
            let mut lengths = [least; 4];
            lengths[short] = given;
            assert_eq!(
                detect(256, lengths),
                Err(AudioError::WorkLength { given, least })
            );
        }
    }
    assert_eq!(detect(256, [least; 4]), Ok(Pitch::default()));
}

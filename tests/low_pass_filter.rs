//! The example `low_pass` on sound and parameters of every value: what it puts out is finite, and after sound that is not,
//! it filters again.
#![cfg(not(any(loom, target_arch = "wasm32")))]
#![allow(clippy::unwrap_used)] // A test fails by it.

#[path = "../examples/low_pass/src/lib.rs"]
#[allow(unreachable_pub, reason = "the example is a crate of its own")]
mod low_pass;

use low_pass::LowPass;
use proptest::prelude::*;
use wavepool::worklet::{Worklet, WorkletProcessor};

/// One block of the same samples on both channels; what came out of the second.
fn block(worklet: &mut Worklet<LowPass>, samples: &[f32; 128]) -> ([f32; 128], bool) {
    let block = worklet.block().unwrap();
    for channel in 0..2 {
        block.channel_mut(channel).copy_from_slice(samples);
    }
    let processed = worklet.process();
    let block = worklet.block().unwrap();
    assert_eq!(
        block.channel(0).map(f32::to_bits),
        block.channel(1).map(f32::to_bits)
    );
    (block.channel(1).try_into().unwrap(), processed)
}

trait Bits {
    fn map(&self, of: fn(f32) -> u32) -> Vec<u32>;
}

impl Bits for [f32] {
    fn map(&self, of: fn(f32) -> u32) -> Vec<u32> {
        self.iter().copied().map(of).collect()
    }
}

/// The peak of a tone of 100 Hz after it has played long enough for all that was before to be gone.
fn peak_of_a_tone(worklet: &mut Worklet<LowPass>) -> f32 {
    let mut peak = 0.0_f32;
    for quantum in 0..400 {
        let tone = core::array::from_fn(|n| {
            let frame = (quantum * 128 + n) % 480;
            (core::f32::consts::TAU * frame as f32 / 480.0).sin()
        });
        let (heard, _) = block(worklet, &tone);
        if quantum >= 390 {
            peak = heard.iter().fold(peak, |peak, x| peak.max(x.abs()));
        }
    }
    peak
}

/// As many as are asked for, or few: each plays more than a second of sound.
fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() {
        default.cases
    } else {
        40
    };
    ProptestConfig { cases, ..default }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nan_and_other_bits_neither_pass_nor_stay(
        samples in prop::collection::vec(any::<u32>(), 128),
        at in 0_usize..128,
        value in any::<u32>(),
        parameters in prop::collection::vec((0_usize..4, any::<u32>()), 0..6),
    ) {
        let mut worklet = Worklet::<LowPass>::open(48_000.0, 2).unwrap();
        let any: [f32; 128] = core::array::from_fn(|n| f32::from_bits(samples[n]));
        let mut one = [0.5; 128];
        one[at] = f32::from_bits(value);
        for &(place, bits) in &parameters {
            worklet.set(place, f32::from_bits(bits));
        }
        for samples in [&any, &one, &[0.5; 128], &[f32::MAX; 128], &[f32::MIN; 128]] {
            let (heard, processed) = block(&mut worklet, samples);
            prop_assert!(heard.iter().all(|x| x.is_finite()));
            prop_assert!(processed || heard == [0.0; 128]);
            // A block of finite samples is always processed.
            prop_assert!(processed || samples.iter().any(|x| !x.is_finite()));
        }
        // Below its frequency and without resonance it passes a tone as it is.
        for (place, parameter) in LowPass::PARAMETERS.iter().enumerate() {
            worklet.set(place, parameter.default);
        }
        worklet.set(0, 10_000.0);
        let peak = peak_of_a_tone(&mut worklet);
        prop_assert!((peak - 1.0).abs() < 0.01, "{}", peak);
    }
}

#[test]
fn every_frequency_and_resonance_is_stable_at_every_rate() {
    for rate in [1.0, 48_000.0, 384_000.0, 768_000.0, 1e7] {
        for frequency in [10.0, 24_000.0] {
            for q in [0.1, 0.3, 0.707, 5.0, 30.0] {
                let mut worklet = Worklet::<LowPass>::open(rate, 2).unwrap();
                worklet.set(0, frequency);
                worklet.set(1, q);
                let mut impulse = [0.0; 128];
                impulse[0] = 1.0;
                block(&mut worklet, &impulse);
                let mut loudest = 0.0_f32;
                for _ in 0..500 {
                    let (heard, processed) = block(&mut worklet, &[0.0; 128]);
                    assert!(processed);
                    loudest = heard.iter().fold(loudest, |peak, x| peak.max(x.abs()));
                }
                assert!(
                    loudest <= 2.0,
                    "{rate} Hz, {frequency} Hz, q {q}: {loudest}"
                );
            }
        }
    }
}

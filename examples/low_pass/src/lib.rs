//! A resonant low-pass filter. For the browser: `cargo build --release --target wasm32-unknown-unknown -p low_pass`.

use std::f64::consts::TAU;

use wavepool::modules::audio_foundations::{ProcessContext, Processor};
use wavepool::modules::data_management::{MAX_CHANNELS, PlanarBuffer, PoolError};
use wavepool::worklet::{Parameter, WorkletProcessor};

/// Two poles and two zeros, in transposed direct form II; coefficients from Robert Bristow-Johnson's cookbook.
///
/// In double precision: rounded to single, the coefficients of 10 Hz at 768 kHz, a rate that browsers accept, are those of a
/// filter that is not stable.
#[derive(Default)]
pub struct LowPass {
    sample_rate_hz: f64,
    frequency: f64,
    q: f64,
    /// 1 is all filtered, 0 is all as it was.
    mix: f64,
    b: [f64; 3],
    a: [f64; 2],
    state: [[f64; 2]; MAX_CHANNELS],
}

const LARGEST: f64 = f32::MAX as f64;
const SMALLEST: f64 = f32::MIN as f64;
/// The memory of a filter that has been silent for so long that no sample can show it, 600 dB below full scale.
const FORGOTTEN: f64 = 1e-30;

impl LowPass {
    fn tune(&mut self) {
        let frequency = self.frequency.min(0.49 * self.sample_rate_hz);
        let (sin, cos) = (TAU * frequency / self.sample_rate_hz).sin_cos();
        let alpha = sin / (2.0 * self.q);
        let scale = 1.0 / (1.0 + alpha);
        let side = 0.5 * (1.0 - cos) * scale;
        self.b = [side, 2.0 * side, side];
        self.a = [-2.0 * cos * scale, (1.0 - alpha) * scale];
    }
}

impl Processor for LowPass {
    fn prepare(&mut self, sample_rate_hz: f32) {
        self.sample_rate_hz = f64::from(sample_rate_hz);
    }

    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        ctx: &ProcessContext<'_>,
    ) -> Result<(), PoolError> {
        let mut dry = ctx.scratch(block.frames())?;
        for (channel, [z1, z2]) in self.state.iter_mut().enumerate().take(block.channels()) {
            dry.copy_from_slice(block.channel(channel));
            for (sample, dry) in block.channel_mut(channel).iter_mut().zip(dry.iter()) {
                let dry = f64::from(*dry);
                let wet = self.b[0] * dry + *z1;
                *z1 = self.b[1] * dry - self.a[0] * wet + *z2;
                *z2 = self.b[2] * dry - self.a[1] * wet;
                // Resonance lifts the loudest sound above what a sample can hold.
                let mixed = dry + self.mix * (wet - dry);
                *sample = mixed.clamp(SMALLEST, LARGEST) as f32;
            }
            // NaN and infinity would stay for ever: this processor forgets them, and whoever runs it silences the block.
            // What is too small to be heard would end in denormals, at many times the cost.
            for z in [z1, z2] {
                if !(FORGOTTEN..=f64::MAX).contains(&z.abs()) {
                    *z = 0.0;
                }
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.state = Default::default();
    }
}

impl WorkletProcessor for LowPass {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "frequency",
            minimum: 10.0,
            maximum: 24_000.0,
            default: 1000.0,
        },
        Parameter {
            name: "q",
            minimum: 0.1,
            maximum: 30.0,
            default: 0.707,
        },
        Parameter {
            name: "mix",
            minimum: 0.0,
            maximum: 1.0,
            default: 1.0,
        },
    ];

    fn set(&mut self, parameter: usize, value: f32) {
        match parameter {
            0 => self.frequency = f64::from(value),
            1 => self.q = f64::from(value),
            _ => self.mix = f64::from(value),
        }
        // Before all are known there is nothing to tune.
        if self.frequency > 0.0 && self.q > 0.0 {
            self.tune();
        }
    }
}

wavepool::export_processor!(LowPass);

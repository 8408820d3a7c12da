//! A resonant low-pass filter. For the browser: `cargo build --release --target wasm32-unknown-unknown -p low_pass`.

use std::f64::consts::TAU;

use wavepool::modules::audio_foundations::{ProcessContext, Processor};
use wavepool::modules::data_management::{MAX_CHANNELS, PlanarBuffer, PoolError};
use wavepool::worklet::{Parameter, WorkletProcessor};

/// Two poles and two zeros, in transposed direct form II; coefficients from Robert Bristow-Johnson's cookbook.
#[derive(Default)]
pub struct LowPass {
    sample_rate_hz: f64,
    frequency: f64,
    q: f64,
    /// 1 is all filtered, 0 is all as it was.
    mix: f32,
    b: [f32; 3],
    a: [f32; 2],
    state: [[f32; 2]; MAX_CHANNELS],
}

impl LowPass {
    fn tune(&mut self) {
        let frequency = self.frequency.min(0.49 * self.sample_rate_hz);
        let (sin, cos) = (TAU * frequency / self.sample_rate_hz).sin_cos();
        let alpha = sin / (2.0 * self.q);
        let scale = 1.0 / (1.0 + alpha);
        let side = (0.5 * (1.0 - cos) * scale) as f32;
        self.b = [side, 2.0 * side, side];
        self.a = [(-2.0 * cos * scale) as f32, ((1.0 - alpha) * scale) as f32];
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
                let wet = self.b[0] * dry + *z1;
                *z1 = self.b[1] * dry - self.a[0] * wet + *z2;
                *z2 = self.b[2] * dry - self.a[1] * wet;
                *sample = dry + self.mix * (wet - dry);
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
            _ => self.mix = value,
        }
        // Before all are known there is nothing to tune.
        if self.frequency > 0.0 && self.q > 0.0 {
            self.tune();
        }
    }
}

wavepool::export_processor!(LowPass);

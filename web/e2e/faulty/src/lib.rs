//! Lets sound through until it is given a fault: what the other nodes of a page do then is tested.

use wavepool::modules::audio_foundations::{ProcessContext, Processor};
use wavepool::modules::data_management::{PlanarBuffer, PoolError};
use wavepool::worklet::{Parameter, WorkletProcessor};

/// At this sample rate it panics before its first block.
const UNBEARABLE_HZ: f32 = 8000.0;
/// `fault` values: panics with scratch in its hands; allocates more than its memory has, once.
const PANIC: f32 = 1.0;
const GROW: f32 = 2.0;
const GROWTH_BYTES: usize = 4 << 20;

/// Has no fault as long as `fault` is 0.
#[derive(Default)]
pub struct Faulty {
    fault: f32,
    growth: Vec<u8>,
}

impl Processor for Faulty {
    fn prepare(&mut self, sample_rate_hz: f32) {
        assert!(
            sample_rate_hz != UNBEARABLE_HZ,
            "made to fail at {sample_rate_hz} Hz"
        );
    }

    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        ctx: &ProcessContext<'_>,
    ) -> Result<(), PoolError> {
        let scratch = ctx.scratch(block.frames())?;
        assert!(
            self.fault != PANIC,
            "made to fail with {} samples of scratch",
            scratch.len()
        );
        if self.fault == GROW && self.growth.is_empty() {
            // Through the black box, or the compiler leaves the allocation out.
            self.growth = core::hint::black_box(vec![1; GROWTH_BYTES]);
        }
        Ok(())
    }
}

impl WorkletProcessor for Faulty {
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "fault",
        minimum: 0.0,
        maximum: GROW,
        default: 0.0,
    }];

    fn set(&mut self, _parameter: usize, value: f32) {
        self.fault = value;
    }
}

wavepool::export_processor!(Faulty);

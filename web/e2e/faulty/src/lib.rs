//! Lets sound through until it is told to panic: what the other nodes of a page do then is tested.

use wavepool::modules::audio_foundations::{ProcessContext, Processor};
use wavepool::modules::data_management::{PlanarBuffer, PoolError};
use wavepool::worklet::{Parameter, WorkletProcessor};

/// Panics once `fault` is above 0, with scratch in its hands.
#[derive(Default)]
pub struct Faulty {
    fault: f32,
}

impl Processor for Faulty {
    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        ctx: &ProcessContext<'_>,
    ) -> Result<(), PoolError> {
        let scratch = ctx.scratch(block.frames())?;
        assert!(
            self.fault == 0.0,
            "told to fail with {} samples of scratch",
            scratch.len()
        );
        Ok(())
    }
}

impl WorkletProcessor for Faulty {
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "fault",
        minimum: 0.0,
        maximum: 1.0,
        default: 0.0,
    }];

    fn set(&mut self, _parameter: usize, value: f32) {
        self.fault = value;
    }
}

wavepool::export_processor!(Faulty);

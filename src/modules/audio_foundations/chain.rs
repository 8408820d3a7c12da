//! Processors on one block after another: what an engine and a worklet have in common.

use super::processor::{ProcessContext, Processor};
use crate::event_bus::Publisher;
use crate::modules::data_management::{PlanarBuffer, RealtimePool};

/// What processors draw from and publish to.
pub(crate) struct Chain {
    pub(crate) pool: RealtimePool,
    pub(crate) publisher: Publisher,
    /// Number of the stream or engine, for events.
    pub(crate) stream: u32,
    pub(crate) sample_rate_hz: f32,
}

/// What became of a block.
pub(crate) struct Processed {
    /// Processors that left it unchanged because the pool had no scratch.
    pub(crate) refused: u64,
    /// Whether it ends in infinity or NaN, which a processor may have in its state. See
    /// `docs/decisions/0031-infinite-and-nan-samples.md`.
    pub(crate) is_broken: bool,
}

impl Chain {
    /// Has each processor change the block in place.
    ///
    /// # Real-time
    /// No allocation and no lock besides those of the processors.
    pub(crate) fn process<'p, P: Processor + ?Sized + 'p>(
        &self,
        processors: impl Iterator<Item = &'p mut P>,
        block: &mut PlanarBuffer,
        first_frame: u64,
    ) -> Processed {
        let context = ProcessContext::new(
            &self.pool,
            &self.publisher,
            self.stream,
            first_frame,
            self.sample_rate_hz,
        );
        let refused = processors
            .map(|processor| u64::from(processor.process(block, &context).is_err()))
            .sum();
        Processed {
            refused,
            is_broken: ends_non_finite(block),
        }
    }
}

/// Whether the last sample of a channel is infinite or NaN. Infinity or NaN in the state of a recursive filter is in every
/// later sample, so that checking the last one is enough; checking each sample would cost as much as a copy.
fn ends_non_finite(block: &PlanarBuffer) -> bool {
    block
        .iter()
        .any(|samples| samples.last().is_some_and(|last| !last.is_finite()))
}

//! What streams that have closed had counted: the figures go on without them.

use super::receiver::Receiver;
use super::stream::StreamFigures;
use super::unit_costs::Crossings;
use crate::modules::data_management::pool_metrics::{ClassMetrics, PoolCounts};

/// Of all of them together, and of the last one.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// The worklets' own pools: what they counted, and what never came back. Their memory is gone.
    pub(super) pool: PoolCounts,
    pub(super) recycled: u64,
    pub(super) objects: u64,
    pub(super) crossings: Crossings,
    pub(super) figures: Option<StreamFigures>,
}

impl Closed {
    /// Answers how many buffers went with a memory that was `lost`; those still out at a last word have leaked.
    pub(super) fn absorb(&mut self, receiver: &Receiver, lost: bool) -> u64 {
        let leased: u64 = receiver
            .remote
            .classes
            .iter()
            .map(|class| class.leased)
            .sum();
        let gone = |class: &ClassMetrics| {
            let leased = if lost { 0 } else { class.leased };
            ClassMetrics {
                carved: leased,
                leased,
                idle: 0,
                requested_samples: 0,
                ..class.clone()
            }
        };
        let reclaimed = if lost { leased } else { 0 };
        let classes = receiver.remote.classes.iter().map(gone).collect();
        self.pool.add(&PoolCounts {
            classes,
            leases_reclaimed: receiver.remote.leases_reclaimed + reclaimed,
            ..PoolCounts::default()
        });
        self.recycled += receiver.remote_recycled;
        reclaimed
    }
}

//! What streams that have closed had counted: the figures go on without them.

use super::stream::StreamFigures;
use super::unit_costs::{Crossings, Made};
use crate::modules::data_management::pool_metrics::{ClassMetrics, PoolCounts};

/// Of all of them together, and of the last one.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// The pools that worklets and other threads had: what they counted, and what never came back. Their memory is gone.
    pub(super) pool: PoolCounts,
    pub(super) recycled: u64,
    pub(super) made: Made,
    pub(super) crossings: Crossings,
    pub(super) figures: Option<StreamFigures>,
}

impl Closed {
    /// Answers how many buffers went with a memory that was `lost`; those still out at a last word have leaked.
    pub(super) fn absorb(&mut self, remote: &PoolCounts, recycled: u64, lost: bool) -> u64 {
        let leased: u64 = remote.classes.iter().map(|class| class.leased).sum();
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
        let classes = remote.classes.iter().map(gone).collect();
        self.pool.add(&PoolCounts {
            classes,
            leases_reclaimed: remote.leases_reclaimed + reclaimed,
            ..PoolCounts::default()
        });
        self.recycled += recycled;
        reclaimed
    }
}

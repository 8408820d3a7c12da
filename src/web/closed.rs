//! The totals of closed streams and participants: figures must not fall when one of them closes.

use super::stream::StreamFigures;
use super::unit_costs::{Crossings, ObjectCounts};
use crate::modules::data_management::pool_metrics::{ClassMetrics, PoolCounts};

/// The sums over all of them, and the figures of the last stream.
#[derive(Debug, Default)]
pub(super) struct ClosedTotals {
    /// The counts of pools in other threads' memories, which were freed: what they counted, and what was never released.
    pub(super) pool: PoolCounts,
    pub(super) recycled: u64,
    pub(super) objects: ObjectCounts,
    pub(super) crossings: Crossings,
    pub(super) figures: Option<StreamFigures>,
}

impl ClosedTotals {
    /// Adds the counts of a closed pool. If its memory was `lost` with its thread, its leased buffers count as reclaimed, and
    /// their number is returned; otherwise buffers that are still leased in its final message have leaked.
    pub(super) fn absorb(&mut self, remote: &PoolCounts, recycled: u64, lost: bool) -> u64 {
        let leased: u64 = remote.classes.iter().map(|class| class.leased).sum();
        let closed_class = |class: &ClassMetrics| {
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
        let classes = remote.classes.iter().map(closed_class).collect();
        self.pool.add(&PoolCounts {
            classes,
            leases_reclaimed: remote.leases_reclaimed + reclaimed,
            ..PoolCounts::default()
        });
        self.recycled += recycled;
        reclaimed
    }
}

//! The totals of closed streams and participants: figures must not fall when one of them closes.

use wavepool::modules::data_management::pool_metrics::{ClassMetrics, PoolCounts};
use wavepool::modules::data_management::{Crossings, ObjectCounts, PoolControl};

use super::instance::Instance;
use super::stream::{Stream, StreamFigures};

/// The sums over all that have closed, the figures of the last stream, and what leaked.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// The counts of pools in other threads' memories, which were freed: what they counted, and what was never released.
    pub(crate) pool: PoolCounts,
    pub(crate) recycled: u64,
    /// What closed streams and participants passed to JavaScript, with the objects that were made for it on this side for open ones
    /// too.
    pub(crate) crossings: Crossings,
    /// JavaScript objects of closed streams whose windows did not reach it.
    pub(crate) other_objects: ObjectCounts,
    pub(crate) figures: Option<StreamFigures>,
    /// Buffers that were still leased after the last stream was closed.
    pub(crate) leaked: u64,
}

impl Totals {
    /// Adds the counts of a stream that closes.
    pub(crate) fn add_stream(&mut self, number: u32, stream: &Stream) {
        self.figures = Some(stream.figures(number));
        if stream.reaches_javascript() {
            stream.count_crossings(&mut self.crossings);
        } else {
            self.other_objects += stream.counts.objects();
        }
    }

    /// Adds the counts of a closed pool. If its memory was `lost` with its thread, its leased buffers count as reclaimed, and
    /// their number is returned; otherwise buffers that are still leased in its final message have leaked.
    pub(crate) fn absorb(&mut self, remote: &PoolCounts, recycled: u64, lost: bool) -> u64 {
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

    /// Counts the buffers that are still leased, at a time when nobody may use one.
    pub(crate) fn count_leaks(&mut self, instance: &mut Instance) {
        self.leaked = self.pool.classes.iter().map(|class| class.leased).sum();
        if let Some(data) = instance.data_mut() {
            data.report_leaks();
            self.leaked += data.control().map_or(0, PoolControl::leased);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leased_buffers_of_a_closed_pool_leaked_or_were_reclaimed_with_its_memory() {
        let remote = PoolCounts {
            classes: vec![ClassMetrics {
                samples: 256,
                carved: 9,
                leased: 4,
                hits: 20,
                ..Default::default()
            }],
            leases_reclaimed: 1,
            ..Default::default()
        };
        for (lost, reclaimed, leaked) in [(true, 4, 0), (false, 0, 4)] {
            let mut totals = Totals::default();
            assert_eq!(totals.absorb(&remote, 16, lost), reclaimed);
            let class = &totals.pool.classes[0];
            assert_eq!(
                (class.carved, class.leased, class.hits),
                (leaked, leaked, 20)
            );
            assert_eq!(totals.pool.leases_reclaimed, 1 + reclaimed);
            assert_eq!(totals.recycled, 16);
        }
    }
}

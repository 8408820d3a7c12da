//! The counts of all threads, open and closed.

use wavepool::modules::data_management::pool_metrics::{BoundaryCounts, PoolCounts};
use wavepool::modules::data_management::{PoolControl, PoolFigures};

use super::participants::Participants;
use super::stream::StreamEnds;
use super::streams::Streams;
use super::totals::Totals;
use crate::shared::unit_costs::{self, ObjectCounts, boundary_counts};

/// What the threads have counted so far.
#[derive(Clone, Copy)]
pub(crate) struct AllCounts<'a> {
    pub(crate) streams: &'a Streams,
    pub(crate) participants: &'a Participants,
    pub(crate) totals: &'a Totals,
}

impl AllCounts<'_> {
    /// The counts of this memory's pool and of the worklets' pools, and the number of released buffers.
    pub(crate) fn pools(&self, control: &PoolControl) -> (PoolCounts, u64) {
        let mut counts = control.counts();
        let mut recycled = control.recycled() + self.totals.recycled;
        counts.add(&self.totals.pool);
        for (_, stream) in self.streams.iter() {
            if let StreamEnds::Received(receiver) = &stream.ends {
                counts.add(&receiver.remote);
                recycled += receiver.remote_recycled;
            }
        }
        counts.boundary = self.boundary();
        (counts, recycled)
    }

    /// The JavaScript objects made so far.
    pub(crate) fn objects(&self) -> ObjectCounts {
        let mut objects = self.totals.objects;
        // A buffer that JavaScript acquires for itself costs views only.
        objects.views += self.participants.views();
        for (_, stream) in self.streams.iter() {
            objects += stream.counts.objects();
        }
        objects
    }

    /// The costs of passing windows to JavaScript so far.
    pub(crate) fn boundary(&self) -> BoundaryCounts {
        let mut crossings = self.totals.crossings;
        for (_, stream) in self.streams.iter() {
            stream.count_crossings(&mut crossings);
        }
        let costs = unit_costs::MEASURED.map(|measured| measured.costs);
        boundary_counts(self.objects(), crossings, costs)
    }
}

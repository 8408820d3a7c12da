//! The counts of all threads, open and closed.

use wavepool::modules::data_management::pool_metrics::{BoundaryCounts, PoolCounts};
use wavepool::modules::data_management::{Crossings, DataManagementModule, ObjectCounts};

use super::participants::Participants;
use super::stream::StreamEnds;
use super::streams::Streams;
use super::totals::Totals;
use crate::shared::unit_costs;

/// What the threads have counted so far.
#[derive(Clone, Copy)]
pub(crate) struct AllCounts<'a> {
    pub(crate) streams: &'a Streams,
    pub(crate) participants: &'a Participants,
    pub(crate) totals: &'a Totals,
}

impl AllCounts<'_> {
    /// The counts of this memory's pool and of the worklets' pools, and the number of released buffers.
    pub(crate) fn pools(&self, data: &DataManagementModule) -> (PoolCounts, u64) {
        let mut counts = data.counts().unwrap_or_default();
        let mut recycled = data.recycled() + self.totals.recycled;
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
        let mut objects = self.crossings().made;
        for (_, stream) in self.streams.iter() {
            if !stream.reaches_javascript() {
                objects += stream.counts.objects();
            }
        }
        objects += self.totals.other_objects;
        objects
    }

    /// The costs of passing samples to JavaScript so far.
    pub(crate) fn boundary(&self) -> BoundaryCounts {
        let costs = unit_costs::MEASURED.map(|measured| measured.costs);
        self.crossings().counts(self.objects().total(), costs)
    }

    fn crossings(&self) -> Crossings {
        let mut crossings = self.totals.crossings;
        for (_, stream) in self.streams.iter() {
            stream.count_crossings(&mut crossings);
        }
        self.participants.count_crossings(&mut crossings);
        crossings
    }
}

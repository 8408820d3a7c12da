//! The participants of the host: threads with buffers of their own, and the numbers of all lease holders.

use std::collections::BTreeMap;

use super::block_header::Header;
use super::exports::ThreadHandle;
use super::participant::Participant;
use super::stream_counts::ViewCount;
use crate::modules::data_management::MAX_HOLDERS;
use crate::modules::data_management::pool_metrics::PoolCounts;
use crate::registry::ModuleError;

/// The numbers of lease holders in use, as bits. A lease contains the number of its holder.
#[derive(Debug, Default)]
pub(super) struct HolderNumbers(u16);

impl HolderNumbers {
    /// The lowest unused number.
    pub(super) fn take(&mut self) -> Result<u8, ModuleError> {
        let holder = self.0.trailing_ones() as u8;
        if holder >= MAX_HOLDERS {
            let most = format!(
                "{MAX_HOLDERS} taps and pools are open, which is the limit: close one first"
            );
            return Err(most.into());
        }
        self.0 |= 1 << holder;
        Ok(holder)
    }

    pub(super) fn release(&mut self, holder: u8) {
        self.0 &= !(1 << holder);
    }
}

/// The participants by number. These numbers are never reused, so that a late message of a closed participant cannot name a
/// later one. Holder's numbers are reused as soon as their threads have ended.
#[derive(Default)]
pub(super) struct Participants {
    pub(super) open: BTreeMap<u32, OpenParticipant>,
    opened: u32,
    /// Closed participants whose threads may still run.
    pub(super) closing: BTreeMap<u32, OpenParticipant>,
}

/// A participant, open or closing.
pub(super) struct OpenParticipant {
    /// The holder's number in its leases.
    pub(super) holder: u8,
    pub(super) buffers: Buffers,
}

/// The place of a participant's buffers.
pub(super) enum Buffers {
    /// In this memory; the thread uses the participant by its number.
    Local(ThreadHandle<Participant>, ViewCount),
    /// In the thread's own memory.
    Remote(Box<RemoteCounts>),
}

/// The counts of a participant with a memory of its own, from its newest header.
pub(super) struct RemoteCounts {
    pub(super) header: Box<Header>,
    pub(super) pool: PoolCounts,
    pub(super) recycled: u64,
    pub(super) views: u64,
}

impl Participants {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.closing.is_empty()
    }

    /// The number of the next participant.
    pub(super) fn number(&mut self) -> Result<u32, ModuleError> {
        let exhausted =
            "this pool has opened 4294967295 participants, which is the limit: open another pool";
        self.opened = self.opened.checked_add(1).ok_or(exhausted)?;
        Ok(self.opened)
    }

    pub(super) fn views(&self) -> u64 {
        let views = |open: &OpenParticipant| match &open.buffers {
            Buffers::Local(_, views) => views.get(),
            Buffers::Remote(remote) => remote.views,
        };
        self.open.values().map(views).sum()
    }

    /// Adds the counts of participants with a memory of their own.
    pub(super) fn count_into(&self, counts: &mut PoolCounts) {
        for open in self.open.values() {
            if let Buffers::Remote(remote) = &open.buffers {
                counts.add(&remote.pool);
            }
        }
    }

    pub(super) fn local(&self, participant: u32) -> Option<&ThreadHandle<Participant>> {
        match &self.open.get(&participant)?.buffers {
            Buffers::Local(participant, _) => Some(participant),
            Buffers::Remote(_) => None,
        }
    }

    pub(super) fn remote(&mut self, participant: u32) -> Option<&mut RemoteCounts> {
        match &mut self.open.get_mut(&participant)?.buffers {
            Buffers::Remote(remote) => Some(remote),
            Buffers::Local(..) => None,
        }
    }
}

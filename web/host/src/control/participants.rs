//! The participants of the host: threads with buffers of their own.
#![allow(unsafe_code)] // Reclaims the objects of threads that have ended.

use std::collections::BTreeMap;

use wavepool::modules::data_management::Crossings;
use wavepool::modules::data_management::pool_metrics::PoolCounts;
use wavepool::registry::ModuleError;

use super::holders::HolderNumbers;
use super::instance::Instance;
use super::options::Mode;
use super::totals::Totals;
use crate::consumer::participant::Participant;
use crate::shared::block_header::{DamagedHeader, Header};
use crate::shared::exports::{Reclaimed, ThreadHandle, ThreadState};
use crate::shared::stream_counts::{ParticipantCounts, participant_crossings};

/// The participants by number. These numbers are never reused, so that a late message of a closed participant cannot name a
/// later one. Holder's numbers are reused as soon as their threads have ended.
#[derive(Default)]
pub(crate) struct Participants {
    open: BTreeMap<u32, OpenParticipant>,
    opened: u32,
    /// Closed participants whose threads may still run.
    closing: BTreeMap<u32, OpenParticipant>,
}

/// A participant, open or closing.
struct OpenParticipant {
    /// The holder's number in its leases.
    holder: u8,
    buffers: Buffers,
}

/// The place of a participant's buffers.
enum Buffers {
    /// In this memory; the thread uses the participant by its number.
    Local(ThreadHandle<Participant>, ParticipantCounts),
    /// In the thread's own memory.
    Remote(Box<RemoteCounts>),
}

/// The counts of a participant with a memory of its own, from its newest header.
struct RemoteCounts {
    header: Box<Header>,
    pool: PoolCounts,
    recycled: u64,
    crossings: Crossings,
}

impl Participants {
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.closing.is_empty()
    }

    /// Opens a participant, in transfer mode only the record of its counts; returns its number.
    pub(crate) fn open(
        &mut self,
        mode: Mode,
        instance: &mut Instance,
        holders: &mut HolderNumbers,
    ) -> Result<u32, ModuleError> {
        let number = self.number()?;
        let holder = holders.take()?;
        let buffers = match mode {
            Mode::Shared => {
                let crossed = ParticipantCounts::default();
                let handle = Participant::new(holder, &mut instance.registry, crossed.clone())
                    .and_then(ThreadHandle::new)
                    .inspect_err(|_| holders.release(holder))?;
                Buffers::Local(handle, crossed)
            }
            Mode::Transfer => Buffers::Remote(Box::new(RemoteCounts {
                header: Header::boxed(),
                pool: PoolCounts::default(),
                recycled: 0,
                crossings: Crossings::default(),
            })),
        };
        self.open
            .insert(number, OpenParticipant { holder, buffers });
        Ok(number)
    }

    /// The number of the next participant.
    fn number(&mut self) -> Result<u32, ModuleError> {
        let exhausted =
            "this pool has opened 4294967295 participants, which is the limit: open another pool";
        self.opened = self.opened.checked_add(1).ok_or(exhausted)?;
        Ok(self.opened)
    }

    /// Adds what the open participants passed to JavaScript.
    pub(crate) fn count_crossings(&self, crossings: &mut Crossings) {
        for open in self.open.values() {
            *crossings += match &open.buffers {
                Buffers::Local(_, crossed) => crossed.get(),
                Buffers::Remote(remote) => remote.crossings,
            };
        }
    }

    /// Adds the counts of participants with a memory of their own.
    pub(crate) fn count_into(&self, counts: &mut PoolCounts) {
        for open in self.open.values() {
            if let Buffers::Remote(remote) = &open.buffers {
                counts.add(&remote.pool);
            }
        }
    }

    /// The holder's number in the leases of a participant.
    pub(crate) fn holder(&self, participant: u32) -> Option<u8> {
        self.open.get(&participant).map(|open| open.holder)
    }

    /// The handle of a participant in this memory.
    pub(crate) fn local(&self, participant: u32) -> Option<&ThreadHandle<Participant>> {
        match &self.open.get(&participant)?.buffers {
            Buffers::Local(participant, _) => Some(participant),
            Buffers::Remote(_) => None,
        }
    }

    /// The address to which JavaScript copies the header of a participant with a memory of its own.
    pub(crate) fn header_address(&mut self, participant: u32) -> Option<usize> {
        Some(self.remote(participant)?.header.address())
    }

    /// Reads the counts of the header that was copied there.
    pub(crate) fn receive(&mut self, participant: u32) -> Result<(), DamagedHeader> {
        let Some(remote) = self.remote(participant) else {
            return Ok(());
        };
        let (head, _) = remote.header.read(&mut remote.pool)?;
        remote.recycled = head.recycled;
        remote.crossings = participant_crossings(head.crossed);
        Ok(())
    }

    fn remote(&mut self, participant: u32) -> Option<&mut RemoteCounts> {
        match &mut self.open.get_mut(&participant)?.buffers {
            Buffers::Remote(remote) => Some(remote),
            Buffers::Local(..) => None,
        }
    }

    /// Closes a participant, unless its thread may still run. Returns the number of leases that were open; `None` if it was
    /// not closed.
    ///
    /// # Safety
    /// As for [`ThreadHandle::reclaim`].
    pub(crate) unsafe fn close(
        &mut self,
        participant: u32,
        end: ThreadState,
        instance: &mut Instance,
        holders: &mut HolderNumbers,
        totals: &mut Totals,
    ) -> Option<usize> {
        let OpenParticipant { holder, buffers } = self
            .open
            .remove(&participant)
            .or_else(|| self.closing.remove(&participant))?;
        let live = match buffers {
            Buffers::Local(handle, crossed) => {
                // SAFETY: the caller guarantees the state of the thread.
                match unsafe { handle.reclaim(end) } {
                    Ok(reclaimed) => {
                        totals.crossings += crossed.get();
                        close_local(reclaimed, end, instance)
                    }
                    Err(running) => {
                        let buffers = Buffers::Local(running, crossed);
                        let closing = OpenParticipant { holder, buffers };
                        self.closing.insert(participant, closing);
                        return None;
                    }
                }
            }
            Buffers::Remote(remote) => close_remote(*remote, holder, end, instance, totals),
        };
        holders.release(holder);
        Some(live)
    }
}

fn close_local(
    reclaimed: Reclaimed<Participant>,
    end: ThreadState,
    instance: &mut Instance,
) -> usize {
    let control = instance.control_mut();
    match reclaimed {
        Reclaimed::Consistent(mut participant) => {
            let live = participant.bridge().live();
            if end == ThreadState::Terminated
                && live > 0
                && let Some(control) = control
            {
                control.reclaim_leases(participant.bridge().leases());
            }
            live
        }
        Reclaimed::Interrupted(mut participant) => {
            let live = participant.bridge().live();
            let half = participant.abandon();
            if let Some(control) = control {
                // SAFETY: an object is only `Interrupted` if its thread has ended, by the contract of `ThreadHandle::reclaim`.
                // Its leases were abandoned, and no other thread has buffers of a participant.
                unsafe { control.reclaim_all(half) };
            }
            live
        }
    }
}

fn close_remote(
    mut remote: RemoteCounts,
    holder: u8,
    end: ThreadState,
    instance: &Instance,
    totals: &mut Totals,
) -> usize {
    totals.crossings += remote.crossings;
    let classes = &mut remote.pool.classes;
    let live: u64 = classes.iter().map(|class| class.leased).sum();
    if end != ThreadState::Terminated {
        classes.iter_mut().for_each(|class| class.leased = 0);
    }
    let reclaimed = totals.absorb(&remote.pool, remote.recycled, true);
    instance.publish_reclaimed(holder.into(), reclaimed);
    live as usize
}

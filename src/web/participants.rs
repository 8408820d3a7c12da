//! The threads that hold leases: who has which number, and what of theirs is lent out.
#![allow(unsafe_code)] // A half whose owner is dead is taken over.

use std::collections::BTreeMap;

use wasm_bindgen::prelude::*;

use super::block_header::Header;
use super::exports::{Lent, Returned, ThreadEnd};
use super::host::{Host, Mode};
use super::participant::Participant;
use super::stream_counts::ViewCount;
use crate::modules::data_management::pool_metrics::PoolCounts;
use crate::modules::data_management::{DataManagementModule, MAX_HOLDERS};
use crate::registry::ModuleError;

/// Numbers of holders: a lease carries its holder's.
#[derive(Debug, Default)]
pub(super) struct Holders(u16);

impl Holders {
    /// The lowest number that nobody has.
    pub(super) fn take(&mut self) -> Result<u8, ModuleError> {
        let holder = self.0.trailing_ones() as u8;
        if holder >= MAX_HOLDERS {
            let most = format!("{MAX_HOLDERS} taps and pools are open, the most there can be");
            return Err(most.into());
        }
        self.0 |= 1 << holder;
        Ok(holder)
    }

    pub(super) fn give_back(&mut self, holder: u8) {
        self.0 &= !(1 << holder);
    }
}

/// The threads that have buffers of their own, by numbers that are never used again: a holder's number is, as soon as its
/// thread has gone, and whoever still knew the old one must not be taken for the new one.
#[derive(Default)]
pub(super) struct Participants {
    open: BTreeMap<u32, Place>,
    opened: u32,
    /// Numbers whose thread may still run although the page has closed them.
    closing: BTreeMap<u32, Place>,
}

struct Place {
    holder: u8,
    buffers: Buffers,
}

/// Where a thread's buffers are.
enum Buffers {
    /// In this memory; the thread uses it by its number.
    Here(Lent<Participant>, ViewCount),
    /// In a memory of the thread's own, as it last told.
    Elsewhere(Box<Remote>),
}

struct Remote {
    header: Box<Header>,
    pool: PoolCounts,
    recycled: u64,
    views: u64,
}

impl Participants {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.closing.is_empty()
    }

    /// The number of the next one.
    fn number(&mut self) -> Result<u32, ModuleError> {
        let spent = "this pool has had as many participants as there are numbers";
        self.opened = self.opened.checked_add(1).ok_or(spent)?;
        Ok(self.opened)
    }

    pub(super) fn views(&self) -> u64 {
        let views = |place: &Place| match &place.buffers {
            Buffers::Here(_, views) => views.get(),
            Buffers::Elsewhere(remote) => remote.views,
        };
        self.open.values().map(views).sum()
    }

    /// Adds what threads with a memory of their own told of theirs.
    pub(super) fn count_into(&self, counts: &mut PoolCounts) {
        for place in self.open.values() {
            if let Buffers::Elsewhere(remote) = &place.buffers {
                counts.add(&remote.pool);
            }
        }
    }

    fn here(&self, participant: u32) -> Option<&Lent<Participant>> {
        match &self.open.get(&participant)?.buffers {
            Buffers::Here(participant, _) => Some(participant),
            Buffers::Elsewhere(_) => None,
        }
    }

    fn remote(&mut self, participant: u32) -> Option<&mut Remote> {
        match &mut self.open.get_mut(&participant)?.buffers {
            Buffers::Elsewhere(remote) => Some(remote),
            Buffers::Here(..) => None,
        }
    }
}

#[wasm_bindgen]
impl Host {
    /// Opens a participant, in transfer mode a place for what it will tell; returns its number, which no other one gets.
    ///
    /// # Errors
    /// No holder's number, no half, or no publisher left.
    #[wasm_bindgen(js_name = openParticipant)]
    pub fn open_participant(&mut self) -> Result<u32, JsError> {
        self.participant()
            .map_err(|error| JsError::new(&error.to_string()))
    }

    fn participant(&mut self) -> Result<u32, ModuleError> {
        let number = self.participants.number()?;
        let holder = self.holders.take()?;
        let buffers = match self.mode() {
            Mode::Shared => {
                let views = ViewCount::default();
                let lent = Participant::new(holder, &mut self.registry, views.clone())
                    .and_then(Lent::new)
                    .inspect_err(|_| self.holders.give_back(holder))?;
                Buffers::Here(lent, views)
            }
            Mode::Transfer => Buffers::Elsewhere(Box::new(Remote {
                header: Header::boxed(),
                pool: PoolCounts::default(),
                recycled: 0,
                views: 0,
            })),
        };
        let place = Place { holder, buffers };
        self.participants.open.insert(number, place);
        Ok(number)
    }

    /// The number that the participant's leases carry. 0 if there is no such participant.
    #[wasm_bindgen(js_name = participantHolder)]
    pub fn participant_holder(&self, participant: u32) -> u8 {
        let place = self.participants.open.get(&participant);
        place.map_or(0, |place| place.holder)
    }

    /// Shared mode: what its thread's exports know the participant by. 0 otherwise.
    #[wasm_bindgen(js_name = participantNumber)]
    pub fn participant_number(&self, participant: u32) -> u32 {
        self.participants.here(participant).map_or(0, Lent::number)
    }

    /// Shared mode: the memory that its thread's instance runs on. 0 otherwise.
    #[wasm_bindgen(js_name = participantThread)]
    pub fn participant_thread(&self, participant: u32) -> usize {
        let here = self.participants.here(participant);
        here.map_or(0, Lent::thread_address)
    }

    /// Transfer mode: where JavaScript puts the header that a participant wrote. 0 if there is none.
    #[wasm_bindgen(js_name = participantHeader)]
    pub fn participant_header_address(&mut self, participant: u32) -> usize {
        let remote = self.participants.remote(participant);
        remote.map_or(0, |remote| remote.header.address())
    }

    /// Takes the counts of the header that was put there.
    ///
    /// # Errors
    /// A header that another build wrote.
    #[wasm_bindgen(js_name = receiveParticipant)]
    pub fn receive_participant(&mut self, participant: u32) -> Result<(), JsError> {
        let Some(remote) = self.participants.remote(participant) else {
            return Ok(());
        };
        let read = remote.header.read(&mut remote.pool);
        let (head, _) = read.map_err(|error| JsError::new(&error.to_string()))?;
        remote.recycled = head.recycled;
        [remote.views, ..] = head.made;
        Ok(())
    }

    /// Closes a participant; what it held goes home. `end` says what is known of its thread, as for
    /// [`closeStream`](Self::close_stream): 1, it said that it has stopped; 2, it was ended or never began, and what it had
    /// leased is told as an event. One that may still run keeps what it has, and may be closed again. Returns the leases
    /// that were still open.
    ///
    /// # Safety
    /// A thread that is said to have been ended does not run any more, and never will.
    #[wasm_bindgen(js_name = closeParticipant)]
    pub unsafe fn close_participant(&mut self, participant: u32, end: u8) -> usize {
        let Participants { open, closing, .. } = &mut self.participants;
        let Some(place) = open
            .remove(&participant)
            .or_else(|| closing.remove(&participant))
        else {
            return 0;
        };
        let (holder, end) = (place.holder, ThreadEnd::from(end));
        let live = match place.buffers {
            Buffers::Here(lent, views) => {
                // SAFETY: the caller's word.
                match unsafe { lent.take_back(end) } {
                    Ok(returned) => {
                        self.closed.made.views += views.get();
                        self.close_here(returned, end)
                    }
                    Err(running) => {
                        let buffers = Buffers::Here(running, views);
                        closing.insert(participant, Place { holder, buffers });
                        return 0;
                    }
                }
            }
            Buffers::Elsewhere(remote) => self.close_elsewhere(*remote, holder, end),
        };
        self.holders.give_back(holder);
        self.settle();
        live
    }

    fn close_here(&mut self, returned: Returned<Participant>, end: ThreadEnd) -> usize {
        let data = self.registry.get_mut::<DataManagementModule>();
        let control = data.and_then(|data| data.control_mut());
        match returned {
            Returned::Whole(mut participant) => {
                let live = participant.bridge().live();
                if end == ThreadEnd::Gone
                    && live > 0
                    && let Some(control) = control
                {
                    control.reclaim_leases(participant.bridge().leases());
                }
                live
            }
            Returned::Broken(mut participant) => {
                let live = participant.bridge().live();
                let half = participant.abandon();
                if let Some(control) = control {
                    // SAFETY: its thread has ended, says the caller of `close_participant`; what it had leased was
                    // abandoned, and a participant's buffers go to nobody else.
                    unsafe { control.reclaim_all(half) };
                }
                live
            }
        }
    }

    fn close_elsewhere(&mut self, mut remote: Remote, holder: u8, end: ThreadEnd) -> usize {
        self.closed.made.views += remote.views;
        let classes = &mut remote.pool.classes;
        let live: u64 = classes.iter().map(|class| class.leased).sum();
        if end != ThreadEnd::Gone {
            classes.iter_mut().for_each(|class| class.leased = 0);
        }
        let reclaimed = self.closed.absorb(&remote.pool, remote.recycled, true);
        self.tell_reclaimed(holder.into(), reclaimed);
        live as usize
    }
}

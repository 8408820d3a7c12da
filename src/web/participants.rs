//! The threads that hold leases: who has which number, and what of theirs is lent out.
#![allow(unsafe_code)] // A half whose owner is dead is taken over.

use std::collections::BTreeMap;

use wasm_bindgen::prelude::*;

use super::block_header::Header;
use super::exports::Lent;
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

/// The threads that have buffers of their own, by their holder's number.
#[derive(Default)]
pub(super) struct Participants {
    open: BTreeMap<u8, Place>,
}

/// Where a thread's buffers are.
enum Place {
    /// In this memory; the thread uses it by its address.
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
        self.open.is_empty()
    }

    pub(super) fn views(&self) -> u64 {
        let views = |place: &Place| match place {
            Place::Here(_, views) => views.get(),
            Place::Elsewhere(remote) => remote.views,
        };
        self.open.values().map(views).sum()
    }

    /// Adds what threads with a memory of their own told of theirs.
    pub(super) fn count_into(&self, counts: &mut PoolCounts) {
        for place in self.open.values() {
            if let Place::Elsewhere(remote) = place {
                counts.add(&remote.pool);
            }
        }
    }

    fn remote(&mut self, holder: u8) -> Option<&mut Remote> {
        match self.open.get_mut(&holder) {
            Some(Place::Elsewhere(remote)) => Some(remote),
            _ => None,
        }
    }
}

#[wasm_bindgen]
impl Host {
    /// Opens a participant, in transfer mode a place for what it will tell; returns its holder's number.
    ///
    /// # Errors
    /// No holder's number, no half, or no publisher left.
    #[wasm_bindgen(js_name = openParticipant)]
    pub fn open_participant(&mut self) -> Result<u8, JsError> {
        self.participant()
            .map_err(|error| JsError::new(&error.to_string()))
    }

    fn participant(&mut self) -> Result<u8, ModuleError> {
        let holder = self.holders.take()?;
        let place = match self.mode() {
            Mode::Shared => {
                let views = ViewCount::default();
                let participant = Participant::new(holder, &mut self.registry, views.clone())
                    .inspect_err(|_| self.holders.give_back(holder))?;
                Place::Here(Lent::new(participant), views)
            }
            Mode::Transfer => Place::Elsewhere(Box::new(Remote {
                header: Header::boxed(),
                pool: PoolCounts::default(),
                recycled: 0,
                views: 0,
            })),
        };
        self.participants.open.insert(holder, place);
        Ok(holder)
    }

    /// Shared mode: the participant's address, for its thread's exports. 0 otherwise.
    #[wasm_bindgen(js_name = participantAddress)]
    pub fn participant_address(&self, holder: u8) -> usize {
        match self.participants.open.get(&holder) {
            Some(Place::Here(participant, _)) => participant.address(),
            _ => 0,
        }
    }

    /// Transfer mode: where JavaScript puts the header that a participant wrote. 0 if there is none.
    #[wasm_bindgen(js_name = participantHeader)]
    pub fn participant_header_address(&mut self, holder: u8) -> usize {
        let remote = self.participants.remote(holder);
        remote.map_or(0, |remote| remote.header.address())
    }

    /// Takes the counts of the header that was put there.
    ///
    /// # Errors
    /// A header that another build wrote.
    #[wasm_bindgen(js_name = receiveParticipant)]
    pub fn receive_participant(&mut self, holder: u8) -> Result<(), JsError> {
        let Some(remote) = self.participants.remote(holder) else {
            return Ok(());
        };
        let read = remote.header.read(&mut remote.pool);
        let (head, _) = read.map_err(|error| JsError::new(&error.to_string()))?;
        remote.recycled = head.recycled;
        [remote.views, ..] = head.made;
        Ok(())
    }

    /// Closes a participant whose thread will not use it again; what it held goes home. `dead` says that the thread did not
    /// give it back itself: that is told as an event. Returns the leases that were still open.
    #[wasm_bindgen(js_name = closeParticipant)]
    pub fn close_participant(&mut self, holder: u8, dead: bool) -> usize {
        let Some(place) = self.participants.open.remove(&holder) else {
            return 0;
        };
        self.holders.give_back(holder);
        let live = match place {
            Place::Here(participant, views) => {
                self.closed.made.views += views.get();
                self.close_here(participant.take_back(), dead)
            }
            Place::Elsewhere(mut remote) => {
                self.closed.made.views += remote.views;
                let classes = &mut remote.pool.classes;
                let live: u64 = classes.iter().map(|class| class.leased).sum();
                if !dead {
                    classes.iter_mut().for_each(|class| class.leased = 0);
                }
                let reclaimed = self.closed.absorb(&remote.pool, remote.recycled, true);
                self.tell_reclaimed(holder.into(), reclaimed);
                live as usize
            }
        };
        self.settle();
        live
    }

    fn close_here(&mut self, mut participant: Box<Participant>, dead: bool) -> usize {
        let live = participant.bridge().live();
        let data = self.registry.get_mut::<DataManagementModule>();
        let control = data.and_then(|data| data.control_mut());
        match control.filter(|_| dead) {
            Some(control) => {
                control.reclaim_leases(participant.bridge().leases());
                let half = participant.into_half();
                let id = half.id();
                core::mem::forget(half);
                // SAFETY: its thread is dead and the half forgotten; the leases, which held all that came from it, have
                // ended. What the thread lost in the middle of a step is found here.
                unsafe { control.reclaim(id) };
            }
            None => drop(participant),
        }
        live
    }
}

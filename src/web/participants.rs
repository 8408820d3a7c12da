//! The threads that hold leases: who has which number, and what of theirs is lent out.
#![allow(unsafe_code)] // A half whose owner is dead is taken over.

use std::collections::BTreeMap;

use wasm_bindgen::prelude::*;

use super::exports::Lent;
use super::host::Host;
use super::participant::Participant;
use super::stream_counts::ObjectCount;
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

/// Shared mode: the participants that threads use by address.
#[derive(Default)]
pub(super) struct Participants {
    open: BTreeMap<u8, (Lent<Participant>, ObjectCount)>,
}

impl Participants {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn objects(&self) -> u64 {
        self.open.values().map(|(_, objects)| objects.get()).sum()
    }
}

#[wasm_bindgen]
impl Host {
    /// Shared mode: opens a participant; returns its holder's number.
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
        let objects = ObjectCount::default();
        let participant = Participant::new(holder, &mut self.registry, objects.clone())
            .inspect_err(|_| self.holders.give_back(holder))?;
        self.participants
            .open
            .insert(holder, (Lent::new(participant), objects));
        Ok(holder)
    }

    /// The participant's address, for its thread's exports; 0 if there is none.
    #[wasm_bindgen(js_name = participantAddress)]
    pub fn participant_address(&self, holder: u8) -> usize {
        let open = self.participants.open.get(&holder);
        open.map_or(0, |(participant, _)| participant.address())
    }

    /// Closes a participant whose thread will not use it again; what it held goes home. `dead` says that the thread did not
    /// give it back itself: that is told as an event. Returns the leases that were still open.
    #[wasm_bindgen(js_name = closeParticipant)]
    pub fn close_participant(&mut self, holder: u8, dead: bool) -> usize {
        let Some((participant, objects)) = self.participants.open.remove(&holder) else {
            return 0;
        };
        let mut participant = participant.take_back();
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
        self.closed.objects += objects.get();
        self.holders.give_back(holder);
        self.settle();
        live
    }
}

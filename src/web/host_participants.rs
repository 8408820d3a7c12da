//! The participants of the host: opening, closing, and their headers.
#![allow(unsafe_code)] // Reclaims the objects of threads that have ended.

use wasm_bindgen::prelude::*;

use super::block_header::Header;
use super::exports::{Reclaimed, ThreadHandle, ThreadState};
use super::host::Host;
use super::options::Mode;
use super::participant::Participant;
use super::participants::{Buffers, OpenParticipant, Participants, RemoteCounts};
use super::stream_counts::ViewCount;
use crate::modules::data_management::DataManagementModule;
use crate::modules::data_management::pool_metrics::PoolCounts;
use crate::registry::ModuleError;

#[wasm_bindgen]
impl Host {
    /// Opens a participant, in transfer mode only the record of its counts; returns its number, which no other one gets.
    ///
    /// # Errors
    /// If the limit of holders, pool halves or publishers is reached.
    #[wasm_bindgen(js_name = openParticipant)]
    pub fn open_participant(&mut self) -> Result<u32, JsError> {
        self.add_participant()
            .map_err(|error| JsError::new(&error.to_string()))
    }

    fn add_participant(&mut self) -> Result<u32, ModuleError> {
        let number = self.participants.number()?;
        let holder = self.holders.take()?;
        let buffers = match self.mode() {
            Mode::Shared => {
                let views = ViewCount::default();
                let handle = Participant::new(holder, &mut self.registry, views.clone())
                    .and_then(ThreadHandle::new)
                    .inspect_err(|_| self.holders.release(holder))?;
                Buffers::Local(handle, views)
            }
            Mode::Transfer => Buffers::Remote(Box::new(RemoteCounts {
                header: Header::boxed(),
                pool: PoolCounts::default(),
                recycled: 0,
                views: 0,
            })),
        };
        let opened = OpenParticipant { holder, buffers };
        self.participants.open.insert(number, opened);
        Ok(number)
    }

    /// The holder's number in the participant's leases. 0 if no participant has this number.
    #[wasm_bindgen(js_name = participantHolder)]
    pub fn participant_holder(&self, participant: u32) -> u8 {
        let open = self.participants.open.get(&participant);
        open.map_or(0, |open| open.holder)
    }

    /// Shared mode: the participant's number for its thread's exports. 0 otherwise.
    #[wasm_bindgen(js_name = participantNumber)]
    pub fn participant_number(&self, participant: u32) -> u32 {
        self.participants
            .local(participant)
            .map_or(0, ThreadHandle::number)
    }

    /// Shared mode: the address of the stack and thread-locals of its thread. 0 otherwise.
    #[wasm_bindgen(js_name = participantThread)]
    pub fn participant_thread(&self, participant: u32) -> usize {
        let local = self.participants.local(participant);
        local.map_or(0, ThreadHandle::thread_address)
    }

    /// Transfer mode: the address to which JavaScript copies the header of a participant. 0 otherwise.
    #[wasm_bindgen(js_name = participantHeader)]
    pub fn participant_header_address(&mut self, participant: u32) -> usize {
        let remote = self.participants.remote(participant);
        remote.map_or(0, |remote| remote.header.address())
    }

    /// Reads the counts of the header that was copied there.
    ///
    /// # Errors
    /// If the header is damaged: another build wrote it.
    #[wasm_bindgen(js_name = receiveParticipant)]
    pub fn receive_participant(&mut self, participant: u32) -> Result<(), JsError> {
        let Some(remote) = self.participants.remote(participant) else {
            return Ok(());
        };
        let read = remote.header.read(&mut remote.pool);
        let (head, _) = read.map_err(|error| JsError::new(&error.to_string()))?;
        remote.recycled = head.recycled;
        [remote.views, ..] = head.objects;
        Ok(())
    }

    /// Closes a participant and releases its buffers. `end` is the state of its thread, as for
    /// [`closeStream`](Self::close_stream): 1: it has stopped; 2: it was terminated or never started, and an event is
    /// published for its leased buffers. If the thread may still run, the participant keeps its buffers, and may be closed
    /// again. Returns the number of leases that were open.
    ///
    /// # Safety
    /// A thread with state 2 does not run any more, and never will.
    #[wasm_bindgen(js_name = closeParticipant)]
    pub unsafe fn close_participant(&mut self, participant: u32, end: u8) -> usize {
        let Participants { open, closing, .. } = &mut self.participants;
        let Some(closed) = open
            .remove(&participant)
            .or_else(|| closing.remove(&participant))
        else {
            return 0;
        };
        let (holder, end) = (closed.holder, ThreadState::from(end));
        let live = match closed.buffers {
            Buffers::Local(handle, views) => {
                // SAFETY: the caller guarantees the state of the thread.
                match unsafe { handle.reclaim(end) } {
                    Ok(reclaimed) => {
                        self.closed.objects.views += views.get();
                        self.close_local(reclaimed, end)
                    }
                    Err(running) => {
                        let buffers = Buffers::Local(running, views);
                        closing.insert(participant, OpenParticipant { holder, buffers });
                        return 0;
                    }
                }
            }
            Buffers::Remote(remote) => self.close_remote(*remote, holder, end),
        };
        self.holders.release(holder);
        self.update_leaks();
        live
    }

    fn close_local(&mut self, reclaimed: Reclaimed<Participant>, end: ThreadState) -> usize {
        let data = self.registry.get_mut::<DataManagementModule>();
        let control = data.and_then(|data| data.control_mut());
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
                    // SAFETY: the caller of `close_participant` guarantees that its thread has ended. Its leases were abandoned,
                    // and no other thread has buffers of a participant.
                    unsafe { control.reclaim_all(half) };
                }
                live
            }
        }
    }

    fn close_remote(&mut self, mut remote: RemoteCounts, holder: u8, end: ThreadState) -> usize {
        self.closed.objects.views += remote.views;
        let classes = &mut remote.pool.classes;
        let live: u64 = classes.iter().map(|class| class.leased).sum();
        if end != ThreadState::Terminated {
            classes.iter_mut().for_each(|class| class.leased = 0);
        }
        let reclaimed = self.closed.absorb(&remote.pool, remote.recycled, true);
        self.publish_reclaimed(holder.into(), reclaimed);
        live as usize
    }
}

//! Participants: a pool half and a bridge to JavaScript for one thread that is not the audio thread.
//!
//! Shared mode: the host makes the participant, and the thread's instance on the same memory uses it by its number. Transfer
//! mode: the thread boots an instance of its own. Only opening allocates.
#![allow(unsafe_code)] // Exports by name.

use super::refusal::Refusal;
use crate::shared::block_header::{Header, HeaderFields};
use crate::shared::exports::{ThreadObject, exports, register_local, thread_object};
use crate::shared::platform::install_panic_note;
use crate::shared::stream_counts::{ParticipantCounts, participant_fields};
use wavepool::event_bus::TypedEventBus;
use wavepool::modules::data_management::pool_metrics::PoolCounts;
use wavepool::modules::data_management::{
    Crossings, DataManagementModule, JSBufferRef, LeaseTable, PoolError, PoolFigures, RealtimePool,
    WasmJsBridge,
};
use wavepool::registry::{ModuleError, ModuleRegistry};

/// The most buffers that one participant can have leased.
const MAX_PARTICIPANT_LEASES: usize = 1024;
/// Buffers of each class that a participant begins with; later it keeps what it uses.
const OWN_BUFFERS: u32 = 32;

/// The buffers of one thread.
pub(crate) struct Participant {
    // The first field, so that leased buffers are released before the pool half is dropped.
    bridge: WasmJsBridge,
    half: RealtimePool,
    crossed: ParticipantCounts,
    refusal: Refusal,
    /// Samples of the buffer that was viewed last: the size of its class, and the requested size.
    viewed: [u32; 2],
    /// Transfer mode: the instance's own modules.
    own_instance: Option<OwnInstance>,
}

/// The modules of a participant with a memory of its own, which sends its counts to the host.
struct OwnInstance {
    header: Box<Header>,
    /// Reused, so that counting does not allocate.
    counts: PoolCounts,
    registry: ModuleRegistry,
}

impl OwnInstance {
    /// Runs a control step of the instance's pool, and writes its counts.
    fn write_header(&mut self, crossings: &Crossings, now_ms: f64) {
        let Some(data) = self.registry.get_mut::<DataManagementModule>() else {
            return;
        };
        data.tick(now_ms);
        let Some(control) = data.control() else {
            return;
        };
        control.count_into(&mut self.counts);
        let head = HeaderFields {
            crossed: participant_fields(crossings),
            recycled: control.recycled(),
            ..HeaderFields::default()
        };
        // No event cells: the events of this instance have no subscribers.
        self.header.write(&head, &self.counts, |_| 0);
    }
}

impl Participant {
    pub(crate) fn new(
        holder: u8,
        registry: &mut ModuleRegistry,
        crossed: ParticipantCounts,
    ) -> Result<Box<Self>, ModuleError> {
        let data = registry
            .get_mut::<DataManagementModule>()
            .ok_or("the module data_management is not linked")?;
        let control = data.control().ok_or("the pool is not running")?;
        let classes = control.classes();
        let need: Vec<_> = classes.map(|class| (class, OWN_BUFFERS)).collect();
        let half = data.attach_stream(&format!("participant {holder}"), &need)?;
        // Buffers that the half gets later have higher numbers.
        let slots = data.control().map_or(0, |control| control.slots().count());
        let slots = slots + MAX_PARTICIPANT_LEASES;
        Ok(Box::new(Self {
            bridge: WasmJsBridge::try_new(holder, MAX_PARTICIPANT_LEASES, slots)?,
            half,
            crossed,
            refusal: Refusal::default(),
            viewed: [0; 2],
            own_instance: None,
        }))
    }

    /// A participant with an instance of its own.
    fn with_own_instance(holder: u8, seed: u32) -> Result<Box<Self>, ModuleError> {
        install_panic_note();
        LeaseTable::seed(seed);
        let mut registry = ModuleRegistry::builder(TypedEventBus::default()).boot()?;
        let mut participant = Self::new(holder, &mut registry, ParticipantCounts::default())?;
        let counts = PoolCounts::default();
        participant.own_instance = Some(OwnInstance {
            header: Header::boxed(),
            counts,
            registry,
        });
        Ok(participant)
    }

    /// The bridge, whose leases are to be reclaimed.
    pub(crate) fn bridge(&mut self) -> &mut WasmJsBridge {
        &mut self.bridge
    }

    /// Drops a participant whose thread died, without releasing its leased buffers; returns the number of its pool half, to be
    /// reclaimed.
    pub(crate) fn abandon(self) -> u16 {
        self.bridge.abandon();
        let (half, publisher) = self.half.abandon();
        // Its pending events are still delivered.
        drop(publisher);
        half
    }

    fn acquire(&mut self, samples: u32) -> u32 {
        // The owner of a half has to do so from time to time, to install new size classes and to return idle buffers. It follows
        // no stream: its events have no frame.
        self.half.begin_round();
        let acquired = self.bridge.acquire(&self.half, samples as usize);
        self.refuse(acquired).map_or(0, JSBufferRef::raw)
    }

    fn view(&mut self, lease: u32) -> usize {
        let view = self.bridge.view(JSBufferRef::from_raw(lease));
        self.crossed.set(&self.bridge.crossings());
        self.refuse(view).map_or(0, |view| {
            self.viewed = [view.capacity as u32, view.samples as u32];
            view.address
        })
    }

    fn refuse<T>(&mut self, result: Result<T, PoolError>) -> Option<T> {
        result.map_err(|error| self.refusal = error.into()).ok()
    }

    fn code(&mut self, result: Result<(), PoolError>) -> u32 {
        self.refuse(result).map_or(self.refusal.code(), |()| 0)
    }
}

thread_object!(Participant, "pool");

/// Boots an instance of its own (transfer mode). Its leases contain `holder`, a number below 16, and generations from `seed`
/// on: see [`LeaseTable::seed`]. Returns the participant's number; 0 if that fails.
#[unsafe(no_mangle)]
extern "C" fn participant_open(holder: u32, seed: u32) -> u32 {
    let holder = u8::try_from(holder).unwrap_or(u8::MAX);
    Participant::with_own_instance(holder, seed).map_or(0, register_local)
}

exports! {
    /// Leases a zeroed buffer; 0 if refused.
    fn participant_acquire(participant: &mut Participant, samples: u32) -> u32 { participant.acquire(samples) } else 0;
    /// Address of a leased buffer's samples, whose lease is in use from now on; 0 if refused.
    fn participant_view(participant: &mut Participant, lease: u32) -> usize { participant.view(lease) } else 0;
    /// Address of the sizes of the buffer that was viewed last: its samples, and the requested ones.
    fn participant_looked(participant: &mut Participant) -> *const [u32; 2] { &raw const participant.viewed } else core::ptr::from_ref(&[0; 2]);
    /// Ends the use of the samples; returns 0 or the code of the refusal.
    fn participant_end_view(participant: &mut Participant, lease: u32) -> u32 {
        let ended = participant.bridge.end_view(JSBufferRef::from_raw(lease));
        participant.code(ended)
    } else Refusal::CLOSED.code();
    /// Another lease of the same samples, which are frozen from now on; 0 if refused.
    fn participant_share(participant: &mut Participant, lease: u32) -> u32 {
        let shared = participant.bridge.share(JSBufferRef::from_raw(lease));
        participant.refuse(shared).map_or(0, JSBufferRef::raw)
    } else 0;
    /// Ends a lease; returns 0 or the code of the refusal.
    fn participant_release(participant: &mut Participant, lease: u32) -> u32 {
        let Participant { bridge, half, .. } = &mut *participant;
        let released = bridge.release_on(half, JSBufferRef::from_raw(lease));
        participant.code(released)
    } else Refusal::CLOSED.code();
    /// Number of open leases.
    fn participant_live(participant: &mut Participant) -> usize { participant.bridge.live() } else 0;
    /// Transfer mode: runs a control step of this pool, writes its counts into the header and returns its address; 0 in shared mode.
    fn participant_header(participant: &mut Participant, now_ms: f64) -> usize {
        let crossings = participant.bridge.crossings();
        participant.own_instance.as_mut().map_or(0, |instance| {
            instance.write_header(&crossings, now_ms);
            instance.header.address()
        })
    } else 0;
    /// Address of the last refusal: its code, and three numbers.
    fn participant_refusal(participant: &mut Participant) -> *const Refusal { &raw const participant.refusal } else core::ptr::from_ref(Refusal::CLOSED);
}

/// The thread's last call; afterwards it does not use the participant any more.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn participant_leave(participant: u32) {
    Participant::slots().close(participant);
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;
    use wavepool::modules::data_management::MAX_LEASES;

    /// Calls the exports like JavaScript.
    struct Exports(u32);

    impl Exports {
        fn open() -> Self {
            let participant = participant_open(3, 7);
            assert_ne!(participant, 0);
            Self(participant)
        }

        fn acquire(&self, samples: u32) -> u32 {
            participant_acquire(self.0, samples)
        }

        fn view(&self, lease: u32) -> usize {
            participant_view(self.0, lease)
        }

        fn end_view(&self, lease: u32) -> u32 {
            participant_end_view(self.0, lease)
        }

        fn share(&self, lease: u32) -> u32 {
            participant_share(self.0, lease)
        }

        fn release(&self, lease: u32) -> u32 {
            participant_release(self.0, lease)
        }

        fn live(&self) -> usize {
            participant_live(self.0)
        }

        fn code(&self) -> u32 {
            // SAFETY: see `acquire`; the refusal lives in the participant.
            unsafe { (*participant_refusal(self.0)).code() }
        }
    }

    const STALE: u32 = 1;
    const WRONG_HOLDER: u32 = 2;
    const ILLEGAL_MOVE: u32 = 3;

    #[wasm_bindgen_test(unsupported = test)]
    fn lease_misuse_is_refused_with_its_code() {
        let pool = Exports::open();
        let lease = pool.acquire(1000);
        assert_ne!(lease, 0);
        assert_eq!(pool.end_view(lease), ILLEGAL_MOVE);
        assert_ne!(pool.view(lease), 0);
        assert_eq!((pool.view(lease), pool.code()), (0, ILLEGAL_MOVE));
        assert_eq!((pool.share(lease), pool.code()), (0, ILLEGAL_MOVE));
        assert_eq!((pool.release(lease), pool.release(lease)), (0, STALE));
        assert_eq!((pool.view(lease), pool.code()), (0, STALE));
        let others = lease ^ (1 << 26);
        assert_eq!(pool.release(others), WRONG_HOLDER);
        assert_eq!((pool.acquire(0), pool.code()), (0, 6));
        assert_eq!((pool.acquire(u32::MAX), pool.code()), (0, 5));
        let leases: Vec<_> = core::iter::repeat_with(|| pool.acquire(4096))
            .take_while(|&lease| lease != 0)
            .collect();
        assert_eq!((pool.code(), leases.len() == pool.live()), (4, true));
        assert!(leases.len() < MAX_LEASES);
        for lease in leases {
            assert_eq!(pool.release(lease), 0);
        }
        assert_eq!(pool.live(), 0);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn lease_numbers_at_random_do_not_change_live_leases() {
        let pool = Exports::open();
        let live: Vec<_> = (0..6).map(|_| pool.acquire(256)).collect();
        for (at, &lease) in live.iter().enumerate() {
            let samples = pool.view(lease) as *mut f32;
            // SAFETY: the address of 256 samples, of which this is the only lease.
            unsafe { samples.write(at as f32) };
            assert_eq!(pool.end_view(lease), 0);
        }
        let mut state = 0x9e37_79b9_u32;
        for _ in 0..1_000_000 {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            if live.contains(&state) {
                continue;
            }
            let refused = match state % 4 {
                0 => pool.view(state) == 0,
                1 => pool.share(state) == 0,
                2 => pool.end_view(state) != 0,
                _ => pool.release(state) != 0,
            };
            assert!(refused, "{state:#x}");
        }
        assert_eq!(pool.live(), 6);
        for (at, &lease) in live.iter().enumerate() {
            let samples = pool.view(lease) as *const f32;
            // SAFETY: as above.
            assert_eq!(unsafe { samples.read() }, at as f32);
            assert_eq!(pool.release(lease), 0);
        }
    }
}

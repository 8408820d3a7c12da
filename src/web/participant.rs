//! Buffers for JavaScript's own use: a half of the pool, and a bridge, for one thread that is not the audio thread.
//!
//! Shared mode: the host makes it, and the thread's bare instance on the same memory uses it by its number. Transfer
//! mode: the thread boots an instance of its own. Nothing but opening allocates.
#![allow(unsafe_code)] // Exports by name.

use super::block_header::{Head, Header};
use super::exports::{Lendable, exports, lend_here, lendable};
use super::refusal::Refusal;
use super::stream_counts::ViewCount;
use crate::event_bus::TypedEventBus;
use crate::modules::data_management::pool_metrics::PoolCounts;
use crate::modules::data_management::{
    DataManagementModule, JSBufferRef, LeaseTable, PoolError, RealtimePool, WasmJsBridge,
};
use crate::panic_note;
use crate::registry::{ModuleError, ModuleRegistry};

/// Buffers one participant can hold at once, and how many of each class it has for sure: a mix of its own, from which no
/// sizing plan takes.
const MOST_LEASES: usize = 1024;
const BUFFERS: u32 = 32;

/// One thread's buffers.
pub(super) struct Participant {
    // First, so that what is leased goes home before the half.
    bridge: WasmJsBridge,
    half: RealtimePool,
    views: ViewCount,
    refusal: Refusal,
    /// Samples of the buffer that was looked at last: its class, and what was asked for.
    looked: [u32; 2],
    /// Transfer mode: the instance's own modules.
    alone: Option<Alone>,
}

/// A participant with a memory of its own, which tells the host what it counts.
struct Alone {
    header: Box<Header>,
    /// Kept, so that counting does not allocate.
    counts: PoolCounts,
    registry: ModuleRegistry,
}

impl Alone {
    fn write_header(&mut self, views: u64) {
        let data = self.registry.get::<DataManagementModule>();
        let Some(control) = data.and_then(|data| data.control()) else {
            return;
        };
        control.count_into(&mut self.counts);
        let head = Head {
            made: [views, 0, 0],
            recycled: control.recycled(),
            ..Head::default()
        };
        // Its events stay here: nobody subscribes.
        self.header.write(&head, &self.counts, |_| 0);
    }
}

impl Participant {
    pub(super) fn new(
        holder: u8,
        registry: &mut ModuleRegistry,
        views: ViewCount,
    ) -> Result<Box<Self>, ModuleError> {
        let publisher = registry.bus().publisher()?;
        let control = registry
            .get_mut::<DataManagementModule>()
            .and_then(|data| data.control_mut())
            .ok_or("the module data_management is not running")?;
        let mix: Vec<_> = control.classes().map(|class| (class, BUFFERS)).collect();
        let mut half = control.attach_with(&mix)?;
        half.attach_publisher(publisher)?;
        let slots = control.slots().count();
        Ok(Box::new(Self {
            bridge: WasmJsBridge::try_new(holder, MOST_LEASES, slots)?,
            half,
            views,
            refusal: Refusal::default(),
            looked: [0; 2],
            alone: None,
        }))
    }

    fn alone(holder: u8, seed: u32) -> Result<Box<Self>, ModuleError> {
        panic_note::install();
        LeaseTable::seed(seed);
        let mut registry = ModuleRegistry::builder(TypedEventBus::default()).boot()?;
        let mut participant = Self::new(holder, &mut registry, ViewCount::default())?;
        let counts = PoolCounts::default();
        participant.alone = Some(Alone {
            header: Header::boxed(),
            counts,
            registry,
        });
        Ok(participant)
    }

    /// Its leases, for whoever takes them back.
    pub(super) fn bridge(&mut self) -> &mut WasmJsBridge {
        &mut self.bridge
    }

    /// Ends a participant whose thread died, without releasing what it had leased; returns the number of its half, for
    /// whoever takes that over.
    pub(super) fn abandon(self) -> u16 {
        self.bridge.abandon();
        let (half, publisher) = self.half.abandon();
        // What it had published is still delivered.
        drop(publisher);
        half
    }

    fn acquire(&mut self, samples: u32) -> u32 {
        // Whoever owns a half takes up new size classes and gives back what is idle now and then; here it is now.
        self.half.begin_quantum(0);
        let acquired = self.bridge.acquire(&self.half, samples as usize);
        self.refuse(acquired).map_or(0, JSBufferRef::raw)
    }

    fn view(&mut self, lease: u32) -> usize {
        let view = self.bridge.view(JSBufferRef::from_raw(lease));
        self.views.set(self.bridge.objects().views);
        self.refuse(view).map_or(0, |view| {
            self.looked = [view.capacity as u32, view.samples as u32];
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

lendable!(Participant, "pool");

/// Boots an instance of its own (transfer mode); its leases carry the holder's number, below 16, and generations that
/// begin where `seed` says: see [`LeaseTable::seed`]. Returns the participant's number; 0 if that fails.
#[unsafe(no_mangle)]
extern "C" fn participant_open(holder: u32, seed: u32) -> u32 {
    let holder = u8::try_from(holder).unwrap_or(u8::MAX);
    Participant::alone(holder, seed).map_or(0, lend_here)
}

exports! {
    /// Leases a zeroed buffer; 0 if refused.
    fn participant_acquire(participant: &mut Participant, samples: u32) -> u32 { participant.acquire(samples) } else 0;
    /// Address of a leased buffer's samples, which are in use from now on; 0 if refused.
    fn participant_view(participant: &mut Participant, lease: u32) -> usize { participant.view(lease) } else 0;
    /// Where the sizes of the buffer viewed last are: its samples, and those asked for.
    fn participant_looked(participant: &mut Participant) -> *const [u32; 2] { &raw const participant.looked } else core::ptr::from_ref(&[0; 2]);
    /// The samples are not in use any more; 0, or the refusal's code.
    fn participant_end_view(participant: &mut Participant, lease: u32) -> u32 {
        let ended = participant.bridge.end_view(JSBufferRef::from_raw(lease));
        participant.code(ended)
    } else Refusal::CLOSED.code();
    /// A further lease on the same samples, which are frozen from now on; 0 if refused.
    fn participant_share(participant: &mut Participant, lease: u32) -> u32 {
        let shared = participant.bridge.share(JSBufferRef::from_raw(lease));
        participant.refuse(shared).map_or(0, JSBufferRef::raw)
    } else 0;
    /// Ends a lease; 0, or the refusal's code.
    fn participant_release(participant: &mut Participant, lease: u32) -> u32 {
        let Participant { bridge, half, .. } = &mut *participant;
        let released = bridge.release_on(half, JSBufferRef::from_raw(lease));
        participant.code(released)
    } else Refusal::CLOSED.code();
    /// Leases that are open.
    fn participant_live(participant: &mut Participant) -> usize { participant.bridge.live() } else 0;
    /// Transfer mode: writes what this pool counts into its header, and tells where that is; 0 in shared mode.
    fn participant_header(participant: &mut Participant) -> usize {
        let views = participant.bridge.objects().views;
        participant.alone.as_mut().map_or(0, |alone| {
            alone.write_header(views);
            alone.header.address()
        })
    } else 0;
    /// Where the last refusal is: its code, and three numbers.
    fn participant_refusal(participant: &mut Participant) -> *const Refusal { &raw const participant.refusal } else core::ptr::from_ref(Refusal::CLOSED);
}

/// The thread's last call: it does not use the participant again.
#[unsafe(no_mangle)]
pub(super) extern "C" fn participant_leave(participant: u32) {
    Participant::slots().close(participant);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::data_management::MAX_LEASES;
    use wasm_bindgen_test::wasm_bindgen_test;

    /// Through the exports, as JavaScript calls them.
    struct Abused(u32);

    impl Abused {
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

    #[wasm_bindgen_test]
    fn misuse_is_refused_with_its_code() {
        let pool = Abused::open();
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
        let held: Vec<_> = core::iter::repeat_with(|| pool.acquire(4096))
            .take_while(|&lease| lease != 0)
            .collect();
        assert_eq!((pool.code(), held.len() == pool.live()), (4, true));
        assert!(held.len() < MAX_LEASES);
        for lease in held {
            assert_eq!(pool.release(lease), 0);
        }
        assert_eq!(pool.live(), 0);
    }

    #[wasm_bindgen_test]
    fn a_million_random_numbers_leave_live_leases_alone() {
        let pool = Abused::open();
        let live: Vec<_> = (0..6).map(|_| pool.acquire(256)).collect();
        for (at, &lease) in live.iter().enumerate() {
            let samples = pool.view(lease) as *mut f32;
            // SAFETY: the address of 256 samples that this lease alone is on.
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

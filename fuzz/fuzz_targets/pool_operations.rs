//! Hostile sequences: everything a program can do with a pool, and any number JavaScript could send as a lease. After every
//! operation the accounts agree, every live buffer still holds what was written into it, and the lease table says what a
//! plain map says.
#![no_main]

use std::collections::HashMap;
use std::env;
use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use wavepool::modules::data_management::{
    BufferPool, BufferRef, Lease, LeaseTable, PlanarRef, PoolControl, PooledBuffer, RealtimePool,
};

/// Whether the account is to err, so that the fuzzer has something to notice: `cargo xtask verify fuzz` begins with that.
static SLIPS: LazyLock<bool> = LazyLock::new(|| env::var_os("WAVEPOOL_FUZZ_SLIP").is_some());

/// Few, so that their entries are soon used again.
const LEASES: usize = 2;

#[derive(Arbitrary, Debug)]
enum Operation {
    Acquire {
        samples: u16,
        silent: bool,
    },
    Scratch {
        one: u16,
        two: u16,
    },
    Planar {
        channels: u8,
        frames: u16,
        release: bool,
    },
    Release {
        owned: u8,
    },
    Drop {
        held: u8,
    },
    Freeze {
        owned: u8,
    },
    Clone {
        shared: u8,
    },
    /// Opens a lease of an owned or a shared buffer.
    Open {
        held: u8,
    },
    /// Does something with a lease number: a known one with some bits turned over, or any.
    Known {
        lease: u8,
        flip: u32,
        action: Action,
    },
    Any {
        raw: u32,
        action: Action,
    },
    ReclaimLeases,
    Quantum,
    Grow {
        class: u8,
        count: u8,
    },
    Trim {
        class: u8,
        keep: u8,
    },
    Replenish {
        class: u8,
        idle: u8,
    },
    Classes {
        sizes: [u8; 3],
    },
    Step {
        budget: u8,
    },
    Defragment,
    Attach,
    Detach {
        half: u8,
    },
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Action {
    View,
    EndView,
    Share,
    ShareOut,
    Cross,
    Release,
}

/// What is held, beside a plain account of it.
struct World {
    control: PoolControl,
    halves: Vec<RealtimePool>,
    owned: Vec<(PooledBuffer, f32)>,
    shared: Vec<(BufferRef, f32)>,
    planar: Vec<(PlanarRef, f32)>,
    leases: LeaseTable,
    /// Open leases, in order of opening: number, whether it is viewed, what the buffer holds.
    open: Vec<u32>,
    state: HashMap<u32, (bool, f32)>,
    /// Every number that was ever a lease.
    known: Vec<u32>,
    next: f32,
    frame: u64,
}

/// An element chosen by any number; none of none.
fn pick<T>(from: &[T], by: u8) -> Option<usize> {
    (!from.is_empty()).then(|| usize::from(by) % from.len())
}

impl World {
    fn new() -> Self {
        let (control, half) = BufferPool::builder()
            .class(64, 6)
            .class(256, 6)
            .class(1024, 3)
            .limit_samples(1 << 15)
            .build()
            .expect("a good pool");
        Self {
            control,
            halves: vec![half],
            owned: Vec::new(),
            shared: Vec::new(),
            planar: Vec::new(),
            leases: LeaseTable::new(3, LEASES),
            open: Vec::new(),
            state: HashMap::new(),
            known: Vec::new(),
            next: 0.0,
            frame: 0,
        }
    }

    fn mark(&mut self) -> f32 {
        self.next += 1.0;
        self.next
    }

    fn class(&self, by: u8) -> usize {
        let classes: Vec<_> = self.control.classes().collect();
        classes[usize::from(by) % classes.len()]
    }

    fn run(&mut self, operation: &Operation) {
        match *operation {
            Operation::Acquire { samples, silent } => {
                let Some(half) = self.halves.last() else {
                    return;
                };
                let got = if silent {
                    half.acquire_silent(samples.into())
                } else {
                    half.acquire(samples.into())
                };
                if let Ok(mut buffer) = got {
                    assert_eq!(buffer.len(), usize::from(samples));
                    assert!(!silent || buffer.iter().all(|&sample| sample == 0.0));
                    let mark = self.mark();
                    buffer.fill(mark);
                    self.owned.push((buffer, mark));
                }
            }
            Operation::Scratch { one, two } => {
                let Some(half) = self.halves.first() else {
                    return;
                };
                if let (Ok(mut one), Ok(mut two)) =
                    (half.scratch(one.into()), half.scratch(two.into()))
                {
                    one.fill(-1.0);
                    two.fill(-2.0);
                    assert!(one.iter().all(|&sample| sample == -1.0));
                    drop(one);
                }
            }
            Operation::Planar {
                channels,
                frames,
                release,
            } => {
                let mark = self.mark();
                let Some(half) = self.halves.last() else {
                    return;
                };
                if let Ok(mut planar) = half.acquire_planar(channels.into(), frames.into()) {
                    for channel in 0..planar.channels() {
                        planar.channel_mut(channel).fill(mark);
                    }
                    if release {
                        half.release_planar(planar);
                    } else {
                        self.planar.push((planar.freeze(), mark));
                    }
                }
            }
            Operation::Release { owned } => {
                if let (Some(at), Some(half)) = (pick(&self.owned, owned), self.halves.last()) {
                    half.release(self.owned.swap_remove(at).0);
                }
            }
            Operation::Drop { held } => {
                if let Some(at) = pick(&self.planar, held) {
                    self.planar.swap_remove(at);
                } else if let Some(at) = pick(&self.shared, held) {
                    self.shared.swap_remove(at);
                } else if let Some(at) = pick(&self.owned, held) {
                    self.owned.swap_remove(at);
                }
            }
            Operation::Freeze { owned } => {
                if let Some(at) = pick(&self.owned, owned) {
                    let (buffer, mark) = self.owned.swap_remove(at);
                    let address = buffer.address();
                    let shared = buffer.freeze();
                    assert_eq!(shared.address(), address);
                    self.shared.push((shared, mark));
                }
            }
            Operation::Clone { shared } => {
                if let Some(at) = pick(&self.shared, shared) {
                    let clone = (self.shared[at].0.clone(), self.shared[at].1);
                    self.shared.push(clone);
                }
            }
            Operation::Open { held } => self.open(held),
            Operation::Known {
                lease,
                flip,
                action,
            } => {
                if let Some(at) = pick(&self.known, lease) {
                    self.act(self.known[at] ^ flip, action);
                }
            }
            Operation::Any { raw, action } => self.act(raw, action),
            Operation::ReclaimLeases => {
                assert_eq!(self.leases.reclaim(), self.open.len());
                self.open.clear();
                self.state.clear();
            }
            Operation::Quantum => {
                self.frame += 128;
                for half in &mut self.halves {
                    half.begin_quantum(self.frame);
                }
            }
            Operation::Grow { class, count } => {
                let _ = self.control.grow(self.class(class), u32::from(count) % 8);
            }
            Operation::Trim { class, keep } => {
                let _ = self.control.trim(self.class(class), keep.into());
            }
            Operation::Replenish { class, idle } => {
                let _ = self
                    .control
                    .replenish_below(self.class(class), u32::from(idle) % 8);
            }
            Operation::Classes { sizes } => {
                let sizes = sizes.map(|size| usize::from(size) * 8);
                let _ = self.control.set_classes(&sizes);
            }
            Operation::Step { budget } => {
                self.control.step(budget.into());
            }
            Operation::Defragment => {
                self.control.defragment();
            }
            Operation::Attach => {
                if self.halves.len() < 3
                    && let Ok(half) = self.control.attach()
                {
                    self.halves.push(half);
                }
            }
            Operation::Detach { half } => {
                if let Some(at) = pick(&self.halves, half) {
                    self.halves.swap_remove(at);
                }
            }
        }
    }

    fn open(&mut self, held: u8) {
        let room = self.open.len() < LEASES;
        let (opened, mark) = if let Some(at) = pick(&self.shared, held) {
            let (buffer, mark) = self.shared.swap_remove(at);
            (self.leases.open(buffer), mark)
        } else if let Some(at) = pick(&self.owned, held) {
            let (buffer, mark) = self.owned.swap_remove(at);
            (self.leases.open(buffer), mark)
        } else {
            return;
        };
        assert_eq!(opened.is_ok(), room);
        if let Ok(lease) = opened {
            self.note(lease, mark);
        }
    }

    fn note(&mut self, lease: Lease, mark: f32) {
        let raw = lease.raw();
        assert!(raw < 1 << 30);
        // No number comes twice in a run this short, or a stale one would open somebody else's buffer.
        assert!(!self.known.contains(&raw));
        self.state.insert(raw, (false, mark));
        self.open.push(raw);
        self.known.push(raw);
    }

    fn forget(&mut self, raw: u32) {
        if *SLIPS {
            return;
        }
        self.state.remove(&raw);
        self.open.retain(|&open| open != raw);
    }

    /// Sends a number in, as JavaScript would, and compares the answer with the account.
    fn act(&mut self, raw: u32, action: Action) {
        let lease = Lease::from_raw(raw);
        let known = self.state.get(&raw).copied();
        match action {
            Action::View => {
                let viewed = self.leases.view(lease).is_ok();
                assert_eq!(viewed, matches!(known, Some((false, _))));
                if viewed && let Some(state) = self.state.get_mut(&raw) {
                    state.0 = true;
                }
            }
            Action::EndView => {
                let ended = self.leases.end_view(lease).is_ok();
                assert_eq!(ended, matches!(known, Some((true, _))));
                if ended && let Some(state) = self.state.get_mut(&raw) {
                    state.0 = false;
                }
            }
            Action::Share => match (self.leases.share(lease), known) {
                (Ok(share), Some((false, mark))) => self.note(share, mark),
                (Err(_), Some((false, _))) => assert_eq!(self.open.len(), LEASES),
                (answer, _) => assert!(answer.is_err()),
            },
            Action::ShareOut => match (self.leases.share_out(lease), known) {
                (Ok(shared), Some((false, mark))) => self.shared.push((shared, mark)),
                (answer, known) => {
                    assert!(answer.is_err() && !matches!(known, Some((false, _))));
                }
            },
            Action::Cross => {
                let crossed = self.leases.cross(lease);
                assert_eq!(crossed.is_ok(), matches!(known, Some((false, _))));
                if let (Ok(buffer), Some((_, mark))) = (crossed, known) {
                    assert!(buffer.samples().iter().all(|&sample| sample == mark));
                    self.forget(raw);
                }
            }
            Action::Release => {
                assert_eq!(self.leases.release(lease).is_ok(), known.is_some());
                self.forget(raw);
            }
        }
    }

    fn check(&self) {
        assert!(self.control.is_valid());
        assert_eq!(self.leases.live(), self.open.len());
        for (buffer, mark) in &self.owned {
            assert!(buffer.iter().all(|sample| sample == mark));
        }
        for (buffer, mark) in &self.shared {
            assert!(buffer.iter().all(|sample| sample == mark));
        }
        for (planar, mark) in &self.planar {
            for channel in 0..planar.channels() {
                assert!(planar.channel(channel).iter().all(|sample| sample == mark));
            }
        }
        for (&raw, &(_, mark)) in &self.state {
            let buffer = self
                .leases
                .get(Lease::from_raw(raw))
                .expect("an open lease");
            assert!(buffer.samples().iter().all(|&sample| sample == mark));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut world = World::new();
    let mut bytes = Unstructured::new(bytes);
    while !bytes.is_empty()
        && let Ok(operation) = Operation::arbitrary(&mut bytes)
    {
        world.run(&operation);
        world.check();
    }
});

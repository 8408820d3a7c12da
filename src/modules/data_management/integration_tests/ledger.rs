//! Counts every delivered event, and compares it with the operations of the tests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use crate::event_bus::Subscription;
use crate::modules::audio_foundations::{LevelMeasured, PitchDetected};
use crate::modules::data_management::pool_events::{BufferPoolAllocation, BufferPoolRecycling};
use crate::registry::{
    Dependency, InitContext, Module, ModuleDescriptor, ModuleError, ModuleRegistration, Version,
};

/// The counts in the Critical and Normal events of one frame.
#[derive(Debug, Default, PartialEq)]
pub(super) struct EngineFrame {
    pub(super) allocations: u32,
    pub(super) levels: u32,
}

/// The delivered events, and the operations of the test.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) events: u64,
    pub(super) allocated: BTreeMap<u16, u64>,
    pub(super) recycled: BTreeMap<u16, u64>,
    /// Events delivered after one with a later frame of the same half and lane or of the same stream.
    pub(super) out_of_order: u64,
    pub(super) last_of_half: BTreeMap<u16, u64>,
    pub(super) last_of_stream: BTreeMap<u32, u64>,
    pub(super) player: u16,
    pub(super) engine: u16,
    pub(super) manager: u16,
    pub(super) engine_stream: u32,
    /// The operations of the player: buffers in order, scratch buffers by frame and class, and the sums by class.
    pub(super) expected: VecDeque<(u64, u32)>,
    pub(super) expected_scratch: BTreeMap<(u64, u32), u32>,
    /// Requests for blocks that failed, possibly after their first channel was acquired.
    pub(super) torn: VecDeque<(u64, u32)>,
    pub(super) expected_by_class: BTreeMap<u32, u64>,
    pub(super) unexpected: u64,
    pub(super) player_allocated: BTreeMap<u32, u64>,
    pub(super) player_recycled: BTreeMap<u32, u64>,
    /// Frames of the engine with events of one lane, but not of the other.
    pub(super) open_frames: BTreeMap<u64, EngineFrame>,
    pub(super) engine_frames: u64,
    /// Per quantum, the window buffers that captures acquired; per window, the scratch buffers of its analysis.
    pub(super) window_buffers: BTreeMap<u64, u32>,
    pub(super) window_scratch: BTreeMap<u64, u32>,
    pub(super) levels: BTreeMap<u64, u32>,
    pub(super) pitches: BTreeSet<u64>,
}

impl Ledger {
    pub(super) fn in_order(&mut self, half: u16, frame: u64) {
        let last = self.last_of_half.entry(half).or_default();
        self.out_of_order += u64::from(frame < *last);
        *last = frame;
    }

    pub(super) fn allocation(&mut self, event: &BufferPoolAllocation) {
        self.events += 1;
        *self.allocated.entry(event.half).or_default() += u64::from(event.count);
        // The manager's half has no stream.
        let first_frame = event.first_frame.unwrap_or(0);
        self.in_order(event.half, first_frame);
        let at = (first_frame, event.class_samples);
        let aggregate = event.slot == u32::MAX;
        if event.half == self.player {
            *self
                .player_allocated
                .entry(event.class_samples)
                .or_default() += u64::from(event.count);
            self.torn.retain(|torn| torn.0 >= first_frame);
            let published = if aggregate {
                self.expected_scratch.remove(&at) == Some(event.count)
            } else if self.torn.front() == Some(&at) {
                self.torn.pop_front();
                *self.expected_by_class.entry(at.1).or_default() += 1;
                true
            } else {
                self.expected.pop_front() == Some((first_frame, event.slot))
            };
            self.unexpected += u64::from(!published);
        } else if event.half == self.engine {
            self.engine_published(first_frame, |frame| frame.allocations += 1);
        } else if aggregate {
            *self.window_scratch.entry(first_frame).or_default() += event.count;
        } else if event.half != self.manager {
            *self.window_buffers.entry(first_frame).or_default() += 1;
        }
    }

    pub(super) fn recycling(&mut self, event: &BufferPoolRecycling) {
        self.events += 1;
        *self.recycled.entry(event.half).or_default() += u64::from(event.count);
        if event.half == self.player {
            self.in_order(event.half, event.first_frame.unwrap_or(0));
            *self.player_recycled.entry(event.class_samples).or_default() += u64::from(event.count);
        }
    }

    pub(super) fn level(&mut self, event: &LevelMeasured) {
        self.events += 1;
        let last = self.last_of_stream.entry(event.stream).or_default();
        self.out_of_order += u64::from(event.first_frame < *last);
        *last = event.first_frame;
        if event.stream == self.engine_stream {
            self.engine_published(event.first_frame, |frame| frame.levels += 1);
        } else {
            *self.levels.entry(event.first_frame).or_default() += 1;
        }
    }

    /// Adds an event of the engine. A frame is complete with the events of its two buffers and its level.
    pub(super) fn engine_published(
        &mut self,
        first_frame: u64,
        count: impl FnOnce(&mut EngineFrame),
    ) {
        let frame = self.open_frames.entry(first_frame).or_default();
        count(frame);
        let complete = EngineFrame {
            allocations: 2,
            levels: 1,
        };
        if *frame == complete {
            self.open_frames.remove(&first_frame);
            self.engine_frames += 1;
        }
    }
}

/// A module of an application, which depends on the pool and subscribes to its events.
#[derive(Default)]
pub(super) struct LedgerModule {
    pub(super) ledger: Arc<Mutex<Ledger>>,
    subscriptions: Vec<Subscription>,
}

impl LedgerModule {
    pub(super) const REGISTRATION: ModuleRegistration = ModuleRegistration {
        descriptor: ModuleDescriptor {
            name: "ledger",
            version: Version(1, 0, 0),
            dependencies: &[Dependency {
                name: "data_management",
                minimum: Version(0, 1, 0),
            }],
        },
        construct: || Box::new(LedgerModule::default()),
    };
}

impl Module for LedgerModule {
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
        let bus = ctx.bus();
        let ledger = || self.ledger.clone();
        let (a, b, c, d) = (ledger(), ledger(), ledger(), ledger());
        self.subscriptions = vec![
            bus.subscribe(move |event| a.lock().unwrap().allocation(event))?,
            bus.subscribe(move |event| b.lock().unwrap().recycling(event))?,
            bus.subscribe(move |event| c.lock().unwrap().level(event))?,
            bus.subscribe(move |event: &PitchDetected| {
                let mut ledger = d.lock().unwrap();
                ledger.events += 1;
                ledger.pitches.insert(event.first_frame);
            })?,
        ];
        Ok(())
    }

    fn stop(&mut self) {
        self.subscriptions.clear();
    }
}

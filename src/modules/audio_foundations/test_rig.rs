//! Fixtures for tests: both modules booted, streams and engines on them, and a processor.

use std::sync::{Arc, Mutex};

use super::{
    Analysis, AudioError, AudioFoundationsModule, Capture, Engine, ProcessContext, Processor,
    StreamConfig, Windows,
};
use crate::event_bus::{EventRecord, Subscription, TypedEventBus};
use crate::modules::data_management::{DataManagementModule, PlanarBuffer, PoolControl, PoolError};
use crate::registry::ModuleRegistry;

pub(super) const MONO: StreamConfig = StreamConfig {
    sample_rate_hz: 48_000.0,
    channels: 1,
    window: 1024,
    hop: 256,
};

pub(super) struct Rig {
    pub(super) registry: ModuleRegistry,
    events: Arc<Mutex<Vec<EventRecord>>>,
    _subscription: Subscription,
}

impl Rig {
    pub(super) fn boot() -> Self {
        let bus = TypedEventBus::default();
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        let subscription =
            bus.subscribe_json(move |event| sink.lock().unwrap().push(event.clone()));
        let registry = ModuleRegistry::builder(bus).boot().unwrap();
        Self {
            registry,
            events,
            _subscription: subscription,
        }
    }

    fn modules(&mut self) -> (&mut AudioFoundationsModule, &mut DataManagementModule) {
        self.registry.get_two_mut().unwrap()
    }

    pub(super) fn open(&mut self, config: StreamConfig) -> (Capture, Analysis) {
        self.try_open(config).unwrap()
    }

    pub(super) fn try_open(
        &mut self,
        config: StreamConfig,
    ) -> Result<(Capture, Analysis), AudioError> {
        let (audio, data) = self.modules();
        audio.open_stream(data, config)
    }

    pub(super) fn open_windows(&mut self, config: StreamConfig) -> (Capture, Windows) {
        let (audio, data) = self.modules();
        audio.open_windows(data, config).unwrap()
    }

    pub(super) fn control(&mut self) -> &mut PoolControl {
        self.modules().1.control_mut().unwrap()
    }

    /// Number of publishers, after all pending events were delivered.
    pub(super) fn publishers(&self) -> usize {
        let bus = self.registry.bus();
        while bus.pump(1024).taken() > 0 {}
        bus.pump(0);
        bus.stats().publishers
    }

    pub(super) fn engine(&mut self, channels: usize, chain: Vec<Box<dyn Processor>>) -> Engine {
        let (audio, data) = self.modules();
        audio.open_engine(data, 48_000.0, channels, chain).unwrap()
    }

    /// Number of acquired buffers.
    pub(super) fn leased(&self) -> u64 {
        let data = self.registry.get::<DataManagementModule>().unwrap();
        data.control().unwrap().leased()
    }

    /// The events with this name since the last call of `events` or `all_events`.
    pub(super) fn events(&self, name: &str) -> Vec<serde_json::Value> {
        let events = self.all_events().into_iter();
        let named = events.filter(|event| event.name == name);
        named.map(|event| event.data).collect()
    }

    /// All events since the last call of `events` or `all_events`.
    pub(super) fn all_events(&self) -> Vec<EventRecord> {
        while self.registry.bus().pump(1024).taken() > 0 {}
        core::mem::take(&mut *self.events.lock().unwrap())
    }

    /// Runs control steps until the pool has reclaimed the buffers of dropped streams and engines.
    pub(super) fn settle(&mut self) {
        while !self.control().step(64).complete {}
    }
}

/// Captures `samples` in quanta of 128 frames, from frame `at` on; returns the number of completed windows.
pub(super) fn play(capture: &mut Capture, samples: &[f32], at: u64) -> usize {
    let quanta = samples.chunks(128).enumerate();
    quanta
        .map(|(i, quantum)| capture.process(&[quantum], at + 128 * i as u64))
        .sum()
}

/// A recursive filter that does not check for infinity and NaN.
#[derive(Default)]
pub(crate) struct RecursiveFilter(f32);

impl Processor for RecursiveFilter {
    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        _: &ProcessContext<'_>,
    ) -> Result<(), PoolError> {
        for sample in block.channel_mut(0) {
            self.0 = 0.5 * self.0 + 0.5 * *sample;
            *sample = self.0;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.0 = 0.0;
    }
}

//! A recording of the real tuner: its capture and analysis run on a tone, and the pool's events are the trace.

use std::error::Error;
use std::f32::consts::TAU;
use std::sync::{Arc, Mutex};

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::audio_foundations::{AudioFoundationsModule, StreamConfig};
use wavepool::modules::data_management::DataManagementModule;
use wavepool::modules::data_management::pool_events::{BufferPoolAllocation, BufferPoolRecycling};
use wavepool::modules::data_management::sizing::demand_trace::{DemandTrace, TraceRecorder};
use wavepool::registry::ModuleRegistry;

const RATE_HZ: f32 = 48_000.0;
const QUANTUM: usize = 128;
const SECONDS: usize = 20;
/// The four windows of two seconds in which demand ages: until then the pool keeps what its host configured.
pub(crate) const FIRST_CYCLE_SECONDS: u64 = 9;
/// The analysis polls a little late now and then, as a worker does.
const QUANTA_PER_POLL: usize = 6;

pub(crate) fn record() -> Result<DemandTrace, Box<dyn Error>> {
    let bus = TypedEventBus::default();
    let recorder = Arc::new(Mutex::new(TraceRecorder::new(
        f64::from(RATE_HZ),
        QUANTUM as u32,
        1 << 20,
    )?));
    let sink = Arc::clone(&recorder);
    let _allocations = bus.subscribe(move |event: &BufferPoolAllocation| {
        if let (Ok(mut recorder), Some(frame)) = (sink.lock(), event.first_frame) {
            let (class, requested) = (event.class_samples as usize, event.requested as usize);
            recorder.acquired(frame, class, requested, u64::from(event.count));
        }
    })?;
    let sink = Arc::clone(&recorder);
    let _recyclings = bus.subscribe(move |event: &BufferPoolRecycling| {
        if let (Ok(mut recorder), Some(frame)) = (sink.lock(), event.first_frame) {
            recorder.released(frame, event.class_samples as usize, u64::from(event.count));
        }
    })?;

    let mut registry = ModuleRegistry::builder(bus.clone()).boot()?;
    let (audio, data) = registry
        .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
        .ok_or("both modules are linked in")?;
    let config = StreamConfig {
        sample_rate_hz: RATE_HZ,
        channels: 1,
        window: 4096,
        hop: 1024,
    };
    let (mut capture, mut analysis) = audio.open_stream(data, config)?;
    let mut block = [0.0_f32; QUANTUM];
    for quantum in 0..SECONDS * RATE_HZ as usize / QUANTUM {
        for (frame, sample) in block.iter_mut().enumerate() {
            *sample = 0.5 * (TAU * 440.0 / RATE_HZ * (quantum * QUANTUM + frame) as f32).sin();
        }
        capture.process(&[&block], (quantum * QUANTUM) as u64);
        if quantum % QUANTA_PER_POLL == 0 {
            analysis.poll(usize::MAX);
        }
        bus.pump(usize::MAX);
    }
    drop((capture, analysis));
    bus.pump(usize::MAX);
    let recorder = recorder
        .lock()
        .map_err(|_| "the recorder panicked")?
        .clone();
    Ok(recorder.finish()?)
}

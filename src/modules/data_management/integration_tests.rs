//! The pool, bus, registry, named audio buffers and audio together, as an application boots them. The same tests run
//! natively, in Node and in Chromium.

mod configured_mix;
mod every_event;
mod ledger;
mod many_quanta;
#[cfg(not(target_arch = "wasm32"))]
mod numbers_at_entry;
mod owners;
mod player;
#[cfg(not(target_arch = "wasm32"))]
mod refusals;
mod restarts;

use super::DataManagementModule;
use super::pool_events::BufferPoolAllocation;
use crate::event_bus::TypedEventBus;
use crate::modules::audio_foundations::{
    Analysis, AudioFoundationsModule, Capture, Engine, Processor, StreamConfig,
};
use crate::registry::ModuleRegistry;

const QUANTUM: usize = 128;
const RATE_HZ: f32 = 48_000.0;

fn ms(frame: u64) -> f64 {
    frame as f64 / f64::from(RATE_HZ) * 1000.0
}

fn data(registry: &mut ModuleRegistry) -> &mut DataManagementModule {
    registry.get_mut().unwrap()
}

fn open_stream(registry: &mut ModuleRegistry, config: StreamConfig) -> (Capture, Analysis) {
    let (audio, data) = registry
        .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
        .unwrap();
    audio.open_stream(data, config).unwrap()
}

fn open_engine(registry: &mut ModuleRegistry, chain: Vec<Box<dyn Processor>>) -> Engine {
    let (audio, data) = registry
        .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
        .unwrap();
    audio.open_engine(data, RATE_HZ, 2, chain).unwrap()
}

/// The number of the half that was attached last, if none was reclaimed.
fn newest_half(registry: &mut ModuleRegistry) -> u16 {
    let control = data(registry).control().unwrap();
    control.slots().map(|slot| slot.half).max().unwrap()
}

/// Delivers the pending events at the time of `frame`; returns how many there were.
fn pump(bus: &TypedEventBus, frame: u64) -> usize {
    #[cfg(target_arch = "wasm32")]
    bus.set_now_ns((ms(frame) * 1e6) as u64);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = frame;
    let mut taken = 0;
    loop {
        match bus.pump(4096).taken() {
            0 => return taken,
            more => taken += more,
        }
    }
}

/// Collects the buffers of dropped halves, and compares all counts with each other.
fn settle(registry: &mut ModuleRegistry, frame: u64) {
    let control = data(registry).control_mut().unwrap();
    while !control.step(256).complete {}
    assert_eq!(control.leased(), 0);
    assert!(control.is_valid());
    pump(registry.bus(), frame);
}

fn sine(hz: f32, frame: u64) -> [f32; QUANTUM] {
    let cycles = |n| (f64::from(hz) * (frame + n) as f64 / f64::from(RATE_HZ)).fract();
    core::array::from_fn(|n| 0.5 * (cycles(n as u64) * core::f64::consts::TAU).sin() as f32)
}

const CONFIGS: [StreamConfig; 4] = [
    StreamConfig {
        sample_rate_hz: RATE_HZ,
        channels: 2,
        window: 4096,
        hop: 2048,
    },
    StreamConfig {
        sample_rate_hz: RATE_HZ,
        channels: 1,
        window: 2048,
        hop: 2048,
    },
    StreamConfig {
        sample_rate_hz: 44_100.0,
        channels: 1,
        window: 1000,
        hop: 640,
    },
    StreamConfig {
        sample_rate_hz: 96_000.0,
        channels: 1,
        window: 512,
        hop: 512,
    },
];

/// An audio thread publishes, the dispatcher thread delivers, and a task awaits.
#[cfg(not(target_arch = "wasm32"))]
#[tokio::test]
async fn a_task_awaits_events_of_the_audio_thread() {
    use crate::event_bus::DispatcherThread;
    use std::time::Duration;

    const QUANTA: u64 = 500;
    let bus = TypedEventBus::default();
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let _guard = bus
        .subscribe(move |event: &BufferPoolAllocation| _ = sender.send(event.first_frame))
        .unwrap();
    let mut registry = ModuleRegistry::builder(bus.clone()).boot().unwrap();
    let mut half = data(&mut registry).attach_realtime().unwrap();
    let _dispatcher = DispatcherThread::spawn(&bus).unwrap();
    let audio = std::thread::spawn(move || {
        for quantum in 0..QUANTA {
            half.begin_quantum(quantum * QUANTUM as u64);
            half.release(half.acquire(QUANTUM).unwrap());
        }
    });
    for quantum in 0..QUANTA {
        let next = tokio::time::timeout(Duration::from_secs(30), events.recv());
        assert_eq!(next.await.unwrap(), Some(Some(quantum * QUANTUM as u64)));
    }
    audio.join().unwrap();
}

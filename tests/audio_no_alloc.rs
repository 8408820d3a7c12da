//! The audio path allocates nothing once a stream is open: counted by an allocator of its own, in its own binary.
#![allow(
    unsafe_code,
    reason = "an allocator that counts implements an unsafe trait"
)]

mod counting_allocator;

use std::hint::black_box;

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::audio_foundations::{
    AudioFoundationsModule, DcBlocker, Gain, LevelMeasured, Meter, PitchDetected, Processor,
    StreamConfig, WindowSkipped,
};
use wavepool::modules::data_management::DataManagementModule;
use wavepool::registry::ModuleRegistry;

use counting_allocator::calls_in;

#[test]
fn the_guard_trips() {
    let (calls, ()) = calls_in(|| drop(black_box(Vec::<f32>::with_capacity(8))));
    assert_eq!(calls, 2);
    assert_eq!(calls_in(|| ()).0, 0);
}

#[test]
fn an_open_stream_and_a_running_engine_never_allocate() {
    let bus = TypedEventBus::default();
    let _levels = bus.subscribe(|_: &LevelMeasured| ()).unwrap();
    let _pitches = bus.subscribe(|_: &PitchDetected| ()).unwrap();
    let _skips = bus.subscribe(|_: &WindowSkipped| ()).unwrap();
    let mut registry = ModuleRegistry::builder(bus.clone()).boot().unwrap();
    let (audio, data) = registry
        .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
        .unwrap();
    let config = StreamConfig {
        sample_rate_hz: 48_000.0,
        channels: 2,
        window: 4096,
        hop: 1024,
    };
    let (mut capture, mut analysis) = audio.open_stream(data, config).unwrap();
    let chain: Vec<Box<dyn Processor>> = vec![
        Box::new(DcBlocker::default()),
        Box::new(Gain::new(0.5).unwrap()),
        Box::new(Meter),
    ];
    let mut engine = audio.open_engine(data, 48_000.0, 2, chain).unwrap();

    let tone: Vec<f32> = (0..480).map(|n| (n as f32 * 0.13).sin()).collect();
    let mut output = [[0.0; 128]; 2];
    let (mut at, mut calls) = (0, 0);
    for quantum in 0..10_000_u64 {
        let input = &tone[(quantum as usize * 128) % 352..][..128];
        let (of_quantum, ()) = calls_in(|| {
            let [left, right] = &mut output;
            engine.process(&[input, input], &mut [left, right], at);
            match quantum % 1000 {
                // A gap, a source that went away, a plan that nobody carried out, an analysis that sleeps.
                10 => at += 77,
                20..30 => drop(capture.push_silence(128, at)),
                40 => drop(capture.begin(128, at).len()),
                _ => drop(capture.process(&[input, input], at)),
            }
            if !(500..800).contains(&(quantum % 1000)) {
                analysis.poll(4);
            }
        });
        calls += of_quantum;
        at += 128;
        // The dispatching side may allocate; it is another thread's business.
        bus.pump(usize::MAX);
    }
    assert_eq!(calls, 0);
    let counters = capture.counters();
    assert!(counters.windows > 500, "{counters:?}");
    assert!(counters.interrupted_windows > 0, "{counters:?}");
    assert!(counters.skipped_windows > 0, "{counters:?}");
    assert!(analysis.analyser().counters().windows > 500);
    assert_eq!(engine.counters().quanta, 10_000);
}

//! The audio path allocates nothing once a stream is open: counted by an allocator of its own, in its own binary.
#![allow(
    unsafe_code,
    reason = "an allocator that counts implements an unsafe trait"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::audio_foundations::{
    AudioFoundationsModule, DcBlocker, Gain, LevelMeasured, Meter, PitchDetected, Processor,
    StreamConfig, WindowSkipped,
};
use wavepool::modules::data_management::DataManagementModule;
use wavepool::registry::ModuleRegistry;

struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system allocator unchanged; counting neither allocates nor unwinds, since the
// thread-local is constant-initialised and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Calls into the allocator, freeing included, that this thread made in `run`.
fn calls_in(run: impl FnOnce()) -> u64 {
    let before = CALLS.with(Cell::get);
    run();
    CALLS.with(Cell::get) - before
}

#[test]
fn the_guard_trips() {
    let calls = calls_in(|| drop(black_box(Vec::<f32>::with_capacity(8))));
    assert_eq!(calls, 2);
    assert_eq!(calls_in(|| ()), 0);
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
        Box::new(Gain::new(0.5)),
        Box::new(Meter),
    ];
    let mut engine = audio.open_engine(data, 48_000.0, 2, chain).unwrap();

    let tone: Vec<f32> = (0..480).map(|n| (n as f32 * 0.13).sin()).collect();
    let mut output = [[0.0; 128]; 2];
    let (mut at, mut calls) = (0, 0);
    for quantum in 0..10_000_u64 {
        let input = &tone[(quantum as usize * 128) % 352..][..128];
        calls += calls_in(|| {
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

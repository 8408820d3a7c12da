//! Pool, bus, registry, named audio buffers and audio together, as an application boots them: the same tests natively,
//! in Node and in Chromium.

mod ledger;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use wasm_bindgen_test::wasm_bindgen_test;

use super::pool_events::{self, BufferPoolAllocation, BufferPoolRecycling};
use super::sizing::sizing_rules::SizingPolicy;
use super::{
    AudioFormat, BufferPool, BufferRef, DataManagementConfig, DataManagementModule, ObjectCosts,
    PlanarBuffer, PlanarRef, PoolError, PooledBuffer, RealtimePool, WasmJsBridge,
};
use crate::event_bus::{BusStats, EventRecord, EventType, Priority, Subscription, TypedEventBus};
use crate::modules::audio_foundations::{
    Analysis, AudioFoundationsModule, Capture, Engine, LevelMeasured, Meter, PitchDetected,
    PitchWork, ProcessContext, Processor, StreamConfig,
};
use crate::registry::{
    Dependency, InitContext, Module, ModuleDescriptor, ModuleError, ModuleRegistration,
    ModuleRegistry, Version,
};
use ledger::{Ledger, LedgerModule};

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

/// The half that was attached last, as long as none was taken over.
fn newest_half(registry: &mut ModuleRegistry) -> u16 {
    let control = data(registry).control().unwrap();
    control.slots().map(|slot| slot.half).max().unwrap()
}

/// Delivers what waits, at the time of `frame`; answers how many events that were.
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

/// Collects what halves that are gone left behind, and checks every account against every other.
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

/// A generator of operations (Lehmer, as in MINSTD): the same on every target.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0 * 48_271 % 0x7fff_ffff;
        self.0 as usize % sides
    }
}

/// The class that serves a request: the default mix is powers of two.
fn class_of(samples: usize) -> u32 {
    samples.next_power_of_two().max(256) as u32
}

/// What the player has in hands between quanta.
#[expect(dead_code, reason = "held, not read")]
enum Held {
    Unique(PooledBuffer),
    Shared(BufferRef, BufferRef),
    Planar(PlanarRef),
}

/// Draws buffers of every class on its own half, and enters each into the ledger.
struct Player {
    half: RealtimePool,
    dice: Dice,
    held: VecDeque<Held>,
    most_held: usize,
    refused: u64,
}

impl Player {
    fn quantum(&mut self, frame: u64, ledger: &mut Ledger) {
        self.half.begin_quantum(frame);
        let sizes = [0; 2].map(|_| 1 + self.dice.roll(4096));
        for scratch in sizes.map(|samples| self.half.scratch(samples)) {
            match scratch {
                Ok(mut scratch) => {
                    scratch[0] = 1.0;
                    let class = class_of(scratch.len());
                    *ledger.expected_scratch.entry((frame, class)).or_default() += 1;
                    *ledger.expected_by_class.entry(class).or_default() += 1;
                }
                Err(_) => self.refused += 1,
            }
        }
        let samples = 1 + self.dice.roll(4096);
        let mut drawn = |slot: u32| {
            ledger.expected.push_back((frame, slot));
            let class = class_of(samples);
            *ledger.expected_by_class.entry(class).or_default() += 1;
        };
        let held = match self.dice.roll(8) {
            0 => self.half.acquire_planar(2, samples).map(|block| {
                (0..2).for_each(|channel| drawn(block.slot_index(channel)));
                Held::Planar(block.freeze())
            }),
            kind => self.half.acquire(samples).map(|mut buffer| {
                drawn(buffer.slot_index());
                buffer[samples - 1] = 1.0;
                if kind < 4 {
                    let shared = buffer.freeze();
                    Held::Shared(shared.clone(), shared)
                } else {
                    Held::Unique(buffer)
                }
            }),
        };
        match held {
            Ok(held) => self.held.push_back(held),
            Err(_) => {
                self.refused += 1;
                ledger.torn.push_back((frame, class_of(samples)));
            }
        }
        while self.held.len() > self.most_held {
            match self.held.pop_front() {
                // Half of them as a real-time thread gives back, half as anybody does.
                Some(Held::Unique(buffer)) if samples.is_multiple_of(2) => {
                    self.half.release(buffer)
                }
                other => drop(other),
            }
        }
        self.most_held = (self.most_held + self.dice.roll(3)).clamp(2, 25) - 1;
    }
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

const QUANTA: u64 = 100_000;
const QUANTA_PER_ROUND: u64 = 10_000;
/// Of each round, as many have a stream open: analysis takes most of the time.
const QUANTA_PER_STREAM: u64 = 1_000;
/// A critical lane holds the events of many more.
const QUANTA_PER_PUMP: u64 = 16;
const QUANTA_PER_TICK: u64 = 32;

#[wasm_bindgen_test(unsupported = test)]
fn a_hundred_thousand_quanta_leave_every_account_in_agreement() {
    let bus = TypedEventBus::default();
    // Learned classes would be other than the ledger's account knows.
    let sizing = SizingPolicy {
        learn_classes: false,
        ..SizingPolicy::default()
    };
    let config = DataManagementConfig {
        sizing: Some(sizing),
        audio_buffers: vec![(4096, 8)],
        ..DataManagementConfig::default()
    };
    let mut registry = ModuleRegistry::builder(bus.clone())
        .configure(config)
        .register(LedgerModule::REGISTRATION)
        .boot()
        .unwrap();
    let names: Vec<_> = registry.modules().map(|module| module.name).collect();
    let place = |name| names.iter().position(|other| *other == name).unwrap();
    assert!(place("data_management") < place("audio_foundations").min(place("ledger")));

    let ledger = registry.get::<LedgerModule>().unwrap().ledger.clone();
    let ledger = || -> MutexGuard<'_, Ledger> { ledger.lock().unwrap() };
    let mut player = Player {
        half: data(&mut registry).attach_realtime().unwrap(),
        dice: Dice(2026),
        held: VecDeque::new(),
        most_held: 2,
        refused: 0,
    };
    let mut engine = open_engine(&mut registry, vec![Box::new(Meter)]);
    {
        let mut ledger = ledger();
        ledger.player = player.half.id();
        ledger.engine = newest_half(&mut registry);
        ledger.engine_stream = 1;
    }
    let format = AudioFormat {
        sample_rate_hz: RATE_HZ,
        channels: 2,
        frames: 4096,
    };
    let buffers = data(&mut registry).audio_buffers_mut().unwrap();
    buffers.create("mix", format).unwrap();
    ledger().manager = newest_half(&mut registry);

    let mut stream = None;
    let mut output = [[0.0; QUANTUM]; 2];
    let (mut windows, mut shared) = (0, VecDeque::new());
    let (mut delivered, mut reserved) = (0, Vec::new());
    for quantum in 0..QUANTA {
        let frame = quantum * QUANTUM as u64;
        let round = quantum / QUANTA_PER_ROUND;
        let input = sine(220.0, frame);
        player.quantum(frame, &mut ledger());
        let [left, right] = &mut output;
        engine.process(&[&input, &input], &mut [left, right], frame);
        match quantum % QUANTA_PER_ROUND {
            0 => {
                let config = CONFIGS[round as usize % CONFIGS.len()];
                stream = Some(open_stream(&mut registry, config));
            }
            QUANTA_PER_STREAM => {
                let (capture, mut analysis) = stream.take().unwrap();
                // Whatever the sizing of the others: a stream has what it was opened with.
                assert_eq!(capture.counters().skipped_windows, 0);
                drop(capture);
                analysis.poll(usize::MAX);
                assert!(analysis.is_finished());
                windows += analysis.analyser().counters().windows;
            }
            _ => {}
        }
        if let Some((capture, analysis)) = &mut stream {
            capture.process(&[&input, &input], frame);
            analysis.poll(1);
        }
        let buffers = data(&mut registry).audio_buffers_mut().unwrap();
        let buffer = buffers.get_mut("mix").unwrap();
        assert_eq!(buffer.write(&[&input, &input]), QUANTUM);
        if buffer.is_full() {
            shared.push_back(buffers.share("mix").unwrap());
            if shared.len() > 2 {
                shared.pop_front();
            }
        }
        if quantum % QUANTA_PER_TICK == 0 {
            data(&mut registry).tick(ms(frame));
        }
        if quantum % QUANTA_PER_PUMP == 0 {
            delivered += pump(&bus, frame);
        }
        if quantum % QUANTA_PER_ROUND == QUANTA_PER_ROUND - 1 {
            let control = data(&mut registry).control().unwrap();
            assert!(control.is_valid(), "after {quantum} quanta");
            reserved.push(control.metrics().bytes_reserved);
        }
    }

    let end = QUANTA * QUANTUM as u64;
    let account = data(&mut registry).audio_buffers_mut().unwrap();
    let account = account.remove("mix").unwrap();
    assert_eq!(account.frames_written, end);
    assert_eq!((account.blocks_shared, account.refused), (QUANTA / 32, 0));
    let starved = engine.counters().starved_quanta;
    drop((engine, shared));
    player.held.clear();
    player.half.begin_quantum(end);
    player.half.begin_quantum(end);
    data(&mut registry).tick(ms(end));
    let Player { half, refused, .. } = player;
    drop(half);
    delivered += pump(&bus, end);
    // The manager's half is part of the module: its next quanta tell what came home.
    data(&mut registry).tick(ms(end) + 1.0);
    data(&mut registry).tick(ms(end) + 2.0);
    settle(&mut registry, end);

    let metrics = data(&mut registry).metrics().unwrap();
    let BusStats {
        critical,
        high,
        normal,
        subscriber_panics,
        ..
    } = bus.stats();
    let ledger = ledger();
    assert_eq!((ledger.out_of_order, ledger.unexpected), (0, 0));
    assert_eq!(
        (ledger.expected.len(), ledger.expected_scratch.len()),
        (0, 0)
    );
    assert_eq!(ledger.player_allocated, ledger.expected_by_class);
    assert_eq!(ledger.player_recycled, ledger.expected_by_class);
    let allocated: u64 = ledger.allocated.values().sum();
    assert_eq!(allocated, metrics.total_allocations - metrics.exhausted);
    for (half, allocated) in &ledger.allocated {
        assert_eq!(ledger.recycled[half], *allocated, "half {half}");
    }
    assert_eq!(metrics.exhausted, refused);
    // Demand at random, and a pool that keeps no more than it needs.
    assert!(metrics.hit_rate_percentage.unwrap() > 99.5, "{metrics:?}");

    // Every lane delivered what was published.
    assert_eq!(subscriber_panics, 0);
    for lane in [&critical, &high, &normal] {
        assert_eq!((lane.dropped, lane.unclaimed, lane.pending), (0, 0, 0));
        assert_eq!(lane.delivered, lane.published);
    }
    let published = critical.published + high.published + normal.published;
    assert_eq!(published, ledger.events);
    assert!(delivered as u64 <= published);

    // Pool and audio events of one frame belong together: each quantum of the engine has its two buffers and its
    // level, each window its scratch, and a buffer per channel drawn in the quantum in which it began.
    assert_eq!((ledger.engine_frames, ledger.half_told.len()), (QUANTA, 0));
    assert_eq!(ledger.levels.len() as u64, windows);
    assert!(ledger.levels.keys().eq(&ledger.pitches));
    assert!(ledger.levels.keys().eq(ledger.window_scratch.keys()));
    assert!(
        ledger
            .window_scratch
            .values()
            .all(|&count| count == PitchWork::BUFFERS)
    );
    let quantum_of = |window: &u64| window / QUANTUM as u64 * QUANTUM as u64;
    assert!(windows > 1000, "{windows}");
    assert!(
        ledger
            .levels
            .keys()
            .all(|window| ledger.window_buffers.contains_key(&quantum_of(window)))
    );

    // Later rounds live on what the first ones reserved.
    assert_eq!(reserved[5..], [reserved[5]; 5]);
    assert_eq!(starved, 0);
    drop(ledger);
    registry.shutdown();
}

fn never_published(types: &[EventType], seen: &BTreeSet<&'static str>) -> Vec<&'static str> {
    let names = types.iter().map(|declared| declared.name);
    names.filter(|name| !seen.contains(name)).collect()
}

/// Small, so that its tables weigh more than the 3 % that are told, and with classes far enough apart to fragment.
fn small_pool() -> DataManagementConfig {
    DataManagementConfig {
        pool: BufferPool::builder()
            .class(64, 8)
            .class(256, 64)
            .class(1024, 8)
            .limit_samples(1 << 20)
            .leak_sampling(1),
        sizing: Some(SizingPolicy::default()),
        audio_buffers: vec![(1024, 2)],
        ..DataManagementConfig::default()
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn every_event_type_is_published_from_its_real_place() {
    let bus = TypedEventBus::default();
    let records = Arc::new(Mutex::new(Vec::new()));
    let sink = records.clone();
    let _guard = bus
        .subscribe_json(move |record: &EventRecord| sink.lock().unwrap().push(record.clone()))
        .unwrap();
    let mut registry = ModuleRegistry::builder(bus.clone())
        .configure(small_pool())
        .boot()
        .unwrap();
    let types = bus.types();
    let declared: BTreeSet<_> = types.iter().map(|declared| declared.name).collect();
    for name in pool_events::NAMES {
        assert!(declared.contains(name), "{name} was not declared at boot");
    }
    // The twelve of the pool, five of audio, and `EventsDropped`.
    assert_eq!(types.len(), pool_events::NAMES.len() + 6);
    assert_eq!(never_published(&types, &BTreeSet::new()).len(), types.len());

    // Exhaustion, and requests that miss: the hit rate falls. What is missing is then carved by a plan.
    let mut half = data(&mut registry).attach_realtime().unwrap();
    half.begin_quantum(128);
    let mut held: Vec<_> = core::iter::from_fn(|| half.acquire(256).ok()).collect();
    assert_eq!(held.len(), 64);
    data(&mut registry).tick(0.0);
    assert!((0..60).filter(|_| half.scratch(1000).is_err()).count() == 0);
    held.extend(core::iter::from_fn(|| half.acquire(256).ok()));
    for _ in 0..200 {
        assert!(matches!(
            half.acquire(256),
            Err(PoolError::Exhausted { .. })
        ));
    }
    data(&mut registry).tick(1000.0);

    // Fragmentation: every other one goes home, and its class keeps none.
    let mut place = 0;
    held.sort_unstable_by_key(PooledBuffer::address);
    held.retain(|_| {
        place += 1;
        place % 2 == 0
    });
    let control = data(&mut registry).control_mut().unwrap();
    control.trim(256, 0).unwrap();
    for quantum in 2..10 {
        half.begin_quantum(quantum * 128);
    }
    data(&mut registry).tick(1010.0);
    held.clear();

    // JavaScript's side: buffers that crossed, and a participant that died with two in its hands.
    let mut bridge = WasmJsBridge::new(1, 8, data(&mut registry).control().unwrap().most_slots());
    bridge.calibrate(ObjectCosts {
        view_bytes: 99,
        message_bytes: 120,
        array_bytes: 160,
    });
    for _ in 0..10 {
        let buffer = bridge.acquire(&half, 1000).unwrap();
        bridge.view(buffer).unwrap();
        bridge.release(buffer).unwrap();
    }
    bridge.acquire(&half, 1000).unwrap();
    bridge.acquire(&half, 1000).unwrap();
    data(&mut registry).observe_boundary(bridge.counts());
    let control = data(&mut registry).control_mut().unwrap();
    assert_eq!(control.reclaim_leases(bridge.leases()), 2);
    data(&mut registry).tick(1200.0);

    // A stream with a gap in it.
    let config = StreamConfig {
        sample_rate_hz: RATE_HZ,
        channels: 1,
        window: 512,
        hop: 256,
    };
    let (mut capture, mut analysis) = open_stream(&mut registry, config);
    for quantum in (0..20).chain(30..50) {
        capture.process(&[&sine(440.0, quantum * 128)], quantum * 128);
        analysis.poll(4);
    }
    drop((capture, analysis));

    // A flood that nobody takes away in time.
    pump(&bus, 10_000);
    for _ in 0..2000 {
        half.release(half.acquire(64).unwrap());
    }

    // The last stream is closed, and yet somebody holds a buffer.
    assert_eq!(data(&mut registry).report_leaks(), 0);
    let leaked = half.acquire(1000).unwrap();
    let slot = leaked.slot_index();
    core::mem::forget(leaked);
    assert_eq!(data(&mut registry).report_leaks(), 1);
    data(&mut registry).tick(1300.0);
    pump(&bus, 20_000);
    pump(&bus, 20_000);

    let records = records.lock().unwrap();
    let seen: BTreeSet<_> = records.iter().map(|record| record.name).collect();
    assert_eq!(never_published(&types, &seen), [""; 0]);
    let data_of = |name| {
        let record = records.iter().find(|record| record.name == name);
        &record.unwrap().data
    };
    assert_eq!(data_of("BufferLeaked")["slot"], slot);
    assert_eq!(data_of("LeasesReclaimed")["count"], 2);
    assert_eq!(data_of("PoolExhausted")["carved"], 64);
    assert_eq!(data_of("MemoryOverheadHigh")["threshold_percentage"], 3.0);
    assert!(
        data_of("HitRateLow")["hit_rate_percentage"]
            .as_f64()
            .unwrap()
            < 90.0
    );
    assert!(
        data_of("PoolFragmentation")["fragmentation_percentage"]
            .as_f64()
            .unwrap()
            > 5.0
    );
    let counts = bridge.counts();
    let pressure = data_of("JSGCPressureReduction");
    assert_eq!(pressure["objects"], counts.objects);
    assert_eq!(pressure["bytes_unpooled"], 10 * (4000 + 160));

    // Each publisher's events of each lane came in order, none twice, none missing but those told as dropped.
    let mut next = BTreeMap::<(u32, Priority), u64>::new();
    for record in &*records {
        let next = next.entry((record.publisher, record.priority)).or_default();
        assert_eq!((record.version, record.seq), (EventRecord::VERSION, *next));
        *next += 1;
    }
}

mockall::mock! {
    Step {}
    impl Processor for Step {
        fn prepare(&mut self, sample_rate_hz: f32);
        fn process<'a>(
            &mut self,
            block: &mut PlanarBuffer,
            ctx: &ProcessContext<'a>,
        ) -> Result<(), PoolError>;
        fn reset(&mut self);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn streams_and_engines_stop_restart_and_change_without_a_leak() {
    let bus = TypedEventBus::default();
    let mut registry = ModuleRegistry::builder(bus.clone()).boot().unwrap();
    let mut step = MockStep::new();
    let rates = [RATE_HZ, 44_100.0];
    for rate in rates {
        let told = step.expect_prepare().withf(move |given| *given == rate);
        told.times(1).return_const(());
    }
    // Once as it begins, once as it is started again.
    step.expect_reset().times(2).return_const(());
    // It finds no scratch in its first quantum, and the block goes on as it is.
    let mut calls = 0;
    step.expect_process().returning(move |block, ctx| {
        calls += 1;
        assert_eq!((block.channels(), block.frames()), (2, QUANTUM));
        assert!(rates.contains(&ctx.sample_rate_hz()));
        if calls == 1 {
            ctx.scratch(1 << 20)?;
        }
        Ok(())
    });
    let mut engine = open_engine(&mut registry, vec![Box::new(step)]);
    let mut heard = Vec::new();
    let mut at = 0;
    let mut play = |engine: &mut Engine, quanta: usize, heard: &mut Vec<f32>| {
        for _ in 0..quanta {
            let mut output = [[0.0; QUANTUM]; 2];
            let [left, right] = &mut output;
            engine.process(&[&[1.0; QUANTUM], &[1.0; QUANTUM]], &mut [left, right], at);
            heard.extend(output[0]);
            at += QUANTUM as u64;
        }
    };
    play(&mut engine, 8, &mut heard);
    engine.stop();
    play(&mut engine, 8, &mut heard);
    assert!(engine.is_silent());
    engine.set_sample_rate(rates[1]);
    engine.start();
    play(&mut engine, 8, &mut heard);
    assert_eq!(engine.counters().refused_scratch, 1);
    assert_eq!((heard[8 * QUANTUM - 1], heard.last()), (1.0, Some(&1.0)));
    // Five milliseconds from silence to full and back.
    let steepest = 1.01 / (0.005 * rates[1]);
    assert!(
        heard
            .windows(2)
            .all(|pair| (pair[1] - pair[0]).abs() <= steepest)
    );
    drop(engine);

    let mut reserved = BTreeSet::new();
    for round in 0..5 {
        for (place, config) in CONFIGS.into_iter().enumerate() {
            let (mut capture, mut analysis) = open_stream(&mut registry, config);
            let format = AudioFormat {
                sample_rate_hz: config.sample_rate_hz,
                channels: config.channels,
                frames: config.window,
            };
            let buffers = data(&mut registry).audio_buffers_mut().unwrap();
            buffers.create("input", format).unwrap();
            let quanta = 4 * config.window / QUANTUM;
            for quantum in 0..quanta as u64 {
                // A restart in the middle: the frames begin anew.
                let frame = quantum % (quanta as u64 / 2) * QUANTUM as u64;
                capture.process(&[&sine(440.0, frame)], frame);
                let buffer = buffers.get_mut("input").unwrap();
                buffer.write(&[&sine(440.0, frame)]);
            }
            let block = buffers.share("input").unwrap();
            assert_eq!(block.metadata().sample_rate_hz, config.sample_rate_hz);
            buffers.remove("input").unwrap();
            if (round + place) % 2 == 0 {
                drop(capture);
                assert!(analysis.poll(usize::MAX) > 0);
                assert!(analysis.is_finished());
            } else {
                drop(analysis);
                capture.process(&[&sine(440.0, 0)], 0);
            }
        }
        settle(&mut registry, at);
        reserved.insert(data(&mut registry).metrics().unwrap().bytes_reserved);
        assert_eq!(data(&mut registry).report_leaks(), 0);
    }
    assert_eq!(reserved.len(), 1, "memory grew: {reserved:?}");
    let failed = registry.health();
    let failed = failed
        .iter()
        .find(|m| m.health != crate::registry::Health::Healthy);
    assert_eq!(failed, None);
}

/// An audio thread publishes, the dispatcher thread delivers, a task awaits.
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

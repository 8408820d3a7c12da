//! 100,000 quanta of mixed classes, audio and pool events: all counts agree with each other at the end.

use std::collections::VecDeque;
use std::sync::MutexGuard;

use wasm_bindgen_test::wasm_bindgen_test;

use super::ledger::{Ledger, LedgerModule};
use super::player::{Dice, Player};
use super::*;
use crate::event_bus::BusStats;
use crate::modules::audio_foundations::{Meter, PitchWork};
use crate::modules::data_management::sizing::sizing_rules::SizingPolicy;
use crate::modules::data_management::{AudioFormat, DataManagementConfig, PoolFigures};

/// Miri is slow.
const QUANTA: u64 = if cfg!(miri) { 320 } else { 100_000 };
const QUANTA_PER_ROUND: u64 = QUANTA / 10;
/// Quanta of each round with an open stream: the analysis takes most of the time.
const QUANTA_PER_STREAM: u64 = if cfg!(miri) { 20 } else { 1_000 };
/// A Critical lane has cells for the events of many more quanta.
const QUANTA_PER_PUMP: u64 = 16;
const QUANTA_PER_TICK: u64 = 32;

#[wasm_bindgen_test(unsupported = test)]
fn counts_agree_after_a_hundred_thousand_quanta() {
    let bus = TypedEventBus::default();
    // The ledger assumes the default classes, so that classes must not be learned.
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
                // A stream has the buffers with which it was opened, whatever the sizing of other halves.
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
    // The manager's half is part of the module: its next quanta publish the released buffers.
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
    // Random demand, and a pool that keeps no more buffers than it needs.
    assert!(metrics.hit_rate_percentage.unwrap() > 99.5, "{metrics:?}");

    // Every lane delivered all published events.
    assert_eq!(subscriber_panics, 0);
    for lane in [&critical, &high, &normal] {
        assert_eq!((lane.dropped, lane.unclaimed, lane.pending), (0, 0, 0));
        assert_eq!(lane.delivered, lane.published);
    }
    let published = critical.published + high.published + normal.published;
    assert_eq!(published, ledger.events);
    assert!(delivered as u64 <= published);

    // Pool and audio events of a frame agree: each quantum of the engine has its two buffers and its level, and each window
    // has its scratch, and a buffer per channel that was acquired in the quantum in which it began.
    assert_eq!(
        (ledger.engine_frames, ledger.open_frames.len()),
        (QUANTA, 0)
    );
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
    assert!(windows > QUANTA / 100, "{windows}");
    assert!(
        ledger
            .levels
            .keys()
            .all(|window| ledger.window_buffers.contains_key(&quantum_of(window)))
    );

    // Later rounds use the memory that the first ones reserved.
    assert_eq!(reserved[5..], [reserved[5]; 5]);
    assert_eq!(starved, 0);
    drop(ledger);
    registry.shutdown().unwrap();
}

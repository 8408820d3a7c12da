//! Streams and engines that stop, restart, and change their rate and window.

use std::collections::BTreeSet;

use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::modules::audio_foundations::ProcessContext;
use crate::modules::data_management::{AudioFormat, PlanarBuffer, PoolError};

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
fn leak_free_when_streams_and_engines_stop_restart_and_change() {
    let bus = TypedEventBus::default();
    let mut registry = ModuleRegistry::builder(bus.clone()).boot().unwrap();
    let mut step = MockStep::new();
    let rates = [RATE_HZ, 44_100.0];
    for rate in rates {
        let prepare = step.expect_prepare().withf(move |given| *given == rate);
        prepare.times(1).return_const(());
    }
    // Once at the first start, once at the restart.
    step.expect_reset().times(2).return_const(());
    // It gets no scratch in its first quantum, and the block stays unchanged.
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
    let mut played = Vec::new();
    let mut at = 0;
    let mut play = |engine: &mut Engine, quanta: usize, played: &mut Vec<f32>| {
        for _ in 0..quanta {
            let mut output = [[0.0; QUANTUM]; 2];
            let [left, right] = &mut output;
            engine.process(&[&[1.0; QUANTUM], &[1.0; QUANTUM]], &mut [left, right], at);
            played.extend(output[0]);
            at += QUANTUM as u64;
        }
    };
    play(&mut engine, 8, &mut played);
    engine.stop();
    play(&mut engine, 8, &mut played);
    assert!(engine.is_silent());
    engine.set_sample_rate(rates[1]).unwrap();
    engine.start();
    play(&mut engine, 8, &mut played);
    assert_eq!(engine.counters().refused_scratch, 1);
    assert_eq!((played[8 * QUANTUM - 1], played.last()), (1.0, Some(&1.0)));
    // Five milliseconds from silence to full level and back.
    let steepest = 1.01 / (0.005 * rates[1]);
    assert!(
        played
            .windows(2)
            .all(|pair| (pair[1] - pair[0]).abs() <= steepest)
    );
    drop(engine);

    let mut reserved = BTreeSet::new();
    for round in 0..if cfg!(miri) { 2 } else { 5 } {
        for (place, config) in CONFIGS.into_iter().enumerate() {
            let (mut capture, mut analysis) = open_stream(&mut registry, config);
            let format = AudioFormat {
                sample_rate_hz: config.sample_rate_hz,
                channels: config.channels,
                frames: config.window,
            };
            let buffers = data(&mut registry).audio_buffers_mut().unwrap();
            buffers.create("input", format).unwrap();
            let quanta = if cfg!(miri) { 2 } else { 4 } * config.window.div_ceil(QUANTUM);
            for quantum in 0..quanta as u64 {
                // A restart in the middle: the frame numbers begin again.
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

//! Engines: chains of processors between an input and an output, on pooled blocks.

use serde::Serialize;

use super::chain::{Chain, Processed};
use super::processor::{Gain, Processor};
use super::stream::{AudioError, check_rate};
use crate::modules::data_management::PlanarBuffer;

/// The counters of an engine since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct EngineCounters {
    /// Quanta processed, including silent ones.
    pub quanta: u64,
    /// Quanta that were replaced by silence because the pool had no buffer for them.
    pub starved_quanta: u64,
    /// Blocks that a processor left unchanged because the pool had no scratch for it.
    pub refused_scratch: u64,
    /// Quanta that were replaced by silence because the processors' output ended in infinity or NaN.
    pub broken_quanta: u64,
}

/// Runs a chain of processors on every quantum: copies the input into one pooled planar block, processes it in place, and
/// copies it to the output.
///
/// An engine does not click. It fades in over five milliseconds when it starts, after a gap, and after a quantum for which
/// the pool had no buffer; it fades out when it is stopped.
///
/// Samples that are infinite or NaN are processed like others. If the last sample of a quantum is infinite or NaN, a
/// processor may have it in its state: the quantum is then replaced by silence, and the next one is processed as after a gap.
///
/// # Real-time
/// [`process`](Self::process), [`stop`](Self::stop) and [`start`](Self::start) allocate nothing and take no lock;
/// [`set_sample_rate`](Self::set_sample_rate) may allocate.
pub struct Engine {
    channels: usize,
    processors: Vec<Box<dyn Processor>>,
    fade: Gain,
    running: bool,
    /// The first frame of a quantum that follows the last one; `None` if the next one is to fade in.
    next_frame: Option<u64>,
    counters: EngineCounters,
    chain: Chain,
}

impl Engine {
    pub(super) fn new(channels: usize, processors: Vec<Box<dyn Processor>>, chain: Chain) -> Self {
        let mut engine = Self {
            channels,
            processors,
            fade: Gain::SILENT,
            running: true,
            next_frame: None,
            counters: EngineCounters::default(),
            chain,
        };
        engine.prepare();
        engine
    }

    /// Processes one quantum, one slice per channel. The length of the first output is the number of frames, at most the pool's
    /// largest class. Missing inputs, missing frames of inputs, and outputs beyond the engine's channels are silence.
    pub fn process(&mut self, inputs: &[&[f32]], outputs: &mut [&mut [f32]], first_frame: u64) {
        let frames = outputs.first().map_or(0, |channel| channel.len());
        self.counters.quanta += 1;
        self.chain.pool.begin_quantum(first_frame);
        let follows = self.next_frame == Some(first_frame);
        self.next_frame = Some(first_frame.saturating_add(frames as u64));
        if frames == 0 || (!self.running && self.fade.is_settled()) {
            silence(outputs);
            return;
        }
        let Ok(mut block) = self.chain.pool.acquire_planar(self.channels, frames) else {
            self.counters.starved_quanta += 1;
            self.next_frame = None;
            silence(outputs);
            return;
        };
        if !follows {
            self.fade.jump(0.0);
            self.fade.ramp_to(if self.running { 1.0 } else { 0.0 });
            for processor in &mut self.processors {
                processor.reset();
            }
        }
        load(&mut block, inputs);
        let processors = self.processors.iter_mut().map(|processor| &mut **processor);
        let Processed { refused, is_broken } =
            self.chain.process(processors, &mut block, first_frame);
        self.counters.refused_scratch += refused;
        if is_broken {
            self.counters.broken_quanta += 1;
            self.next_frame = None;
            self.chain.pool.release_planar(block);
            silence(outputs);
            return;
        }
        self.fade.apply(&mut block);
        let mut channels = block.iter();
        for output in outputs {
            copy_or_silence(output, channels.next().unwrap_or_default(), 0);
        }
        drop(channels);
        self.chain.pool.release_planar(block);
    }

    /// Fades out; see [`is_silent`](Self::is_silent).
    pub fn stop(&mut self) {
        self.running = false;
        self.fade.ramp_to(0.0);
    }

    /// Resets the processors and fades in again.
    pub fn start(&mut self) {
        self.running = true;
        self.next_frame = None;
    }

    /// Whether it was stopped and has faded out. Its sample rate can then be changed, or it can be dropped, without a click.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        !self.running && self.fade.is_settled()
    }

    /// Prepares every processor for another sample rate, and fades in.
    ///
    /// # Errors
    /// [`AudioError::SampleRate`] for a rate outside the limits; the engine keeps its rate.
    pub fn set_sample_rate(&mut self, sample_rate_hz: f32) -> Result<(), AudioError> {
        check_rate(sample_rate_hz)?;
        self.chain.sample_rate_hz = sample_rate_hz;
        self.next_frame = None;
        self.prepare();
        Ok(())
    }

    fn prepare(&mut self) {
        self.fade.prepare(self.chain.sample_rate_hz);
        for processor in &mut self.processors {
            processor.prepare(self.chain.sample_rate_hz);
        }
    }

    /// The counters so far.
    #[must_use]
    pub const fn counters(&self) -> &EngineCounters {
        &self.counters
    }
}

fn silence(outputs: &mut [&mut [f32]]) {
    for output in outputs {
        output.fill(0.0);
    }
}

/// Copies the samples of `from`, from sample `at` on, to `to`. Missing samples are silence.
#[inline(always)] // The body is little more than two bounds checks.
pub(super) fn copy_or_silence(to: &mut [f32], from: &[f32], at: usize) {
    match from.get(at..at + to.len()) {
        Some(from) => to.copy_from_slice(from),
        None => copy_available(to, from.get(at..).unwrap_or_default()),
    }
}

#[cold]
fn copy_available(to: &mut [f32], from: &[f32]) {
    let (filled, rest) = to.split_at_mut(from.len().min(to.len()));
    filled.copy_from_slice(&from[..filled.len()]);
    rest.fill(0.0);
}

fn load(block: &mut PlanarBuffer, inputs: &[&[f32]]) {
    let mut inputs = inputs.iter();
    for channel in block.iter_mut() {
        copy_or_silence(channel, inputs.next().copied().unwrap_or_default(), 0);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::super::processor::{DcBlocker, Meter, ProcessContext};
    use super::super::test_rig::{RecursiveFilter, Rig};
    use super::*;
    use crate::modules::data_management::PoolError;

    const RAMP: usize = 240;

    /// One quantum of constant input; returns the first channel's output.
    fn quantum(engine: &mut Engine, at: &mut u64) -> Vec<f32> {
        let mut output = [7.0; 128];
        engine.process(&[&[1.0; 128]], &mut [&mut output], *at);
        *at += 128;
        output.to_vec()
    }

    fn assert_no_click(output: &[f32]) {
        let steepest = 1.01 / RAMP as f32;
        for (n, pair) in output.windows(2).enumerate() {
            assert!(
                (pair[1] - pair[0]).abs() <= steepest,
                "click at {n}: {pair:?}"
            );
        }
    }

    #[test]
    fn engine_starts_stops_and_restarts_without_a_click() {
        let mut rig = Rig::boot();
        let mut engine = rig.engine(1, Vec::new());
        let mut at = 0;
        let mut output = vec![0.0];
        for n in 0..40 {
            match n {
                10 => engine.stop(),
                11 => assert!(!engine.is_silent()),
                20 => {
                    assert!(engine.is_silent());
                    engine.set_sample_rate(48_000.0).unwrap();
                    engine.start();
                }
                // Stopped during the fade-in.
                21 => engine.stop(),
                30 => engine.start(),
                _ => {}
            }
            output.extend(quantum(&mut engine, &mut at));
        }
        assert_no_click(&output);
        assert_eq!(output[128 * 10], 1.0);
        assert_eq!(output[128 * 20], 0.0);
        assert_eq!(output.last(), Some(&1.0));
        drop(engine);
        assert_eq!(rig.leased(), 0);
    }

    #[test]
    fn gap_is_followed_by_a_fade_in() {
        let mut rig = Rig::boot();
        let mut engine = rig.engine(1, Vec::new());
        let mut at = 0;
        (0..5).for_each(|_| drop(quantum(&mut engine, &mut at)));
        at += 999;
        let output = quantum(&mut engine, &mut at);
        assert!(output[0] < 0.01);
        assert_no_click(&output);
    }

    #[test]
    fn missing_inputs_and_spare_outputs_are_silent() {
        let mut rig = Rig::boot();
        let mut engine = rig.engine(2, Vec::new());
        let mut out = [[7.0; 128]; 3];
        for at in 0..4 {
            let [a, b, c] = &mut out;
            engine.process(&[&[1.0; 128]], &mut [a, b, c], 128 * at);
        }
        assert_eq!(out[0], [1.0; 128]);
        assert_eq!(out[1], [0.0; 128]);
        assert_eq!(out[2], [0.0; 128]);
        engine.process(&[], &mut [], 512);
    }

    #[test]
    fn quantum_above_the_largest_class_is_silent_and_counted() {
        let mut rig = Rig::boot();
        let mut engine = rig.engine(1, Vec::new());
        let mut output = vec![7.0; 5000];
        engine.process(&[&[1.0; 5000]], &mut [&mut output], 0);
        assert!(output.iter().all(|x| *x == 0.0));
        assert_eq!(engine.counters().starved_quanta, 1);
    }

    /// Asks for more scratch than the pool has.
    struct NeedsTooMuchScratch;

    impl Processor for NeedsTooMuchScratch {
        fn process(
            &mut self,
            block: &mut PlanarBuffer,
            ctx: &ProcessContext<'_>,
        ) -> Result<(), PoolError> {
            ctx.scratch(100_000)?;
            block.channel_mut(0).fill(9.0);
            Ok(())
        }
    }

    #[test]
    fn processor_without_scratch_is_skipped_and_counted() {
        let mut rig = Rig::boot();
        let mut engine = rig.engine(1, vec![Box::new(NeedsTooMuchScratch), Box::new(Meter)]);
        let mut at = 0;
        (0..4).for_each(|_| drop(quantum(&mut engine, &mut at)));
        assert_eq!(quantum(&mut engine, &mut at)[0], 1.0);
        assert_eq!(engine.counters().refused_scratch, 5);
        let levels = rig.events("LevelMeasured");
        let frames: Vec<_> = levels
            .iter()
            .map(|e| e["first_frame"].as_u64().unwrap())
            .collect();
        assert_eq!(frames, [0, 128, 256, 384, 512]);
    }

    #[test]
    fn dc_blocker_is_reset_by_a_gap() {
        let mut rig = Rig::boot();
        let mut engine = rig.engine(1, vec![Box::new(DcBlocker::default())]);
        let mut at = 0;
        let settled = (0..200)
            .map(|_| quantum(&mut engine, &mut at))
            .last()
            .unwrap();
        assert!(settled.iter().all(|x| x.abs() < 1e-3), "{settled:?}");
        at += 128;
        // The offset is there again until the filter settles; only the fade-in reduces it.
        let output = quantum(&mut engine, &mut at);
        assert!(output.iter().any(|x| *x > 0.3));
    }

    #[test]
    fn nan_in_a_filters_state_is_silence_for_one_quantum() {
        let mut rig = Rig::boot();
        let mut engine = rig.engine(1, vec![Box::new(RecursiveFilter::default())]);
        for (round, broken) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
            .into_iter()
            .enumerate()
        {
            let mut at = 4096 * round as u64;
            (0..4).for_each(|_| drop(quantum(&mut engine, &mut at)));
            let (mut input, mut output) = ([1.0; 128], [7.0; 128]);
            input[17] = broken;
            engine.process(&[&input], &mut [&mut output], at);
            assert_eq!(output, [0.0; 128]);
            assert_eq!(engine.counters().broken_quanta, round as u64 + 1);
            at += 128;
            let mut outputs = vec![0.0];
            (0..4).for_each(|_| outputs.extend(quantum(&mut engine, &mut at)));
            // The engine fades in while the filter settles.
            assert!(
                outputs
                    .windows(2)
                    .all(|pair| (pair[1] - pair[0]).abs() < 0.01)
            );
            assert_eq!(outputs.last(), Some(&1.0));
        }
    }

    #[test]
    fn sample_rates_outside_the_limits_are_refused_and_change_nothing() {
        let mut rig = Rig::boot();
        let mut engine = rig.engine(1, Vec::new());
        let mut at = 0;
        (0..4).for_each(|_| drop(quantum(&mut engine, &mut at)));
        for given in [f32::NAN, f32::INFINITY, 0.0, -1.0, 1e-40, f32::MAX] {
            let refused = engine.set_sample_rate(given).unwrap_err();
            let text = format!("the sample rate must be 1 to 10000000 Hz (got {given:?})");
            assert_eq!(refused.to_string(), text);
        }
        assert_eq!(quantum(&mut engine, &mut at), [1.0; 128]);
    }
}

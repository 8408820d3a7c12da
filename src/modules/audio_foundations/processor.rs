//! Processing in place: the trait, its context, and the processors of this crate.

use super::audio_events::LevelMeasured;
use super::level::Level;
use super::stream::{AudioError, MIN_SAMPLE_RATE_HZ};
use crate::event_bus::{Event, Published, Publisher};
use crate::modules::data_management::{
    MAX_CHANNELS, PlanarBuffer, PoolError, RealtimePool, Scratch,
};

/// A step of a chain: changes a block of samples in place.
///
/// Samples may be infinite or NaN. A recursive filter with NaN in its state outputs NaN for ever. An
/// [`Engine`](super::Engine) or a [`Worklet`](crate::worklet::Worklet) therefore resets its processors if the last sample of an
/// output block is not finite.
///
/// # Examples
/// A processor that needs working memory gets it from the context, never from the allocator:
/// ```
/// use wavepool::modules::audio_foundations::{ProcessContext, Processor};
/// use wavepool::modules::data_management::{PlanarBuffer, PoolError};
///
/// /// Swaps left and right.
/// struct Swap;
///
/// impl Processor for Swap {
///     fn process(&mut self, block: &mut PlanarBuffer, ctx: &ProcessContext<'_>) -> Result<(), PoolError> {
///         let mut left = ctx.scratch(block.frames())?;
///         left.copy_from_slice(block.channel(0));
///         let mut right = ctx.scratch(block.frames())?;
///         right.copy_from_slice(block.channel(1));
///         block.channel_mut(0).copy_from_slice(&right);
///         block.channel_mut(1).copy_from_slice(&left);
///         Ok(())
///     }
/// }
/// ```
pub trait Processor: Send {
    /// Sets the sample rate, from [`MIN_SAMPLE_RATE_HZ`](super::MIN_SAMPLE_RATE_HZ) to
    /// [`MAX_SAMPLE_RATE_HZ`](super::MAX_SAMPLE_RATE_HZ). Called before the first block and whenever the rate changes, not on the
    /// real-time thread: it may allocate.
    fn prepare(&mut self, sample_rate_hz: f32) {
        let _ = sample_rate_hz;
    }

    /// Changes `block` in place. On the real-time thread.
    ///
    /// # Errors
    /// The pool's error, if it has no scratch. Acquire scratch before changing the block, which must be unchanged on an error.
    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        ctx: &ProcessContext<'_>,
    ) -> Result<(), PoolError>;

    /// Clears the state: the next block does not follow the last one. On the real-time thread.
    fn reset(&mut self) {}
}

/// What a processor may use while it processes a block.
pub struct ProcessContext<'a> {
    pool: &'a RealtimePool,
    publisher: &'a Publisher,
    stream: u32,
    first_frame: u64,
    sample_rate_hz: f32,
}

impl<'a> ProcessContext<'a> {
    /// A context for one block.
    #[must_use]
    pub const fn new(
        pool: &'a RealtimePool,
        publisher: &'a Publisher,
        stream: u32,
        first_frame: u64,
        sample_rate_hz: f32,
    ) -> Self {
        Self {
            pool,
            publisher,
            stream,
            first_frame,
            sample_rate_hz,
        }
    }

    /// Working memory for this block, with undefined contents.
    ///
    /// # Errors
    /// The pool's error, if it has no buffer.
    #[inline(always)] // For the reason given at `RealtimePool::scratch`.
    pub fn scratch(&self, samples: usize) -> Result<Scratch<'a>, PoolError> {
        self.pool.scratch(samples)
    }

    /// Publishes an event.
    pub fn publish<E: Event>(&self, event: E) -> Published {
        self.publisher.publish(event)
    }

    /// Number of the stream or engine, for events.
    #[must_use]
    pub const fn stream(&self) -> u32 {
        self.stream
    }

    /// First frame of the block.
    #[must_use]
    pub const fn first_frame(&self) -> u64 {
        self.first_frame
    }

    /// Sample rate.
    #[must_use]
    pub const fn sample_rate_hz(&self) -> f32 {
        self.sample_rate_hz
    }
}

/// Amplification without clicks: the gain moves to a new value on a linear ramp of five milliseconds.
pub struct Gain {
    current: f32,
    target: f32,
    /// Added to `current` in each frame of a ramp.
    step: f32,
    /// Frames until `current` is `target`. Counted, because a step may be too small to change a sum of floats.
    frames_left: u32,
    ramp_frames: u32,
}

/// Long enough that the side lobes of the ramp's spectrum are inaudible, short enough to feel immediate.
const RAMP_SECONDS: f32 = 0.005;

impl Gain {
    /// A gain of zero.
    pub(super) const SILENT: Self = Self {
        current: 0.0,
        target: 0.0,
        step: 0.0,
        frames_left: 0,
        ramp_frames: 1,
    };

    /// A gain that begins at `gain`, linear.
    ///
    /// # Errors
    /// [`AudioError::Gain`] for infinity and NaN.
    pub const fn new(gain: f32) -> Result<Self, AudioError> {
        if !gain.is_finite() {
            return Err(AudioError::Gain { given: gain });
        }
        Ok(Self {
            current: gain,
            target: gain,
            ..Self::SILENT
        })
    }

    /// Ramps to `gain` from the next block on.
    ///
    /// # Errors
    /// [`AudioError::Gain`] for infinity and NaN; the gain is unchanged then.
    pub fn set(&mut self, gain: f32) -> Result<(), AudioError> {
        if !gain.is_finite() {
            return Err(AudioError::Gain { given: gain });
        }
        self.ramp_to(gain);
        Ok(())
    }

    /// Begins a ramp to `gain`, which is finite.
    pub(super) fn ramp_to(&mut self, gain: f32) {
        let frames = self.ramp_frames as f32;
        self.target = gain;
        // The difference of two large gains could overflow.
        self.step = gain / frames - self.current / frames;
        self.frames_left = if gain == self.current {
            0
        } else {
            self.ramp_frames
        };
    }

    /// Amplifies a block in place.
    pub(super) fn apply(&mut self, block: &mut PlanarBuffer) {
        let (mut gain, mut left) = (self.current, self.frames_left);
        if self.is_settled() {
            // No branch per sample: most blocks have no ramp, and most gains are 1.
            if gain != 1.0 {
                for samples in block.iter_mut() {
                    samples.iter_mut().for_each(|sample| *sample *= gain);
                }
            }
            return;
        }
        for samples in block.iter_mut() {
            // Every channel gets the same ramp.
            (gain, left) = (self.current, self.frames_left);
            for sample in samples {
                if left > 0 {
                    left -= 1;
                    gain = if left == 0 {
                        self.target
                    } else {
                        gain + self.step
                    };
                }
                *sample *= gain;
            }
        }
        (self.current, self.frames_left) = (gain, left);
    }

    /// Sets the gain without a ramp.
    pub(super) fn jump(&mut self, gain: f32) {
        (self.current, self.target, self.frames_left) = (gain, gain, 0);
    }

    /// Whether the gain has reached the value that was set last.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.frames_left == 0
    }
}

impl Processor for Gain {
    fn prepare(&mut self, sample_rate_hz: f32) {
        self.ramp_frames = (RAMP_SECONDS * sample_rate_hz).max(1.0) as u32;
        self.ramp_to(self.target);
    }

    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        _: &ProcessContext<'_>,
    ) -> Result<(), PoolError> {
        self.apply(block);
        Ok(())
    }
}

/// Removes a constant offset with a first-order high-pass at 10 Hz. Its output is always finite: zero where a sample is
/// infinite or NaN.
#[derive(Default)]
pub struct DcBlocker {
    pole: f32,
    last: [(f32, f32); MAX_CHANNELS],
}

impl Processor for DcBlocker {
    fn prepare(&mut self, sample_rate_hz: f32) {
        let rate = sample_rate_hz.max(MIN_SAMPLE_RATE_HZ);
        self.pole = (-core::f32::consts::TAU * 10.0 / rate).exp();
    }

    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        _: &ProcessContext<'_>,
    ) -> Result<(), PoolError> {
        for ((x, y), samples) in self.last.iter_mut().zip(block.iter_mut()) {
            for sample in samples {
                *y = *sample - *x + self.pole * *y;
                // Without this check silence would decay into denormals, which are many times slower, and NaN or infinity
                // would stay in the state for ever.
                if !y.is_normal() {
                    *y = 0.0;
                }
                *x = *sample;
                *sample = *y;
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.last = Default::default();
    }
}

/// Publishes the level of every block as [`LevelMeasured`]; does not change the samples.
#[derive(Default)]
pub struct Meter;

impl Processor for Meter {
    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        ctx: &ProcessContext<'_>,
    ) -> Result<(), PoolError> {
        let level = Level::of_channels((0..block.channels()).map(|channel| block.channel(channel)));
        ctx.publish(LevelMeasured {
            first_frame: ctx.first_frame(),
            stream: ctx.stream(),
            rms_dbfs: level.map(Level::rms_dbfs),
            peak_dbfs: level.map(Level::peak_dbfs),
        });
        Ok(())
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::event_bus::TypedEventBus;
    use crate::modules::data_management::BufferPool;

    /// Processes blocks of `input` on two channels; returns the output of the second one.
    fn run(processor: &mut dyn Processor, input: &[f32], blocks: usize) -> Vec<f32> {
        let (_control, pool) = BufferPool::builder().class(256, 4).build().unwrap();
        let publisher = TypedEventBus::default().publisher().unwrap();
        let mut output = Vec::new();
        for n in 0..blocks {
            let ctx = ProcessContext::new(&pool, &publisher, 1, (n * input.len()) as u64, 48_000.0);
            let mut block = pool.acquire_planar(2, input.len()).unwrap();
            block.channel_mut(0).copy_from_slice(input);
            block.channel_mut(1).copy_from_slice(input);
            processor.process(&mut block, &ctx).unwrap();
            assert_eq!(block.channel(0), block.channel(1));
            output.extend_from_slice(block.channel(1));
        }
        output
    }

    #[test]
    fn gain_ramps_linearly_to_its_target_and_stays() {
        let mut gain = Gain::new(1.0).unwrap();
        gain.prepare(48_000.0);
        gain.set(0.25).unwrap();
        let output = run(&mut gain, &[1.0; 128], 3);
        assert!(
            (output[119] - 0.625).abs() < 0.01,
            "half way: {}",
            output[119]
        );
        assert!(output[241..].iter().all(|x| *x == 0.25));
        assert!(gain.is_settled());
        gain.set(2.0).unwrap();
        let output = run(&mut gain, &[1.0; 128], 2);
        assert!(output.is_sorted() && output[255] == 2.0);
    }

    #[test]
    fn nan_and_infinite_gains_are_refused_and_change_nothing() {
        let mut gain = Gain::new(0.5).unwrap();
        gain.prepare(48_000.0);
        for given in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let text = format!("the gain must be a finite number (got {given:?})");
            assert_eq!(Gain::new(given).err().unwrap().to_string(), text);
            assert_eq!(gain.set(given).unwrap_err().to_string(), text);
            assert!(gain.is_settled());
        }
        assert_eq!(run(&mut gain, &[1.0; 128], 1), [0.5; 128]);
    }

    #[test]
    fn gain_ramp_ends_for_any_size_of_its_steps() {
        for (from, to) in [
            (1.0, 1.0_f32.next_up()),
            (f32::MAX, f32::MIN),
            (0.0, f32::from_bits(1)),
            (f32::MIN, 1.0),
            (1e30, 1e-30),
        ] {
            let mut gain = Gain::new(from).unwrap();
            gain.prepare(48_000.0);
            gain.set(to).unwrap();
            assert!(!gain.is_settled());
            let output = run(&mut gain, &[1.0; 128], 2);
            assert!(gain.is_settled());
            assert!(output.iter().all(|x| x.is_finite()), "{from} to {to}");
            assert_eq!(output[240..], [to; 16], "{from} to {to}");
        }
    }

    #[test]
    fn nan_does_not_stay_in_the_dc_blocker() {
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut blocker = DcBlocker::default();
            blocker.prepare(48_000.0);
            let mut block = [0.25; 128];
            block[60] = broken;
            block[61] = -broken;
            let output = run(&mut blocker, &block, 1);
            assert!(output.iter().all(|x| x.is_finite()));
            let tone: Vec<f32> = (0..192)
                .map(|n| (core::f32::consts::TAU * n as f32 / 48.0).sin())
                .collect();
            let output = run(&mut blocker, &tone, 20);
            let peak = Level::measure(&output[1920..]).unwrap().peak;
            assert!((peak - 1.0).abs() < 0.1, "after {broken}: {peak}");
        }
    }

    #[test]
    fn sample_rate_change_within_a_gain_ramp_does_not_jump() {
        let mut gain = Gain::new(0.0).unwrap();
        gain.prepare(48_000.0);
        gain.set(1.0).unwrap();
        let before = *run(&mut gain, &[1.0; 128], 1).last().unwrap();
        gain.prepare(96_000.0);
        let after = run(&mut gain, &[1.0; 128], 5);
        assert!((after[0] - before).abs() < 0.01);
        assert!(after.is_sorted() && after[639] == 1.0);
    }

    #[test]
    fn dc_blocker_passes_sound_and_decays_to_zero() {
        let mut blocker = DcBlocker::default();
        blocker.prepare(48_000.0);
        let tone: Vec<f32> = (0..192)
            .map(|n| (core::f32::consts::TAU * n as f32 / 48.0).sin())
            .collect();
        let output = run(&mut blocker, &tone, 50);
        let peak = Level::measure(&output[4800..]).unwrap().peak;
        assert!((peak - 1.0).abs() < 0.01, "1 kHz passes: {peak}");
        let silence = run(&mut blocker, &[0.0; 192], 1000);
        assert!(silence.iter().all(|x| !x.is_subnormal()));
        assert_eq!(silence.last(), Some(&0.0));
    }

    #[test]
    fn scratch_comes_from_the_pool() {
        let (control, pool) = BufferPool::builder().class(256, 1).build().unwrap();
        let publisher = TypedEventBus::default().publisher().unwrap();
        let ctx = ProcessContext::new(&pool, &publisher, 1, 0, 48_000.0);
        let scratch = ctx.scratch(128).unwrap();
        assert!(ctx.scratch(128).is_err());
        drop(scratch);
        assert!(ctx.scratch(128).is_ok());
        assert_eq!(control.leased(), 0);
    }
}

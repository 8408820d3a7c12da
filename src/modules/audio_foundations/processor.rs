//! Processing in place: the trait, the context it works in, and the processors that come with the crate.

use super::audio_events::LevelMeasured;
use super::level::Level;
use crate::event_bus::{Event, Published, Publisher};
use crate::modules::data_management::{
    MAX_CHANNELS, PlanarBuffer, PoolError, RealtimePool, Scratch,
};

/// A step of a chain: changes a block of samples in place.
///
/// # Examples
/// A processor that needs working memory takes it from the context, never from the allocator:
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
    /// Told before the first block, and again whenever the rate changes. Off the real-time thread: may allocate.
    fn prepare(&mut self, sample_rate_hz: f32) {
        let _ = sample_rate_hz;
    }

    /// Changes `block` in place. On the real-time thread.
    ///
    /// # Errors
    /// The pool's, when there is no scratch. Ask for scratch before changing anything: the block goes on as it is.
    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        ctx: &ProcessContext<'_>,
    ) -> Result<(), PoolError>;

    /// Forgets what it heard: the next block does not follow the last one. On the real-time thread.
    fn reset(&mut self) {}
}

/// What a processor may use while it works.
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

    /// Working memory until the end of the block; contents undefined.
    ///
    /// # Errors
    /// The pool's.
    pub fn scratch(&self, samples: usize) -> Result<Scratch<'a>, PoolError> {
        self.pool.scratch(samples)
    }

    /// Sends an event.
    pub fn publish<E: Event>(&self, event: E) -> Published {
        self.publisher.publish(event)
    }

    /// Number of the stream or engine, as events carry it.
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

/// Amplification that never jumps: a new gain is reached in a straight line over five milliseconds.
pub struct Gain {
    now: f32,
    target: f32,
    step: f32,
    ramp_frames: f32,
}

/// Long enough that the sidelobes of the ramp are inaudible, short enough to feel immediate.
const RAMP_SECONDS: f32 = 0.005;

impl Gain {
    /// Starts at `gain`, linear.
    #[must_use]
    pub const fn new(gain: f32) -> Self {
        Self {
            now: gain,
            target: gain,
            step: 0.0,
            ramp_frames: 1.0,
        }
    }

    /// Moves to `gain` from the next block on.
    pub fn set(&mut self, gain: f32) {
        self.target = gain;
        self.step = (gain - self.now) / self.ramp_frames;
    }

    /// Amplifies a block in place.
    pub(super) fn apply(&mut self, block: &mut PlanarBuffer) {
        let mut gain = self.now;
        for channel in 0..block.channels() {
            // Every channel hears the same ramp.
            gain = self.now;
            for sample in block.channel_mut(channel) {
                if gain != self.target {
                    gain += self.step;
                    if (self.target - gain) * self.step <= 0.0 {
                        gain = self.target;
                    }
                }
                *sample *= gain;
            }
        }
        self.now = gain;
    }

    /// Is at `gain` at once.
    pub(super) fn jump(&mut self, gain: f32) {
        self.now = gain;
        self.target = gain;
    }

    /// Whether the last gain set is reached.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.now == self.target
    }
}

impl Processor for Gain {
    fn prepare(&mut self, sample_rate_hz: f32) {
        self.ramp_frames = (RAMP_SECONDS * sample_rate_hz).max(1.0);
        self.set(self.target);
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

/// Removes a constant offset: a first-order high-pass at 10 Hz.
#[derive(Default)]
pub struct DcBlocker {
    pole: f32,
    last: [(f32, f32); MAX_CHANNELS],
}

impl Processor for DcBlocker {
    fn prepare(&mut self, sample_rate_hz: f32) {
        self.pole = (-core::f32::consts::TAU * 10.0 / sample_rate_hz).exp();
    }

    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        _: &ProcessContext<'_>,
    ) -> Result<(), PoolError> {
        for (channel, (x, y)) in self.last.iter_mut().enumerate().take(block.channels()) {
            for sample in block.channel_mut(channel) {
                *y = *sample - *x + self.pole * *y;
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

/// Publishes the level of every block as [`LevelMeasured`] and leaves the samples alone.
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
            rms_dbfs: level.rms_dbfs(),
            peak_dbfs: level.peak_dbfs(),
        });
        Ok(())
    }
}

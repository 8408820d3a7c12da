//! The trait of a processor that a page can open, and the object behind the exports of its module.

use crate::event_bus::{BusError, TypedEventBus};
use crate::modules::audio_foundations::{AudioError, Chain, Processor, check_format};
use crate::modules::data_management::{BufferPool, PlanarBuffer, PoolControl, PoolError};

/// The most parameters of a processor. The worklet file declares so many when it is loaded, before the processor is known.
pub const MAX_PARAMETERS: usize = 16;

/// Sizes of the scratch buffers of a processor.
const SCRATCH_CLASSES: [usize; 6] = [128, 256, 512, 1024, 2048, 4096];
/// Scratch buffers of each size that a processor can use at a time.
const SCRATCH_BUFFERS: u32 = 8;

/// A parameter that can be changed while the processor runs. All three numbers are finite, and the default is between the
/// minimum and the maximum: a processor with other parameters does not compile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// The name in JavaScript.
    pub name: &'static str,
    /// Smallest value; lower values are set to it.
    pub minimum: f32,
    /// Largest value; higher values are set to it.
    pub maximum: f32,
    /// Initial value.
    pub default: f32,
}

/// Panics if the numbers of a parameter contradict each other. In a constant this is a compile error.
#[doc(hidden)]
pub const fn check_parameters(parameters: &[Parameter]) {
    assert!(
        parameters.len() <= MAX_PARAMETERS,
        "a processor has more than MAX_PARAMETERS parameters"
    );
    let mut index = 0;
    while index < parameters.len() {
        let Parameter {
            minimum,
            maximum,
            default,
            ..
        } = parameters[index];
        assert!(
            minimum.is_finite() && maximum.is_finite() && default.is_finite(),
            "a parameter's minimum, maximum or default is infinite or NaN"
        );
        assert!(
            minimum <= maximum,
            "a parameter's minimum is above its maximum"
        );
        assert!(
            minimum <= default && default <= maximum,
            "a parameter's default is below its minimum or above its maximum"
        );
        index += 1;
    }
}

/// A [`Processor`] that a page can open: made by `Default`, and controlled by [`Parameter`]s.
///
/// # Examples
/// The whole code of a module that the browser can run:
/// ```
/// use wavepool::modules::audio_foundations::{ProcessContext, Processor};
/// use wavepool::modules::data_management::{PlanarBuffer, PoolError};
/// use wavepool::worklet::{Parameter, WorkletProcessor};
///
/// #[derive(Default)]
/// struct Volume {
///     gain: f32,
/// }
///
/// impl Processor for Volume {
///     fn process(&mut self, block: &mut PlanarBuffer, _: &ProcessContext<'_>) -> Result<(), PoolError> {
///         for channel in 0..block.channels() {
///             block.channel_mut(channel).iter_mut().for_each(|sample| *sample *= self.gain);
///         }
///         Ok(())
///     }
/// }
///
/// impl WorkletProcessor for Volume {
///     const PARAMETERS: &'static [Parameter] =
///         &[Parameter { name: "gain", minimum: 0.0, maximum: 2.0, default: 1.0 }];
///
///     fn set(&mut self, _parameter: usize, value: f32) {
///         self.gain = value;
///     }
/// }
///
/// wavepool::export_processor!(Volume);
/// # fn main() {}
/// ```
/// A parameter without a possible value does not compile:
/// ```compile_fail,E0080
/// # use wavepool::modules::audio_foundations::{ProcessContext, Processor};
/// # use wavepool::modules::data_management::{PlanarBuffer, PoolError};
/// # use wavepool::worklet::{Parameter, WorkletProcessor};
/// # #[derive(Default)]
/// # struct Volume;
/// # impl Processor for Volume {
/// #     fn process(&mut self, _: &mut PlanarBuffer, _: &ProcessContext<'_>) -> Result<(), PoolError> {
/// #         Ok(())
/// #     }
/// # }
/// impl WorkletProcessor for Volume {
///     const PARAMETERS: &'static [Parameter] =
///         &[Parameter { name: "gain", minimum: 2.0, maximum: 0.0, default: 1.0 }];
/// }
///
/// wavepool::export_processor!(Volume);
/// # fn main() {}
/// ```
pub trait WorkletProcessor: Processor + Default {
    /// At most [`MAX_PARAMETERS`] parameters; more do not compile, nor do numbers that contradict each other.
    const PARAMETERS: &'static [Parameter] = &[];

    /// Sets the parameter with this index in [`PARAMETERS`](Self::PARAMETERS) from the next block on. Called for every parameter
    /// before the first block, and for each one that changes. On the real-time thread.
    fn set(&mut self, parameter: usize, value: f32) {
        let _ = (parameter, value);
    }
}

/// A processor with its pool and its block: the object behind the exports of a module. It works natively, too.
pub struct Worklet<P> {
    /// The first field, so that it is released before its pool half is dropped.
    block: Option<PlanarBuffer>,
    processor: P,
    channels: usize,
    next_frame: u64,
    chain: Chain,
    /// Keeps the pool's memory alive.
    _control: PoolControl,
}

impl<P: WorkletProcessor> Worklet<P> {
    const PARAMETERS_ARE_VALID: () = check_parameters(P::PARAMETERS);

    /// Prepares a processor and allocates all its memory.
    ///
    /// # Real-time
    /// No: it allocates. Call it before the first block.
    ///
    /// # Errors
    /// [`AudioError::SampleRate`] and [`AudioError::Channels`] for numbers outside the limits; errors of the pool and the bus.
    pub fn open(sample_rate_hz: f32, channels: usize) -> Result<Self, WorkletError> {
        const { Self::PARAMETERS_ARE_VALID };
        #[cfg(target_arch = "wasm32")]
        crate::panic_note::install();
        check_format(sample_rate_hz, channels)?;
        let mut builder = BufferPool::builder();
        for samples in SCRATCH_CLASSES {
            builder = builder.class(samples, SCRATCH_BUFFERS + channels as u32);
        }
        let (control, pool) = builder.build()?;
        let publisher = TypedEventBus::default().publisher()?;
        let mut processor = P::default();
        processor.prepare(sample_rate_hz);
        for (index, parameter) in P::PARAMETERS.iter().enumerate() {
            processor.set(index, parameter.default);
        }
        let mut worklet = Self {
            block: None,
            processor,
            channels,
            next_frame: 0,
            chain: Chain {
                pool,
                publisher,
                stream: 0,
                sample_rate_hz,
            },
            _control: control,
        };
        worklet.resize(128)?;
        Ok(worklet)
    }

    /// Replaces the block with one of this many frames, at another address.
    ///
    /// # Real-time
    /// No allocation.
    ///
    /// # Errors
    /// The pool's error, for no frames or more than its largest class has.
    pub fn resize(&mut self, frames: usize) -> Result<(), PoolError> {
        self.block = None;
        self.block = Some(self.chain.pool.acquire_planar(self.channels, frames)?);
        Ok(())
    }

    /// The block. The caller fills it before [`process`](Self::process), and reads it afterwards. `None` after a failed
    /// [`resize`](Self::resize).
    pub fn block(&mut self) -> Option<&mut PlanarBuffer> {
        self.block.as_mut()
    }

    /// Sets a parameter, limited to its range. NaN, and an index without a parameter, change nothing.
    ///
    /// # Real-time
    /// As the processor's [`set`](WorkletProcessor::set).
    pub fn set(&mut self, index: usize, value: f32) {
        if let Some(parameter) = P::PARAMETERS.get(index).filter(|_| !value.is_nan()) {
            let value = value.clamp(parameter.minimum, parameter.maximum);
            self.processor.set(index, value);
        }
    }

    /// Processes the block in place. Returns `false` if the block does not contain the processor's output. Without scratch the
    /// block is unchanged. If the output ends in infinity or NaN, which stays in the state of a recursive filter, the block is
    /// silence and the processor is [reset](Processor::reset).
    ///
    /// # Real-time
    /// No allocation and no lock besides those of the processor.
    pub fn process(&mut self) -> bool {
        let first_frame = self.next_frame;
        self.chain.pool.begin_quantum(first_frame);
        let Some(block) = &mut self.block else {
            return false;
        };
        self.next_frame += block.frames() as u64;
        let processor = core::iter::once(&mut self.processor);
        let processed = self.chain.process(processor, block, first_frame);
        if processed.refused > 0 || !processed.is_broken {
            return processed.refused == 0;
        }
        self.processor.reset();
        for samples in block.iter_mut() {
            samples.fill(0.0);
        }
        false
    }
}

/// Why a processor could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum WorkletError {
    /// A sample rate or a number of channels outside the limits.
    #[error(transparent)]
    Format(#[from] AudioError),
    /// An error of the pool.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// An error of the bus.
    #[error(transparent)]
    Bus(#[from] BusError),
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "processor_tests.rs"]
mod tests;

//! A processor of yours in the browser's audio thread, without any JavaScript of yours.
//!
//! Write a [`WorkletProcessor`], name it in [`export_processor!`](crate::export_processor), and compile the crate with
//! `cargo build --release --target wasm32-unknown-unknown`. The worklet file of the npm package runs the result:
//! `openProcessor(context, { wasm, channels })`, whose parameters are ordinary `AudioParam`s.
//!
//! Leave out the crate's default features: what the tuner's page needs would only make the module larger.

use crate::event_bus::{BusError, Publisher, TypedEventBus};
use crate::modules::audio_foundations::{
    AudioError, ProcessContext, Processor, check_format, ends_broken,
};
use crate::modules::data_management::{
    BufferPool, PlanarBuffer, PoolControl, PoolError, RealtimePool,
};

/// Parameters a processor can have: the worklet file declares so many when it is loaded, before it knows the processor.
pub const MAX_PARAMETERS: usize = 16;

/// Sizes of the buffers that a processor can ask for as scratch.
const SCRATCH_CLASSES: [usize; 6] = [128, 256, 512, 1024, 2048, 4096];
/// Scratch buffers of each size that it can hold at once.
const SCRATCH_BUFFERS: u32 = 8;

/// What people can turn while it runs. All three numbers are finite, the minimum at most the maximum, the default neither
/// below nor above them: a processor with other parameters does not compile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// What JavaScript calls it.
    pub name: &'static str,
    /// Smallest value; what is below becomes this.
    pub minimum: f32,
    /// Largest value; what is above becomes this.
    pub maximum: f32,
    /// Value before anybody turned it.
    pub default: f32,
}

/// Panics, which in a constant is an error of the compiler, on parameters that no value could satisfy.
#[doc(hidden)]
pub const fn check_parameters(parameters: &[Parameter]) {
    assert!(
        parameters.len() <= MAX_PARAMETERS,
        "a processor has more than MAX_PARAMETERS parameters"
    );
    let mut place = 0;
    while place < parameters.len() {
        let Parameter {
            minimum,
            maximum,
            default,
            ..
        } = parameters[place];
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
        place += 1;
    }
}

/// A [`Processor`] that a page can open: made without arguments, turned by [`Parameter`]s.
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
/// A parameter that no value could satisfy does not compile:
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
    /// At most [`MAX_PARAMETERS`]; more do not compile, nor do numbers that a [`Parameter`] cannot have.
    const PARAMETERS: &'static [Parameter] = &[];

    /// The parameter at this place of [`PARAMETERS`](Self::PARAMETERS) has this value from the next block on: told of each
    /// before the first block, and of each that changed since. On the real-time thread.
    fn set(&mut self, parameter: usize, value: f32) {
        let _ = (parameter, value);
    }
}

/// A processor with its pool and its block: what the exports of a module work on, and the same natively.
pub struct Worklet<P> {
    /// Goes before the half it comes from.
    block: Option<PlanarBuffer>,
    processor: P,
    channels: usize,
    sample_rate_hz: f32,
    next_frame: u64,
    pool: RealtimePool,
    publisher: Publisher,
    /// Kept, so that the pool's memory stays.
    _control: PoolControl,
}

impl<P: WorkletProcessor> Worklet<P> {
    const PARAMETERS_ARE_VALID: () = check_parameters(P::PARAMETERS);

    /// Prepares a processor and everything it will need.
    ///
    /// # Real-time
    /// Allocates; before the first block.
    ///
    /// # Errors
    /// [`AudioError::SampleRate`] and [`AudioError::Channels`], for a rate or channels outside the limits; the pool's; the
    /// bus's.
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
        for (place, parameter) in P::PARAMETERS.iter().enumerate() {
            processor.set(place, parameter.default);
        }
        let mut worklet = Self {
            block: None,
            processor,
            channels,
            sample_rate_hz,
            next_frame: 0,
            pool,
            publisher,
            _control: control,
        };
        worklet.resize(128)?;
        Ok(worklet)
    }

    /// Takes a block of this many frames. The old one goes; its address is no longer the block's.
    ///
    /// # Real-time
    /// No allocation.
    ///
    /// # Errors
    /// The pool's, for more frames than its largest class.
    pub fn resize(&mut self, frames: usize) -> Result<(), PoolError> {
        self.block = None;
        self.block = Some(self.pool.acquire_planar(self.channels, frames)?);
        Ok(())
    }

    /// The block: filled by the caller before [`process`](Self::process), read after it. Empty after a failed
    /// [`resize`](Self::resize).
    pub fn block(&mut self) -> Option<&mut PlanarBuffer> {
        self.block.as_mut()
    }

    /// Sets a parameter, within its limits. A place that is none, and what is not a number, changes nothing.
    ///
    /// # Real-time
    /// As the processor's own [`set`](WorkletProcessor::set).
    pub fn set(&mut self, place: usize, value: f32) {
        if let Some(parameter) = P::PARAMETERS.get(place).filter(|_| !value.is_nan()) {
            let value = value.clamp(parameter.minimum, parameter.maximum);
            self.processor.set(place, value);
        }
    }

    /// Processes the block in place. Returns `false` when the block does not hold the processor's result: without scratch it
    /// is left as it was; if it would end in infinity or NaN, which a recursive filter never gets rid of, it is silence and
    /// the processor is [reset](Processor::reset).
    ///
    /// # Real-time
    /// No allocation, no lock, if the processor keeps to the same.
    pub fn process(&mut self) -> bool {
        self.pool.begin_quantum(self.next_frame);
        let Some(block) = &mut self.block else {
            return false;
        };
        let context = ProcessContext::new(
            &self.pool,
            &self.publisher,
            0,
            self.next_frame,
            self.sample_rate_hz,
        );
        self.next_frame += block.frames() as u64;
        if self.processor.process(block, &context).is_err() {
            return false;
        }
        if !ends_broken(block) {
            return true;
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
    /// The pool's reason.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The bus's reason.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Makes the crate a module that the npm package's worklet file can run; once per crate, for a [`WorkletProcessor`].
///
/// For WebAssembly it expands to a handful of exports that take and give numbers; for other targets to nothing.
///
/// [`WorkletProcessor`]: crate::worklet::WorkletProcessor
#[macro_export]
macro_rules! export_processor {
    ($Processor:ty) => {
        const _: () = {
            // For other targets too, so that a mistake shows there.
            const _: fn() = || {
                fn exported<P: $crate::worklet::WorkletProcessor>() {}
                exported::<$Processor>();
            };
            const _: () = $crate::worklet::check_parameters(
                <$Processor as $crate::worklet::WorkletProcessor>::PARAMETERS,
            );

            #[cfg(target_arch = "wasm32")]
            #[allow(unsafe_code)] // Exports by name.
            mod exports {
                use super::*;
                use ::std::cell::{Cell, RefCell};
                use $crate::worklet::{Parameter, Worklet, WorkletProcessor};

                type Open = Worklet<$Processor>;
                const PARAMETERS: &[Parameter] = <$Processor as WorkletProcessor>::PARAMETERS;

                fn parameter(place: usize) -> Parameter {
                    let none = Parameter {
                        name: "",
                        minimum: 0.0,
                        maximum: 0.0,
                        default: 0.0,
                    };
                    PARAMETERS.get(place).copied().unwrap_or(none)
                }

                thread_local! {
                    /// The open processors by number. JavaScript has numbers only: each is looked up, never an address.
                    static OPEN: RefCell<Vec<(usize, Box<Open>)>> = const { RefCell::new(Vec::new()) };
                    static LAST: Cell<usize> = const { Cell::new(0) };
                }

                /// `None` for a number that is not that of an open processor.
                fn with<R>(worklet: usize, run: impl FnOnce(&mut Open) -> R) -> Option<R> {
                    OPEN.with(|open| {
                        // Still borrowed after a panic, which ends the call but not the instance.
                        let mut open = open.try_borrow_mut().ok()?;
                        let (_, found) = open.iter_mut().find(|(number, _)| *number == worklet)?;
                        Some(run(found))
                    })
                }

                /// 0 if it was refused.
                #[unsafe(no_mangle)]
                extern "C" fn processor_open(sample_rate_hz: f32, channels: usize) -> usize {
                    let Ok(worklet) = Open::open(sample_rate_hz, channels) else {
                        return 0;
                    };
                    let number = LAST.get().wrapping_add(1).max(1);
                    LAST.set(number);
                    let kept = OPEN.with(|open| {
                        let mut open = open.try_borrow_mut().ok()?;
                        open.push((number, Box::new(worklet)));
                        Some(number)
                    });
                    kept.unwrap_or(0)
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_close(worklet: usize) {
                    OPEN.with(|open| {
                        if let Ok(mut open) = open.try_borrow_mut() {
                            open.retain(|(number, _)| *number != worklet);
                        }
                    });
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_resize(worklet: usize, frames: usize) -> u32 {
                    let resized = with(worklet, |open| open.resize(frames).is_ok());
                    u32::from(resized == Some(true))
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_channel(worklet: usize, channel: usize) -> usize {
                    let address = with(worklet, |open| {
                        let block = open.block().filter(|block| channel < block.channels())?;
                        Some(block.channel_mut(channel).as_mut_ptr() as usize)
                    });
                    address.flatten().unwrap_or(0)
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_set(worklet: usize, place: usize, value: f32) {
                    with(worklet, |open| open.set(place, value));
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_process(worklet: usize) -> u32 {
                    u32::from(with(worklet, Open::process) == Some(true))
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_parameters() -> usize {
                    PARAMETERS.len()
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_parameter_name(place: usize) -> *const u8 {
                    parameter(place).name.as_ptr()
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_parameter_name_bytes(place: usize) -> usize {
                    parameter(place).name.len()
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_parameter_default(place: usize) -> f32 {
                    parameter(place).default
                }
            }
        };
    };
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "worklet_tests.rs"]
mod tests;

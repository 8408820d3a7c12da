//! A processor of yours in the browser's audio thread, without any JavaScript of yours.
//!
//! Write a [`WorkletProcessor`], name it in [`export_processor!`](crate::export_processor), and compile the crate with
//! `cargo build --release --target wasm32-unknown-unknown`. The worklet file of the npm package runs the result:
//! `openProcessor(context, { wasm, channels })`, whose parameters are ordinary `AudioParam`s.
//!
//! Leave out the crate's default features: what the tuner's page needs would only make the module larger.

use crate::event_bus::{BusError, Publisher, TypedEventBus};
use crate::modules::audio_foundations::{ProcessContext, Processor};
use crate::modules::data_management::{
    BufferPool, PlanarBuffer, PoolControl, PoolError, RealtimePool,
};

/// Parameters a processor can have: the worklet file declares so many when it is loaded, before it knows the processor.
pub const MAX_PARAMETERS: usize = 16;

/// Sizes of the buffers that a processor can ask for as scratch.
const SCRATCH_CLASSES: [usize; 6] = [128, 256, 512, 1024, 2048, 4096];
/// Scratch buffers of each size that it can hold at once.
const SCRATCH_BUFFERS: u32 = 8;

/// What people can turn while it runs.
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
pub trait WorkletProcessor: Processor + Default {
    /// At most [`MAX_PARAMETERS`]; more do not compile.
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
    const FITS: () = assert!(
        P::PARAMETERS.len() <= MAX_PARAMETERS,
        "a processor has too many parameters"
    );

    /// Prepares a processor and everything it will need.
    ///
    /// # Real-time
    /// Allocates; before the first block.
    ///
    /// # Errors
    /// The pool's, for channels it cannot hold, and the bus's.
    pub fn open(sample_rate_hz: f32, channels: usize) -> Result<Self, WorkletError> {
        const { Self::FITS };
        #[cfg(target_arch = "wasm32")]
        crate::panic_note::install();
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

    /// Processes the block in place. Without scratch it goes on as it is, and the answer is `false`.
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
        self.processor.process(block, &context).is_ok()
    }
}

/// Why a processor could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum WorkletError {
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

            #[cfg(target_arch = "wasm32")]
            #[allow(unsafe_code)] // Exports by name, and the address that JavaScript gives back.
            mod exports {
                use super::*;
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

                fn open<'a>(worklet: *mut Open) -> &'a mut Open {
                    // SAFETY: from `processor_open` and not yet closed, says the caller; used by the one thread of this
                    // instance, which calls one export at a time.
                    unsafe { &mut *worklet }
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_open(sample_rate_hz: f32, channels: usize) -> *mut Open {
                    Worklet::open(sample_rate_hz, channels)
                        .map_or(::core::ptr::null_mut(), |worklet| {
                            Box::into_raw(Box::new(worklet))
                        })
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_close(worklet: *mut Open) {
                    // SAFETY: from `processor_open` and not yet closed, says the caller, who does not use it again.
                    drop(unsafe { Box::from_raw(worklet) });
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_resize(worklet: *mut Open, frames: usize) -> u32 {
                    u32::from(open(worklet).resize(frames).is_ok())
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_channel(worklet: *mut Open, channel: usize) -> usize {
                    open(worklet)
                        .block()
                        .map_or(0, |block| block.channel_mut(channel).as_mut_ptr() as usize)
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_set(worklet: *mut Open, place: usize, value: f32) {
                    open(worklet).set(place, value);
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_process(worklet: *mut Open) -> u32 {
                    u32::from(open(worklet).process())
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
mod tests {
    use super::*;

    /// Adds `offset`, by way of scratch as long as `scratch` says.
    #[derive(Default)]
    struct Offset {
        offset: f32,
        scratch: usize,
    }

    impl Processor for Offset {
        fn process(
            &mut self,
            block: &mut PlanarBuffer,
            ctx: &ProcessContext<'_>,
        ) -> Result<(), PoolError> {
            let mut scratch = ctx.scratch(self.scratch.max(1))?;
            scratch.fill(self.offset);
            for channel in 0..block.channels() {
                for sample in block.channel_mut(channel) {
                    *sample += scratch[0];
                }
            }
            Ok(())
        }
    }

    impl WorkletProcessor for Offset {
        const PARAMETERS: &'static [Parameter] = &[
            Parameter {
                name: "offset",
                minimum: -1.0,
                maximum: 1.0,
                default: 0.5,
            },
            Parameter {
                name: "scratch",
                minimum: 0.0,
                maximum: 1e6,
                default: 64.0,
            },
        ];

        fn set(&mut self, parameter: usize, value: f32) {
            match parameter {
                0 => self.offset = value,
                _ => self.scratch = value as usize,
            }
        }
    }

    export_processor!(Offset);

    fn heard(worklet: &mut Worklet<Offset>) -> f32 {
        let block = worklet.block().unwrap();
        for channel in 0..block.channels() {
            block.channel_mut(channel).fill(0.0);
        }
        worklet.process();
        let block = worklet.block().unwrap();
        let (first, last) = (block.channel(0)[0], *block.channel(1).last().unwrap());
        assert_eq!(first, last);
        first
    }

    #[test]
    fn parameters_start_at_their_defaults_and_keep_their_limits() {
        let mut worklet = Worklet::<Offset>::open(48_000.0, 2).unwrap();
        assert_eq!(heard(&mut worklet), 0.5);
        worklet.set(0, 0.25);
        assert_eq!(heard(&mut worklet), 0.25);
        worklet.set(0, 7.0);
        worklet.set(9, 7.0);
        worklet.set(0, f32::NAN);
        assert_eq!(heard(&mut worklet), 1.0);
    }

    #[test]
    fn without_scratch_the_block_goes_on_as_it_is() {
        let mut worklet = Worklet::<Offset>::open(48_000.0, 2).unwrap();
        worklet.set(1, 1e6);
        assert_eq!(heard(&mut worklet), 0.0);
        worklet.set(1, 4096.0);
        assert_eq!(heard(&mut worklet), 0.5);
    }

    #[test]
    fn a_quantum_of_another_length_gets_another_block() {
        let mut worklet = Worklet::<Offset>::open(48_000.0, 2).unwrap();
        worklet.resize(1000).unwrap();
        assert_eq!(worklet.block().unwrap().frames(), 1000);
        assert_eq!(heard(&mut worklet), 0.5);
        assert!(worklet.resize(10_000).is_err());
        assert!(worklet.block().is_none() && !worklet.process());
        worklet.resize(128).unwrap();
        assert_eq!(heard(&mut worklet), 0.5);
    }

    #[test]
    fn channels_that_cannot_be_are_refused() {
        assert!(Worklet::<Offset>::open(48_000.0, 0).is_err());
    }
}

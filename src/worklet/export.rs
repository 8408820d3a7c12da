//! The macro that exports a processor as a module of numeric functions.

/// Exports a [`WorkletProcessor`], so that the npm package's worklet file can run the compiled crate. Use it once per crate.
///
/// For WebAssembly it expands to a few exported functions on numbers, for other targets to nothing.
///
/// [`WorkletProcessor`]: crate::worklet::WorkletProcessor
#[macro_export]
macro_rules! export_processor {
    ($Processor:ty) => {
        const _: () = {
            // Checked for all targets, so that a mistake is found natively.
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

                fn parameter(index: usize) -> Parameter {
                    let none = Parameter {
                        name: "",
                        minimum: 0.0,
                        maximum: 0.0,
                        default: 0.0,
                    };
                    PARAMETERS.get(index).copied().unwrap_or(none)
                }

                thread_local! {
                    /// The open processors by number. JavaScript never gets an address: every number is looked up.
                    static OPEN: RefCell<Vec<(usize, Box<Open>)>> = const { RefCell::new(Vec::new()) };
                    static LAST: Cell<usize> = const { Cell::new(0) };
                }

                /// Runs the closure with an open processor; `None` if no open processor has this number.
                fn with<R>(worklet: usize, run: impl FnOnce(&mut Open) -> R) -> Option<R> {
                    OPEN.with(|open| {
                        // Still borrowed after a panic, which ends the call but not the instance.
                        let mut open = open.try_borrow_mut().ok()?;
                        let (_, found) = open.iter_mut().find(|(number, _)| *number == worklet)?;
                        Some(run(found))
                    })
                }

                /// The number of the processor; 0 if it was refused.
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
                extern "C" fn processor_set(worklet: usize, index: usize, value: f32) {
                    with(worklet, |open| open.set(index, value));
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
                extern "C" fn processor_parameter_name(index: usize) -> *const u8 {
                    parameter(index).name.as_ptr()
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_parameter_name_bytes(index: usize) -> usize {
                    parameter(index).name.len()
                }

                #[unsafe(no_mangle)]
                extern "C" fn processor_parameter_default(index: usize) -> f32 {
                    parameter(index).default
                }
            }
        };
    };
}

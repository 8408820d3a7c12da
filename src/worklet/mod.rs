//! Your own processor on the browser's audio thread, without JavaScript of your own.
//!
//! Write a [`WorkletProcessor`], name it in [`export_processor!`](crate::export_processor), and compile the crate with
//! `cargo build --release --target wasm32-unknown-unknown`. The worklet file of the npm package runs the result:
//! `openProcessor(context, { wasm, channels })`, whose parameters are ordinary `AudioParam`s.

mod export;
mod processor;

#[doc(hidden)] // For the macro.
pub use processor::check_parameters;
pub use processor::{MAX_PARAMETERS, Parameter, Worklet, WorkletError, WorkletProcessor};

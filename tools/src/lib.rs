//! Tools for programs that use the pool of the crate `wavepool`, and for its tests and benchmarks:
//!
//! - [`capacity_plan`]: the mix of buffers with which given streams never find an empty class;
//! - [`trace_replay`]: the effect of a mix, or of the optimizer, on recorded demand;
//! - `MappedWav`, with the feature `mapped`: windows of a WAV file as buffers, without loading it.
//!
//! ```
//! use wavepool::prelude::*;
//! use wavepool_tools::capacity_plan::{CapacityPlan, StreamNeed};
//!
//! // Two channels at 48 kHz, windows of 4096 frames every 1024 frames, each read for up to 50 ms.
//! let stream: StreamNeed = "48000:2:4096/1024:50".parse()?;
//! let plan = CapacityPlan::for_streams(&[stream])?;
//! let pool = BufferPool::builder();
//! let pool = plan.classes.iter().fold(pool, |pool, class| pool.class(class.samples, class.buffers));
//! let (control, audio) = pool.build()?;
//! # assert_eq!(control.metrics().classes[0].carved, u64::from(plan.classes[0].buffers));
//! # drop(audio);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! See `docs/decisions/0052-tools-are-a-crate-above-the-umbrella.md`.

pub mod capacity_plan;
#[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
mod mapped_wav;
pub mod trace_replay;

#[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
pub use mapped_wav::{MappedWav, WavError};

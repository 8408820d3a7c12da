//! A buffer pool for real-time audio, in Rust and in the browser.
//!
//! Promised, each with a test that can fail:
//! - on the audio thread no allocation, no free, no lock, no system call, no loop without a bound: [`RealtimePool`] has no method that could;
//! - a handle dropped on any other thread is one lock-free push, and frees nothing while the control half lives;
//! - memory is bounded by what the builder reserved and what the control half was allowed to grow;
//! - events reach subscribers without the publisher allocating, locking or waking anybody;
//! - every figure has a formula, and what was not measured is `None`.
//!
//! Not promised: that dropping the very last handle frees nothing (it frees the pool: keep [`PoolControl`] alive, and drop it
//! last), nor that a slice given away as a raw address can be taken back.
//!
//! ```
//! use wavepool::prelude::*;
//!
//! let (control, mut audio) = BufferPool::builder().class(512, 8).class(2048, 4).build()?;
//! audio.begin_quantum(0);
//! let mut block = audio.acquire_silent(480)?;
//! block[0] = 1.0;
//! let shared = block.freeze();
//! let reader = std::thread::spawn(move || shared[0]);
//! assert_eq!(reader.join().unwrap(), 1.0);
//! assert_eq!(control.leased(), 0);
//! # Ok::<(), PoolError>(())
//! ```
//!
//! [`RealtimePool`]: modules::data_management::RealtimePool
//! [`PoolControl`]: modules::data_management::PoolControl

#![cfg_attr(not(test), deny(clippy::disallowed_types))] // Files that may lock say so at their top.

extern crate alloc;

mod contain;
pub mod event_bus;
mod lock;
pub mod modules;
#[cfg(target_arch = "wasm32")]
mod panic_note;
pub mod registry;
mod setting_error;
mod step_clock;
mod stopwatch;
mod sync;
pub mod worklet;

/// What most programs that use the pool need: `use wavepool::prelude::*;`.
pub mod prelude {
    pub use crate::modules::data_management::{
        AttachPublisher, BufferPool, BufferRef, ExhaustionPolicy, PlanarBuffer, PlanarRef,
        PoolBuilder, PoolControl, PoolError, PoolFigures, PoolMetrics, PooledBuffer, RealtimePool,
        Scratch,
    };
}

/// For the other crates of this repository alone: no part of the interface.
#[doc(hidden)]
pub mod internal {
    pub use crate::modules::data_management::sizing::class_boundaries::BoundarySearch;
    pub use crate::modules::data_management::sizing::class_buffers::MAX_BUFFERS_AT_ONCE;
    pub use crate::modules::data_management::sizing::demand::Demand;
    pub use crate::modules::data_management::sizing::histograms::{
        SizeHistogram, SlidingHistogram,
    };
    #[cfg(target_arch = "wasm32")]
    pub use crate::panic_note::install as install_panic_note;
    pub use crate::setting_error::{Plain, check};
}

/// For [`registry::ModuleRegistration`]: `wavepool::inventory::submit!`.
pub use inventory;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

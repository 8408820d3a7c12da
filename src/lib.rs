//! Wavepool: a real-time audio buffer pool for Rust and the web.

pub mod event_bus;
pub mod modules;
pub mod registry;
mod sync;
#[cfg(target_arch = "wasm32")]
pub mod web;

/// For [`registry::ModuleRegistration`]: `wavepool::inventory::submit!`.
pub use inventory;

//! What the npm package compiles to WebAssembly: one object for the control worker ([`Host`]), and numeric exports for the
//! worklet (`tap`) and for other threads of JavaScript (`reader`: windows of a tap; `participant`: buffers of its own).
//!
//! There are two modes with one API. **Shared**: all threads run on the same memory. The host opens a stream, the worklet gets
//! the number of its tap, and the consumer the number of its reader. **Transfer**: the worklet boots an instance of its own,
//! and sends windows, counts and events in blocks.
//!
//! The folders are named for the threads that call what is in them, as in the npm package. Imports point down: `control` →
//! `worklet`, `consumer` → `shared`.
//!
//! The crate also compiles natively, for its tests.

#![cfg_attr(not(test), deny(clippy::disallowed_types))] // Files that may lock say so at their top.

#[cfg(not(loom))]
mod consumer;
#[cfg(not(loom))]
mod control;
mod orderings;
#[cfg(not(loom))]
mod shared;
mod sync;
mod thread_slots;
#[cfg(not(loom))]
mod worklet;

#[cfg(not(loom))]
pub use control::host::Host;

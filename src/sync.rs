//! The only door to atomics: `core`, or `loom` when a model is checked (`--cfg loom`).

#[cfg(not(loom))]
pub(crate) use core::sync::atomic;
#[cfg(loom)]
pub(crate) use loom::sync::atomic;

//! The only source of atomics: that of the pool's core.

pub(crate) use wavepool_core::internal::sync::*;

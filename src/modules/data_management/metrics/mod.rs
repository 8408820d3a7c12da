//! The pool's figures, and their way to exporters.

#[cfg(feature = "metrics-facade")]
pub(super) mod metrics_facade;
pub mod pool_metrics;

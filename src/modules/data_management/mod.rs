//! The buffer pool and everything that keeps it: handles, metrics, sizing, defragmentation.

pub mod defragmentation;
pub mod pool_metrics;

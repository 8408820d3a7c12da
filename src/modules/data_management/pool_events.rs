//! The events of the pool. Every event is published where its cause occurs, with measured numbers.

use serde::Serialize;

use super::pool_monitor::AlertKind;
use crate::event_bus::{BusError, Event, Priority, Publisher, TypedEventBus};

pub use wavepool_core::{
    BufferLeaked, BufferPoolAllocation, BufferPoolRecycling, LeasesReclaimed, PoolExhausted,
    PoolGrown,
};

macro_rules! events {
    ($($Name:ident: $priority:ident,)*) => {
        $(
            impl Event for $Name {
                const NAME: &'static str = stringify!($Name);
                const PRIORITY: Priority = Priority::$priority;
            }
        )*

        /// Declares every pool event on a bus, so that dashboards see the types before the first event.
        ///
        /// # Errors
        /// The bus's error, if it has too many types.
        pub(crate) fn declare_all(bus: &TypedEventBus) -> Result<(), BusError> {
            $(bus.declare::<$Name>()?;)*
            Ok(())
        }

        /// Declares them on the bus of a publisher.
        pub(super) fn declare_for(publisher: &Publisher) -> Result<(), BusError> {
            $(publisher.declare::<$Name>()?;)*
            Ok(())
        }

        /// The names of all pool events.
        #[cfg(test)]
        pub(crate) const NAMES: &[&str] = &[$(stringify!($Name)),*];
    };
}

events! {
    BufferPoolAllocation: Critical,
    BufferPoolRecycling: Critical,
    PoolExhausted: Critical,
    LeasesReclaimed: Critical,
    PoolOptimization: High,
    PoolGrown: High,
    HitRateLow: High,
    PoolFragmentation: Normal,
    JSGCPressureReduction: Normal,
    MemoryOverheadHigh: Normal,
    PoolAlertEnded: Normal,
    BufferLeaked: Normal,
    PoolMetricsSnapshot: Normal,
}

/// A sizing plan was applied.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PoolOptimization {
    /// Number of applied steps.
    pub steps: u32,
    /// Buffers carved.
    pub buffers_added: u32,
    /// Buffers that are being returned to the arena.
    pub buffers_removed: u32,
    /// Number of size classes afterwards.
    pub classes: u32,
    /// Sample bytes carved before.
    pub bytes_held_before: u64,
    /// Sample bytes that will be carved once the removed buffers have been returned.
    pub bytes_held_expected: u64,
}

/// The hit rate is too low: too few requests are served by their own class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HitRateLow {
    /// Hit rate of the requests since the last measurement.
    pub hit_rate_percentage: f32,
    /// The share below which this is published.
    pub threshold_percentage: f32,
    /// Requests since the pool was made.
    pub total_allocations: u64,
    /// Requests that missed.
    pub pool_misses: u64,
}

/// Too much free memory is in runs that are too short.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PoolFragmentation {
    /// Percentage of the arena.
    pub fragmentation_percentage: f32,
    /// The share above which this is published.
    pub threshold_percentage: f32,
    /// Length of the longest free run.
    pub largest_free_run_samples: u64,
}

/// The measured reduction of garbage in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct JSGCPressureReduction {
    /// The reduction in percent.
    pub reduction_percentage: f32,
    /// Bytes allocated in JavaScript.
    pub bytes_allocated: u64,
    /// Bytes that would have been allocated without a pool.
    pub bytes_unpooled: u64,
    /// Number of JavaScript objects made.
    pub objects: u64,
}

/// The pool's tables need too much memory compared with the samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MemoryOverheadHigh {
    /// Overhead as a percentage of the sample memory.
    pub overhead_percentage: f32,
    /// The share above which this is published.
    pub threshold_percentage: f32,
    /// Overhead in bytes.
    pub overhead_bytes: u64,
}

/// An alert that `HitRateLow`, `MemoryOverheadHigh`, `PoolFragmentation` or `PoolExhausted` began has ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PoolAlertEnded {
    /// The rule.
    pub kind: AlertKind,
    /// The figure with which it ended: percent, or for `Exhausted` the refused requests since the last observation.
    pub value: f32,
    /// The value beyond which it had begun.
    pub threshold: f32,
}

/// The main figures of the pool, at regular intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PoolMetricsSnapshot {
    /// Requests.
    pub total_allocations: u64,
    /// Requests that missed.
    pub pool_misses: u64,
    /// Sample bytes carved.
    pub bytes_held: u64,
    /// Sample bytes of the arena.
    pub bytes_reserved: u64,
    /// Buffers in use.
    pub leased: u32,
    /// Failed requests.
    pub exhausted: u32,
    /// Fragmentation.
    pub fragmentation_percentage: f32,
    /// Overhead; NaN (`null` in JSON) without sample memory.
    pub memory_overhead_percentage: f32,
}

#[cfg(test)]
#[path = "pool_events_tests.rs"]
mod tests;

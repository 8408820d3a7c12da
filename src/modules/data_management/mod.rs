//! The buffer pool: handles, metrics, sizing and defragmentation.

mod alert_rules;
mod audio_buffer_manager;
mod boundary;
mod buffer_recycling_pool;
mod bus_observer;
mod data_module;
mod half_accounts;
#[cfg(test)]
#[cfg(not(loom))]
mod integration_tests;
mod metrics;
pub mod pool_events;
pub mod pool_maintenance;
pub mod pool_monitor;
pub mod pool_optimization;
mod recycled_vectors;
pub mod sizing;
mod wasm_js_bridge;

pub use crate::setting_error::SettingError;
pub use audio_buffer_manager::{
    AudioBuffer, AudioBufferError, AudioBufferManagerImpl, AudioFormat, ShortName, StreamAccount,
};
pub use boundary::{Crossings, ObjectCosts, ObjectCounts};
pub use buffer_recycling_pool::{BufferRecyclingPool, BufferRecyclingPoolImpl};
pub use bus_observer::AttachPublisher;
pub use data_module::{DataManagementConfig, DataManagementError, DataManagementModule};
pub use half_accounts::HalfAccount;
#[cfg(feature = "metrics-facade")]
pub use metrics::metrics_facade::MetricsFacade;
pub use metrics::pool_metrics::{self, PoolFigures, PoolMetrics};
pub use recycled_vectors::VectorAccount;
pub use sizing::sizing_profile::LearnedMix;
pub use wasm_js_bridge::{BufferView, JSBufferRef, MAX_VIEWS, WasmJsBridge};
pub use wavepool_core::{
    ArenaMap, ArenaSpan, AudioMetadata, BufferPool, BufferRef, DEFAULT_MIX, DefragmentationResult,
    ExhaustionPolicy, LEASE_BITS, LeakReport, LeakSite, Lease, LeaseMove, LeaseState, LeaseTable,
    LeasedBuffer, MAX_CHANNELS, MAX_CLASSES, MAX_HOLDERS, MAX_LEASES, MemorySource, PlanarBuffer,
    PlanarRef, PoolBuilder, PoolControl, PoolError, PoolObserver, PooledBuffer, RELEASED_BITS,
    RealtimePool, Reclaimed, Scratch, SlotInfo, SpanState, StepReport, Table,
};

/// Earlier paths of the control half.
pub mod control {
    pub use super::pool_maintenance;

    /// Earlier path of [`DefragmentationResult`](super::DefragmentationResult).
    pub mod defragmentation {
        pub use wavepool_core::DefragmentationResult;
    }

    /// Earlier names of [`pool_maintenance`].
    pub mod pool_keeper {
        pub use super::pool_maintenance::{
            MaintenanceReport as KeeperReport, PoolMaintenance as PoolKeeper,
        };
    }
}

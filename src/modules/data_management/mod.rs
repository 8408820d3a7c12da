//! The buffer pool: handles, metrics, sizing and defragmentation.

mod alert_rules;
mod audio_buffer_manager;
mod buffer_recycling_pool;
mod bus_observer;
pub mod control;
mod data_module;
mod error;
#[cfg(test)]
#[cfg(not(loom))]
mod integration_tests;
mod lease;
#[cfg(feature = "metrics-facade")]
mod metrics_facade;
mod observer;
pub mod pool_events;
pub mod pool_maintenance;
pub mod pool_metrics;
pub mod pool_monitor;
pub mod pool_optimization;
mod realtime;
mod setting_error;
pub mod sizing;
mod step_clock;
mod unshared;
mod wasm_js_bridge;

pub use audio_buffer_manager::{
    AudioBuffer, AudioBufferError, AudioBufferManagerImpl, AudioFormat, ShortName, StreamAccount,
};
pub use buffer_recycling_pool::{BufferRecyclingPool, BufferRecyclingPoolImpl};
pub use bus_observer::AttachPublisher;
pub use control::accounts::{LeakReport, LeakSite, SlotInfo};
pub use control::arena::MemorySource;
pub use control::arena_map::{ArenaMap, ArenaSpan, SpanState};
pub use control::defragmentation::DefragmentationResult;
pub use control::housekeeping::StepReport;
#[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
pub use control::mapped_wav::{MappedWav, WavError};
pub use control::pool_builder::{BufferPool, DEFAULT_MIX, PoolBuilder};
pub use control::pool_control::PoolControl;
pub use control::reclaim::Reclaimed;
pub use data_module::{DataManagementConfig, DataManagementError, DataManagementModule};
pub use error::{LeaseMove, LeaseState, PoolError, Table};
pub use lease::{LEASE_BITS, Lease, LeaseTable, LeasedBuffer, MAX_HOLDERS, MAX_LEASES};
#[cfg(feature = "metrics-facade")]
pub use metrics_facade::MetricsFacade;
pub use observer::PoolObserver;
pub use pool_metrics::{PoolFigures, PoolMetrics};
pub use realtime::buffer::{AudioMetadata, BufferRef, PooledBuffer, RELEASED_BITS, Scratch};
pub use realtime::exhaustion::ExhaustionPolicy;
pub use realtime::planar::{MAX_CHANNELS, PlanarBuffer, PlanarRef};
pub use realtime::realtime_pool::RealtimePool;
pub use setting_error::SettingError;
pub use sizing::sizing_profile::LearnedMix;
pub use wasm_js_bridge::{
    BufferView, JSBufferRef, MAX_VIEWS, ObjectCosts, ObjectCounts, WasmJsBridge,
};

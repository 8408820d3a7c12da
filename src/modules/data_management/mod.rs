//! The buffer pool and everything that keeps it: handles, metrics, sizing, defragmentation.

mod accounts;
mod arena;
mod arena_map;
mod attach;
mod audio_buffer_manager;
mod buffer;
mod buffer_recycling_pool;
pub mod capacity_plan;
mod carving;
mod cells;
pub mod class_boundaries;
mod class_change;
mod class_table;
mod data_module;
pub mod defragmentation;
pub mod demand;
pub mod demand_trace;
mod error;
mod exhaustion;
mod free_list;
mod half;
mod housekeeping;
#[cfg(test)]
#[cfg(not(loom))]
mod integration_tests;
mod leak_ring;
mod lease;
#[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
mod mapped_wav;
#[cfg(feature = "metrics-facade")]
mod metrics_facade;
mod planar;
mod pool_builder;
mod pool_control;
mod pool_core;
pub mod pool_events;
pub mod pool_keeper;
pub mod pool_metrics;
pub mod pool_monitor;
pub mod pool_optimization;
mod realtime_pool;
mod reclaim;
mod shelf;
mod shelf_moves;
pub mod sizing_plan;
pub mod sizing_profile;
pub mod sizing_rules;
mod slot_table;
pub mod trace_replay;
mod unshared;
mod wasm_js_bridge;

pub use accounts::{LeakReport, LeakSite, SlotInfo};
pub use arena::MemorySource;
pub use arena_map::{ArenaMap, ArenaSpan, SpanState};
pub use audio_buffer_manager::{
    AudioBuffer, AudioBufferError, AudioBufferManagerImpl, AudioFormat, StreamAccount,
};
pub use buffer::{AudioMetadata, BufferRef, PooledBuffer, RELEASED_BITS, Scratch};
pub use buffer_recycling_pool::{BufferRecyclingPool, BufferRecyclingPoolImpl};
pub use data_module::{DataManagementConfig, DataManagementError, DataManagementModule};
pub use defragmentation::DefragmentationResult;
pub use error::{LeaseMove, LeaseState, PoolError, Table};
pub use exhaustion::ExhaustionPolicy;
pub use housekeeping::StepReport;
pub use lease::{LEASE_BITS, Lease, LeaseTable, LeasedBuffer, MAX_HOLDERS, MAX_LEASES};
#[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
pub use mapped_wav::{MappedWav, WavError};
#[cfg(feature = "metrics-facade")]
pub use metrics_facade::MetricsFacade;
pub use planar::{MAX_CHANNELS, PlanarBuffer, PlanarRef};
pub use pool_builder::{BufferPool, DEFAULT_MIX, PoolBuilder};
pub use pool_control::PoolControl;
pub use pool_metrics::PoolMetrics;
pub use realtime_pool::RealtimePool;
pub use reclaim::Reclaimed;
pub use wasm_js_bridge::{BufferView, JSBufferRef, ObjectCosts, ObjectCounts, WasmJsBridge};

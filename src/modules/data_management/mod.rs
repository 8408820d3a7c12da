//! The buffer pool and everything that keeps it: handles, metrics, sizing, defragmentation.

mod arena;
mod buffer;
pub mod capacity_plan;
pub mod class_boundaries;
mod class_table;
mod data_module;
pub mod defragmentation;
pub mod demand;
pub mod demand_trace;
mod error;
mod free_list;
mod leak_ring;
mod pool_builder;
mod pool_control;
mod pool_core;
pub mod pool_events;
pub mod pool_keeper;
pub mod pool_metrics;
pub mod pool_monitor;
pub mod pool_optimization;
mod realtime_pool;
pub mod sizing_plan;
pub mod sizing_profile;
pub mod sizing_rules;
mod slot_table;
pub mod trace_replay;

pub use arena::MemorySource;
pub use buffer::{
    AudioMetadata, BufferRef, MAX_CHANNELS, PlanarBuffer, PlanarRef, PooledBuffer, RELEASED_BITS,
    Scratch,
};
pub use data_module::{DataManagementConfig, DataManagementError, DataManagementModule};
pub use defragmentation::DefragmentationResult;
pub use error::{LeaseMove, LeaseState, PoolError, Table};
pub use pool_builder::{BufferPool, DEFAULT_MIX, PoolBuilder};
pub use pool_control::{LeakReport, LeakSite, PoolControl, SlotInfo, StepReport};
pub use pool_metrics::PoolMetrics;
pub use realtime_pool::{ExhaustionPolicy, RealtimePool};

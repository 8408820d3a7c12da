//! The buffer pool and everything that keeps it: handles, metrics, sizing, defragmentation.

pub mod capacity_plan;
pub mod class_boundaries;
pub mod defragmentation;
pub mod demand;
pub mod demand_trace;
pub mod pool_metrics;
pub mod pool_monitor;
pub mod pool_optimization;
pub mod sizing_plan;
pub mod sizing_profile;
pub mod sizing_rules;

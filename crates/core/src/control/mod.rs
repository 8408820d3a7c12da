//! The control half: memory, growth, replenishing, changes of classes, reclaiming, defragmentation. It may allocate
//! and lock.

pub(crate) mod accounts;
mod arena;
pub(crate) mod arena_map;
mod attach;
mod carving;
mod class_change;
mod class_limits;
mod class_plan;
mod control_counts;
pub(crate) mod defragmentation;
#[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
pub(crate) mod foreign;
mod free_runs;
pub(crate) mod housekeeping;
pub(crate) mod own_halves;
mod past_counts;
pub(crate) mod pool_builder;
pub(crate) mod pool_control;
pub(crate) mod reclaim;
mod reports;
pub(crate) mod sizing_step;
pub(crate) mod stretches;
pub(crate) mod usage;
mod usage_scan;

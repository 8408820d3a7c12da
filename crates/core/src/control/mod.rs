//! The control half: memory, growth, replenishing, changes of classes, reclaiming, defragmentation. It may allocate
//! and lock.

pub(crate) mod accounts;
pub(crate) mod arena;
pub(crate) mod arena_map;
mod attach;
pub(crate) mod carving;
mod class_change;
mod class_limits;
pub(crate) mod defragmentation;
pub(crate) mod housekeeping;
#[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
pub(crate) mod mapped_wav;
mod past_counts;
mod placement;
pub(crate) mod pool_builder;
pub(crate) mod pool_control;
pub(crate) mod reclaim;
pub(crate) mod sizing_step;
pub(crate) mod threshold_search;
pub(crate) mod usage;
pub(crate) mod usage_scan;

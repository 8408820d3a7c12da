//! Adaptive sizing: measures demand, plans size classes and numbers of buffers from it, and measures the effect of plans.

pub(crate) mod class_boundaries;
pub(crate) mod class_buffers;
pub(super) mod class_targets;
pub(crate) mod demand;
pub mod demand_trace;
pub(crate) mod histograms;
pub mod sizing_plan;
mod sizing_policy;
pub mod sizing_profile;
pub mod sizing_rules;
pub(super) mod stated_needs;

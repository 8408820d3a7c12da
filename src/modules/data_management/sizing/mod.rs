//! Sizing that learns: what was asked for, which classes and how many buffers serve it, what a change did.

pub mod capacity_plan;
pub mod class_boundaries;
pub(super) mod class_targets;
pub mod demand;
pub mod demand_trace;
pub mod histograms;
pub mod sizing_plan;
pub mod sizing_profile;
pub mod sizing_rules;
mod trace_recorder;
pub mod trace_replay;

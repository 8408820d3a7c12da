//! What runs on the real-time thread: lists, slots, handles, the half itself.
#![deny(clippy::disallowed_types)] // No lock, in any file of this room.

pub(crate) mod buffer;
pub(crate) mod cells;
mod class_figures;
pub(crate) mod class_table;
pub(crate) mod exhaustion;
pub(crate) mod free_list;
pub(crate) mod half;
pub(crate) mod leak_ring;
mod list_transfers;
mod one_slot_cache;
mod orderings;
pub(crate) mod planar;
pub(crate) mod pool_core;
mod quantum;
pub(crate) mod realtime_pool;
pub(crate) mod size_class;
pub(crate) mod slot_table;

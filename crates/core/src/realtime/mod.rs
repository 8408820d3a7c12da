//! What runs on the real-time thread: lists, slots, handles, the half itself.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.

pub(crate) mod buffer;
pub(crate) mod cells;
mod class_figures;
pub(crate) mod class_table;
pub(crate) mod exhaustion;
pub(crate) mod free_list;
pub(crate) mod half;
pub(crate) mod leak_ring;
pub(crate) mod lease;
mod list_transfers;
mod local_list;
mod one_slot_cache;
mod orderings;
pub(crate) mod owned_half;
pub(crate) mod planar;
mod planes;
pub(crate) mod pool_core;
pub(crate) mod pool_state;
mod quantum;
pub(crate) mod raw_handle;
pub(crate) mod realtime_pool;
pub(crate) mod shared_ptr;
pub(crate) mod size_class;
pub(crate) mod slot_table;

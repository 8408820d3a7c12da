//! Typed events in three priority lanes.

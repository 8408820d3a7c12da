//! All figures of a dashboard, as they are serialised to JSON: `Snapshot` in the web library.

use serde::Serialize;

use super::dashboard_events::{LevelRecord, NoteRecord};
use super::feeds::FeedFigures;
use super::inspection::Inspection;
use super::memory::MemoryFigures;
use super::options::Mode;
use super::stream::StreamFigures;
use super::unit_costs::ObjectCounts;
use crate::event_bus::{BusStats, EventRecord};
use crate::modules::data_management::PoolMetrics;
use crate::registry::ModuleHealth;

#[derive(Serialize)]
pub(super) struct Snapshot<'a> {
    pub(super) version: u32,
    pub(super) mode: Mode,
    pub(super) mode_reason: &'a str,
    /// The stream that was opened last.
    pub(super) stream: Option<StreamFigures>,
    /// The open streams, in the order in which they were opened.
    pub(super) streams: Vec<StreamFigures>,
    /// The stream that closed last.
    pub(super) closed_stream: Option<StreamFigures>,
    pub(super) notes: Vec<NoteRecord>,
    pub(super) level: Option<LevelRecord>,
    pub(super) pool: PoolMetrics,
    pub(super) bus: BusStats,
    pub(super) events: Vec<EventRecord>,
    pub(super) tally: Tally,
    pub(super) modules: Vec<ModuleHealth>,
    pub(super) memory: MemoryFigures,
    /// JavaScript objects that were made to pass data between JavaScript and this module, by kind.
    pub(super) objects: ObjectCounts,
    pub(super) feeds: Vec<FeedFigures>,
    pub(super) leaked: u64,
    /// Present twice a second; `None` in the snapshots between.
    pub(super) inspection: Option<Inspection>,
}

/// Compares the counts in events with the counts of the pools.
#[derive(Serialize)]
pub(super) struct Tally {
    pub(super) allocation_events: u64,
    pub(super) allocations_counted: u64,
    pub(super) recycling_events: u64,
    pub(super) recyclings_counted: u64,
}

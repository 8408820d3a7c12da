//! Everything a dashboard shows, in the form in which it leaves as JSON: `Snapshot` in the web library.

use serde::Serialize;

use super::feed::{LevelRecord, NoteRecord};
use super::feeds::FeedFigures;
use super::host::Mode;
use super::inspection::Inspection;
use super::memory::MemoryFigures;
use super::stream::StreamFigures;
use super::unit_costs::Made;
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
    /// Every open stream, in the order of their opening.
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
    /// JavaScript objects that the boundary made necessary, by kind.
    pub(super) objects: Made,
    pub(super) feeds: Vec<FeedFigures>,
    pub(super) leaked: u64,
    /// Twice a second; none in the snapshots between.
    pub(super) inspection: Option<Inspection>,
}

/// What events said happened beside what the pools counted themselves.
#[derive(Serialize)]
pub(super) struct Tally {
    pub(super) allocation_events: u64,
    pub(super) allocations_counted: u64,
    pub(super) recycling_events: u64,
    pub(super) recyclings_counted: u64,
}

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

/// What the pool, the bus and the analysis report, about twenty times a second. `null` always means "not measured", never zero.
#[derive(Serialize)]
pub(super) struct Snapshot<'a> {
    /// The version of this format: 1.
    pub(super) version: u32,
    pub(super) mode: Mode,
    /// Why this mode was chosen, as a sentence.
    pub(super) mode_reason: &'a str,
    /// The stream that was opened last; `None` while none is open.
    pub(super) stream: Option<StreamFigures>,
    /// The streams of all open taps and tuners, in the order in which they were opened.
    pub(super) streams: Vec<StreamFigures>,
    /// The stream that closed last, with its final figures.
    pub(super) closed_stream: Option<StreamFigures>,
    /// The windows with a pitch since the last snapshot, at most 256.
    pub(super) notes: Vec<NoteRecord>,
    /// The level of the last analysed window.
    pub(super) level: Option<LevelRecord>,
    pub(super) pool: PoolMetrics,
    pub(super) bus: BusStats,
    /// The events since the last snapshot, oldest first, at most 64.
    pub(super) events: Vec<EventRecord>,
    pub(super) tally: Tally,
    pub(super) modules: Vec<ModuleHealth>,
    pub(super) memory: MemoryFigures,
    /// JavaScript objects that were made to pass data between JavaScript and this module, by kind.
    pub(super) objects: ObjectCounts,
    /// The open feeds.
    pub(super) feeds: Vec<FeedFigures>,
    /// Buffers that no thread can release any more.
    pub(super) leaked: u64,
    /// Present twice a second; `None` in the snapshots between.
    pub(super) inspection: Option<Inspection>,
}

/// The counts in events beside the counts of the pools: equal, unless events were lost.
#[derive(Serialize)]
pub(super) struct Tally {
    pub(super) allocation_events: u64,
    pub(super) allocations_counted: u64,
    pub(super) recycling_events: u64,
    pub(super) recyclings_counted: u64,
}

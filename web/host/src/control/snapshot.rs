//! All figures of a dashboard, as they are serialised to JSON: `Snapshot` in the web library.

use serde::Serialize;

use super::dashboard_events::{LevelRecord, NoteRecord};
use super::dispatch_gaps::DispatchGap;
use super::feeds::FeedFigures;
use super::inspection::Inspection;
use super::memory::MemoryFigures;
use super::options::Mode;
use super::stream::StreamFigures;
use wavepool::event_bus::{BusStats, EventRecord};
use wavepool::modules::data_management::{ObjectCounts, PoolMetrics};
use wavepool::registry::ModuleHealth;

/// What the pool, the bus and the analysis report, about twenty times a second. `null` always means "not measured", never zero.
#[derive(Serialize)]
pub(crate) struct Snapshot<'a> {
    /// The version of this format: 1.
    pub(crate) version: u32,
    pub(crate) mode: Mode,
    /// Why this mode was chosen, as a sentence.
    pub(crate) mode_reason: &'a str,
    /// The stream that was opened last; `None` while none is open.
    pub(crate) stream: Option<StreamFigures>,
    /// The streams of all open taps and tuners, in the order in which they were opened.
    pub(crate) streams: Vec<StreamFigures>,
    /// The stream that closed last, with its final figures.
    pub(crate) closed_stream: Option<StreamFigures>,
    /// The windows with a pitch since the last snapshot, at most 256.
    pub(crate) notes: Vec<NoteRecord>,
    /// The level of the last analysed window.
    pub(crate) level: Option<LevelRecord>,
    pub(crate) pool: PoolMetrics,
    pub(crate) bus: BusStats,
    /// The times without a delivery of events, by what the control worker did meanwhile.
    pub(crate) dispatch_gaps: Vec<DispatchGap>,
    /// The events since the last snapshot, oldest first, at most 64.
    pub(crate) events: Vec<EventRecord>,
    pub(crate) tally: Tally,
    pub(crate) modules: Vec<ModuleHealth>,
    pub(crate) memory: MemoryFigures,
    /// JavaScript objects that were made to pass data between JavaScript and this module, by kind.
    pub(crate) objects: ObjectCounts,
    /// The open feeds.
    pub(crate) feeds: Vec<FeedFigures>,
    /// Buffers that no thread can release any more.
    pub(crate) leaked: u64,
    /// Present twice a second; `None` in the snapshots between.
    pub(crate) inspection: Option<Inspection>,
}

/// The counts in events beside the counts of the pools: equal, unless events were lost.
#[derive(Serialize)]
pub(crate) struct Tally {
    pub(crate) allocation_events: u64,
    pub(crate) allocations_counted: u64,
    pub(crate) recycling_events: u64,
    pub(crate) recyclings_counted: u64,
}

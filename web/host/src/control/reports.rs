//! What the page shows: collected events, figures, and a recording under way.

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::data_management::sizing::demand_trace::TraceError;
use wavepool::modules::data_management::{PoolMetrics, SettingError};
use wavepool::registry::ModuleError;

use super::activity::{self, Activity};
use super::all_counts::AllCounts;
use super::dashboard_events::DashboardEvents;
use super::feeds::Feeds;
use super::inspection::Inspector;
use super::instance::Instance;
use super::memory::MemoryWatch;
use super::options::HostOptions;
use super::recording::{Recording, RecordingError};
use super::snapshot::{Snapshot, Tally};
use crate::shared::platform::now_ms;

/// The sources of a snapshot that count nothing for anybody else.
pub(crate) struct Reports {
    pub(crate) events: DashboardEvents,
    pub(crate) inspector: Inspector,
    pub(crate) feeds: Feeds,
    recording: Option<Recording>,
    memory: MemoryWatch,
}

impl Reports {
    /// Reports of a host that has booted.
    pub(crate) fn new(events: DashboardEvents) -> Result<Self, SettingError> {
        Ok(Self {
            events,
            inspector: Inspector::new()?,
            feeds: Feeds::default(),
            recording: None,
            memory: MemoryWatch::start(),
        })
    }

    /// Starts a recording of the demand; discards the current one.
    pub(crate) fn start_recording(
        &mut self,
        bus: &TypedEventBus,
        rate_hz: f64,
    ) -> Result<(), RecordingError> {
        self.recording = Some(Recording::start(bus, rate_hz)?);
        Ok(())
    }

    /// Stops the recording; returns its JSON. `None` without a recording.
    pub(crate) fn stop_recording(&mut self) -> Result<Option<String>, TraceError> {
        self.recording.take().map(Recording::finish).transpose()
    }

    /// All figures as JSON. Notes and events are those since the last snapshot.
    pub(crate) fn snapshot(
        &mut self,
        options: &HostOptions,
        instance: &Instance,
        counted: AllCounts<'_>,
    ) -> Result<String, ModuleError> {
        activity::begin(Activity::Report, 0);
        let data = instance.data().ok_or("the pool is not running")?;
        let (mut counts, recyclings_counted) = counted.pools(data);
        let with_events = PoolMetrics::from_counts(&counts);
        // Events of participants are not delivered here, so that their counts are added after the tally.
        counted.participants.count_into(&mut counts);
        let pool = PoolMetrics::from_counts(&counts);
        // Before the next delivery of events, which were counted later.
        let tally = {
            let collected = self.events.lock();
            Tally {
                allocation_events: collected.allocation_events,
                allocations_counted: with_events.total_allocations - with_events.exhausted,
                recycling_events: collected.recycling_events,
                recyclings_counted,
            }
        };
        instance.dispatch();
        activity::begin(Activity::Report, 0);
        let recording = self.recording.as_ref().map(Recording::figures);
        let remote = counted.streams.remote_accounts();
        let inspector = &mut self.inspector;
        let inspection = inspector.inspect(now_ms(), data, remote, recording);
        instance.dispatch();
        activity::begin(Activity::Report, 0);
        let streams = counted.streams.iter();
        let streams: Vec<_> = { streams }
            .map(|(number, stream)| stream.figures(number))
            .collect();
        let mut collected = self.events.lock();
        let snapshot = Snapshot {
            version: 1,
            mode: options.mode,
            mode_reason: &options.mode_reason,
            stream: streams.last().copied(),
            streams,
            closed_stream: counted.totals.figures,
            notes: collected.notes.drain(..).collect(),
            level: collected.level,
            bus: instance.bus().stats(),
            dispatch_gaps: instance.gaps.figures(),
            events: collected.events.drain(..).collect(),
            tally,
            pool,
            modules: instance.registry.health(),
            memory: self.memory.figures(),
            objects: counted.objects(),
            feeds: self.feeds.figures(),
            leaked: counted.totals.leaked,
            inspection,
        };
        let json = serde_json::to_string(&snapshot)?;
        drop(collected);
        instance.dispatch();
        activity::begin(Activity::Idle, 0);
        Ok(json)
    }
}

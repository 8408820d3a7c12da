//! Snapshots of the host, and the counts of all threads that they are made of.

use wasm_bindgen::prelude::*;

use super::host::{Host, now};
use super::options::StreamLimits;
use super::recording::Recording;
use super::snapshot::{Snapshot, Tally};
use super::stream::{Stream, StreamEnds};
use super::unit_costs::{self, ObjectCounts, boundary_counts};
use crate::modules::audio_foundations::{MAX_OVERLAP, MIN_WINDOW};
use crate::modules::data_management::pool_metrics::{BoundaryCounts, PoolCounts};
use crate::modules::data_management::{
    DataManagementModule, MAX_CHANNELS, PoolFigures, PoolMetrics,
};

#[wasm_bindgen]
impl Host {
    /// The limits of streams as JSON: `StreamLimits` in the web library.
    ///
    /// # Errors
    /// None in practice: numbers can always be written as JSON.
    #[wasm_bindgen(js_name = streamLimits)]
    pub fn stream_limits(&self) -> Result<String, JsError> {
        let data = self.registry.get::<DataManagementModule>();
        let control = data.and_then(|data| data.control());
        let most_window = control.and_then(|control| control.classes().max());
        let limits = StreamLimits {
            window: [MIN_WINDOW, most_window.unwrap_or(MIN_WINDOW)],
            most_channels: MAX_CHANNELS,
            most_overlap: MAX_OVERLAP,
        };
        Ok(serde_json::to_string(&limits)?)
    }

    /// The lower 32 bits of the number of windows that a stream's audio side has delivered so far.
    #[wasm_bindgen(js_name = windowsDelivered)]
    pub fn windows_delivered(&self, stream: u32) -> u32 {
        let stream = self.streams.get(&stream);
        stream.map_or(0, |stream| stream.counts.read().windows as u32)
    }

    /// The length of a stream's queue, in windows.
    #[wasm_bindgen(js_name = queueWindows)]
    pub fn queue_windows(&self, stream: u32) -> usize {
        let stream = self.streams.get(&stream);
        stream.map_or(0, |stream| stream.config.queue_windows())
    }

    /// All figures of a dashboard, as JSON: see `Snapshot` in the web library. Notes and events are those since the last
    /// snapshot.
    ///
    /// # Errors
    /// If the pool is not running.
    pub fn snapshot(&mut self) -> Result<String, JsError> {
        let (mut counts, recyclings_counted) = self
            .pool_counts()
            .ok_or_else(|| JsError::new("the pool is not running"))?;
        let with_events = PoolMetrics::from_counts(&counts);
        // Events of participants are not delivered here, so that their counts are added after the tally.
        self.participants.count_into(&mut counts);
        let pool = PoolMetrics::from_counts(&counts);
        // Before the next delivery of events, which were counted later.
        let tally = {
            let collected = self.dashboard.lock();
            Tally {
                allocation_events: collected.allocation_events,
                allocations_counted: with_events.total_allocations - with_events.exhausted,
                recycling_events: collected.recycling_events,
                recyclings_counted,
            }
        };
        self.dispatch();
        let recording = self.recording.as_ref().map(Recording::figures);
        let data = self.registry.get::<DataManagementModule>();
        let inspection = data.and_then(|data| self.inspector.inspect(now(), data, recording));
        self.dispatch();
        let figures = |(&number, stream): (&u32, &Stream)| stream.figures(number);
        let streams: Vec<_> = self.streams.iter().map(figures).collect();
        let mut collected = self.dashboard.lock();
        let snapshot = Snapshot {
            version: 1,
            mode: self.options.mode,
            mode_reason: &self.options.mode_reason,
            stream: streams.last().copied(),
            streams,
            closed_stream: self.closed.figures,
            notes: collected.notes.drain(..).collect(),
            level: collected.level,
            bus: self.registry.bus().stats(),
            events: collected.events.drain(..).collect(),
            tally,
            pool,
            modules: self.registry.health(),
            memory: self.memory.figures(),
            objects: self.all_objects(),
            feeds: self.feeds.figures(),
            leaked: self.leaked,
            inspection,
        };
        let json = serde_json::to_string(&snapshot)?;
        drop(collected);
        self.dispatch();
        Ok(json)
    }

    /// Counts JavaScript objects that the worker, or a consumer, made to pass blocks.
    #[wasm_bindgen(js_name = countObjects)]
    pub fn count_objects(&mut self, views: u32, messages: u32, buffers: u32) {
        self.objects += ObjectCounts {
            views: views.into(),
            messages: messages.into(),
            buffers: buffers.into(),
            buffer_bytes: 0,
        };
    }

    /// Counts new buffers for transfers, with so many bytes each.
    #[wasm_bindgen(js_name = countBuffers)]
    pub fn count_buffers(&mut self, buffers: u32, bytes: u32) {
        self.objects.buffers += u64::from(buffers);
        let bytes = u64::from(buffers) * u64::from(bytes);
        self.objects.buffer_bytes = self.objects.buffer_bytes.saturating_add(bytes);
    }
}

impl Host {
    fn data(&self) -> Option<&DataManagementModule> {
        self.registry.get()
    }

    /// The counts of this memory's pool and of the worklets' pools, and the number of released buffers.
    fn pool_counts(&self) -> Option<(PoolCounts, u64)> {
        let control = self.data()?.control()?;
        let mut counts = control.counts();
        let mut recycled = control.recycled() + self.closed.recycled;
        counts.add(&self.closed.pool);
        for stream in self.streams.values() {
            if let StreamEnds::Received(receiver) = &stream.ends {
                counts.add(&receiver.remote);
                recycled += receiver.remote_recycled;
            }
        }
        counts.boundary = self.boundary();
        Some((counts, recycled))
    }

    /// The JavaScript objects made so far, in all threads.
    fn all_objects(&self) -> ObjectCounts {
        let mut objects = self.objects;
        objects += self.closed.objects;
        // A buffer that JavaScript acquires for itself costs views only.
        objects.views += self.participants.views();
        for stream in self.streams.values() {
            objects += stream.counts.objects();
        }
        objects
    }

    /// The costs of passing windows to JavaScript so far, in all threads.
    pub(super) fn boundary(&self) -> BoundaryCounts {
        let mut crossings = self.closed.crossings;
        for stream in self.streams.values() {
            stream.count_crossings(&mut crossings);
        }
        let costs = unit_costs::MEASURED.map(|measured| measured.costs);
        boundary_counts(self.all_objects(), crossings, costs)
    }
}

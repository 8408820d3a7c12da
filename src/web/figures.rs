//! What the host tells of itself: snapshots, and the counts of every thread they are made of.

use wasm_bindgen::prelude::*;

use super::host::{Host, now};
use super::recording::Recording;
use super::snapshot::{Snapshot, Tally};
use super::stream::{Stream, StreamEnd};
use super::unit_costs::{self, Made, weigh};
use crate::modules::audio_foundations::{MAX_OVERLAP, MIN_WINDOW};
use crate::modules::data_management::pool_metrics::{BoundaryCounts, PoolCounts};
use crate::modules::data_management::{DataManagementModule, MAX_CHANNELS, PoolMetrics};

#[wasm_bindgen]
impl Host {
    /// What a stream can be: `{"window": [least, most], "most_channels", "most_overlap"}`, as JSON.
    #[wasm_bindgen(js_name = streamLimits)]
    pub fn stream_limits(&self) -> String {
        let data = self.registry.get::<DataManagementModule>();
        let control = data.and_then(|data| data.control());
        let most_window = control.and_then(|control| control.classes().max());
        serde_json::json!({
            "window": [MIN_WINDOW, most_window.unwrap_or(MIN_WINDOW)],
            "most_channels": MAX_CHANNELS,
            "most_overlap": MAX_OVERLAP,
        })
        .to_string()
    }

    /// Windows that a stream's audio side has delivered so far, without the upper half of the count.
    #[wasm_bindgen(js_name = windowsDelivered)]
    pub fn windows_delivered(&self, stream: u32) -> u32 {
        let stream = self.streams.get(&stream);
        stream.map_or(0, |stream| stream.counts.read().windows as u32)
    }

    /// Windows of a stream that can wait to be read.
    #[wasm_bindgen(js_name = queueWindows)]
    pub fn queue_windows(&self, stream: u32) -> usize {
        let stream = self.streams.get(&stream);
        stream.map_or(0, |stream| stream.config.queue_windows())
    }

    /// Everything a dashboard shows, as JSON: see `Snapshot` in the web library. Notes and events are those since the
    /// last snapshot.
    ///
    /// # Errors
    /// A pool that is not running.
    pub fn snapshot(&mut self) -> Result<String, JsError> {
        let (mut counts, recyclings_counted) = self
            .pool_counts()
            .ok_or_else(|| JsError::new("the pool is not running"))?;
        let told = PoolMetrics::from_counts(&counts);
        // Their events stay with them.
        self.participants.count_into(&mut counts);
        let pool = PoolMetrics::from_counts(&counts);
        // With the counts: what is delivered from here on was counted later.
        let tally = {
            let gathered = self.feed.lock();
            Tally {
                allocation_events: gathered.allocations_told,
                allocations_counted: told.total_allocations - told.exhausted,
                recycling_events: gathered.recyclings_told,
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
        let mut gathered = self.feed.lock();
        let snapshot = Snapshot {
            version: 1,
            mode: self.options.mode,
            mode_reason: &self.options.mode_reason,
            stream: streams.last().copied(),
            streams,
            closed_stream: self.closed.figures,
            notes: gathered.notes.drain(..).collect(),
            level: gathered.level,
            bus: self.registry.bus().stats(),
            events: gathered.events.drain(..).collect(),
            tally,
            pool,
            modules: self.registry.health(),
            memory: self.memory.figures(),
            objects: self.all_made(),
            feeds: self.feeds.figures(),
            leaked: self.leaked,
            inspection,
        };
        let json = serde_json::to_string(&snapshot)?;
        drop(gathered);
        self.dispatch();
        Ok(json)
    }

    /// Counts JavaScript objects that the worker, or a consumer, made to carry blocks.
    #[wasm_bindgen(js_name = countObjects)]
    pub fn count_objects(&mut self, views: u32, messages: u32, buffers: u32) {
        self.made += Made {
            views: views.into(),
            messages: messages.into(),
            buffers: buffers.into(),
            buffer_bytes: 0,
        };
    }

    /// Counts buffers that were made to be transferred, with so many bytes each.
    #[wasm_bindgen(js_name = countBuffers)]
    pub fn count_buffers(&mut self, buffers: u32, bytes: u32) {
        self.made.buffers += u64::from(buffers);
        let bytes = u64::from(buffers) * u64::from(bytes);
        self.made.buffer_bytes = self.made.buffer_bytes.saturating_add(bytes);
    }
}

impl Host {
    fn data(&self) -> Option<&DataManagementModule> {
        self.registry.get()
    }

    /// The counts of this memory's pool and of those that worklets told of, and the buffers that came back.
    fn pool_counts(&self) -> Option<(PoolCounts, u64)> {
        let control = self.data()?.control()?;
        let mut counts = control.counts();
        let mut recycled = control.recycled() + self.closed.recycled;
        counts.add(&self.closed.pool);
        for stream in self.streams.values() {
            if let StreamEnd::Received(receiver) = &stream.end {
                counts.add(&receiver.remote);
                recycled += receiver.remote_recycled;
            }
        }
        counts.boundary = self.boundary();
        Some((counts, recycled))
    }

    /// The JavaScript objects made so far, in every thread.
    fn all_made(&self) -> Made {
        let mut made = self.made;
        made += self.closed.made;
        // A buffer that JavaScript leases for itself crosses without a window: its views alone count.
        made.views += self.participants.views();
        for stream in self.streams.values() {
            made += stream.counts.made();
        }
        made
    }

    /// What carrying windows has cost JavaScript so far, in every thread.
    pub(super) fn boundary(&self) -> BoundaryCounts {
        let mut crossed = self.closed.crossings;
        for stream in self.streams.values() {
            stream.count_crossings(&mut crossed);
        }
        let costs = unit_costs::MEASURED.map(|measured| measured.costs);
        weigh(self.all_made(), crossed, costs)
    }
}

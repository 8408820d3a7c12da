//! The dashboard's subscriptions: collects the events between two snapshots.
#![allow(clippy::disallowed_types)] // A lock on the control worker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;

use super::lock::lock;
use wavepool::event_bus::{BusError, EventRecord, Subscription, TypedEventBus};
use wavepool::modules::audio_foundations::{LevelMeasured, Note, PitchDetected};
use wavepool::modules::data_management::pool_events::{BufferPoolAllocation, BufferPoolRecycling};

/// The most events and notes between two snapshots; newer ones replace the oldest.
const MAX_EVENTS: usize = 64;
const MAX_NOTES: usize = 256;

/// A window with a pitch.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NoteRecord {
    stream: u32,
    /// Beginning of the window, in seconds of the stream.
    t_s: f64,
    /// Letter, accidental, octave: `A4`, `C#5`.
    note: Note,
    hz: f32,
    /// Distance from the named note, -50 to 50.
    cents: f32,
    /// 0 (noise) to 1 (periodic).
    clarity: f32,
}

/// The level of a window.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct LevelRecord {
    /// Root mean square relative to full scale, in decibels, from -144 (silence) to 770.6 (the largest finite sample). `None`
    /// if a sample of the window is infinite or NaN.
    rms_dbfs: Option<f32>,
    /// The largest sample, likewise.
    peak_dbfs: Option<f32>,
}

/// The collected events, written by the handlers.
#[derive(Debug, Default)]
pub(crate) struct CollectedEvents {
    pub(crate) notes: VecDeque<NoteRecord>,
    pub(crate) level: Option<LevelRecord>,
    /// Sample rates of the streams by number, which turn frames into seconds.
    rates_hz: BTreeMap<u32, f64>,
    pub(crate) events: VecDeque<EventRecord>,
    /// Sums of the counts in allocation and recycling events.
    pub(crate) allocation_events: u64,
    pub(crate) recycling_events: u64,
}

/// The subscriptions and the collected events.
pub(crate) struct DashboardEvents {
    collected: Arc<Mutex<CollectedEvents>>,
    _subscriptions: [Subscription; 5],
}

impl DashboardEvents {
    pub(crate) fn subscribe(bus: &TypedEventBus) -> Result<Self, BusError> {
        let collected = Arc::new(Mutex::new(CollectedEvents::default()));
        let with = |change: fn(&mut CollectedEvents, &EventRecord)| {
            let collected = collected.clone();
            move |record: &EventRecord| change(&mut lock(&collected), record)
        };
        let on_pitch = collected.clone();
        let on_level = collected.clone();
        let on_allocation = collected.clone();
        let on_recycling = collected.clone();
        let _subscriptions = [
            bus.subscribe_json(with(|collected, record| {
                push(&mut collected.events, MAX_EVENTS, record.clone());
            })),
            bus.subscribe(move |pitch: &PitchDetected| {
                let mut collected = lock(&on_pitch);
                let rate_hz = collected.rates_hz.get(&pitch.stream).copied();
                if let Some(note) = rate_hz.and_then(|rate_hz| NoteRecord::of(pitch, rate_hz)) {
                    push(&mut collected.notes, MAX_NOTES, note);
                }
            })?,
            bus.subscribe(move |level: &LevelMeasured| {
                lock(&on_level).level = Some(LevelRecord {
                    rms_dbfs: level.rms_dbfs,
                    peak_dbfs: level.peak_dbfs,
                });
            })?,
            bus.subscribe(move |event: &BufferPoolAllocation| {
                lock(&on_allocation).allocation_events += u64::from(event.count);
            })?,
            bus.subscribe(move |event: &BufferPoolRecycling| {
                lock(&on_recycling).recycling_events += u64::from(event.count);
            })?,
        ];
        Ok(Self {
            collected,
            _subscriptions,
        })
    }

    /// Sets the sample rate of a stream.
    pub(crate) fn set_rate(&self, stream: u32, rate_hz: f64) {
        self.lock().rates_hz.insert(stream, rate_hz);
    }

    /// Removes a stream without further events.
    pub(crate) fn remove_stream(&self, stream: u32) {
        self.lock().rates_hz.remove(&stream);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, CollectedEvents> {
        lock(&self.collected)
    }
}

impl NoteRecord {
    fn of(pitch: &PitchDetected, rate_hz: f64) -> Option<Self> {
        Some(Self {
            stream: pitch.stream,
            t_s: pitch.first_frame as f64 / rate_hz,
            note: pitch.note?,
            hz: pitch.hz?,
            cents: pitch.cents?,
            clarity: pitch.clarity,
        })
    }
}

/// Appends a value; removes the oldest one from a full queue.
fn push<T>(queue: &mut VecDeque<T>, max: usize, value: T) {
    if queue.len() == max {
        queue.pop_front();
    }
    queue.push_back(value);
}

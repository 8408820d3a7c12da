//! What a snapshot tells of the events since the last one: the dashboard's subscriber.
#![allow(clippy::disallowed_types)] // A lock on the control worker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::event_bus::{BusError, EventRecord, Subscription, TypedEventBus};
use crate::modules::audio_foundations::{LevelMeasured, Note, PitchDetected};
use crate::modules::data_management::pool_events::{BufferPoolAllocation, BufferPoolRecycling};

/// Events and notes kept between two snapshots; older ones make room.
const MOST_EVENTS: usize = 64;
const MOST_NOTES: usize = 256;

/// A window with a pitch.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NoteRecord {
    stream: u32,
    /// Start of the window, in seconds of the stream.
    t_s: f64,
    note: Note,
    hz: f32,
    cents: f32,
    clarity: f32,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct LevelRecord {
    rms_dbfs: Option<f32>,
    peak_dbfs: Option<f32>,
}

/// Gathered on the dispatching side.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) notes: VecDeque<NoteRecord>,
    pub(super) level: Option<LevelRecord>,
    /// Rates of the streams, by number: they turn frames into seconds.
    rates_hz: BTreeMap<u32, f64>,
    pub(super) events: VecDeque<EventRecord>,
    /// Buffers that allocation and recycling events told of.
    pub(super) allocations_told: u64,
    pub(super) recyclings_told: u64,
}

/// The subscriptions, and what they gather.
pub(super) struct Feed {
    gathered: Arc<Mutex<Gathered>>,
    _subscriptions: [Subscription; 5],
}

impl Feed {
    pub(super) fn subscribe(bus: &TypedEventBus) -> Result<Self, BusError> {
        let gathered = Arc::new(Mutex::new(Gathered::default()));
        let with = |change: fn(&mut Gathered, &EventRecord)| {
            let gathered = gathered.clone();
            move |record: &EventRecord| change(&mut lock(&gathered), record)
        };
        let on_pitch = gathered.clone();
        let on_level = gathered.clone();
        let on_allocation = gathered.clone();
        let on_recycling = gathered.clone();
        let _subscriptions = [
            bus.subscribe_json(with(|gathered, record| {
                push(&mut gathered.events, MOST_EVENTS, record.clone());
            })),
            bus.subscribe(move |pitch: &PitchDetected| {
                let mut gathered = lock(&on_pitch);
                let rate_hz = gathered.rates_hz.get(&pitch.stream).copied();
                if let Some(note) = rate_hz.and_then(|rate_hz| NoteRecord::of(pitch, rate_hz)) {
                    push(&mut gathered.notes, MOST_NOTES, note);
                }
            })?,
            bus.subscribe(move |level: &LevelMeasured| {
                lock(&on_level).level = Some(LevelRecord {
                    rms_dbfs: level.rms_dbfs,
                    peak_dbfs: level.peak_dbfs,
                });
            })?,
            bus.subscribe(move |event: &BufferPoolAllocation| {
                lock(&on_allocation).allocations_told += u64::from(event.count);
            })?,
            bus.subscribe(move |event: &BufferPoolRecycling| {
                lock(&on_recycling).recyclings_told += u64::from(event.count);
            })?,
        ];
        Ok(Self {
            gathered,
            _subscriptions,
        })
    }

    /// The stream of this number runs at this rate.
    pub(super) fn heard_at(&self, stream: u32, rate_hz: f64) {
        self.lock().rates_hz.insert(stream, rate_hz);
    }

    /// No events of this stream come any more.
    pub(super) fn forget(&self, stream: u32) {
        self.lock().rates_hz.remove(&stream);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Gathered> {
        lock(&self.gathered)
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

fn push<T>(queue: &mut VecDeque<T>, most: usize, value: T) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(value);
}

fn lock(gathered: &Mutex<Gathered>) -> MutexGuard<'_, Gathered> {
    gathered.lock().unwrap_or_else(PoisonError::into_inner)
}

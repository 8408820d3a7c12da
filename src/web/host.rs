//! The control side of a page: registry, streams, dispatch. Lives in a worker. What it tells of itself: `figures`.
#![allow(unsafe_code)] // What threads held that have ended is taken over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::activity::{self, Activity};
use super::closed::Closed;
use super::closing::Closing;
use super::exercise::{self, Exercise};
use super::exports::{Lent, ThreadEnd};
use super::feed::Feed;
use super::feeds::Feeds;
use super::inspection::Inspector;
use super::memory::{self, MemoryWatch};
use super::participants::{Holders, Participants};
use super::reader::Reader;
use super::receiver::Receiver;
use super::recording::Recording;
use super::stream::{Consumer, Stream, StreamEnd};
use super::stream_counts::StreamCounts;
use super::tap::Tap;
use super::tracks::Tracks;
use super::unit_costs::Made;
use crate::event_bus::{Publisher, TypedEventBus};
use crate::modules::audio_foundations::{AudioFoundationsModule, StreamConfig};
use crate::modules::data_management::pool_events::LeasesReclaimed;
use crate::modules::data_management::sizing::sizing_profile::SizingProfile;
use crate::modules::data_management::{
    DataManagementConfig, DataManagementModule, LeaseTable, PoolControl,
};
use crate::panic_note;
use crate::registry::{ModuleError, ModuleRegistry};

#[wasm_bindgen]
extern "C" {
    /// Milliseconds since the worker began.
    #[wasm_bindgen(js_namespace = performance)]
    pub(super) fn now() -> f64;
}

/// Windows and events that one pump handles of each stream and lane, so that a pump ends.
const WINDOWS_PER_PUMP: usize = 64;
const EVENTS_PER_PUMP: usize = 4096;
/// Transfer mode: one window is read, the next may arrive.
const WINDOWS_CARRIED: u32 = 2;
/// Between two control steps of the pool: pumps come much more often.
const TICK_MS: f64 = 10.0;

/// How the page runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    /// One memory for page, worker and worklet.
    Shared,
    /// A memory each.
    Transfer,
}

#[derive(Debug, Deserialize)]
pub(super) struct HostOptions {
    pub(super) mode: Mode,
    pub(super) mode_reason: String,
    /// What an earlier run learned, as the page kept it.
    profile: Option<String>,
    /// Where the generations of this instance's leases begin: see [`LeaseTable::seed`].
    #[serde(default)]
    seed: u32,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    sample_rate: f32,
    channels: usize,
    window: usize,
    hop: usize,
    consumer: Consumer,
}

/// The host: everything but the audio thread.
///
/// # Real-time
/// None of it is for the audio thread.
#[wasm_bindgen]
pub struct Host {
    pub(super) options: HostOptions,
    // Streams hold pool halves: they go before the registry.
    pub(super) streams: BTreeMap<u32, Stream>,
    pub(super) closed: Closed,
    /// Closed streams of which a thread may still run, by number.
    pub(super) closing: BTreeMap<u32, Closing>,
    pub(super) holders: Holders,
    pub(super) participants: Participants,
    /// Buffers still leased when the last stream had closed.
    pub(super) leaked: u64,
    /// JavaScript objects made on this side of the boundary, messages and transferred buffers of both sides.
    pub(super) made: Made,
    /// For what the host itself has to tell: its own from the start, so that there is room for it when there is for nobody.
    publisher: Publisher,
    /// When the pool's control step last ran.
    ticked_ms: f64,
    pub(super) feed: Feed,
    pub(super) inspector: Inspector,
    exercise: Option<Exercise>,
    pub(super) recording: Option<Recording>,
    tracks: Option<Tracks>,
    profile_refused: Option<String>,
    pub(super) feeds: Feeds,
    pub(super) memory: MemoryWatch,
    /// The next control step is not to end: see [`fault`](Self::fault).
    spin: bool,
    pub(super) registry: ModuleRegistry,
}

#[wasm_bindgen]
impl Host {
    /// Boots the registry. `options` is `{"mode": "shared" | "transfer", "mode_reason": string, "profile": string | null,
    /// "seed": number}`; the seed makes the leases of this instance differ from those of others. A profile that cannot be used is left out: see [`profileRefused`](Self::profile_refused).
    ///
    /// # Errors
    /// Options that cannot be read; a module that does not boot, by name.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &str) -> Result<Host, JsError> {
        panic_note::install();
        let options: HostOptions = serde_json::from_str(options)?;
        if options.mode == Mode::Shared {
            memory::reserve();
        }
        LeaseTable::seed(options.seed);
        let bus = TypedEventBus::default();
        let publisher = bus.publisher()?;
        let feed = Feed::subscribe(&bus)?;
        let (config, profile_refused) = begin_with(options.profile.as_deref());
        let registry = ModuleRegistry::builder(bus).configure(config).boot()?;
        Ok(Self {
            options,
            streams: BTreeMap::new(),
            closed: Closed::default(),
            closing: BTreeMap::new(),
            holders: Holders::default(),
            participants: Participants::default(),
            leaked: 0,
            made: Made::default(),
            publisher,
            ticked_ms: f64::NEG_INFINITY,
            feed,
            inspector: Inspector::new(),
            exercise: None,
            recording: None,
            tracks: None,
            profile_refused,
            feeds: Feeds::default(),
            memory: MemoryWatch::start(),
            spin: false,
            registry,
        })
    }

    /// Opens a stream: `{"sample_rate", "channels", "window", "hop", "consumer": "tuner" | "reader"}`. Returns its number.
    ///
    /// # Errors
    /// What cannot be cut into windows, and what pool and bus cannot serve, with the numbers.
    #[wasm_bindgen(js_name = openStream)]
    pub fn open_stream(&mut self, options: &str) -> Result<u32, JsError> {
        let StreamOptions {
            sample_rate,
            channels,
            window,
            hop,
            consumer,
        } = serde_json::from_str(options)?;
        let config = StreamConfig {
            sample_rate_hz: sample_rate,
            channels,
            window,
            hop,
        };
        let (number, stream) = self
            .stream(config, consumer)
            .map_err(|error| JsError::new(&error.to_string()))?;
        self.streams.insert(number, stream);
        self.feed.heard_at(number, f64::from(sample_rate));
        Ok(number)
    }

    fn stream(
        &mut self,
        config: StreamConfig,
        consumer: Consumer,
    ) -> Result<(u32, Stream), ModuleError> {
        let (audio, data) = self
            .registry
            .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
            .ok_or("the modules data_management and audio_foundations are not linked")?;
        let counts = StreamCounts::default();
        let (number, end) = match (self.options.mode, consumer) {
            (Mode::Transfer, Consumer::Tuner) => {
                let analyser = audio.open_analyser(data, config)?;
                let number = analyser.stream();
                let receiver = Receiver::reading(
                    analyser,
                    audio.attach_windows(data, config, WINDOWS_CARRIED)?,
                );
                (number, StreamEnd::Received(Box::new(receiver)))
            }
            (Mode::Transfer, Consumer::Reader) => {
                let number = audio.open_elsewhere(data, config)?;
                (number, StreamEnd::Received(Box::new(Receiver::counting())))
            }
            (Mode::Shared, Consumer::Tuner) => {
                let (capture, analysis) = audio.open_stream(data, config)?;
                let number = capture.stream();
                let end = StreamEnd::Analysed {
                    tap: Lent::new(Tap::new(capture, counts.clone(), None))?,
                    analysis: Box::new(analysis),
                };
                (number, end)
            }
            (Mode::Shared, Consumer::Reader) => {
                let holder = self.holders.take()?;
                let opened = audio.open_windows(data, config).map_err(ModuleError::from);
                let lent = opened.and_then(|(capture, windows)| {
                    let number = capture.stream();
                    let reader = Lent::new(Reader::new(holder, windows, counts.clone())?)?;
                    let tap = Lent::new(Tap::new(capture, counts.clone(), None))?;
                    Ok((number, tap, reader))
                });
                let (number, tap, reader) = lent.inspect_err(|_| self.holders.give_back(holder))?;
                (
                    number,
                    StreamEnd::Read {
                        tap,
                        reader,
                        holder,
                    },
                )
            }
        };
        let stream = Stream {
            config,
            counts,
            consumer,
            end,
        };
        Ok((number, stream))
    }

    /// Shared mode: the tap's number, for the worklet's exports. 0 otherwise.
    #[wasm_bindgen(js_name = tapNumber)]
    pub fn tap_number(&self, stream: u32) -> u32 {
        self.tap(stream).map_or(0, Lent::number)
    }

    /// Shared mode: the memory that the worklet's instance runs on. 0 otherwise.
    #[wasm_bindgen(js_name = tapThread)]
    pub fn tap_thread(&self, stream: u32) -> usize {
        self.tap(stream).map_or(0, Lent::thread_address)
    }

    /// Shared mode: the reader's number, for the consumer's exports. 0 otherwise.
    #[wasm_bindgen(js_name = readerNumber)]
    pub fn reader_number(&self, stream: u32) -> u32 {
        self.reader(stream).map_or(0, Lent::number)
    }

    /// Shared mode: the memory that the consumer's instance runs on. 0 otherwise.
    #[wasm_bindgen(js_name = readerThread)]
    pub fn reader_thread(&self, stream: u32) -> usize {
        self.reader(stream).map_or(0, Lent::thread_address)
    }

    /// Closes a stream; its buffers come home. `worklet` and `consumer` say what is known of these threads: 0, one may
    /// still run, and keeps what it has until the page closes the stream again; 1, it said that it has stopped, which is
    /// checked; 2, it was ended or never began, and what it held is taken back, and told. Closing a stream twice does
    /// nothing more.
    ///
    /// # Safety
    /// A thread that is said to have been ended does not run any more, and never will.
    #[wasm_bindgen(js_name = closeStream)]
    pub unsafe fn close_stream(&mut self, stream: u32, worklet: u8, consumer: u8) {
        let (worklet, consumer) = (ThreadEnd::from(worklet), ThreadEnd::from(consumer));
        if let Some(closing) = self.streams.remove(&stream) {
            self.closed.figures = Some(closing.figures(stream));
            self.closed.made += closing.counts.made();
            closing.count_crossings(&mut self.closed.crossings);
            self.feed.forget(stream);
            match closing.end {
                StreamEnd::Received(receiver) => {
                    let Receiver {
                        remote,
                        remote_recycled,
                        ..
                    } = *receiver;
                    let lost = worklet == ThreadEnd::Gone;
                    let reclaimed = self.closed.absorb(&remote, remote_recycled, lost);
                    self.tell_reclaimed(stream, reclaimed);
                }
                StreamEnd::Analysed { tap, analysis } => {
                    drop(analysis);
                    self.closing.insert(stream, Closing::new(tap, None));
                }
                StreamEnd::Read {
                    tap,
                    reader,
                    holder,
                } => {
                    let closing = Closing::new(tap, Some((reader, holder)));
                    self.closing.insert(stream, closing);
                }
            }
        }
        // SAFETY: the caller's word.
        unsafe { self.end_threads(stream, worklet, consumer) };
        self.settle();
    }

    /// Takes back the windows that a stream's consumer held which is known to be dead; the stream goes on. What it was in
    /// the middle of is taken back when the stream is closed. Returns how many it had leased.
    #[wasm_bindgen(js_name = reclaimReader)]
    pub fn reclaim_reader(&mut self, stream: u32) -> u32 {
        let Some(Stream {
            end: StreamEnd::Read { reader, .. },
            ..
        }) = self.streams.get(&stream)
        else {
            return 0;
        };
        let data = self.registry.get_mut::<DataManagementModule>();
        let Some(control) = data.and_then(|data| data.control_mut()) else {
            return 0;
        };
        let reclaimed = reader.with(|reader| control.reclaim_leases(reader.leases()));
        reclaimed.unwrap_or(0)
    }

    /// Reads windows, steps the pool, delivers events, these between all other pieces, so that a Critical one waits for
    /// one piece at most. Call it every few milliseconds. Returns the windows read.
    pub fn pump(&mut self) -> usize {
        self.dispatch();
        let mut windows = 0;
        for (&number, stream) in &mut self.streams {
            if let StreamEnd::Analysed { analysis, .. } = &mut stream.end {
                activity::begin(Activity::Window, number);
                while windows < WINDOWS_PER_PUMP && analysis.poll(1) > 0 {
                    windows += 1;
                    dispatch(self.registry.bus());
                    activity::begin(Activity::Window, number);
                }
            }
        }
        let now_ms = now();
        if let Some(exercise) = &mut self.exercise {
            activity::begin(Activity::Exercise, 0);
            exercise.run(now_ms);
        }
        activity::begin(Activity::ControlStep, 0);
        if self.spin {
            loop {
                core::hint::spin_loop();
            }
        }
        let boundary = self.boundary();
        if now_ms - self.ticked_ms >= TICK_MS
            && let Some(data) = self.registry.get_mut::<DataManagementModule>()
        {
            self.ticked_ms = now_ms;
            data.observe_boundary(boundary);
            let report = data.tick(now_ms);
            self.inspector.observe(now_ms, data);
            if let Some((tracks, report)) = self.tracks.as_mut().zip(report) {
                tracks.add(now_ms, now(), &report);
            }
        }
        self.dispatch();
        activity::begin(Activity::Idle, 0);
        windows
    }

    /// Address of what it does at this moment: three words, for whoever sees that it does not answer.
    #[wasm_bindgen(js_name = activityAddress)]
    pub fn activity_address(&self) -> usize {
        activity::address()
    }

    /// Provokes a fault on purpose, to see that it is noticed: `leak-one` takes a buffer and forgets it, `spin` makes the next
    /// control step endless.
    ///
    /// # Errors
    /// An unknown name; a pool that has no buffer to leak.
    pub fn fault(&mut self, name: &str) -> Result<(), JsError> {
        match name {
            "leak-one" => {}
            "spin" => {
                self.spin = true;
                return Ok(());
            }
            _ => {
                return Err(JsError::new(&format!(
                    "the fault `{name}` is unknown; there are `leak-one` and `spin`"
                )));
            }
        }
        let data = self.registry.get_mut::<DataManagementModule>();
        let data = data.ok_or_else(|| JsError::new("the pool is not running"))?;
        let half = data.attach_realtime()?;
        core::mem::forget(half.acquire(1)?);
        Ok(())
    }

    /// Why the kept profile was not used; none when it was, or when there was none.
    #[wasm_bindgen(js_name = profileRefused)]
    pub fn profile_refused(&self) -> Option<String> {
        self.profile_refused.clone()
    }

    /// Begins or ends the demand of a second user, whose requests change all the time.
    ///
    /// # Errors
    /// A pool without room for a further half.
    pub fn exercise(&mut self, on: bool) -> Result<(), JsError> {
        self.exercise = None;
        if on {
            let data = self.registry.get_mut::<DataManagementModule>();
            let data = data.ok_or_else(|| JsError::new("the pool is not running"))?;
            self.exercise = Some(Exercise::start(data.attach_realtime()?, now()));
        }
        Ok(())
    }

    /// Begins to record demand; a recording under way is thrown away.
    ///
    /// # Errors
    /// A bus without room for subscribers; a stream whose sample rate is none.
    #[wasm_bindgen(js_name = startRecording)]
    pub fn start_recording(&mut self) -> Result<(), JsError> {
        let stream = self.streams.values().next_back();
        let rate_hz = stream.map_or(exercise::FRAMES_PER_MS * 1000.0, |stream| {
            f64::from(stream.config.sample_rate_hz)
        });
        self.recording = Some(Recording::start(self.registry.bus(), rate_hz)?);
        Ok(())
    }

    /// Ends the recording: the JSON that `cargo xtask plan --trace FILE` reads. None if nothing was recorded.
    ///
    /// # Errors
    /// A recording that cannot be replayed.
    #[wasm_bindgen(js_name = stopRecording)]
    pub fn stop_recording(&mut self) -> Result<Option<String>, JsError> {
        Ok(self.recording.take().map(Recording::finish).transpose()?)
    }

    /// From here on control steps are kept for [`takeSteps`](Self::take_steps).
    #[wasm_bindgen(js_name = keepSteps)]
    pub fn keep_steps(&mut self) {
        self.tracks = Some(Tracks::default());
    }

    /// The control steps since the last call, as JSON; none if there are none.
    #[wasm_bindgen(js_name = takeSteps)]
    pub fn take_steps(&mut self) -> Option<String> {
        self.tracks.as_mut()?.take()
    }

    /// Closes every stream; returns the buffers that never came back.
    pub fn shutdown(&mut self) -> u64 {
        let streams: Vec<_> = self.streams.keys().copied().collect();
        self.exercise = None;
        for stream in streams {
            // SAFETY: nobody is said to have been ended.
            unsafe { self.close_stream(stream, 1, 1) };
        }
        self.pump();
        // Readers that have not stopped: what they hold is given up now.
        if self.closing.values().any(Closing::is_read) {
            self.count_leaks();
        }
        self.leaked
    }

    /// What was held in a memory that is gone.
    pub(super) fn tell_reclaimed(&self, holder: u32, count: u64) {
        if count > 0 {
            self.publisher.publish(LeasesReclaimed {
                holder,
                count: count as u32,
                first_frame: None,
            });
        }
    }

    /// Once nobody is left who may hold a buffer, what is still out has leaked.
    pub(super) fn settle(&mut self) {
        // A reader of a closed stream still has its blocks, and gives them back when it is done with them.
        let held = self.closing.values().any(Closing::is_read);
        if held || !self.streams.is_empty() || !self.participants.is_empty() {
            return;
        }
        self.count_leaks();
    }

    fn count_leaks(&mut self) {
        if let Some(exercise) = &mut self.exercise {
            exercise.let_go();
        }
        self.leaked = self
            .closed
            .pool
            .classes
            .iter()
            .map(|class| class.leased)
            .sum();
        if let Some(data) = self.registry.get_mut::<DataManagementModule>() {
            data.report_leaks();
            self.leaked += data.control().map_or(0, PoolControl::leased);
        }
    }

    pub(super) fn dispatch(&self) {
        dispatch(self.registry.bus());
    }

    pub(super) const fn mode(&self) -> Mode {
        self.options.mode
    }

    fn tap(&self, stream: u32) -> Option<&Lent<Tap>> {
        match &self.streams.get(&stream)?.end {
            StreamEnd::Analysed { tap, .. } | StreamEnd::Read { tap, .. } => Some(tap),
            StreamEnd::Received(_) => None,
        }
    }

    fn reader(&self, stream: u32) -> Option<&Lent<Reader>> {
        match &self.streams.get(&stream)?.end {
            StreamEnd::Read { reader, .. } => Some(reader),
            StreamEnd::Analysed { .. } | StreamEnd::Received(_) => None,
        }
    }
}

/// Delivers what waits. The time is told just before, so that nothing is delivered with the time of its publishing.
fn dispatch(bus: &TypedEventBus) {
    activity::begin(Activity::Events, 0);
    bus.set_now_ns((now() * 1e6) as u64);
    bus.pump(EVENTS_PER_PUMP);
}

/// The configuration that a kept profile asks for; the default, and why, when it cannot be used.
fn begin_with(profile: Option<&str>) -> (DataManagementConfig, Option<String>) {
    let config = DataManagementConfig::default();
    let Some(json) = profile else {
        return (config, None);
    };
    let begun =
        SizingProfile::from_json(json).and_then(|profile| config.clone().with_profile(&profile));
    match begun {
        Ok(begun) => (begun, None),
        Err(error) => (config, Some(error.to_string())),
    }
}

//! The host of a page, in the control worker: owns the registry, the streams and the participants, and dispatches events.
//!
//! Its other methods are in `host_streams`, `host_participants`, `host_feeds`, `arrivals` and `figures`.
#![allow(unsafe_code)] // Closes streams, which reclaims the objects of threads that have ended.

use std::collections::BTreeMap;

use wasm_bindgen::prelude::*;

use super::activity::{self, Activity};
use super::closed::ClosedTotals;
use super::closing::Closing;
use super::dashboard_events::DashboardEvents;
use super::exercise::{self, Exercise};
use super::feeds::Feeds;
use super::inspection::Inspector;
use super::memory::{self, MemoryWatch};
use super::options::{HostOptions, Mode};
use super::participants::{HolderNumbers, Participants};
use super::recording::Recording;
use super::stream::{Stream, StreamEnds};
use super::tracks::Tracks;
use super::unit_costs::ObjectCounts;
use crate::event_bus::{Publisher, TypedEventBus};
use crate::modules::data_management::pool_events::LeasesReclaimed;
use crate::modules::data_management::sizing::sizing_profile::SizingProfile;
use crate::modules::data_management::{
    DataManagementConfig, DataManagementModule, LeaseTable, PoolControl,
};
use crate::panic_note;
use crate::registry::ModuleRegistry;

#[wasm_bindgen]
extern "C" {
    /// Milliseconds since the worker began.
    #[wasm_bindgen(js_namespace = performance)]
    pub(super) fn now() -> f64;
}

/// The most windows and events of one pump, so that a pump is bounded.
const WINDOWS_PER_PUMP: usize = 64;
const EVENTS_PER_PUMP: usize = 4096;
/// The time between two control steps of the pool. Pumps are much more frequent.
const TICK_MS: f64 = 10.0;

/// The host of a page.
///
/// # Real-time
/// No method is for the audio thread.
#[wasm_bindgen]
pub struct Host {
    pub(super) options: HostOptions,
    // Before the registry, because streams own halves of its pool.
    pub(super) streams: BTreeMap<u32, Stream>,
    pub(super) closed: ClosedTotals,
    /// Closed streams with a thread that may still run, by number.
    pub(super) closing: BTreeMap<u32, Closing>,
    pub(super) holders: HolderNumbers,
    pub(super) participants: Participants,
    /// Buffers that were still leased after the last stream was closed.
    pub(super) leaked: u64,
    /// JavaScript objects that were made on this side, and messages and transferred buffers of both sides.
    pub(super) objects: ObjectCounts,
    /// For the host's own events. Made at boot, so that it exists also when the limit of publishers is reached.
    publisher: Publisher,
    /// When the pool's control step last ran.
    ticked_ms: f64,
    pub(super) dashboard: DashboardEvents,
    pub(super) inspector: Inspector,
    exercise: Option<Exercise>,
    pub(super) recording: Option<Recording>,
    tracks: Option<Tracks>,
    profile_refused: Option<String>,
    pub(super) feeds: Feeds,
    pub(super) memory: MemoryWatch,
    /// Whether the next control step must not return: see [`fault`](Self::fault).
    spin: bool,
    pub(super) registry: ModuleRegistry,
}

#[wasm_bindgen]
impl Host {
    /// Boots the registry. `options` is `{"mode": "shared" | "transfer", "mode_reason": string, "profile": string | null,
    /// "seed": number}`. The seed makes the leases of this instance differ from those of others. An unusable profile is ignored:
    /// see [`profileRefused`](Self::profile_refused).
    ///
    /// # Errors
    /// If the options are invalid, or a module does not boot.
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
        let dashboard = DashboardEvents::subscribe(&bus)?;
        let (config, profile_refused) = config_from_profile(options.profile.as_deref());
        let registry = ModuleRegistry::builder(bus).configure(config).boot()?;
        Ok(Self {
            options,
            streams: BTreeMap::new(),
            closed: ClosedTotals::default(),
            closing: BTreeMap::new(),
            holders: HolderNumbers::default(),
            participants: Participants::default(),
            leaked: 0,
            objects: ObjectCounts::default(),
            publisher,
            ticked_ms: f64::NEG_INFINITY,
            dashboard,
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

    /// Analyses windows, runs the pool's control step, and delivers events. Events are delivered between all other pieces of work,
    /// so that a Critical event waits for one piece at most. Call it every few milliseconds. Returns the number of analysed
    /// windows.
    pub fn pump(&mut self) -> usize {
        self.dispatch();
        let mut windows = 0;
        for (&number, stream) in &mut self.streams {
            if let StreamEnds::Analysed { analysis, .. } = &mut stream.ends {
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

    /// Address of the three words with the current activity, which the page reads if the worker does not respond.
    #[wasm_bindgen(js_name = activityAddress)]
    pub fn activity_address(&self) -> usize {
        activity::address()
    }

    /// Causes a fault on purpose, to test that it is detected: `leak-one` acquires a buffer and never releases it, `spin` makes the
    /// next control step endless.
    ///
    /// # Errors
    /// If the name is unknown, or the pool has no buffer to leak.
    pub fn fault(&mut self, name: &str) -> Result<(), JsError> {
        match name {
            "leak-one" => {}
            "spin" => {
                self.spin = true;
                return Ok(());
            }
            _ => {
                return Err(JsError::new(&format!(
                    "the fault must be `leak-one` or `spin` (got `{name}`)"
                )));
            }
        }
        let data = self.registry.get_mut::<DataManagementModule>();
        let data = data.ok_or_else(|| JsError::new("the pool is not running"))?;
        let half = data.attach_realtime()?;
        core::mem::forget(half.acquire(1)?);
        Ok(())
    }

    /// Why the stored profile was not used; `None` if it was used, or if there was none.
    #[wasm_bindgen(js_name = profileRefused)]
    pub fn profile_refused(&self) -> Option<String> {
        self.profile_refused.clone()
    }

    /// Starts or stops the exercise, which is a second user of the pool with changing requests.
    ///
    /// # Errors
    /// If the limit of pool halves is reached.
    pub fn exercise(&mut self, on: bool) -> Result<(), JsError> {
        self.exercise = None;
        if on {
            let data = self.registry.get_mut::<DataManagementModule>();
            let data = data.ok_or_else(|| JsError::new("the pool is not running"))?;
            self.exercise = Some(Exercise::start(data.attach_realtime()?, now()));
        }
        Ok(())
    }

    /// Starts a recording of the demand; discards the current one.
    ///
    /// # Errors
    /// If the bus refuses a subscription, or the sample rate of the stream is invalid.
    #[wasm_bindgen(js_name = startRecording)]
    pub fn start_recording(&mut self) -> Result<(), JsError> {
        let stream = self.streams.values().next_back();
        let rate_hz = stream.map_or(exercise::FRAMES_PER_MS * 1000.0, |stream| {
            f64::from(stream.config.sample_rate_hz)
        });
        self.recording = Some(Recording::start(self.registry.bus(), rate_hz)?);
        Ok(())
    }

    /// Stops the recording; returns the JSON that `cargo xtask plan --trace FILE` reads. `None` without a recording.
    ///
    /// # Errors
    /// If the recording cannot be replayed.
    #[wasm_bindgen(js_name = stopRecording)]
    pub fn stop_recording(&mut self) -> Result<Option<String>, JsError> {
        Ok(self.recording.take().map(Recording::finish).transpose()?)
    }

    /// From now on control steps are recorded for [`takeSteps`](Self::take_steps).
    #[wasm_bindgen(js_name = keepSteps)]
    pub fn keep_steps(&mut self) {
        self.tracks = Some(Tracks::default());
    }

    /// The control steps since the last call, as JSON; `None` if there are none.
    #[wasm_bindgen(js_name = takeSteps)]
    pub fn take_steps(&mut self) -> Option<String> {
        self.tracks.as_mut()?.take()
    }

    /// Closes all streams; returns the number of leaked buffers.
    pub fn shutdown(&mut self) -> u64 {
        let streams: Vec<_> = self.streams.keys().copied().collect();
        self.exercise = None;
        for stream in streams {
            // SAFETY: no thread is reported as terminated.
            unsafe { self.close_stream(stream, 1, 1) };
        }
        self.pump();
        // The windows of readers that have not stopped count as leaked.
        if self.closing.values().any(Closing::is_read) {
            self.count_leaks();
        }
        self.leaked
    }

    /// Publishes that leases were reclaimed whose memory was lost.
    pub(super) fn publish_reclaimed(&self, holder: u32, count: u64) {
        if count > 0 {
            self.publisher.publish(LeasesReclaimed {
                holder,
                count: count as u32,
                first_frame: None,
            });
        }
    }

    /// Counts leaked buffers, if no stream, reader or participant is left that may use a buffer.
    pub(super) fn update_leaks(&mut self) {
        // A reader of a closed stream may still have windows, which it releases later.
        let reading = self.closing.values().any(Closing::is_read);
        if reading || !self.streams.is_empty() || !self.participants.is_empty() {
            return;
        }
        self.count_leaks();
    }

    fn count_leaks(&mut self) {
        if let Some(exercise) = &mut self.exercise {
            exercise.release_all();
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
}

/// Delivers pending events. Sets the bus's time first, so that latencies are not measured with an old time.
fn dispatch(bus: &TypedEventBus) {
    activity::begin(Activity::Events, 0);
    bus.set_now_ns((now() * 1e6) as u64);
    bus.pump(EVENTS_PER_PUMP);
}

/// The configuration of a stored profile; the default, and the reason, if the profile cannot be used.
fn config_from_profile(profile: Option<&str>) -> (DataManagementConfig, Option<String>) {
    let config = DataManagementConfig::default();
    let Some(json) = profile else {
        return (config, None);
    };
    let configured =
        SizingProfile::from_json(json).and_then(|profile| config.clone().with_profile(&profile));
    match configured {
        Ok(config) => (config, None),
        Err(error) => (config, Some(error.to_string())),
    }
}

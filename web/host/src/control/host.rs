//! The host of a page, in the control worker: what the page calls, as one object.
//!
//! Its parts have one job each: the modules, the streams, the participants, the totals of what has closed, the control steps,
//! the reports.
#![allow(unsafe_code)] // Passes the page's reports of ended threads on.

use wasm_bindgen::prelude::*;

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::audio_foundations::{MAX_OVERLAP, MIN_WINDOW};
use wavepool::modules::data_management::sizing::sizing_plan::MemoryPressure;
use wavepool::modules::data_management::sizing::sizing_profile::SizingProfile;
use wavepool::modules::data_management::{
    DataManagementConfig, LeaseTable, MAX_CHANNELS, ObjectCounts,
};

use super::activity::{self, Activity};
use super::all_counts::AllCounts;
use super::dashboard_events::DashboardEvents;
use super::exercise;
use super::feeds::FeedFigures;
use super::holders::HolderNumbers;
use super::instance::Instance;
use super::memory;
use super::options::{HostOptions, Mode, StreamLimits, StreamOptions};
use super::participants::Participants;
use super::reports::Reports;
use super::sounds::Sounds;
use super::steps::ControlSteps;
use super::streams::Streams;
use super::totals::Totals;
use crate::shared::block_header::HEADER_BYTES;
use crate::shared::exports::{ThreadHandle, ThreadState};
use crate::shared::platform::{install_panic_note, now_ms};

/// The host of a page.
///
/// # Real-time
/// No method is for the audio thread.
#[wasm_bindgen]
pub struct Host {
    options: HostOptions,
    profile_refused: Option<String>,
    // Before the instance, because they own halves of its pool.
    streams: Streams,
    participants: Participants,
    steps: ControlSteps,
    holders: HolderNumbers,
    pub(crate) totals: Totals,
    pub(crate) sounds: Sounds,
    reports: Reports,
    pub(crate) instance: Instance,
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
        install_panic_note();
        let options: HostOptions = serde_json::from_str(options)?;
        if options.mode == Mode::Shared {
            memory::reserve();
        }
        LeaseTable::seed(options.seed);
        let bus = TypedEventBus::default();
        let events = DashboardEvents::subscribe(&bus)?;
        let (config, profile_refused) = config_from_profile(options.profile.as_deref());
        let instance = Instance::boot(bus, config).map_err(js_error)?;
        Ok(Self {
            options,
            profile_refused,
            streams: Streams::default(),
            participants: Participants::default(),
            steps: ControlSteps::new(),
            holders: HolderNumbers::default(),
            totals: Totals::default(),
            sounds: Sounds::default(),
            reports: Reports::new(events)?,
            instance,
        })
    }

    /// Why the stored profile was not used; `None` if it was used, or if there was none.
    #[wasm_bindgen(js_name = profileRefused)]
    pub fn profile_refused(&self) -> Option<String> {
        self.profile_refused.clone()
    }

    /// Analyses windows, runs the pool's control step, and delivers events. Events are delivered between all other pieces of work,
    /// so that a Critical event waits for one piece at most. Call it every few milliseconds. Returns the number of analysed
    /// windows.
    pub fn pump(&mut self) -> usize {
        self.instance.dispatch();
        let windows = self.streams.analyse(&self.instance);
        let boundary = self.counts().boundary();
        let inspector = &mut self.reports.inspector;
        self.steps.run(&mut self.instance, inspector, boundary);
        self.instance.dispatch();
        activity::begin(Activity::Idle, 0);
        windows
    }

    /// Address of the three words with the current activity, which the page reads if the worker does not respond.
    #[wasm_bindgen(js_name = activityAddress)]
    pub fn activity_address(&self) -> usize {
        activity::address()
    }

    /// Records that the worker sleeps until the next call.
    #[wasm_bindgen(js_name = beginSleep)]
    pub fn begin_sleep(&self) {
        activity::begin(Activity::Sleep, 0);
    }

    /// Causes a fault on purpose, to test that it is detected: `leak-one` acquires a buffer and never releases it, `spin` makes the
    /// next control step endless.
    ///
    /// # Errors
    /// If the name is unknown, or the pool has no buffer to leak.
    pub fn fault(&mut self, name: &str) -> Result<(), JsError> {
        match name {
            "leak-one" => {
                let half = self.instance.attach().map_err(js_error)?;
                core::mem::forget(half.acquire(1)?);
            }
            "spin" => self.steps.spin(),
            _ => {
                return Err(js_error(format!(
                    "the fault must be `leak-one` or `spin` (got `{name}`)"
                )));
            }
        }
        Ok(())
    }

    /// Starts or stops the exercise, which is a second user of the pool with changing requests.
    ///
    /// # Errors
    /// If the limit of pool halves is reached.
    pub fn exercise(&mut self, on: bool) -> Result<(), JsError> {
        self.steps.set_exercise(None);
        if on {
            let half = self.instance.attach().map_err(js_error)?;
            self.steps.set_exercise(Some(half));
        }
        Ok(())
    }

    /// Sets how short memory is, until the next call: under pressure the optimizer returns idle buffers at once.
    ///
    /// # Errors
    /// If the level is none of `none`, `moderate` and `critical`.
    #[wasm_bindgen(js_name = setMemoryPressure)]
    pub fn set_memory_pressure(&mut self, level: &str) -> Result<(), JsError> {
        let pressure: MemoryPressure = serde_json::from_value(level.into()).map_err(|_| {
            js_error(format!(
                "the memory pressure must be `none`, `moderate` or `critical` (got `{level}`)"
            ))
        })?;
        let data = self.instance.data_mut();
        if let Some(optimizer) = data.and_then(|data| data.optimizer_mut()) {
            optimizer.set_memory_pressure(pressure);
        }
        Ok(())
    }

    /// Starts a recording of the demand; discards the current one.
    ///
    /// # Errors
    /// If the bus refuses a subscription, or the sample rate of the stream is invalid.
    #[wasm_bindgen(js_name = startRecording)]
    pub fn start_recording(&mut self) -> Result<(), JsError> {
        let stream = self.streams.iter().next_back();
        let rate_hz = stream.map_or(exercise::FRAMES_PER_MS * 1000.0, |(_, stream)| {
            f64::from(stream.config.sample_rate_hz)
        });
        Ok(self.reports.start_recording(self.instance.bus(), rate_hz)?)
    }

    /// Stops the recording; returns the JSON that `cargo xtask plan --trace FILE` reads. `None` without a recording.
    ///
    /// # Errors
    /// If the recording cannot be replayed.
    #[wasm_bindgen(js_name = stopRecording)]
    pub fn stop_recording(&mut self) -> Result<Option<String>, JsError> {
        Ok(self.reports.stop_recording()?)
    }

    /// From now on control steps are recorded for [`takeSteps`](Self::take_steps).
    #[wasm_bindgen(js_name = keepSteps)]
    pub fn keep_steps(&mut self) {
        self.steps.keep();
    }

    /// The control steps since the last call, as JSON; `None` if there are none.
    #[wasm_bindgen(js_name = takeSteps)]
    pub fn take_steps(&mut self) -> Option<String> {
        self.steps.take()
    }

    /// Closes all streams; returns the number of leaked buffers.
    pub fn shutdown(&mut self) -> u64 {
        let streams: Vec<_> = self.streams.iter().map(|(number, _)| number).collect();
        self.steps.set_exercise(None);
        for stream in streams {
            // SAFETY: no thread is reported as terminated.
            unsafe { self.close_stream(stream, 1, 1) };
        }
        self.pump();
        // The windows of readers that have not stopped count as leaked.
        if self.streams.closed_is_read() {
            self.count_leaks();
        }
        self.totals.leaked
    }
}

impl Host {
    /// Records that a request of the page is served, before which no events may have been delivered for a while: without a stream or
    /// a participant nobody publishes any.
    fn begin_request(&self) {
        if self.streams.is_empty() && self.participants.is_empty() {
            self.instance.gaps.restart(now_ms());
        }
        activity::begin(Activity::Request, 0);
    }
}

/// Streams.
#[wasm_bindgen]
impl Host {
    /// Opens a stream: `{"sample_rate", "channels", "window", "hop", "consumer": "tuner" | "reader"}`. Returns its number.
    ///
    /// # Errors
    /// For options outside the limits, and for errors of the pool and the bus.
    #[wasm_bindgen(js_name = openStream)]
    pub fn open_stream(&mut self, options: &str) -> Result<u32, JsError> {
        let options: StreamOptions = serde_json::from_str(options)?;
        self.begin_request();
        let Self {
            streams,
            instance,
            holders,
            ..
        } = self;
        let number = streams
            .open(self.options.mode, &options, instance, holders)
            .map_err(js_error)?;
        let rate_hz = f64::from(options.sample_rate);
        self.reports.events.set_rate(number, rate_hz);
        Ok(number)
    }

    /// The limits of streams as JSON: `StreamLimits` in the web library.
    ///
    /// # Errors
    /// None in practice: numbers can always be written as JSON.
    #[wasm_bindgen(js_name = streamLimits)]
    pub fn stream_limits(&self) -> Result<String, JsError> {
        let control = self.instance.control();
        let most_window = control.and_then(|control| control.classes().max());
        let limits = StreamLimits {
            window: [MIN_WINDOW, most_window.unwrap_or(MIN_WINDOW)],
            most_channels: MAX_CHANNELS,
            most_overlap: MAX_OVERLAP,
        };
        Ok(serde_json::to_string(&limits)?)
    }

    /// Shared mode: the number of the tap, for the worklet's exports. 0 otherwise.
    #[wasm_bindgen(js_name = tapNumber)]
    pub fn tap_number(&self, stream: u32) -> u32 {
        self.streams.tap(stream).map_or(0, ThreadHandle::number)
    }

    /// Shared mode: the address of the stack and thread-locals of the worklet's thread. 0 otherwise.
    #[wasm_bindgen(js_name = tapThread)]
    pub fn tap_thread(&self, stream: u32) -> usize {
        let tap = self.streams.tap(stream);
        tap.map_or(0, ThreadHandle::thread_address)
    }

    /// Shared mode: the number of the reader, for the consumer's exports. 0 otherwise.
    #[wasm_bindgen(js_name = readerNumber)]
    pub fn reader_number(&self, stream: u32) -> u32 {
        self.streams.reader(stream).map_or(0, ThreadHandle::number)
    }

    /// Shared mode: the address of the stack and thread-locals of the consumer's thread. 0 otherwise.
    #[wasm_bindgen(js_name = readerThread)]
    pub fn reader_thread(&self, stream: u32) -> usize {
        let reader = self.streams.reader(stream);
        reader.map_or(0, ThreadHandle::thread_address)
    }

    /// The lower 32 bits of the number of windows that a stream's audio side has delivered so far.
    #[wasm_bindgen(js_name = windowsDelivered)]
    pub fn windows_delivered(&self, stream: u32) -> u32 {
        let stream = self.streams.get(stream);
        stream.map_or(0, |stream| stream.counts.read().windows as u32)
    }

    /// The length of a stream's queue, in windows.
    #[wasm_bindgen(js_name = queueWindows)]
    pub fn queue_windows(&self, stream: u32) -> usize {
        let stream = self.streams.get(stream);
        stream.map_or(0, |stream| stream.config.queue_windows())
    }

    /// Closes a stream and releases its buffers. `worklet` and `consumer` are the states of these threads. 0: the thread may
    /// still run; its objects are kept until the page closes the stream again. 1: the thread has stopped using its objects,
    /// which is checked. 2: the thread was terminated or never started; its objects are reclaimed, and an event is published.
    /// Closing a stream again, with both threads ended, does nothing.
    ///
    /// # Safety
    /// A thread with state 2 does not run any more, and never will.
    #[wasm_bindgen(js_name = closeStream)]
    pub unsafe fn close_stream(&mut self, stream: u32, worklet: u8, consumer: u8) {
        let ends = [worklet, consumer].map(ThreadState::from);
        self.begin_request();
        let Self {
            streams,
            instance,
            holders,
            totals,
            ..
        } = self;
        // SAFETY: the caller guarantees the states of the threads.
        unsafe { streams.close(stream, ends, instance, holders, totals) };
        self.reports.events.remove_stream(stream);
        self.update_leaks();
    }

    /// Reclaims the windows that a stream's terminated consumer had leased; the stream stays open. If the consumer was terminated
    /// inside a call, its windows are reclaimed when the stream is closed. Returns how many were reclaimed.
    #[wasm_bindgen(js_name = reclaimReader)]
    pub fn reclaim_reader(&mut self, stream: u32) -> u32 {
        let reclaimed = self.streams.reclaim_reader(stream, &mut self.instance);
        reclaimed.unwrap_or(0)
    }
}

/// Transfer mode: the calls for each block that arrives.
#[wasm_bindgen]
impl Host {
    /// Bytes of a block's header.
    #[wasm_bindgen(js_name = headerBytes)]
    pub fn header_bytes(&self) -> usize {
        HEADER_BYTES
    }

    /// The address to which JavaScript copies the header of a block.
    #[wasm_bindgen(js_name = headerAddress)]
    pub fn header_address(&mut self, stream: u32) -> usize {
        let receiver = self.streams.receiver(stream);
        receiver.map_or(0, |(receiver, _)| receiver.header_address())
    }

    /// Reads the counts and events of the header that was copied there; `wall_ms` is the current `Date.now`.
    ///
    /// # Errors
    /// If the header is damaged: another build wrote it.
    #[wasm_bindgen(js_name = receiveHeader)]
    pub fn receive_header(&mut self, stream: u32, wall_ms: f64) -> Result<(), JsError> {
        let Some((receiver, counts)) = self.streams.receiver(stream) else {
            return Ok(());
        };
        receiver
            .read_header(self.instance.bus(), counts, wall_ms as u64)
            .map_err(js_error)
    }

    /// Acquires a buffer for the block's window. Returns false if the pool has none; the window then counts as skipped.
    #[wasm_bindgen(js_name = beginReceive)]
    pub fn begin_receive(&mut self, stream: u32) -> bool {
        let receiver = self.streams.receiver(stream);
        receiver.is_some_and(|(receiver, _)| receiver.begin())
    }

    /// The address to which JavaScript copies the samples of a channel.
    #[wasm_bindgen(js_name = receiveAddress)]
    pub fn receive_address(&mut self, stream: u32, channel: usize) -> usize {
        let receiver = self.streams.receiver(stream);
        receiver.map_or(0, |(receiver, _)| receiver.address(channel))
    }

    /// Analyses the window, whose samples have been copied, and releases it.
    #[wasm_bindgen(js_name = endReceive)]
    pub fn end_receive(&mut self, stream: u32) {
        if let Some((receiver, counts)) = self.streams.receiver(stream) {
            receiver.end(counts);
        }
    }
}

/// Participants.
#[wasm_bindgen]
impl Host {
    /// Opens a participant, in transfer mode only the record of its counts; returns its number, which no other one gets.
    ///
    /// # Errors
    /// If the limit of holders, pool halves or publishers is reached.
    #[wasm_bindgen(js_name = openParticipant)]
    pub fn open_participant(&mut self) -> Result<u32, JsError> {
        self.begin_request();
        let Self {
            participants,
            instance,
            holders,
            ..
        } = self;
        participants
            .open(self.options.mode, instance, holders)
            .map_err(js_error)
    }

    /// The holder's number in the participant's leases. 0 if no participant has this number.
    #[wasm_bindgen(js_name = participantHolder)]
    pub fn participant_holder(&self, participant: u32) -> u8 {
        self.participants.holder(participant).unwrap_or(0)
    }

    /// Shared mode: the participant's number for its thread's exports. 0 otherwise.
    #[wasm_bindgen(js_name = participantNumber)]
    pub fn participant_number(&self, participant: u32) -> u32 {
        let local = self.participants.local(participant);
        local.map_or(0, ThreadHandle::number)
    }

    /// Shared mode: the address of the stack and thread-locals of its thread. 0 otherwise.
    #[wasm_bindgen(js_name = participantThread)]
    pub fn participant_thread(&self, participant: u32) -> usize {
        let local = self.participants.local(participant);
        local.map_or(0, ThreadHandle::thread_address)
    }

    /// Transfer mode: the address to which JavaScript copies the header of a participant. 0 otherwise.
    #[wasm_bindgen(js_name = participantHeader)]
    pub fn participant_header_address(&mut self, participant: u32) -> usize {
        let address = self.participants.header_address(participant);
        address.unwrap_or(0)
    }

    /// Reads the counts of the header that was copied there.
    ///
    /// # Errors
    /// If the header is damaged: another build wrote it.
    #[wasm_bindgen(js_name = receiveParticipant)]
    pub fn receive_participant(&mut self, participant: u32) -> Result<(), JsError> {
        Ok(self.participants.receive(participant)?)
    }

    /// Closes a participant and releases its buffers. `end` is the state of its thread, as for
    /// [`closeStream`](Self::close_stream): 1: it has stopped; 2: it was terminated or never started, and an event is
    /// published for its leased buffers. If the thread may still run, the participant keeps its buffers, and may be closed
    /// again. Returns the number of leases that were open.
    ///
    /// # Safety
    /// A thread with state 2 does not run any more, and never will.
    #[wasm_bindgen(js_name = closeParticipant)]
    pub unsafe fn close_participant(&mut self, participant: u32, end: u8) -> usize {
        let Self {
            participants,
            instance,
            holders,
            totals,
            ..
        } = self;
        let end = ThreadState::from(end);
        // SAFETY: the caller guarantees the state of the thread.
        let closed = unsafe { participants.close(participant, end, instance, holders, totals) };
        if closed.is_some() {
            self.update_leaks();
        }
        closed.unwrap_or(0)
    }
}

/// What the page shows.
#[wasm_bindgen]
impl Host {
    /// All figures of a dashboard, as JSON: see `Snapshot` in the web library. Notes and events are those since the last
    /// snapshot.
    ///
    /// # Errors
    /// If the pool is not running.
    pub fn snapshot(&mut self) -> Result<String, JsError> {
        let counts = AllCounts {
            streams: &self.streams,
            participants: &self.participants,
            totals: &self.totals,
        };
        self.reports
            .snapshot(&self.options, &self.instance, counts)
            .map_err(js_error)
    }

    /// Counts JavaScript objects that the worker, or a consumer, made to pass blocks.
    #[wasm_bindgen(js_name = countObjects)]
    pub fn count_objects(&mut self, views: u32, messages: u32, buffers: u32) {
        self.totals.crossings.made += ObjectCounts {
            views: views.into(),
            messages: messages.into(),
            buffers: buffers.into(),
            content_bytes: 0,
        };
    }

    /// Counts new buffers for transfers, with so many bytes each.
    #[wasm_bindgen(js_name = countBuffers)]
    pub fn count_buffers(&mut self, buffers: u32, bytes: u32) {
        self.totals.crossings.made += ObjectCounts {
            buffers: buffers.into(),
            content_bytes: u64::from(buffers) * u64::from(bytes),
            ..ObjectCounts::default()
        };
    }

    /// Sets the figures of a feed: its format, and how often and by how much its writer was late so far.
    #[wasm_bindgen(js_name = reportFeed)]
    #[allow(clippy::too_many_arguments)] // JavaScript passes numbers one by one.
    pub fn set_feed(
        &mut self,
        feed: u32,
        sample_rate: f32,
        channels: u32,
        frames: u32,
        latency_frames: u32,
        live: bool,
        underruns: u32,
        late_frames: f64,
    ) {
        self.reports.feeds.set(FeedFigures {
            feed,
            sample_rate,
            channels,
            frames,
            latency_frames,
            live,
            underruns,
            late_frames,
        });
    }

    /// Removes the figures of a closed feed.
    #[wasm_bindgen(js_name = forgetFeed)]
    pub fn remove_feed(&mut self, feed: u32) {
        self.reports.feeds.remove(feed);
    }
}

impl Host {
    const fn counts(&self) -> AllCounts<'_> {
        AllCounts {
            streams: &self.streams,
            participants: &self.participants,
            totals: &self.totals,
        }
    }

    /// Counts leaked buffers, if no stream, reader or participant is left that may use a buffer.
    fn update_leaks(&mut self) {
        let reading = self.streams.closed_is_read();
        if !reading && self.streams.is_empty() && self.participants.is_empty() {
            self.count_leaks();
        }
    }

    fn count_leaks(&mut self) {
        self.steps.release_exercise();
        self.totals.count_leaks(&mut self.instance);
    }
}

pub(crate) fn js_error(error: impl ToString) -> JsError {
    JsError::new(&error.to_string())
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

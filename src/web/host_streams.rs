//! The streams of the host: opening, closing, and the numbers of their taps and readers.
#![allow(unsafe_code)] // Reclaims the objects of threads that have ended.

use wasm_bindgen::prelude::*;

use super::closing::Closing;
use super::exports::{ThreadHandle, ThreadState};
use super::host::Host;
use super::options::{Mode, StreamOptions};
use super::reader::Reader;
use super::receiver::Receiver;
use super::stream::{Consumer, Stream, StreamEnds};
use super::stream_counts::StreamCounts;
use super::tap::Tap;
use crate::modules::audio_foundations::{AudioFoundationsModule, StreamConfig};
use crate::modules::data_management::DataManagementModule;
use crate::registry::ModuleError;

/// Transfer mode: one window is analysed while the next one arrives.
const RECEIVED_WINDOWS: u32 = 2;

#[wasm_bindgen]
impl Host {
    /// Opens a stream: `{"sample_rate", "channels", "window", "hop", "consumer": "tuner" | "reader"}`. Returns its number.
    ///
    /// # Errors
    /// For options outside the limits, and for errors of the pool and the bus.
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
            .open_ends(config, consumer)
            .map_err(|error| JsError::new(&error.to_string()))?;
        self.streams.insert(number, stream);
        self.dashboard.set_rate(number, f64::from(sample_rate));
        Ok(number)
    }

    /// Shared mode: the number of the tap, for the worklet's exports. 0 otherwise.
    #[wasm_bindgen(js_name = tapNumber)]
    pub fn tap_number(&self, stream: u32) -> u32 {
        self.tap(stream).map_or(0, ThreadHandle::number)
    }

    /// Shared mode: the address of the stack and thread-locals of the worklet's thread. 0 otherwise.
    #[wasm_bindgen(js_name = tapThread)]
    pub fn tap_thread(&self, stream: u32) -> usize {
        self.tap(stream).map_or(0, ThreadHandle::thread_address)
    }

    /// Shared mode: the number of the reader, for the consumer's exports. 0 otherwise.
    #[wasm_bindgen(js_name = readerNumber)]
    pub fn reader_number(&self, stream: u32) -> u32 {
        self.reader(stream).map_or(0, ThreadHandle::number)
    }

    /// Shared mode: the address of the stack and thread-locals of the consumer's thread. 0 otherwise.
    #[wasm_bindgen(js_name = readerThread)]
    pub fn reader_thread(&self, stream: u32) -> usize {
        self.reader(stream).map_or(0, ThreadHandle::thread_address)
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
        let (worklet, consumer) = (ThreadState::from(worklet), ThreadState::from(consumer));
        if let Some(closing) = self.streams.remove(&stream) {
            self.closed.figures = Some(closing.figures(stream));
            self.closed.objects += closing.counts.objects();
            closing.count_crossings(&mut self.closed.crossings);
            self.dashboard.remove_stream(stream);
            match closing.ends {
                StreamEnds::Received(receiver) => {
                    let Receiver {
                        remote,
                        remote_recycled,
                        ..
                    } = *receiver;
                    let lost = worklet == ThreadState::Terminated;
                    let reclaimed = self.closed.absorb(&remote, remote_recycled, lost);
                    self.publish_reclaimed(stream, reclaimed);
                }
                StreamEnds::Analysed { tap, analysis } => {
                    drop(analysis);
                    self.closing.insert(stream, Closing::new(tap, None));
                }
                StreamEnds::Read {
                    tap,
                    reader,
                    holder,
                } => {
                    let closing = Closing::new(tap, Some((reader, holder)));
                    self.closing.insert(stream, closing);
                }
            }
        }
        // SAFETY: the caller guarantees the states of the threads.
        unsafe { self.end_threads(stream, worklet, consumer) };
        self.update_leaks();
    }

    /// Reclaims the windows that a stream's terminated consumer had leased; the stream stays open. If the consumer was terminated
    /// inside a call, its windows are reclaimed when the stream is closed. Returns how many were reclaimed.
    #[wasm_bindgen(js_name = reclaimReader)]
    pub fn reclaim_reader(&mut self, stream: u32) -> u32 {
        let Some(Stream {
            ends: StreamEnds::Read { reader, .. },
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
}

impl Host {
    /// Opens the two ends of a stream; returns its number.
    fn open_ends(
        &mut self,
        config: StreamConfig,
        consumer: Consumer,
    ) -> Result<(u32, Stream), ModuleError> {
        let (audio, data) = self
            .registry
            .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
            .ok_or("the modules data_management and audio_foundations are not linked")?;
        let counts = StreamCounts::default();
        let (number, ends) = match (self.options.mode, consumer) {
            (Mode::Transfer, Consumer::Tuner) => {
                let analyser = audio.open_analyser(data, config)?;
                let number = analyser.stream();
                let receiver = Receiver::analysing(
                    analyser,
                    audio.attach_windows(data, config, RECEIVED_WINDOWS)?,
                );
                (number, StreamEnds::Received(Box::new(receiver)))
            }
            (Mode::Transfer, Consumer::Reader) => {
                let number = audio.number_remote_stream(data, config)?;
                (number, StreamEnds::Received(Box::new(Receiver::counting())))
            }
            (Mode::Shared, Consumer::Tuner) => {
                let (capture, analysis) = audio.open_stream(data, config)?;
                let number = capture.stream();
                let ends = StreamEnds::Analysed {
                    tap: ThreadHandle::new(Tap::new(capture, counts.clone(), None))?,
                    analysis: Box::new(analysis),
                };
                (number, ends)
            }
            (Mode::Shared, Consumer::Reader) => {
                let holder = self.holders.take()?;
                let opened = audio.open_windows(data, config).map_err(ModuleError::from);
                let handles = opened.and_then(|(capture, windows)| {
                    let number = capture.stream();
                    let reader = ThreadHandle::new(Reader::new(holder, windows, counts.clone())?)?;
                    let tap = ThreadHandle::new(Tap::new(capture, counts.clone(), None))?;
                    Ok((number, tap, reader))
                });
                let (number, tap, reader) =
                    handles.inspect_err(|_| self.holders.release(holder))?;
                (
                    number,
                    StreamEnds::Read {
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
            ends,
        };
        Ok((number, stream))
    }

    /// Reclaims the objects of a closed stream whose threads have ended, and its pool half if both have.
    ///
    /// # Safety
    /// As for [`ThreadHandle::reclaim`], for each of the two threads.
    pub(super) unsafe fn end_threads(
        &mut self,
        stream: u32,
        worklet: ThreadState,
        consumer: ThreadState,
    ) {
        let Some(closing) = self.closing.get_mut(&stream) else {
            return;
        };
        // SAFETY: the caller guarantees the states of the threads.
        unsafe { closing.end(worklet, consumer) };
        if !closing.has_ended() {
            return;
        }
        if let Some(closing) = self.closing.remove(&stream) {
            if let Some(holder) = closing.holder {
                self.holders.release(holder);
            }
            let data = self.registry.get_mut::<DataManagementModule>();
            // SAFETY: both threads have ended. The analysis of a tuner's windows was dropped when the stream was closed, and only
            // the reader had its windows.
            unsafe { closing.finish(data.and_then(|data| data.control_mut())) };
        }
    }

    fn tap(&self, stream: u32) -> Option<&ThreadHandle<Tap>> {
        match &self.streams.get(&stream)?.ends {
            StreamEnds::Analysed { tap, .. } | StreamEnds::Read { tap, .. } => Some(tap),
            StreamEnds::Received(_) => None,
        }
    }

    fn reader(&self, stream: u32) -> Option<&ThreadHandle<Reader>> {
        match &self.streams.get(&stream)?.ends {
            StreamEnds::Read { reader, .. } => Some(reader),
            StreamEnds::Analysed { .. } | StreamEnds::Received(_) => None,
        }
    }
}

//! The streams of the host: opening, closing, and the ends that their threads use.
#![allow(unsafe_code)] // Reclaims the objects of threads that have ended.

use std::collections::BTreeMap;

use wavepool::modules::audio_foundations::{AudioFoundationsModule, StreamConfig};
use wavepool::modules::data_management::{DataManagementModule, HalfAccount};
use wavepool::registry::ModuleError;

use super::activity::{self, Activity};
use super::closing::Closing;
use super::holders::HolderNumbers;
use super::instance::Instance;
use super::options::{Consumer, Mode, StreamOptions};
use super::receiver::Receiver;
use super::stream::{Stream, StreamEnds};
use super::totals::Totals;
use crate::consumer::reader::Reader;
use crate::shared::exports::{ThreadHandle, ThreadState};
use crate::shared::stream_counts::StreamCounts;
use crate::worklet::tap::Tap;

/// Transfer mode: one window is analysed while the next one arrives.
const RECEIVED_WINDOWS: u32 = 2;
/// The most windows of one analysis, so that it is bounded.
const WINDOWS_PER_ANALYSIS: usize = 64;

/// The streams by number, open and closing.
#[derive(Default)]
pub(crate) struct Streams {
    open: BTreeMap<u32, Stream>,
    /// Closed streams with a thread that may still run.
    closing: BTreeMap<u32, Closing>,
}

impl Streams {
    /// Opens a stream; returns its number.
    pub(crate) fn open(
        &mut self,
        mode: Mode,
        options: &StreamOptions,
        instance: &mut Instance,
        holders: &mut HolderNumbers,
    ) -> Result<u32, ModuleError> {
        let config = options.config();
        let counts = StreamCounts::default();
        let (number, ends) = match (mode, options.consumer) {
            (Mode::Transfer, consumer) => open_received(config, consumer, instance)?,
            (Mode::Shared, Consumer::Tuner) => open_analysed(config, &counts, instance)?,
            (Mode::Shared, Consumer::Reader) => {
                let holder = holders.take()?;
                open_read(config, &counts, holder, instance)
                    .inspect_err(|_| holders.release(holder))?
            }
        };
        let stream = Stream {
            config,
            counts,
            consumer: options.consumer,
            ends,
        };
        self.open.insert(number, stream);
        Ok(number)
    }

    /// Closes a stream, or goes on with it, and reclaims the objects of its threads that have ended.
    ///
    /// # Safety
    /// As for [`ThreadHandle::reclaim`], for each of the two threads.
    pub(crate) unsafe fn close(
        &mut self,
        stream: u32,
        [worklet, consumer]: [ThreadState; 2],
        instance: &mut Instance,
        holders: &mut HolderNumbers,
        totals: &mut Totals,
    ) {
        if let Some(closed) = self.open.remove(&stream) {
            totals.add_stream(stream, &closed);
            match closed.ends {
                StreamEnds::Received(receiver) => {
                    let lost = worklet == ThreadState::Terminated;
                    let Receiver {
                        remote,
                        remote_recycled,
                        ..
                    } = *receiver;
                    let reclaimed = totals.absorb(&remote, remote_recycled, lost);
                    instance.publish_reclaimed(stream, reclaimed);
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
        let Some(closing) = self.closing.get_mut(&stream) else {
            return;
        };
        // SAFETY: the caller guarantees the states of the threads.
        unsafe { closing.end(worklet, consumer) };
        if closing.has_ended()
            && let Some(closing) = self.closing.remove(&stream)
        {
            if let Some(holder) = closing.holder {
                holders.release(holder);
            }
            // SAFETY: both threads have ended. The analysis of a tuner's windows was dropped when the stream was closed, and only
            // the reader had its windows.
            unsafe { closing.finish(instance.control_mut()) };
        }
    }

    /// Reclaims the windows that a stream's terminated consumer had leased. Returns how many.
    pub(crate) fn reclaim_reader(&self, stream: u32, instance: &mut Instance) -> Option<u32> {
        let control = instance.control_mut()?;
        let reader = self.reader(stream)?;
        reader.with(|reader| control.reclaim_leases(reader.leases()))
    }

    /// Analyses windows, with events delivered between them. Returns how many.
    pub(crate) fn analyse(&mut self, instance: &Instance) -> usize {
        let mut windows = 0;
        for (&number, stream) in &mut self.open {
            if let StreamEnds::Analysed { analysis, .. } = &mut stream.ends {
                activity::begin(Activity::Window, number);
                while windows < WINDOWS_PER_ANALYSIS && analysis.poll(1) > 0 {
                    windows += 1;
                    instance.dispatch();
                    activity::begin(Activity::Window, number);
                }
            }
        }
        windows
    }

    pub(crate) fn get(&self, stream: u32) -> Option<&Stream> {
        self.open.get(&stream)
    }

    /// The open streams, in the order in which they were opened.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &Stream)> {
        self.open.iter().map(|(&number, stream)| (number, stream))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether the reader of a closed stream may still have windows, which it releases later.
    pub(crate) fn closed_is_read(&self) -> bool {
        self.closing.values().any(Closing::is_read)
    }

    /// Shared mode: the handle of the tap.
    pub(crate) fn tap(&self, stream: u32) -> Option<&ThreadHandle<Tap>> {
        match &self.get(stream)?.ends {
            StreamEnds::Analysed { tap, .. } | StreamEnds::Read { tap, .. } => Some(tap),
            StreamEnds::Received(_) => None,
        }
    }

    /// Shared mode: the handle of the reader.
    pub(crate) fn reader(&self, stream: u32) -> Option<&ThreadHandle<Reader>> {
        match &self.get(stream)?.ends {
            StreamEnds::Read { reader, .. } => Some(reader),
            StreamEnds::Analysed { .. } | StreamEnds::Received(_) => None,
        }
    }

    /// Transfer mode: the accounts of the worklets' pools.
    pub(crate) fn remote_accounts(&self) -> impl Iterator<Item = HalfAccount> {
        let open = self.open.iter();
        open.filter_map(|(&number, stream)| match &stream.ends {
            StreamEnds::Received(receiver) => Some(receiver.account(number)),
            StreamEnds::Analysed { .. } | StreamEnds::Read { .. } => None,
        })
    }

    /// Transfer mode: the receiving end, with the stream's counts.
    pub(crate) fn receiver(&mut self, stream: u32) -> Option<(&mut Receiver, &StreamCounts)> {
        match self.open.get_mut(&stream) {
            Some(Stream {
                ends: StreamEnds::Received(receiver),
                counts,
                ..
            }) => Some((receiver, counts)),
            _ => None,
        }
    }
}

/// The two modules that a stream needs.
fn modules(
    instance: &mut Instance,
) -> Result<(&mut AudioFoundationsModule, &mut DataManagementModule), ModuleError> {
    let modules = instance.registry.get_two_mut();
    Ok(modules.ok_or("the modules data_management and audio_foundations are not linked")?)
}

fn open_received(
    config: StreamConfig,
    consumer: Consumer,
    instance: &mut Instance,
) -> Result<(u32, StreamEnds), ModuleError> {
    let (audio, data) = modules(instance)?;
    let (number, receiver) = match consumer {
        Consumer::Tuner => {
            let analyser = audio.open_analyser(data, config)?;
            let number = analyser.stream();
            let windows = audio.attach_windows(data, config, number, RECEIVED_WINDOWS)?;
            (number, Receiver::analysing(analyser, windows))
        }
        Consumer::Reader => (
            audio.number_remote_stream(data, config)?,
            Receiver::counting(),
        ),
    };
    Ok((number, StreamEnds::Received(Box::new(receiver))))
}

fn open_analysed(
    config: StreamConfig,
    counts: &StreamCounts,
    instance: &mut Instance,
) -> Result<(u32, StreamEnds), ModuleError> {
    let (audio, data) = modules(instance)?;
    let (capture, analysis) = audio.open_stream(data, config)?;
    let number = capture.stream();
    let ends = StreamEnds::Analysed {
        tap: ThreadHandle::new(Tap::new(capture, counts.clone(), None))?,
        analysis: Box::new(analysis),
    };
    Ok((number, ends))
}

fn open_read(
    config: StreamConfig,
    counts: &StreamCounts,
    holder: u8,
    instance: &mut Instance,
) -> Result<(u32, StreamEnds), ModuleError> {
    let (audio, data) = modules(instance)?;
    let (capture, windows) = audio.open_windows(data, config)?;
    let number = capture.stream();
    let reader = ThreadHandle::new(Reader::new(holder, windows, counts.clone())?)?;
    let tap = ThreadHandle::new(Tap::new(capture, counts.clone(), None))?;
    let ends = StreamEnds::Read {
        tap,
        reader,
        holder,
    };
    Ok((number, ends))
}

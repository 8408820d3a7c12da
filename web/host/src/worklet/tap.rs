//! The worklet's exports. JavaScript names a tap by a number, see `thread_slots`.
//!
//! Only `tap_open` and `tap_step` allocate, and only these and `tap_close` and `tap_free` free. The steps of the others are bounded by the number of open windows.
#![allow(unsafe_code)] // Exports by name.

use super::sender::Sender;
use crate::shared::allocator;
use crate::shared::block_header::HEADER_BYTES;
use crate::shared::exports::{ThreadObject, exports, register_local, thread_object};
use crate::shared::platform::install_panic_note;
use crate::shared::stream_counts::StreamCounts;
use wavepool::modules::audio_foundations::{Capture, MAX_QUANTUM_FRAMES, StreamConfig};
use wavepool::modules::data_management::RealtimePool;

/// The audio side of one stream.
pub(crate) struct Tap {
    /// The number of the capture's pool half.
    half: u16,
    /// `None` after it was closed.
    capture: Option<Capture>,
    /// Address of the plan of the current quantum.
    plan: usize,
    next_frame: u64,
    /// First frame of the current quantum.
    quantum: u64,
    counts: StreamCounts,
    /// The thread's number of allocator calls at the first quantum.
    calls_before: Option<u64>,
    /// Transfer mode: sends the windows.
    sender: Option<Sender>,
}

impl Tap {
    pub(crate) fn new(capture: Capture, counts: StreamCounts, sender: Option<Sender>) -> Box<Self> {
        Box::new(Self {
            half: capture.half(),
            capture: Some(capture),
            plan: 0,
            next_frame: 0,
            quantum: 0,
            counts,
            calls_before: None,
            sender,
        })
    }

    /// Closes a tap whose worklet has stopped; returns its pool half.
    pub(crate) fn close(self) -> Option<RealtimePool> {
        self.capture.and_then(Capture::close)
    }

    /// Drops a tap whose worklet died at an unknown point; returns the number of its pool half, to be reclaimed.
    pub(crate) fn abandon(self) -> u16 {
        self.capture.map(Capture::abandon);
        self.half
    }

    fn begin(&mut self, frames: u32, from: u32) -> u32 {
        let Some(capture) = &mut self.capture else {
            return 0;
        };
        self.calls_before.get_or_insert_with(allocator::calls);
        if from == 0 {
            self.quantum = self.next_frame;
            self.next_frame += u64::from(frames);
            if let Some(sender) = &self.sender {
                sender.set_time(self.quantum);
            }
        }
        let plan = capture.begin_part(frames as usize, from as usize, self.quantum);
        self.plan = plan.as_ptr().addr();
        plan.len() as u32
    }

    fn commit(&mut self) -> u32 {
        let Some(capture) = &mut self.capture else {
            return 0;
        };
        let completed = capture.commit();
        self.counts.publish(*capture.counters());
        self.count_allocator_calls();
        completed as u32
    }

    fn silence(&mut self, frames: u32) -> u32 {
        let Some(capture) = &mut self.capture else {
            return 0;
        };
        self.calls_before.get_or_insert_with(allocator::calls);
        let completed = capture.push_silence(frames as usize, self.next_frame);
        self.next_frame += u64::from(frames);
        self.counts.publish(*capture.counters());
        self.count_allocator_calls();
        completed as u32
    }

    /// Delivers the last window. Its length is published before it is queued, so that its reader sees both.
    fn flush(&mut self) {
        let Some(capture) = &mut self.capture else {
            return;
        };
        if let Some((first_frame, frames)) = capture.partial() {
            self.counts.set_partial(first_frame, frames);
            capture.flush();
            self.counts.publish(*capture.counters());
        }
    }

    /// Transfer mode: runs a control step of this side's pool. Its allocator calls are not those of a quantum.
    fn step(&mut self) {
        let before = allocator::calls();
        if let Some(sender) = &mut self.sender {
            sender.step(self.next_frame);
        }
        let calls = allocator::calls() - before;
        self.calls_before = self.calls_before.map(|before| before + calls);
    }

    /// Publishes the number of this thread's allocator calls in quanta.
    fn count_allocator_calls(&self) {
        let before = self.calls_before.unwrap_or_default();
        self.counts.set_allocator_calls(allocator::calls() - before);
    }
}

/// Boots an instance of its own and opens a stream on it (transfer mode), with the number that the host gave it. Returns the
/// tap's number; 0 if the options were refused. The page gets the reason from the host, which checks the same options.
#[unsafe(no_mangle)]
extern "C" fn tap_open(
    stream: u32,
    sample_rate_hz: f32,
    channels: u32,
    window: u32,
    hop: u32,
) -> u32 {
    install_panic_note();
    let config = StreamConfig {
        sample_rate_hz,
        channels: channels as usize,
        window: window as usize,
        hop: hop as usize,
    };
    Sender::open(stream, config).map_or(0, |(capture, sender)| {
        register_local(Tap::new(capture, StreamCounts::default(), Some(sender)))
    })
}

/// The result of the calls of every quantum if no open tap has the number.
const NO_TAP: u32 = u32::MAX;

thread_object!(Tap, "tap");

exports! {
    /// Plans the copies for a quantum of this many frames, from its frame `from` on, at most `tap_most_frames` of them. Returns
    /// the number of spans; -1 in JavaScript, as for the two functions below, if no open tap has the number.
    fn tap_begin(tap: &mut Tap, frames: u32, from: u32) -> u32 { tap.begin(frames, from) } else NO_TAP;
    /// Address of the spans that `tap_begin` planned.
    fn tap_spans(tap: &mut Tap) -> usize { tap.plan } else 0;
    /// Ends the quantum; returns the windows it completed.
    fn tap_commit(tap: &mut Tap) -> u32 { tap.commit() } else NO_TAP;
    /// A quantum without input; returns the windows it completed.
    fn tap_silence(tap: &mut Tap, frames: u32) -> u32 { tap.silence(frames) } else NO_TAP;
    /// Delivers the oldest window that is not full, as the last one of the stream.
    fn tap_flush(tap: &mut Tap) { tap.flush(); }
    /// The lower 32 bits of the number of delivered windows.
    fn tap_windows(tap: &mut Tap) -> u32 {
        let delivered = tap.counts.read().windows;
        tap.sender.as_ref().map_or(delivered, |sender| sender.sent(delivered)) as u32
    } else 0;
    /// Transfer mode: pops the next complete window; 0 if there is none.
    fn tap_take(tap: &mut Tap) -> u32 { tap.sender.as_mut().map_or(0, |sender| u32::from(sender.take())) } else 0;
    /// Writes counts and pending event cells into the header; `wall_ms` is the current `Date.now`.
    fn tap_write_header(tap: &mut Tap, wall_ms: f64) {
        if let Some(sender) = &mut tap.sender {
            sender.write_header(&tap.counts, wall_ms);
        }
    }
    /// Sets the numbers of objects that JavaScript has made on this side so far.
    fn tap_objects(tap: &mut Tap, views: u32, messages: u32, buffers: u32) {
        tap.counts.set_objects([views, messages, buffers].map(u64::from));
    }
    /// Transfer mode: runs a control step of this side's pool, between quanta.
    fn tap_step(tap: &mut Tap) { tap.step(); }
    /// Transfer mode: ends the stream and releases its open windows. Complete windows can still be popped.
    fn tap_close(tap: &mut Tap) { tap.capture = None; }
    /// Address of the header.
    fn tap_header(tap: &mut Tap) -> usize { tap.sender.as_ref().map_or(0, Sender::header_address) } else 0;
    /// Address of one channel of the popped window; 0 if there is none.
    fn tap_window_address(tap: &mut Tap, channel: u32) -> usize {
        tap.sender.as_ref().map_or(0, |sender| sender.window_address(channel as usize))
    } else 0;
    /// Panics, to test what happens then: no other export can.
    fn tap_panic(tap: &mut Tap) { panic!("half {} panics for a test", tap.half) }
    /// Releases the popped window; it counts as skipped if `sent` is 0.
    fn tap_give_back(tap: &mut Tap, sent: u32) {
        if let Some(sender) = &mut tap.sender {
            sender.release(sent != 0);
        }
    }
}

/// The worklet's last call; afterwards it does not use the tap any more.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn tap_leave(tap: u32) {
    Tap::slots().close(tap);
}

/// Transfer mode: frees a tap that was closed, and the pool that it was opened with, so that this instance can open another. Returns
/// 1; 0 if no such tap is open.
#[unsafe(no_mangle)]
extern "C" fn tap_free(tap: u32) -> u32 {
    Tap::slots().remove(tap).is_some().into()
}

/// The most frames that one call of `tap_begin` plans.
#[unsafe(no_mangle)]
extern "C" fn tap_most_frames() -> u32 {
    MAX_QUANTUM_FRAMES as u32
}

/// Bytes of a header.
#[unsafe(no_mangle)]
extern "C" fn tap_header_bytes() -> u32 {
    HEADER_BYTES as u32
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::shared::block_header::{FIELDS, Header};
    use crate::shared::platform::memory_pages;

    /// Opens a tap, delivers windows, and frees it with some of them taken, sent, waiting and begun. Returns what its last header says.
    fn open_and_free(channels: u32, window: u32) -> [u64; FIELDS] {
        let tap = tap_open(7, 48_000.0, channels, window, window / 2);
        assert_ne!(tap, 0, "{channels} channels, windows of {window}");
        for _ in 0..6 * window / 128 {
            tap_begin(tap, 128, 0);
            assert_ne!(tap_commit(tap), NO_TAP);
        }
        tap_objects(tap, 2, 3, 4);
        assert_ne!(tap_take(tap), 0);
        tap_write_header(tap, 1000.0);
        tap_give_back(tap, 1);
        assert_ne!(tap_take(tap), 0);
        tap_give_back(tap, 0);
        assert_ne!(tap_take(tap), 0);
        tap_flush(tap);
        tap_close(tap);
        tap_write_header(tap, 1000.0);
        let header = core::ptr::with_exposed_provenance::<Header>(tap_header(tap));
        // SAFETY: the tap is still open, and nobody writes its header now.
        let fields = unsafe { (*header).fields };
        assert_eq!(tap_free(tap), 1);
        assert_eq!(tap_free(tap), 0, "freed twice");
        assert_eq!(tap_begin(tap, 128, 0), NO_TAP, "used after it was freed");
        fields
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn freed_tap_returns_its_memory_and_the_next_one_counts_from_zero() {
        let shapes = [(1, 256), (2, 2048), (8, 512), (1, 4096)];
        let first = shapes.map(|(channels, window)| open_and_free(channels, window));
        let pages = memory_pages();
        for _ in 0..50 {
            let again = shapes.map(|(channels, window)| open_and_free(channels, window));
            assert!(again == first, "{again:?} after {first:?}");
        }
        assert_eq!(memory_pages(), pages, "pages of memory");
    }
}

//! Transfer mode, audio side: an instance of its own, whose windows and events are sent in blocks.

use crate::shared::block_header::{Header, HeaderFields};
use crate::shared::platform::set_bus_time;
use crate::shared::stream_counts::StreamCounts;
use wavepool::event_bus::{Publisher, TypedEventBus};
use wavepool::modules::audio_foundations::{
    AudioFoundationsModule, Capture, CaptureCounters, SkipReason, StreamConfig, WindowSkipped,
    Windows,
};
use wavepool::modules::data_management::pool_metrics::PoolCounts;
use wavepool::modules::data_management::{DataManagementModule, PlanarRef, PoolFigures};
use wavepool::registry::{ModuleError, ModuleRegistry};

/// Bytes that opening reserves for the control steps: the memory must not grow later, since JavaScript keeps views of it.
const STEP_BYTES: usize = 1 << 18;

/// Sends windows from the worklet's own memory.
pub(crate) struct Sender {
    stream: u32,
    windows: Windows,
    /// The window that is being copied into a block.
    current: Option<PlanarRef>,
    /// Windows for which no block was free, and bytes that JavaScript copied of the others.
    unsent: u64,
    bytes_sent: u64,
    headers: u64,
    header: Box<Header>,
    /// Reused, so that counting does not allocate.
    counts: PoolCounts,
    sample_rate_hz: f32,
    publisher: Publisher,
    registry: ModuleRegistry,
}

impl Sender {
    /// Boots the registry of this instance and opens a stream on it.
    pub(crate) fn open(stream: u32, config: StreamConfig) -> Result<(Capture, Self), ModuleError> {
        let bus = TypedEventBus::default();
        bus.forward_all();
        let mut registry = ModuleRegistry::builder(bus.clone()).boot()?;
        let (audio, data) = registry
            .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
            .ok_or("the modules data_management and audio_foundations are not linked")?;
        audio.set_next_number(stream);
        let (capture, windows) = audio.open_windows(data, config)?;
        let control = data.control().ok_or("the pool is not initialised")?;
        let counts = control.counts();
        // `black_box` keeps the compiler from removing an unused allocation.
        drop(core::hint::black_box(Vec::<u8>::with_capacity(STEP_BYTES)));
        let publisher = bus.publisher()?;
        let sender = Self {
            stream,
            windows,
            current: None,
            unsent: 0,
            bytes_sent: 0,
            headers: 0,
            header: Header::boxed(),
            counts,
            sample_rate_hz: config.sample_rate_hz,
            publisher,
            registry,
        };
        Ok((capture, sender))
    }

    /// One control step of the worklet's pool: it measures, raises alerts, sizes and defragments. Not for a quantum, since it may
    /// allocate.
    pub(crate) fn step(&mut self, frame: u64) {
        self.set_time(frame);
        let now_ms = frame as f64 / f64::from(self.sample_rate_hz) * 1000.0;
        if let Some(data) = self.registry.get_mut::<DataManagementModule>() {
            data.tick(now_ms);
        }
    }

    pub(crate) fn take(&mut self) -> bool {
        self.current = self.windows.next_window();
        self.current.is_some()
    }

    /// Sets the bus's time from the stream's frames: the worklet has no clock of that precision.
    pub(crate) fn set_time(&self, frame: u64) {
        let seconds = frame as f64 / f64::from(self.sample_rate_hz);
        set_bus_time(self.registry.bus(), (seconds * 1e9) as u64);
    }

    pub(crate) fn window_address(&self, channel: usize) -> usize {
        let window = self
            .current
            .as_ref()
            .filter(|window| channel < window.channels());
        window.map_or(0, |window| window.channel(channel).as_ptr().addr())
    }

    pub(crate) fn release(&mut self, sent: bool) {
        let Some(window) = self.current.take() else {
            return;
        };
        if sent {
            self.bytes_sent += bytes_of(&window);
        } else {
            self.unsent += 1;
            self.publisher.publish(WindowSkipped {
                first_frame: window.metadata().first_frame,
                stream: self.stream,
                reason: SkipReason::QueueFull,
            });
        }
    }

    pub(crate) fn write_header(&mut self, counts: &StreamCounts, wall_ms: f64) {
        let capture = counts.read();
        let Some(control) = self
            .registry
            .get::<DataManagementModule>()
            .and_then(|data| data.control())
        else {
            return;
        };
        control.count_into(&mut self.counts);
        let (first_frame, frames) = self.current.as_ref().map_or((0, 0), |window| {
            let first_frame = window.metadata().first_frame;
            (first_frame, counts.frames_of(first_frame, window.frames()))
        });
        let bus = self.registry.bus();
        self.headers += 1;
        let head = HeaderFields {
            sequence: self.headers,
            first_frame,
            frames: frames as u64,
            sent_ms: wall_ms as u64,
            objects: counts.worklet_objects(),
            // A worklet passes whole windows, which the host counts.
            crossed: [0; 3],
            allocator_calls: counts.allocator_calls(),
            recycled: control.recycled(),
            capture: CaptureCounters {
                windows: self.sent(capture.windows),
                skipped_windows: capture.skipped_windows + self.unsent,
                // Including the current window, in whose block this header is sent.
                bytes_copied: capture.bytes_copied
                    + self.bytes_sent
                    + self.current.as_ref().map_or(0, bytes_of),
                ..capture
            },
        };
        self.header
            .write(&head, &self.counts, |cells| bus.drain_cells(cells));
    }

    /// The number of windows that were sent, of so many that were delivered to the queue.
    pub(crate) const fn sent(&self, delivered: u64) -> u64 {
        delivered - self.unsent
    }

    pub(crate) fn header_address(&self) -> usize {
        self.header.address()
    }
}

fn bytes_of(window: &PlanarRef) -> u64 {
    (window.channels() * window.frames() * size_of::<f32>()) as u64
}

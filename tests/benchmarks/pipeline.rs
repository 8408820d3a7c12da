//! What a quantum costs on pooled buffers, and on a twin that allocates what it needs as it goes: time and allocations.
//!
//! The pooled side is the product: an engine with a processor that takes scratch, a capture that cuts its output into
//! windows, and `AudioBufferManagerImpl`. The twins do the same arithmetic, copies and bookkeeping on `Vec`s, and tell and count
//! nothing, so that what they save is in their favour. Both read their windows on the same thread: no machine is too
//! small to run it.
#![allow(unsafe_code)] // An allocator that counts implements an unsafe trait.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::audio_foundations::{
    Analysis, AudioFoundationsModule, Capture, Engine, ProcessContext, Processor, StreamConfig,
};
use wavepool::modules::data_management::{
    AudioBufferManagerImpl, AudioFormat, DataManagementModule, PlanarBuffer, PoolError,
    StreamAccount,
};
use wavepool::registry::ModuleRegistry;

use crate::Row;

const QUANTUM: usize = 128;
const RATE_HZ: f32 = 48_000.0;
const WINDOW: usize = 2048;
const HOP: usize = 512;
/// Of the named buffers.
const BLOCK: usize = 1024;
/// The two sides take turns, so that both have the machine's good and bad moments.
const TURNS: usize = 100;
const QUANTA_PER_TURN: usize = 1_000;
/// Of each turn, not timed: the other side has just had the caches.
const WARM_UP: usize = 20;
/// The control side looks after its half about as often: every 85 ms.
const QUANTA_PER_TICK: u64 = 32;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system allocator unchanged; counting neither allocates nor unwinds, since the
// thread-local is constant-initialised and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// The arithmetic of both sides, per channel: a wider stereo image by way of middle and side.
fn widen(output: &mut [f32], left: &[f32], right: &[f32], width: f32) {
    for (output, (left, right)) in output.iter_mut().zip(left.iter().zip(right)) {
        *output = 0.5 * (left + right) + width * (left - right);
    }
}

const WIDTHS: [f32; 2] = [0.75, -0.75];

struct Widen;

impl Processor for Widen {
    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        ctx: &ProcessContext<'_>,
    ) -> Result<(), PoolError> {
        let mut left = ctx.scratch(block.frames())?;
        let mut right = ctx.scratch(block.frames())?;
        left.copy_from_slice(block.channel(0));
        right.copy_from_slice(block.channel(1));
        for (channel, width) in WIDTHS.into_iter().enumerate() {
            widen(block.channel_mut(channel), &left, &right, width);
        }
        Ok(())
    }
}

/// A quantum as hosts give it: how long it is, the code does not know.
type Stereo<'a> = [&'a [f32]; 2];

/// One side of the comparison: what it does with a quantum, and a sum over the windows or blocks it has read.
trait Side {
    fn quantum(&mut self, input: Stereo<'_>, first_frame: u64);
    fn heard(&self) -> f64;
}

struct Pooled {
    engine: Engine,
    capture: Capture,
    analysis: Analysis,
    heard: f64,
}

impl Side for Pooled {
    fn quantum(&mut self, input: Stereo<'_>, first_frame: u64) {
        let frames = input[0].len();
        let mut output = [[0.0; QUANTUM]; 2];
        let [left, right] = &mut output;
        let (left, right) = (&mut left[..frames], &mut right[..frames]);
        self.engine.process(&input, &mut [left, right], first_frame);
        let output = output.each_ref().map(|channel| &channel[..frames]);
        self.capture.process(&output, first_frame);
        while let Some(window) = self.analysis.next_window() {
            self.heard += f64::from(window.channel(0)[WINDOW - 1]);
        }
    }

    fn heard(&self) -> f64 {
        self.heard
    }
}

/// A step of the twin's chain.
trait DirectProcessor {
    fn process(&mut self, block: &mut [Vec<f32>]);
}

impl DirectProcessor for Widen {
    fn process(&mut self, block: &mut [Vec<f32>]) {
        let (left, right) = (block[0].clone(), block[1].clone());
        for (channel, width) in block.iter_mut().zip(WIDTHS) {
            widen(channel, &left, &right, width);
        }
    }
}

/// A complete window on its way to whoever reads it.
struct DirectWindow {
    first_frame: u64,
    samples: Vec<Vec<f32>>,
}

/// Engine and capture as they would be without a pool: how many channels and frames there are is known at run time only,
/// quanta may not follow each other, windows overlap and go through the same queue.
struct Direct {
    channels: usize,
    chain: Vec<Box<dyn DirectProcessor>>,
    next_frame: Option<u64>,
    /// The engine's fade, as there: per sample until all is heard.
    gain: f32,
    next_window: u64,
    open: VecDeque<DirectWindow>,
    queue: rtrb::Producer<Arc<DirectWindow>>,
    windows: rtrb::Consumer<Arc<DirectWindow>>,
    skipped_windows: u64,
    heard: f64,
}

impl Direct {
    fn new(channels: usize, chain: Vec<Box<dyn DirectProcessor>>) -> Self {
        let (queue, windows) = rtrb::RingBuffer::new(64);
        Self {
            channels,
            chain,
            next_frame: None,
            gain: 0.0,
            next_window: 0,
            open: VecDeque::new(),
            queue,
            windows,
            skipped_windows: 0,
            heard: 0.0,
        }
    }

    fn engine(&mut self, inputs: &[&[f32]], outputs: &mut [&mut [f32]], first_frame: u64) {
        if self.next_frame != Some(first_frame) {
            self.gain = 0.0;
            self.open.clear();
            self.next_window = first_frame;
        }
        let mut block: Vec<_> = (inputs.iter().take(self.channels))
            .map(|input| input.to_vec())
            .collect();
        for processor in &mut self.chain {
            processor.process(&mut block);
        }
        if self.gain < 1.0 {
            let mut gain = self.gain;
            for channel in &mut block {
                gain = self.gain;
                for sample in channel {
                    gain = (gain + 1.0 / (0.005 * RATE_HZ)).min(1.0);
                    *sample *= gain;
                }
            }
            self.gain = gain;
        }
        for (output, channel) in outputs.iter_mut().zip(&block) {
            output.copy_from_slice(channel);
        }
    }

    fn capture(&mut self, inputs: &[&[f32]], first_frame: u64) {
        let frames = inputs[0].len();
        let end = first_frame + frames as u64;
        self.next_frame = Some(end);
        while self.next_window < end {
            let samples = (0..self.channels).map(|_| Vec::with_capacity(WINDOW));
            self.open.push_back(DirectWindow {
                first_frame: self.next_window,
                samples: samples.collect(),
            });
            self.next_window += HOP as u64;
        }
        for window in &mut self.open {
            let from = window.first_frame.saturating_sub(first_frame) as usize;
            for (samples, input) in window.samples.iter_mut().zip(inputs) {
                let count = (frames - from).min(WINDOW - samples.len());
                samples.extend_from_slice(&input[from..from + count]);
            }
        }
        while let Some(window) = self
            .open
            .pop_front_if(|window| window.samples[0].len() == WINDOW)
        {
            self.skipped_windows += u64::from(self.queue.push(Arc::new(window)).is_err());
        }
    }
}

impl Side for Direct {
    fn quantum(&mut self, input: Stereo<'_>, first_frame: u64) {
        let frames = input[0].len();
        let mut output = [[0.0; QUANTUM]; 2];
        let [left, right] = &mut output;
        let (left, right) = (&mut left[..frames], &mut right[..frames]);
        self.engine(&input, &mut [left, right], first_frame);
        let output = output.each_ref().map(|channel| &channel[..frames]);
        self.capture(&output, first_frame);
        while let Ok(window) = self.windows.pop() {
            self.heard += f64::from(window.samples[0][WINDOW - 1]);
        }
    }

    fn heard(&self) -> f64 {
        self.heard
    }
}

struct PooledBlocks {
    buffers: AudioBufferManagerImpl,
    heard: f64,
}

impl Side for PooledBlocks {
    fn quantum(&mut self, input: Stereo<'_>, first_frame: u64) {
        if first_frame.is_multiple_of(QUANTA_PER_TICK * QUANTUM as u64) {
            self.buffers.half_mut().begin_quantum(first_frame);
        }
        let Ok(buffer) = self.buffers.get_mut("mix") else {
            return;
        };
        buffer.write(&input);
        if buffer.is_full()
            && let Ok(block) = self.buffers.share("mix")
        {
            self.heard += f64::from(black_box(&block).channel(1)[BLOCK - 1]);
        }
    }

    fn heard(&self) -> f64 {
        self.heard
    }
}

/// `AudioBufferManagerImpl` as far as it is used here, with samples from the allocator.
#[derive(Default)]
struct DirectBlocks {
    buffers: BTreeMap<String, DirectBuffer>,
    heard: f64,
}

struct DirectBuffer {
    format: AudioFormat,
    position: u64,
    written: usize,
    block: Vec<Vec<f32>>,
    account: StreamAccount,
}

impl DirectBuffer {
    fn new(format: AudioFormat) -> Self {
        Self {
            format,
            position: 0,
            written: 0,
            block: Self::draw(format),
            account: StreamAccount::default(),
        }
    }

    fn draw(format: AudioFormat) -> Vec<Vec<f32>> {
        (0..format.channels)
            .map(|_| Vec::with_capacity(format.frames))
            .collect()
    }

    fn write(&mut self, input: &[&[f32]]) {
        let given = input.iter().map(|channel| channel.len()).min().unwrap_or(0);
        let frames = given.min(self.format.frames - self.written);
        for (samples, input) in self.block.iter_mut().zip(input) {
            samples.extend_from_slice(&input[..frames]);
        }
        for samples in self.block.iter_mut().skip(input.len()) {
            samples.resize(self.written + frames, 0.0);
        }
        self.written += frames;
        self.account.frames_written += frames as u64;
    }

    fn share(&mut self) -> Arc<Vec<Vec<f32>>> {
        self.account.buffers_drawn += self.format.channels as u64;
        self.account.blocks_shared += 1;
        self.position += self.written as u64;
        self.written = 0;
        Arc::new(std::mem::replace(&mut self.block, Self::draw(self.format)))
    }
}

impl Side for DirectBlocks {
    fn quantum(&mut self, input: Stereo<'_>, _: u64) {
        let Some(buffer) = self.buffers.get_mut("mix") else {
            return;
        };
        buffer.write(&input);
        if buffer.written == buffer.format.frames
            && let Some(buffer) = self.buffers.get_mut("mix")
        {
            let block = buffer.share();
            self.heard += f64::from(black_box(&block)[1][BLOCK - 1]);
        }
    }

    fn heard(&self) -> f64 {
        self.heard
    }
}

/// What the quanta of one side took.
#[derive(Default)]
struct Taken {
    ns: Vec<u64>,
    allocations: u64,
}

impl Taken {
    fn turn(&mut self, side: &mut dyn Side, turn: usize) {
        for n in 0..QUANTA_PER_TURN {
            let quantum = turn * QUANTA_PER_TURN + n;
            let tone = |channel: usize| -> [f32; QUANTUM] {
                core::array::from_fn(|i| ((quantum * QUANTUM + i) * (channel + 1)) as f32 * 1e-7)
            };
            let [left, right] = [tone(0), tone(1)];
            let input = black_box([&left[..], &right[..]]);
            let before = ALLOCATIONS.get();
            let start = Instant::now();
            side.quantum(input, (quantum * QUANTUM) as u64);
            let ns = start.elapsed().as_nanos() as u64;
            self.allocations += ALLOCATIONS.get() - before;
            if n >= WARM_UP {
                self.ns.push(ns);
            }
        }
    }

    fn us(&self, quantile: f64) -> f64 {
        let index = (self.ns.len() as f64 * quantile).ceil() as usize - 1;
        self.ns[index] as f64 / 1e3
    }
}

fn compare(
    rows: &mut Vec<Row>,
    prefix: &str,
    ours: &mut dyn Side,
    twin: &mut dyn Side,
) -> Result<(), Box<dyn Error>> {
    let quanta = TURNS * QUANTA_PER_TURN;
    let mut taken = [(); 2].map(|()| Taken {
        ns: Vec::with_capacity(quanta),
        allocations: 0,
    });
    for turn in 0..TURNS {
        taken[0].turn(ours, turn);
        taken[1].turn(twin, turn);
    }
    let (ours, twin) = (ours.heard(), twin.heard());
    if ours == 0.0 || (ours - twin).abs() > 1e-6 * ours.abs() {
        return Err(format!("{prefix}pooled heard {ours}, direct {twin}").into());
    }
    taken.iter_mut().for_each(|side| side.ns.sort_unstable());
    let [ours, twin] = taken;
    for (name, quantile) in [("median", 0.5), ("p99.9", 0.999)] {
        let baseline = Some(twin.us(quantile));
        let case = format!("{prefix}{name}");
        rows.push(Row::new(
            "pipeline",
            case,
            ours.us(quantile),
            "us",
            baseline,
        ));
    }
    let each = |side: &Taken| side.allocations as f64 / quanta as f64;
    let case = format!("{prefix}allocations");
    let baseline = Some(each(&twin));
    rows.push(Row::new(
        "pipeline",
        case,
        each(&ours),
        "per quantum",
        baseline,
    ));
    Ok(())
}

/// Adds the rows of this benchmark.
pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<(), Box<dyn Error>> {
    let mut registry = ModuleRegistry::builder(TypedEventBus::default()).boot()?;
    let (audio, data) = registry
        .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
        .ok_or("the modules are not linked")?;
    let config = StreamConfig {
        sample_rate_hz: RATE_HZ,
        channels: 2,
        window: WINDOW,
        hop: HOP,
    };
    let (capture, analysis) = audio.open_stream(data, config)?;
    let mut pooled = Pooled {
        engine: audio.open_engine(data, RATE_HZ, 2, vec![Box::new(Widen)])?,
        capture,
        analysis,
        heard: 0.0,
    };
    let mut direct = Direct::new(2, vec![Box::new(Widen)]);
    compare(rows, "", &mut pooled, &mut direct)?;

    let mut buffers = AudioBufferManagerImpl::new(data.attach_realtime()?);
    let format = AudioFormat {
        sample_rate_hz: RATE_HZ,
        channels: 2,
        frames: BLOCK,
    };
    buffers.create("mix", format)?;
    let mut pooled = PooledBlocks {
        buffers,
        heard: 0.0,
    };
    let mut direct = DirectBlocks::default();
    let buffer = DirectBuffer::new(format);
    direct.buffers.insert("mix".to_owned(), buffer);
    compare(rows, "audio buffers ", &mut pooled, &mut direct)
}

/// What did not come out as it must.
pub(crate) fn missed(rows: &[Row]) -> Vec<String> {
    let allocations = rows
        .iter()
        .filter(|row| row.bench == "pipeline" && row.case.ends_with("allocations"));
    allocations
        .filter(|row| row.value > 0.0)
        .map(|row| format!("{}: {} per quantum", row.case, row.value))
        .collect()
}

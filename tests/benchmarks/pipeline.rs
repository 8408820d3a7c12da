//! What a quantum costs on pooled buffers, and on a twin that allocates what it needs as it goes: time and allocations.
//!
//! The pooled side is the product: an engine with a processor that takes scratch, a capture that cuts its output into
//! windows, and `AudioBufferManagerImpl`. The twins do the same arithmetic, copies and bookkeeping on `Vec`s, and tell and count
//! nothing, so that what they save is in their favour.
//!
//! Windows are read, and let go of, where a stream's are: on another thread, which looks every so often, one and the same for
//! both sides. A quantum begins when what was queued before has been read, as it has after the 2.67 ms of a real one. The
//! rows `one thread …` are the same quanta with a reader that comes after each of them on its own thread, and is timed with
//! it: there the allocator hands out what was freed a moment ago on the same thread.
#![allow(unsafe_code)] // An allocator that counts implements an unsafe trait.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::audio_foundations::{
    AudioFoundationsModule, Capture, Engine, ProcessContext, Processor, StreamConfig, Windows,
};
use wavepool::modules::data_management::{
    AudioBufferManagerImpl, AudioFormat, DataManagementModule, PlanarBuffer, PoolError,
    StreamAccount,
};
use wavepool::registry::ModuleRegistry;

use crate::Row;
use crate::processors::stay_on;

const QUANTUM: usize = 128;
const RATE_HZ: f32 = 48_000.0;
const WINDOW: usize = 2048;
const HOP: usize = 512;
/// Of the named buffers.
const BLOCK: usize = 1024;
/// The two sides take turns, short ones, so that both have the same share of the moments in which the machine is slow.
const TURNS: usize = 800;
const QUANTA_PER_TURN: usize = 250;
/// Of each turn, not timed: the other side has just had the caches.
const WARM_UP: usize = 20;
/// The control side looks after its half about as often: every 85 ms.
const QUANTA_PER_TICK: u64 = 32;
/// How often the reader on another thread looks, as a worker of a page does.
const LOOK_EVERY: Duration = Duration::from_micros(50);
/// A reader that takes longer is not there any more.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// One side of the comparison: what it does with a quantum.
trait Side {
    fn quantum(&mut self, input: Stereo<'_>, first_frame: u64);
    /// A sum over what was read in its quanta.
    fn heard(&self) -> f64;
    /// Windows queued for a reader elsewhere, and windows that found no place.
    fn queued(&self) -> [u64; 2] {
        [0, 0]
    }
}

/// The reading end of a queue of windows.
trait Reader: Send {
    /// Reads the next window, all of it or its last sample, and lets go of it.
    fn read(&mut self, all: bool) -> Option<f64>;
}

fn listen(channel: &[f32], all: bool) -> f64 {
    let from = if all { 0 } else { channel.len() - 1 };
    channel[from..].iter().sum::<f32>().into()
}

impl Reader for Windows {
    fn read(&mut self, all: bool) -> Option<f64> {
        let window = self.next_window()?;
        Some(listen(window.channel(0), all) + listen(window.channel(1), all))
    }
}

impl Reader for rtrb::Consumer<Arc<DirectWindow>> {
    fn read(&mut self, all: bool) -> Option<f64> {
        let window = self.pop().ok()?;
        Some(listen(&window.samples[0], all) + listen(&window.samples[1], all))
    }
}

struct Pooled {
    engine: Engine,
    capture: Capture,
    /// Unless somebody else reads.
    windows: Option<Windows>,
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
        if let Some(windows) = &mut self.windows {
            while let Some(heard) = windows.read(false) {
                self.heard += heard;
            }
        }
    }

    fn heard(&self) -> f64 {
        self.heard
    }

    fn queued(&self) -> [u64; 2] {
        let counters = self.capture.counters();
        [counters.windows, counters.skipped_windows]
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
    windows: Option<rtrb::Consumer<Arc<DirectWindow>>>,
    queued_windows: u64,
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
            windows: Some(windows),
            queued_windows: 0,
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
            if self.queue.push(Arc::new(window)).is_ok() {
                self.queued_windows += 1;
            } else {
                self.skipped_windows += 1;
            }
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
        if let Some(windows) = &mut self.windows {
            while let Some(heard) = windows.read(false) {
                self.heard += heard;
            }
        }
    }

    fn heard(&self) -> f64 {
        self.heard
    }

    fn queued(&self) -> [u64; 2] {
        [self.queued_windows, self.skipped_windows]
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
struct Taken {
    ns: Vec<u64>,
    allocations: u64,
}

impl Taken {
    fn new() -> Self {
        Self {
            ns: Vec::with_capacity(TURNS * QUANTA_PER_TURN),
            allocations: 0,
        }
    }

    fn turn(
        &mut self,
        side: &mut dyn Side,
        turn: usize,
        read: Option<&AtomicU64>,
    ) -> Result<(), Box<dyn Error>> {
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
            if let Some(read) = read {
                wait_for(read, side.queued()[0])?;
            }
        }
        Ok(())
    }

    /// The median and the p99.9 of all quanta, in microseconds.
    fn figures(&mut self) -> [(&'static str, f64); 2] {
        self.ns.sort_unstable();
        [("median", 0.5), ("p99.9", 0.999)].map(|(name, quantile)| {
            let index = (self.ns.len() as f64 * quantile).ceil() as usize - 1;
            (name, self.ns[index] as f64 / 1e3)
        })
    }
}

fn wait_for(read: &AtomicU64, queued: u64) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    // Acquire: pairs with the reader's release: it has let go of the window.
    while read.load(Ordering::Acquire) < queued {
        if begun.elapsed() > PATIENCE {
            return Err("the reader does not read".into());
        }
        core::hint::spin_loop();
    }
    Ok(())
}

/// Both sides' readers on one other thread, and on another processor where there is one, until it is told to stop; what
/// each has heard.
fn read_elsewhere(
    readers: &mut [Box<dyn Reader>; 2],
    read: &[AtomicU64; 2],
    stop: &AtomicBool,
) -> [f64; 2] {
    stay_on(1);
    let mut heard = [0.0; 2];
    // Relaxed: only when to stop; all was read before.
    while !stop.load(Ordering::Relaxed) {
        for ((reader, read), heard) in readers.iter_mut().zip(read).zip(&mut heard) {
            while let Some(window) = reader.read(true) {
                *heard += window;
                // Release: pairs with the acquire in `wait_for`.
                read.fetch_add(1, Ordering::Release);
            }
        }
        thread::sleep(LOOK_EVERY);
    }
    heard
}

fn compare(
    rows: &mut Vec<Row>,
    prefix: &str,
    mut sides: [&mut dyn Side; 2],
    readers: Option<[Box<dyn Reader>; 2]>,
) -> Result<(), Box<dyn Error>> {
    let quanta = TURNS * QUANTA_PER_TURN;
    let mut taken = [Taken::new(), Taken::new()];
    let (read, stop) = ([const { AtomicU64::new(0) }; 2], AtomicBool::new(false));
    let mut turns = |elsewhere: bool| -> Result<(), Box<dyn Error>> {
        for turn in 0..TURNS {
            for ((taken, side), read) in taken.iter_mut().zip(&mut sides).zip(&read) {
                taken.turn(&mut **side, turn, elsewhere.then_some(read))?;
            }
        }
        Ok(())
    };
    let elsewhere = match readers {
        None => turns(false).map(|()| [0.0; 2])?,
        Some(mut readers) => thread::scope(|scope| {
            let thread = scope.spawn(|| read_elsewhere(&mut readers, &read, &stop));
            let done = turns(true);
            stop.store(true, Ordering::Relaxed);
            let heard = thread.join().map_err(|_| "the reader panicked")?;
            done.map(|()| heard)
        })?,
    };
    let [ours, twin] = [0, 1].map(|n| sides[n].heard() + elsewhere[n]);
    if ours == 0.0 || (ours - twin).abs() > 1e-6 * ours.abs() {
        return Err(format!("{prefix}pooled heard {ours}, direct {twin}").into());
    }
    let [queued, twins] = [0, 1].map(|n| sides[n].queued());
    if queued != twins || queued[1] > 0 {
        return Err(
            format!("{prefix}pooled queued and skipped {queued:?}, direct {twins:?}").into(),
        );
    }
    let [mut ours, mut twin] = taken;
    let each = |side: &Taken| side.allocations as f64 / quanta as f64;
    let mut row = |name: &str, unit, ours, twin| {
        let case = format!("{prefix}{name}");
        rows.push(Row::new("pipeline", case, ours, unit, Some(twin)));
    };
    for ((name, ours), (_, twin)) in ours.figures().into_iter().zip(twin.figures()) {
        row(name, "us", ours, twin);
    }
    row("allocations", "per quantum", each(&ours), each(&twin));
    Ok(())
}

/// Both pipelines, and the readers of their windows.
fn pipelines(
    audio: &mut AudioFoundationsModule,
    data: &mut DataManagementModule,
) -> Result<(Pooled, Direct), Box<dyn Error>> {
    let config = StreamConfig {
        sample_rate_hz: RATE_HZ,
        channels: 2,
        window: WINDOW,
        hop: HOP,
    };
    let (capture, windows) = audio.open_windows(data, config)?;
    let pooled = Pooled {
        engine: audio.open_engine(data, RATE_HZ, 2, vec![Box::new(Widen)])?,
        capture,
        windows: Some(windows),
        heard: 0.0,
    };
    Ok((pooled, Direct::new(2, vec![Box::new(Widen)])))
}

/// Adds the rows of this benchmark.
pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<(), Box<dyn Error>> {
    let mut registry = ModuleRegistry::builder(TypedEventBus::default()).boot()?;
    let (audio, data) = registry
        .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
        .ok_or("the modules are not linked")?;
    stay_on(0);
    let (mut pooled, mut direct) = pipelines(audio, data)?;
    let readers: Option<[Box<dyn Reader>; 2]> = match (pooled.windows.take(), direct.windows.take())
    {
        (Some(windows), Some(twins)) => Some([Box::new(windows), Box::new(twins)]),
        _ => None,
    };
    compare(rows, "", [&mut pooled, &mut direct], readers)?;
    drop((pooled, direct));
    let (mut pooled, mut direct) = pipelines(audio, data)?;
    compare(rows, "one thread ", [&mut pooled, &mut direct], None)?;

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
    compare(rows, "audio buffers ", [&mut pooled, &mut direct], None)
}

/// Two steps of the clock, which goes on by ten nanoseconds or so: medians that are alike can lie one apart either way.
const CLOCK_NOISE_US: f64 = 0.021;

/// What did not come out as it must. The rows `one thread …` are for comparison: no product reads there.
pub(crate) fn missed(rows: &[Row]) -> Vec<String> {
    let missed = |row: &&Row| {
        let twin = row.baseline.unwrap_or(0.0);
        if row.case.ends_with("allocations") {
            row.value > 0.0 || twin == 0.0
        } else if row.case.starts_with("one thread") {
            false
        } else if row.case.ends_with("median") {
            row.value > twin + CLOCK_NOISE_US
        } else {
            row.value > twin
        }
    };
    (rows.iter().filter(|row| row.bench == "pipeline"))
        .filter(missed)
        .map(|row| {
            format!(
                "pipeline {}: {:.3} {}, direct {:.3}",
                row.case,
                row.value,
                row.unit,
                row.baseline.unwrap_or(0.0)
            )
        })
        .collect()
}

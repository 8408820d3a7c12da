//! The sides of the pipeline benchmark: the product on pooled buffers, and twins on `Vec`s.

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::sync::Arc;

use wavepool::modules::audio_foundations::{Capture, Engine, ProcessContext, Processor, Windows};
use wavepool::modules::data_management::{
    AudioBufferManagerImpl, AudioFormat, PlanarBuffer, PoolError, StreamAccount,
};

/// The control side looks after its half about as often: every 85 ms.
const QUANTA_PER_TICK: u64 = 32;
pub(super) const QUANTUM: usize = 128;
pub(super) const RATE_HZ: f32 = 48_000.0;
pub(super) const WINDOW: usize = 2048;
pub(super) const HOP: usize = 512;
/// Of the named buffers.
pub(super) const BLOCK: usize = 1024;

/// The arithmetic of both sides, per channel: a wider stereo image by way of middle and side.
pub(super) fn widen(output: &mut [f32], left: &[f32], right: &[f32], width: f32) {
    for (output, (left, right)) in output.iter_mut().zip(left.iter().zip(right)) {
        *output = 0.5 * (left + right) + width * (left - right);
    }
}

const WIDTHS: [f32; 2] = [0.75, -0.75];

pub(super) struct Widen;

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
pub(super) type Stereo<'a> = [&'a [f32]; 2];

/// One side of the comparison: what it does with a quantum.
pub(super) trait Side {
    fn quantum(&mut self, input: Stereo<'_>, first_frame: u64);
    /// A sum over what was read in its quanta.
    fn heard(&self) -> f64;
    /// Windows queued for a reader elsewhere, and windows that found no place.
    fn queued(&self) -> [u64; 2] {
        [0, 0]
    }
}

/// The reading end of a queue of windows.
pub(super) trait Reader: Send {
    /// Reads the next window, all of it or its last sample, and lets go of it.
    fn read(&mut self, all: bool) -> Option<f64>;
}

pub(super) fn listen(channel: &[f32], all: bool) -> f64 {
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

pub(super) struct Pooled {
    pub(super) engine: Engine,
    pub(super) capture: Capture,
    /// Unless somebody else reads.
    pub(super) windows: Option<Windows>,
    pub(super) heard: f64,
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
pub(super) trait DirectProcessor {
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
pub(super) struct DirectWindow {
    first_frame: u64,
    samples: Vec<Vec<f32>>,
}

/// Engine and capture as they would be without a pool: how many channels and frames there are is known at run time only,
/// quanta may not follow each other, windows overlap and go through the same queue.
pub(super) struct Direct {
    pub(super) channels: usize,
    pub(super) chain: Vec<Box<dyn DirectProcessor>>,
    pub(super) next_frame: Option<u64>,
    /// The engine's fade, as there: per sample until all is heard.
    pub(super) gain: f32,
    pub(super) next_window: u64,
    pub(super) open: VecDeque<DirectWindow>,
    pub(super) queue: rtrb::Producer<Arc<DirectWindow>>,
    pub(super) windows: Option<rtrb::Consumer<Arc<DirectWindow>>>,
    pub(super) queued_windows: u64,
    pub(super) skipped_windows: u64,
    pub(super) heard: f64,
}

impl Direct {
    pub(super) fn new(channels: usize, chain: Vec<Box<dyn DirectProcessor>>) -> Self {
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

pub(super) struct PooledBlocks {
    pub(super) buffers: AudioBufferManagerImpl,
    pub(super) heard: f64,
}

impl Side for PooledBlocks {
    fn quantum(&mut self, input: Stereo<'_>, first_frame: u64) {
        if first_frame.is_multiple_of(QUANTA_PER_TICK * QUANTUM as u64) {
            let half = self.buffers.half_mut();
            half.into_iter()
                .for_each(|half| half.begin_quantum(first_frame));
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
pub(super) struct DirectBlocks {
    pub(super) buffers: BTreeMap<String, DirectBuffer>,
    pub(super) heard: f64,
}

pub(super) struct DirectBuffer {
    format: AudioFormat,
    position: u64,
    written: usize,
    block: Vec<Vec<f32>>,
    account: StreamAccount,
}

impl DirectBuffer {
    pub(super) fn new(format: AudioFormat) -> Self {
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

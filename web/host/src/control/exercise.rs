//! A load generator: a second user of the pool with changing demand, which shows how the pool adapts its sizes.

use std::collections::VecDeque;

use wavepool::modules::data_management::{PooledBuffer, RealtimePool};

const QUANTUM_FRAMES: u64 = 128;
/// The most quanta of one run. After a pause of the worker the demand continues where it was: it rises later, but does not
/// jump.
const MAX_QUANTA_PER_RUN: u64 = 8;
/// The frames during which one size is requested, from no buffer to the largest number and back; then the next size follows.
const PHASE_FRAMES: u64 = 96_000;
const MAX_BUFFERS: u64 = 24;
/// Sizes between the classes that a pool begins with.
const SIZES: [usize; 4] = [600, 1500, 350, 3000];

/// Frames at 48 kHz, independent of the page's streams.
pub(crate) const FRAMES_PER_MS: f64 = 48.0;

/// Acquires and releases buffers like an effect with a changing delay.
pub(crate) struct Exercise {
    half: RealtimePool,
    buffers: VecDeque<PooledBuffer>,
    /// Frames so far.
    frame: u64,
    /// The time up to which quanta have run or were skipped, in frames.
    until: u64,
}

impl Exercise {
    pub(crate) fn start(half: RealtimePool, now_ms: f64) -> Self {
        Self {
            half,
            buffers: VecDeque::with_capacity(2 * MAX_BUFFERS as usize),
            frame: 0,
            until: frame_at(now_ms),
        }
    }

    /// Runs the quanta that have become due.
    pub(crate) fn run(&mut self, now_ms: f64) {
        let due = frame_at(now_ms).saturating_sub(self.until) / QUANTUM_FRAMES;
        self.until += due * QUANTUM_FRAMES;
        for _ in 0..due.min(MAX_QUANTA_PER_RUN) {
            self.frame += QUANTUM_FRAMES;
            self.quantum();
        }
    }

    /// Releases all buffers, so that leaks can be counted.
    pub(crate) fn release_all(&mut self) {
        for buffer in self.buffers.drain(..) {
            self.half.release(buffer);
        }
    }

    /// Releases the oldest buffer, and more while there are too many; acquires buffers up to the number for this point of the
    /// phase.
    fn quantum(&mut self) {
        self.half.begin_quantum(self.frame);
        let position = self.frame % PHASE_FRAMES;
        let target = MAX_BUFFERS * position.min(PHASE_FRAMES - position) * 2 / PHASE_FRAMES;
        let samples = SIZES[(self.frame / PHASE_FRAMES) as usize % SIZES.len()];
        while let Some(oldest) = self.buffers.pop_front() {
            self.half.release(oldest);
            if self.buffers.len() as u64 <= target {
                break;
            }
        }
        while (self.buffers.len() as u64) < target {
            match self.half.acquire(samples) {
                Ok(buffer) => self.buffers.push_back(buffer),
                // The pool counts the failure; the next quantum tries again.
                Err(_) => break,
            }
        }
    }
}

fn frame_at(now_ms: f64) -> u64 {
    (now_ms * FRAMES_PER_MS) as u64
}

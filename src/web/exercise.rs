//! A second user of the pool whose demand changes all the time, so that its sizing can be watched at work.

use std::collections::VecDeque;

use crate::modules::data_management::{PooledBuffer, RealtimePool};

const QUANTUM_FRAMES: u64 = 128;
/// Quanta between two looks of the control side, at most. A worker that slept goes on where it was: its demand rises as it
/// would have, later, and does not jump.
const MOST_QUANTA: u64 = 8;
/// A size is asked for during so many frames, from none at once to the most and back; then comes the next.
const PHASE_FRAMES: u64 = 96_000;
const MOST_HELD: u64 = 24;
/// Odd on purpose: between the classes a pool begins with.
const SIZES: [usize; 4] = [600, 1500, 350, 3000];

/// Frames are those of 48 kHz, whatever else the page plays.
pub(super) const FRAMES_PER_MS: f64 = 48.0;

/// Holds buffers as an effect with a changing delay would.
pub(super) struct Exercise {
    half: RealtimePool,
    held: VecDeque<PooledBuffer>,
    /// Frames played: it begins with nothing held.
    frame: u64,
    /// The moment up to which time was played or slept through.
    until: u64,
}

impl Exercise {
    pub(super) fn start(half: RealtimePool, now_ms: f64) -> Self {
        Self {
            half,
            held: VecDeque::with_capacity(2 * MOST_HELD as usize),
            frame: 0,
            until: frame_at(now_ms),
        }
    }

    /// Plays what has become due.
    pub(super) fn run(&mut self, now_ms: f64) {
        let due = frame_at(now_ms).saturating_sub(self.until) / QUANTUM_FRAMES;
        self.until += due * QUANTUM_FRAMES;
        for _ in 0..due.min(MOST_QUANTA) {
            self.frame += QUANTUM_FRAMES;
            self.quantum();
        }
    }

    /// Gives everything back, for a moment in which nobody may hold anything.
    pub(super) fn let_go(&mut self) {
        for buffer in self.held.drain(..) {
            self.half.release(buffer);
        }
    }

    /// The oldest buffer goes back, and as many are asked for as this moment of the phase holds.
    fn quantum(&mut self) {
        self.half.begin_quantum(self.frame);
        let into = self.frame % PHASE_FRAMES;
        let most = MOST_HELD * into.min(PHASE_FRAMES - into) * 2 / PHASE_FRAMES;
        let samples = SIZES[(self.frame / PHASE_FRAMES) as usize % SIZES.len()];
        while let Some(oldest) = self.held.pop_front() {
            self.half.release(oldest);
            if self.held.len() as u64 <= most {
                break;
            }
        }
        while (self.held.len() as u64) < most {
            match self.half.acquire(samples) {
                Ok(buffer) => self.held.push_back(buffer),
                // Counted by the pool; the next quantum asks again.
                Err(_) => break,
            }
        }
    }
}

fn frame_at(now_ms: f64) -> u64 {
    (now_ms * FRAMES_PER_MS) as u64
}

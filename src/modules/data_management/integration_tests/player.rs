//! An audio thread that acquires buffers of every class at random, and records each in the ledger.

use std::collections::VecDeque;

use super::ledger::Ledger;
use crate::modules::data_management::{BufferRef, PlanarRef, PooledBuffer, RealtimePool};

/// A random generator for operations (Lehmer, as in MINSTD), the same on every target.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0 * 48_271 % 0x7fff_ffff;
        self.0 as usize % sides
    }
}

/// The class that serves a request: the classes of the default mix are powers of two.
fn class_of(samples: usize) -> u32 {
    samples.next_power_of_two().max(256) as u32
}

/// The buffers of the player between quanta.
#[expect(dead_code, reason = "held, not read")]
pub(super) enum Held {
    Unique(PooledBuffer),
    Shared(BufferRef, BufferRef),
    Planar(PlanarRef),
}

/// Acquires buffers of every class on its own half, and records each in the ledger.
pub(super) struct Player {
    pub(super) half: RealtimePool,
    pub(super) dice: Dice,
    pub(super) held: VecDeque<Held>,
    pub(super) most_held: usize,
    pub(super) refused: u64,
}

impl Player {
    pub(super) fn quantum(&mut self, frame: u64, ledger: &mut Ledger) {
        self.half.begin_quantum(frame);
        let sizes = [0; 2].map(|_| 1 + self.dice.roll(4096));
        for scratch in sizes.map(|samples| self.half.scratch(samples)) {
            match scratch {
                Ok(mut scratch) => {
                    scratch[0] = 1.0;
                    let class = class_of(scratch.len());
                    *ledger.expected_scratch.entry((frame, class)).or_default() += 1;
                    *ledger.expected_by_class.entry(class).or_default() += 1;
                }
                Err(_) => self.refused += 1,
            }
        }
        let samples = 1 + self.dice.roll(4096);
        let mut drawn = |slot: u32| {
            ledger.expected.push_back((frame, slot));
            let class = class_of(samples);
            *ledger.expected_by_class.entry(class).or_default() += 1;
        };
        let held = match self.dice.roll(8) {
            0 => self.half.acquire_planar(2, samples).map(|block| {
                (0..2).for_each(|channel| drawn(block.slot_index(channel)));
                Held::Planar(block.freeze())
            }),
            kind => self.half.acquire(samples).map(|mut buffer| {
                drawn(buffer.slot_index());
                buffer[samples - 1] = 1.0;
                if kind < 4 {
                    let shared = buffer.freeze();
                    Held::Shared(shared.clone(), shared)
                } else {
                    Held::Unique(buffer)
                }
            }),
        };
        match held {
            Ok(held) => self.held.push_back(held),
            Err(_) => {
                self.refused += 1;
                ledger.torn.push_back((frame, class_of(samples)));
            }
        }
        while self.held.len() > self.most_held {
            match self.held.pop_front() {
                // Half of them are released on the real-time half, half are dropped.
                Some(Held::Unique(buffer)) if samples.is_multiple_of(2) => {
                    self.half.release(buffer)
                }
                other => drop(other),
            }
        }
        self.most_held = (self.most_held + self.dice.roll(3)).clamp(2, 25) - 1;
    }
}

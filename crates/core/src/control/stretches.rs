//! How many buffers of each size class begin in each stretch of the arena: tells the address above which a number of
//! them lies, without a look at a slot.

use alloc::vec::Vec;
use core::iter;

use crate::realtime::cells::Counter;

/// The reserved memory has at most so many stretches of equal length, and one more for each further region.
pub const MOST_STRETCHES: usize = 256;

/// The buffers of one size class that begin in one stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    /// Of the stretch, counted from the first region's start: `address_key >> shift`.
    number: u64,
    buffers: u32,
    size_class: u16,
}

/// See the module. Only for the control half, which counts a buffer when it carves it and when it returns it to the
/// arena.
///
/// Invariant: ordered by size class, then by address, without empty stretches.
#[derive(Default)]
pub(super) struct Stretches {
    occupied: Vec<Stretch>,
    /// A stretch is `1 << shift` units long.
    shift: u32,
    /// Stretches that were looked at.
    looks: Counter,
}

impl Stretches {
    /// Sets how much memory the arena has: stretches become longer when it grows.
    pub(super) fn cover(&mut self, reserved_units: usize) {
        while reserved_units >> self.shift > MOST_STRETCHES {
            self.shift += 1;
            for stretch in &mut self.occupied {
                stretch.number >>= 1;
            }
            self.occupied.dedup_by(|next, stretch| {
                let is_same = Self::order(next) == Self::order(stretch);
                stretch.buffers += if is_same { next.buffers } else { 0 };
                is_same
            });
        }
    }

    const fn order(stretch: &Stretch) -> (u16, u64) {
        (stretch.size_class, stretch.number)
    }

    fn find(&self, size_class: u16, number: u64) -> Result<usize, usize> {
        self.occupied
            .binary_search_by_key(&(size_class, number), Self::order)
    }

    /// Counts a buffer that was carved at this address: see [`Slot::address_key`].
    ///
    /// [`Slot::address_key`]: crate::realtime::slot_table::Slot::address_key
    pub(super) fn add(&mut self, size_class: u16, address_key: u64) {
        let number = address_key >> self.shift;
        match self.find(size_class, number) {
            Ok(at) => self.occupied[at].buffers += 1,
            Err(at) => self.occupied.insert(
                at,
                Stretch {
                    number,
                    buffers: 1,
                    size_class,
                },
            ),
        }
    }

    /// Counts a buffer at this address no more.
    pub(super) fn remove(&mut self, size_class: u16, address_key: u64) {
        if let Ok(at) = self.find(size_class, address_key >> self.shift) {
            self.occupied[at].buffers -= 1;
            if self.occupied[at].buffers == 0 {
                self.occupied.remove(at);
            }
        }
    }

    /// For each buffer of the size class, from the highest stretch down: the address where its stretch starts.
    pub(super) fn starts_from_top(&self, size_class: u16) -> impl Iterator<Item = u64> {
        let end = self
            .occupied
            .partition_point(|stretch| stretch.size_class <= size_class);
        self.occupied[..end]
            .iter()
            .rev()
            .inspect(|_| _ = self.looks.add(1))
            .take_while(move |stretch| stretch.size_class == size_class)
            .flat_map(|stretch| {
                iter::repeat_n(stretch.number << self.shift, stretch.buffers as usize)
            })
    }

    /// Stretches looked at so far.
    pub(super) fn looks(&self) -> u64 {
        self.looks.get()
    }

    pub(super) const fn heap_bytes(&self) -> usize {
        self.occupied.capacity() * size_of::<Stretch>()
    }

    /// Whether these are the buffers that are counted, by size class and address.
    pub(super) fn agrees_with(&self, buffers: impl Iterator<Item = (u16, u64)>) -> bool {
        let mut counted = Self {
            shift: self.shift,
            ..Self::default()
        };
        buffers.for_each(|(size_class, address_key)| counted.add(size_class, address_key));
        counted.occupied == self.occupied
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "stretches_tests.rs"]
mod tests;

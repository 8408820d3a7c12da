//! From a number of samples to the size class that serves it: one shift, one look-up, one comparison.

use super::pool_core::Pinned;
use super::shelf::Shelf;
use crate::modules::data_management::sizing::class_boundaries::MAX_CLASSES;

/// Requests are told apart in this many steps up to the largest class: by the look-up, and in the demand histogram.
pub(crate) const BUCKETS: usize = if cfg!(loom) { 2 } else { 256 };

/// The classes one half serves from, smallest first. Made by the control half, never changed, swapped whole.
pub(crate) struct ClassTable {
    largest: usize,
    shift: u32,
    count: usize,
    /// The shelf of the smallest class that holds the smallest request of the bucket: the shelf itself, so that a request
    /// needs one look-up.
    first_shelf: [Pinned<Shelf>; BUCKETS],
    /// Beyond `count` the last class is repeated, so that every entry is a real one.
    shelves: [Pinned<Shelf>; MAX_CLASSES],
    /// Every class once, and the shelves of classes that are gone, while buffers of theirs come home.
    round: Box<[Pinned<Shelf>]>,
    /// Written when the table is made and freed, read with it: loom notices when these are not ordered.
    #[cfg(loom)]
    pub(super) life: super::half::Life,
}

/// How far a request is shifted to find its bucket, for a pool whose largest class is `largest`.
pub(crate) const fn bucket_shift(largest: usize) -> u32 {
    (largest.div_ceil(BUCKETS))
        .next_power_of_two()
        .trailing_zeros()
}

impl ClassTable {
    /// `shelves` are sorted by size and between 1 and 16; none is larger than the `largest` the shift was made for.
    pub(crate) fn new(
        shift: u32,
        sorted: &[Pinned<Shelf>],
        draining: &[Pinned<Shelf>],
    ) -> Option<Self> {
        let count = sorted.len().min(MAX_CLASSES);
        let last = *sorted.get(count.checked_sub(1)?)?;
        let class_at = |i: usize| sorted.get(i).copied().unwrap_or(last);
        let shelves = core::array::from_fn(class_at);
        let first_shelf = core::array::from_fn(|bucket| {
            let smallest = (bucket << shift) + 1;
            let fits = |shelf: &&Pinned<Shelf>| shelf.samples as usize >= smallest;
            sorted.iter().find(fits).copied().unwrap_or(last)
        });
        Some(Self {
            largest: last.samples as usize,
            shift,
            count,
            first_shelf,
            shelves,
            round: [&sorted[..count], draining].concat().into_boxed_slice(),
            #[cfg(loom)]
            life: super::half::Life::new(),
        })
    }

    pub(super) const fn largest(&self) -> usize {
        self.largest
    }

    /// The demand bucket and the class of a request; none for no samples, or more than the largest class has.
    #[inline(always)]
    pub(super) fn find(&self, samples: usize) -> Option<(usize, Pinned<Shelf>)> {
        let (bucket, guess) = self.guess(samples);
        if guess.serves(samples) {
            return Some((bucket, guess));
        }
        Some((bucket, self.look_through(samples)?))
    }

    /// The demand bucket of a request, and its class if that one serves it: else there is more than one class in the bucket,
    /// or none for such a request.
    #[inline(always)]
    pub(super) fn guess(&self, samples: usize) -> (usize, Pinned<Shelf>) {
        #[cfg(loom)]
        self.life.look();
        let bucket = (samples.wrapping_sub(1) >> self.shift) % BUCKETS;
        (bucket, self.first_shelf[bucket])
    }

    #[cold]
    #[inline(never)]
    fn look_through(&self, samples: usize) -> Option<Pinned<Shelf>> {
        let serves = |shelf: &&Pinned<Shelf>| shelf.serves(samples);
        self.shelves.iter().find(serves).copied()
    }

    /// The class next larger than this one, if there is one.
    pub(super) fn above(&self, samples: u32) -> Option<Pinned<Shelf>> {
        let larger = |shelf: &&Pinned<Shelf>| shelf.samples > samples;
        self.shelves[..self.count].iter().find(larger).copied()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Shelf> {
        #[cfg(loom)]
        self.life.look();
        self.round.iter().map(|shelf| &**shelf)
    }

    /// The shelf after `turn` in a round over all of them.
    #[inline(always)]
    pub(super) fn in_turn(&self, turn: &mut usize) -> Pinned<Shelf> {
        #[cfg(loom)]
        self.life.look();
        let next = if *turn + 1 < self.round.len() {
            *turn + 1
        } else {
            0
        };
        *turn = next;
        self.round[next]
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.round)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::modules::data_management::realtime::pool_core::OnRelease;

    /// The table, and the shelves that it is about.
    fn table(sizes: &[u32], largest: usize) -> (ClassTable, Vec<Shelf>) {
        let core = Pinned::for_test();
        let shelf = |&samples| Shelf::new(core, OnRelease::Leave, (0, 0), samples, 0);
        let shelves: Vec<Shelf> = sizes.iter().map(shelf).collect();
        let pinned: Vec<_> = shelves.iter().map(Pinned::of_test).collect();
        let table = ClassTable::new(bucket_shift(largest), &pinned, &[]).unwrap();
        (table, shelves)
    }

    #[test]
    fn every_request_finds_the_smallest_class_that_holds_it() {
        for sizes in [
            &[256, 512, 1024, 2048, 4096][..],
            &[4096],
            &[16, 32, 48, 100, 101, 102, 4096],
            &[100, 5000, 8192],
            &[1, 2, 3],
        ] {
            let largest = *sizes.last().unwrap() as usize;
            let (table, _shelves) = table(sizes, largest);
            for samples in 1..=largest {
                let (_, shelf) = table.find(samples).unwrap();
                let best = sizes.iter().find(|&&size| size as usize >= samples);
                assert_eq!(Some(&shelf.samples), best, "{samples} in {sizes:?}");
            }
            assert!(table.find(0).is_none());
            assert!(table.find(largest + 1).is_none());
            assert!(table.find(usize::MAX).is_none());
        }
    }

    #[test]
    fn the_last_class_has_none_above() {
        let (table, _shelves) = table(&[256, 512], 512);
        assert_eq!(table.above(256).unwrap().samples, 512);
        assert!(table.above(512).is_none());
        assert_eq!(table.all().count(), 2);
    }
}

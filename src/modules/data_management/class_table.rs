//! From a number of samples to the size class that serves it: one shift, one look-up, one comparison.
#![deny(clippy::disallowed_types)] // No lock: real-time.

use super::class_boundaries::MAX_CLASSES;
use super::free_list::Shelf;
use super::pool_core::Pinned;

/// Requests are told apart in this many steps up to the largest class: by the look-up, and in the demand histogram.
pub(super) const BUCKETS: usize = if cfg!(loom) { 2 } else { 256 };

/// The classes one half serves from, smallest first. Made by the control half, never changed, swapped whole.
pub(super) struct ClassTable {
    largest: usize,
    shift: u32,
    /// The smallest class that holds the smallest request of the bucket.
    first_class: [u8; BUCKETS],
    count: usize,
    /// Beyond `count` the last class is repeated, so that every entry is a real one.
    samples: [u32; MAX_CLASSES],
    shelves: [Pinned<Shelf>; MAX_CLASSES],
    /// Shelves of classes that are gone, while buffers of theirs come home.
    draining: Vec<Pinned<Shelf>>,
    /// Written when the table is made and freed, read with it: loom notices when these are not ordered.
    #[cfg(loom)]
    pub(super) life: super::pool_core::Life,
}

/// How far a request is shifted to find its bucket, for a pool whose largest class is `largest`.
pub(super) const fn bucket_shift(largest: usize) -> u32 {
    (largest.div_ceil(BUCKETS))
        .next_power_of_two()
        .trailing_zeros()
}

impl ClassTable {
    /// `shelves` are sorted by size and between 1 and 16; none is larger than the `largest` the shift was made for.
    pub(super) fn new(
        shift: u32,
        sorted: &[Pinned<Shelf>],
        draining: Vec<Pinned<Shelf>>,
    ) -> Option<Self> {
        let count = sorted.len().min(MAX_CLASSES);
        let last = *sorted.get(count.checked_sub(1)?)?;
        let class_at = |i: usize| sorted.get(i).copied().unwrap_or(last);
        let shelves = core::array::from_fn(class_at);
        let samples = core::array::from_fn(|i| class_at(i).samples);
        let first_class = core::array::from_fn(|bucket| {
            let smallest = (bucket << shift) + 1;
            let fits = |size: &u32| *size as usize >= smallest;
            samples.iter().position(fits).unwrap_or(count - 1) as u8
        });
        Some(Self {
            largest: last.samples as usize,
            shift,
            first_class,
            count,
            samples,
            shelves,
            draining,
            #[cfg(loom)]
            life: super::pool_core::Life::new(),
        })
    }

    pub(super) const fn largest(&self) -> usize {
        self.largest
    }

    /// The demand bucket and the class of a request; none for no samples, or more than the largest class has.
    #[inline(always)]
    pub(super) fn find(&self, samples: usize) -> Option<(usize, usize)> {
        #[cfg(loom)]
        self.life.look();
        let last = samples.wrapping_sub(1);
        if last >= self.largest {
            return None;
        }
        let bucket = (last >> self.shift) % BUCKETS;
        let mut class = usize::from(self.first_class[bucket]) % MAX_CLASSES;
        // Bounded: the last class holds `largest`, and more than one class in a bucket is rare.
        while (self.samples[class] as usize) < samples {
            class = (class + 1) % MAX_CLASSES;
        }
        Some((bucket, class))
    }

    #[inline(always)]
    pub(super) fn shelf(&self, class: usize) -> Pinned<Shelf> {
        self.shelves[class % MAX_CLASSES]
    }

    /// The next larger class, if there is one.
    pub(super) fn above(&self, class: usize) -> Option<Pinned<Shelf>> {
        (class + 1 < self.count).then(|| self.shelf(class + 1))
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = &Shelf> {
        #[cfg(loom)]
        self.life.look();
        self.shelves[..self.count].iter().map(|shelf| &**shelf)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Shelf> {
        self.classes()
            .chain(self.draining.iter().map(|shelf| &**shelf))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.draining.capacity() * size_of::<Pinned<Shelf>>()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn table(sizes: &[u32], largest: usize) -> ClassTable {
        let shelves: Vec<_> = sizes
            .iter()
            .map(|&samples| {
                Pinned::leak_for_test(Shelf::new(Pinned::dangling_for_test(), 0, 0, samples, 0))
            })
            .collect();
        ClassTable::new(bucket_shift(largest), &shelves, Vec::new()).unwrap()
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
            let table = table(sizes, largest);
            for samples in 1..=largest {
                let (_, class) = table.find(samples).unwrap();
                let best = sizes.iter().position(|&size| size as usize >= samples);
                assert_eq!(Some(class), best, "{samples} in {sizes:?}");
            }
            assert!(table.find(0).is_none());
            assert!(table.find(largest + 1).is_none());
            assert!(table.find(usize::MAX).is_none());
        }
    }

    #[test]
    fn the_last_class_has_none_above() {
        let table = table(&[256, 512], 512);
        assert_eq!(table.above(0).unwrap().samples, 512);
        assert!(table.above(1).is_none());
        assert_eq!(table.all().count(), 2);
    }
}

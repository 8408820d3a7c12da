//! Finds the size class for a number of samples: one shift, one look-up, one comparison.

use super::pool_core::SharedPtr;
use super::size_class::SizeClass;
use alloc::boxed::Box;

/// Most classes a pool can have.
pub const MAX_CLASSES: usize = 16;

/// Requests are distinguished in this many steps up to the largest class: by the look-up, and in the demand histogram.
pub const BUCKETS: usize = if cfg!(loom) { 2 } else { 256 };

/// The size classes of one half, smallest first. The control half makes a table, never changes it, and replaces it
/// whole.
pub(crate) struct ClassTable {
    largest: usize,
    shift: u32,
    count: usize,
    /// For each bucket the smallest class that holds the bucket's smallest request: the class itself, so that a
    /// request needs one look-up.
    first_class: [SharedPtr<SizeClass>; BUCKETS],
    /// Beyond `count` the last class is repeated, so that every entry is valid.
    classes: [SharedPtr<SizeClass>; MAX_CLASSES],
    /// Every class once, and those that are retired while buffers of theirs are in use.
    service_order: Box<[SharedPtr<SizeClass>]>,
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
    /// `classes` are sorted by size and between 1 and 16; none is larger than the `largest` the shift was made for.
    pub(crate) fn new(
        shift: u32,
        sorted: &[SharedPtr<SizeClass>],
        draining: &[SharedPtr<SizeClass>],
    ) -> Option<Self> {
        let count = sorted.len().min(MAX_CLASSES);
        let last = *sorted.get(count.checked_sub(1)?)?;
        let class_at = |i: usize| sorted.get(i).copied().unwrap_or(last);
        let classes = core::array::from_fn(class_at);
        let first_class = core::array::from_fn(|bucket| {
            let smallest = (bucket << shift) + 1;
            let fits = |size_class: &&SharedPtr<SizeClass>| size_class.samples as usize >= smallest;
            sorted.iter().find(fits).copied().unwrap_or(last)
        });
        Some(Self {
            largest: last.samples as usize,
            shift,
            count,
            first_class,
            classes,
            service_order: [&sorted[..count], draining].concat().into_boxed_slice(),
            #[cfg(loom)]
            life: super::half::Life::new(),
        })
    }

    pub(super) const fn largest(&self) -> usize {
        self.largest
    }

    /// The demand bucket and the class of a request; none for no samples, or more than the largest class has.
    #[inline(always)]
    pub(super) fn find(&self, samples: usize) -> Option<(usize, SharedPtr<SizeClass>)> {
        let (bucket, guess) = self.guess(samples);
        if guess.serves(samples) {
            return Some((bucket, guess));
        }
        Some((bucket, self.find_by_scan(samples)?))
    }

    /// The demand bucket of a request, and its class if that one serves it. Otherwise there is more than one class in
    /// the bucket, or none for such a request.
    #[inline(always)]
    pub(super) fn guess(&self, samples: usize) -> (usize, SharedPtr<SizeClass>) {
        #[cfg(loom)]
        self.life.look();
        let bucket = (samples.wrapping_sub(1) >> self.shift) % BUCKETS;
        (bucket, self.first_class[bucket])
    }

    #[cold]
    #[inline(never)]
    fn find_by_scan(&self, samples: usize) -> Option<SharedPtr<SizeClass>> {
        let serves = |size_class: &&SharedPtr<SizeClass>| size_class.serves(samples);
        self.classes.iter().find(serves).copied()
    }

    /// The next larger class, if there is one.
    pub(super) fn above(&self, samples: u32) -> Option<SharedPtr<SizeClass>> {
        let larger = |size_class: &&SharedPtr<SizeClass>| size_class.samples > samples;
        self.classes[..self.count].iter().find(larger).copied()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &SizeClass> {
        #[cfg(loom)]
        self.life.look();
        self.service_order.iter().map(|size_class| &**size_class)
    }

    /// The class after `turn`, in a round over all of them.
    #[inline(always)]
    pub(super) fn in_turn(&self, turn: &mut usize) -> SharedPtr<SizeClass> {
        #[cfg(loom)]
        self.life.look();
        let next = if *turn + 1 < self.service_order.len() {
            *turn + 1
        } else {
            0
        };
        *turn = next;
        self.service_order[next]
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.service_order)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "class_table_tests.rs"]
mod tests;

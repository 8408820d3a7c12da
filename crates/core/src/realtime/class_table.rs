//! Finds the size class for a number of samples: one shift, one look-up, one comparison.
#![allow(unsafe_code)] // References to size classes that live as long as the table.

use super::shared_ptr::SharedPtr;
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
    pub(super) life: Life,
}

/// How far a request is shifted to find its bucket, for a pool whose largest class is `largest`.
pub(crate) const fn bucket_shift(largest: usize) -> u32 {
    (largest.div_ceil(BUCKETS))
        .next_power_of_two()
        .trailing_zeros()
}

impl ClassTable {
    /// The `sorted` classes are in the order of their sizes and at most 16; none is larger than the `largest` the shift
    /// was made for. Returns none if there are none.
    ///
    /// # Safety
    /// The size classes live as long as the table.
    pub(super) unsafe fn new(
        shift: u32,
        sorted: &[&SizeClass],
        draining: &[&SizeClass],
    ) -> Option<Self> {
        let count = sorted.len().min(MAX_CLASSES);
        let last = *sorted.get(count.checked_sub(1)?)?;
        let class_at = |i: usize| SharedPtr::from(*sorted.get(i).unwrap_or(&last));
        let first_class = core::array::from_fn(|bucket| {
            let smallest = (bucket << shift) + 1;
            let fits = |size_class: &&&SizeClass| size_class.samples as usize >= smallest;
            SharedPtr::from(*sorted.iter().find(fits).unwrap_or(&last))
        });
        let served = sorted[..count].iter().chain(draining);
        Some(Self {
            largest: last.samples as usize,
            shift,
            count,
            first_class,
            classes: core::array::from_fn(class_at),
            service_order: served
                .map(|&size_class| SharedPtr::from(size_class))
                .collect(),
            #[cfg(loom)]
            life: Life::new(),
        })
    }

    pub(super) const fn largest(&self) -> usize {
        self.largest
    }

    /// The demand bucket and the class of a request; none for no samples, or more than the largest class has.
    #[inline(always)]
    pub(super) fn find(&self, samples: usize) -> Option<(usize, &SizeClass)> {
        let (bucket, guess) = self.guess(samples);
        if guess.serves(samples) {
            return Some((bucket, guess));
        }
        Some((bucket, self.find_by_scan(samples)?))
    }

    /// The demand bucket of a request, and its class if that one serves it. Otherwise there is more than one class in
    /// the bucket, or none for such a request.
    #[inline(always)]
    pub(super) fn guess(&self, samples: usize) -> (usize, &SizeClass) {
        #[cfg(loom)]
        self.life.look();
        let bucket = (samples.wrapping_sub(1) >> self.shift) % BUCKETS;
        (bucket, self.class(self.first_class[bucket]))
    }

    #[cold]
    #[inline(never)]
    fn find_by_scan(&self, samples: usize) -> Option<&SizeClass> {
        self.active().find(|size_class| size_class.serves(samples))
    }

    /// The next larger class, if there is one.
    pub(super) fn above(&self, samples: u32) -> Option<&SizeClass> {
        self.active()
            .find(|size_class| size_class.samples > samples)
    }

    fn active(&self) -> impl Iterator<Item = &SizeClass> {
        let classes = self.classes[..self.count].iter();
        classes.map(|&size_class| self.class(size_class))
    }

    /// A class of this table.
    #[inline(always)]
    fn class(&self, size_class: SharedPtr<SizeClass>) -> &SizeClass {
        // SAFETY: it lives as long as the table, by the contract of `new`.
        unsafe { size_class.get() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &SizeClass> {
        #[cfg(loom)]
        self.life.look();
        let all = self.service_order.iter();
        all.map(|&size_class| self.class(size_class))
    }

    /// The class after `turn`, in a round over all of them.
    #[inline(always)]
    pub(super) fn in_turn(&self, turn: &mut usize) -> &SizeClass {
        #[cfg(loom)]
        self.life.look();
        let next = if *turn + 1 < self.service_order.len() {
            *turn + 1
        } else {
            0
        };
        *turn = next;
        self.class(self.service_order[next])
    }

    /// Whether it names a size class.
    pub(super) fn names(&self, id: u16) -> bool {
        self.all().any(|size_class| size_class.id == id)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.service_order)
    }
}

/// The life of a value from its making to its freeing, in which loom notices unordered accesses.
#[cfg(loom)]
pub(super) struct Life(loom::cell::UnsafeCell<()>);

// SAFETY: nothing is in it; loom checks the order of accesses.
#[cfg(loom)]
unsafe impl Sync for Life {}

#[cfg(loom)]
impl Life {
    fn new() -> Self {
        Self(loom::cell::UnsafeCell::new(()))
    }

    fn look(&self) {
        self.0.with(|_| ());
    }

    pub(super) fn end(&self) {
        self.0.with_mut(|_| ());
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "class_table_tests.rs"]
mod tests;

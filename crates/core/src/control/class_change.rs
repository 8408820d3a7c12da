//! Changes the size classes while the pool is in use.

use super::pool_builder::check_classes;
use super::pool_control::PoolControl;
use super::sizing_step::ClassBuffers;
use crate::error::PoolError;
use crate::limits::{UNIT_SAMPLES, units};
use crate::realtime::class_table::{BUCKETS, ClassTable};
use crate::realtime::half::Half;
use crate::realtime::pool_core::SharedPtr;
use crate::realtime::size_class::SizeClass;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl PoolControl {
    /// Changes the size classes. Each half installs them in its next quantum; buffers of retired classes drain as they
    /// are released.
    ///
    /// # Errors
    /// [`BadClasses`](PoolError::BadClasses); [`TooLarge`](PoolError::TooLarge) when a class is larger than the
    /// largest the pool was built with; [`TableFull`](PoolError::TableFull) while too many retired classes drain.
    pub fn set_classes(&mut self, sizes: &[usize]) -> Result<(), PoolError> {
        self.check_change(sizes)?;
        self.make_size_classes(sizes)?;
        let halves: Vec<_> = self.pool.halves().collect();
        let kept = |size: u32| {
            self.classes
                .iter()
                .find(|class| class.0 == size)
                .map_or(0, |class| class.1)
        };
        self.classes = sizes
            .iter()
            .map(|&size| (size as u32, kept(size as u32)))
            .collect();
        let largest = sizes.last().map_or(0, |&size| units(size) as u32);
        self.free.set_largest_class(largest);
        for size_class in self.pool.size_classes() {
            size_class.set_limit(if self.has_class(size_class.samples) {
                u32::MAX
            } else {
                0
            });
            if !self.has_class(size_class.samples) {
                size_class.set_target(0);
            }
        }
        for half in halves {
            self.publish_classes(half);
        }
        Ok(())
    }

    /// [`set_classes`](Self::set_classes) that carves buffers for new classes first, as far as there is room beside
    /// the old ones. They go to the first half; those of other halves are planned from what they miss then. A half
    /// with a mix of its own gets as many as it had, in the classes that will serve the same requests.
    pub(super) fn change_classes(&mut self, classes: &[ClassBuffers]) -> Result<(), PoolError> {
        let sizes: Vec<usize> = classes.iter().map(|class| class.samples).collect();
        self.check_change(&sizes)?;
        self.make_size_classes(&sizes)?;
        self.carve_replacements(&sizes)?;
        let wanted = classes
            .iter()
            .map(|class| class.samples.saturating_mul(class.buffers as usize))
            .fold(0, usize::saturating_add);
        let room = self.room_samples() + self.free.total() * UNIT_SAMPLES;
        let share = (room as f64 / wanted.max(1) as f64).min(1.0);
        let mut halves = self.pool.halves();
        let first = halves.find(|half| half.is_attached() && self.follows_demand(half.id));
        drop(halves);
        for class in classes {
            let size = class.samples as u32;
            let buffers = (f64::from(class.buffers) * share) as u32;
            let size_class = first
                .filter(|_| !self.has_class(size))
                .and_then(|half| self.size_class(half.id, size));
            if let Some(size_class) = size_class
                && self.carve(size_class, buffers).is_err()
            {
                // Free memory is too fragmented: the class starts empty and grows as old buffers are released.
                continue;
            }
        }
        self.set_classes(&sizes)
    }

    /// Checks whether the pool can change to these classes.
    fn check_change(&self, sizes: &[usize]) -> Result<(), PoolError> {
        check_classes(sizes.iter().copied())?;
        let largest = self.largest_ever();
        match sizes.last() {
            Some(&requested) if requested > largest => {
                Err(PoolError::TooLarge { requested, largest })
            }
            _ => Ok(()),
        }
    }

    /// For halves with a mix of their own: carves as many buffers of the replacement classes as the retiring classes
    /// have now, so that no fewer requests of a size are served at the same time; all or none. A class that drains
    /// already had its replacement carved.
    fn carve_replacements(&mut self, sizes: &[usize]) -> Result<(), PoolError> {
        let mut wanted: Vec<(SharedPtr<SizeClass>, u32)> = Vec::new();
        for size_class in self.pool.size_classes() {
            let goes = self.has_class(size_class.samples)
                && !sizes.contains(&(size_class.samples as usize));
            let is_empty = size_class.carved() == 0;
            if !goes
                || is_empty
                || !self.is_attached(size_class.half)
                || self.follows_demand(size_class.half)
            {
                continue;
            }
            let replacement = sizes
                .iter()
                .find(|&&size| size > size_class.samples as usize);
            let Some(replacement) =
                replacement.and_then(|&size| self.size_class(size_class.half, size as u32))
            else {
                continue;
            };
            match wanted.iter_mut().find(|(other, _)| *other == replacement) {
                Some((_, buffers)) => *buffers += size_class.carved(),
                None => wanted.push((replacement, size_class.carved())),
            }
        }
        for (replacement, buffers) in &mut wanted {
            if !self.has_class(replacement.samples) || replacement.carved() == 0 {
                // It also takes the requests that are now served by the next larger class.
                let mut serving = self.serving_classes(replacement.half).into_iter();
                let larger = serving.find(|class| class.samples > replacement.samples);
                *buffers = larger.map_or(0, |larger| larger.carved()).max(*buffers);
            }
            if !self.has_class(replacement.samples) {
                // A class that returns while it still drains.
                *buffers = buffers.saturating_sub(replacement.carved());
            }
        }
        for (done, &(replacement, buffers)) in wanted.iter().enumerate() {
            if let Err(error) = self.carve(replacement, buffers) {
                for &(replacement, buffers) in &wanted[..done] {
                    self.uncarve_newly_carved(&replacement, buffers);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn make_size_classes(&mut self, sizes: &[usize]) -> Result<(), PoolError> {
        let halves: Vec<_> = self.pool.halves().collect();
        for half in &halves {
            for &size in sizes {
                if self.size_class(half.id, size as u32).is_none() {
                    self.make_size_class(half.id, size as u32)?;
                }
            }
        }
        Ok(())
    }

    /// The largest class that the look-up can serve: the shift covers this many samples.
    const fn largest_ever(&self) -> usize {
        BUCKETS << self.shift
    }

    pub(super) fn publish_classes(&self, half: SharedPtr<Half>) {
        if let Some(table) = self.table_of(half) {
            half.publish(table);
        }
    }

    /// The size classes that serve the requests of a half, ascending. A half with a mix of its own is served by the
    /// classes it has buffers of, and by the largest: a class that was added later would refuse what the next larger
    /// one can serve. See `docs/decisions/0019-halves-with-a-mix-of-their-own-are-not-sized.md`.
    pub(super) fn serving_classes(&self, half: u16) -> Vec<SharedPtr<SizeClass>> {
        let mut active: Vec<_> = self
            .pool
            .size_classes()
            .filter(|size_class| size_class.half == half && self.has_class(size_class.samples))
            .collect();
        active.sort_unstable_by_key(|size_class| size_class.samples);
        let has_buffers = |size_class: &SharedPtr<SizeClass>| size_class.carved() > 0;
        if !self.follows_demand(half) && active.iter().any(has_buffers) {
            let largest = active.last().copied();
            active.retain(|size_class| has_buffers(size_class) || Some(*size_class) == largest);
        }
        active
    }

    /// The classes of a half as they are now; none only for a pool without classes.
    pub(super) fn table_of(&self, half: SharedPtr<Half>) -> Option<Box<ClassTable>> {
        let of_half = || {
            self.pool
                .size_classes()
                .filter(|size_class| size_class.half == half.id)
        };
        let active = self.serving_classes(half.id);
        let draining: Vec<_> = of_half()
            .filter(|size_class| !self.has_class(size_class.samples) && size_class.carved() > 0)
            .collect();
        ClassTable::new(self.shift, &active, &draining).map(Box::new)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "class_change_tests.rs"]
mod tests;

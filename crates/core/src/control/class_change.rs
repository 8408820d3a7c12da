//! Changes the size classes while the pool is in use.

use super::pool_control::PoolControl;
use super::sizing_step::ClassBuffers;
use crate::error::PoolError;
use crate::limits::{UNIT_SAMPLES, units};
use crate::realtime::half::Half;
use crate::realtime::size_class::SizeClass;
use alloc::vec::Vec;

impl PoolControl {
    /// Changes the size classes. Each half installs them in its next quantum; buffers of retired classes drain as they
    /// are released.
    ///
    /// # Errors
    /// [`BadClasses`](PoolError::BadClasses); [`TooLarge`](PoolError::TooLarge) when a class is larger than the
    /// largest the pool was built with; [`TableFull`](PoolError::TableFull) while too many retired classes drain.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let (mut control, _audio) = BufferPool::builder().class(256, 4).limit_samples(8192).build()?;
    /// control.set_classes(&[128, 256])?;
    /// assert!(control.classes().eq([128, 256]));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn set_classes(&mut self, sizes: &[usize]) -> Result<(), PoolError> {
        self.plan.check_change(sizes)?;
        self.make_size_classes(sizes)?;
        self.plan.set_sizes(sizes);
        let largest = sizes.last().map_or(0, |&size| units(size) as u32);
        self.carver.arena.free.set_largest_class(largest);
        for size_class in self.pool.size_classes() {
            if self.plan.has_class(size_class.samples) {
                size_class.set_limit(u32::MAX);
            } else {
                size_class.set_limit(0);
                size_class.shared.target.set(0);
            }
        }
        for half in self.half_ids() {
            self.plan.publish(&mut self.pool, half);
        }
        Ok(())
    }

    /// [`set_classes`](Self::set_classes) that carves buffers for new classes first, as far as there is room beside
    /// the old ones. They go to the first half; those of other halves are planned from what they miss then. A half
    /// with a mix of its own gets as many as it had, in the classes that will serve the same requests.
    pub(super) fn change_classes(&mut self, classes: &[ClassBuffers]) -> Result<(), PoolError> {
        let sizes: Vec<usize> = classes.iter().map(|class| class.samples).collect();
        self.plan.check_change(&sizes)?;
        self.make_size_classes(&sizes)?;
        self.carve_replacements(&sizes)?;
        let wanted = classes
            .iter()
            .map(|class| class.samples.saturating_mul(class.buffers as usize))
            .fold(0, usize::saturating_add);
        let arena = &self.carver.arena;
        let room = arena.room_samples() + arena.free.total() * UNIT_SAMPLES;
        let share = (room as f64 / wanted.max(1) as f64).min(1.0);
        let can_take = |half: &&Half| half.is_attached() && self.plan.follows_demand(half.id);
        let first = self.pool.halves().find(can_take).map(|half| half.id);
        for class in classes {
            let size = class.samples as u32;
            let buffers = (f64::from(class.buffers) * share) as u32;
            let size_class = first
                .filter(|_| !self.plan.has_class(size))
                .and_then(|half| self.pool.find_size_class(half, size));
            if let Some(size_class) = size_class {
                // If free memory is too fragmented, the class starts empty and grows as old buffers are released.
                let _ = self.carver.carve(&self.pool, size_class, buffers);
            }
        }
        self.set_classes(&sizes)
    }

    /// For halves with a mix of their own: carves as many buffers of the replacement classes as the retiring classes
    /// have now, so that no fewer requests of a size are served at the same time; all or none. A class that drains
    /// already had its replacement carved.
    fn carve_replacements(&mut self, sizes: &[usize]) -> Result<(), PoolError> {
        let (pool, plan) = (&self.pool, &self.plan);
        let mut wanted: Vec<(&SizeClass, u32)> = Vec::new();
        let retiring = |size_class: &&SizeClass| {
            plan.has_class(size_class.samples)
                && !sizes.contains(&(size_class.samples as usize))
                && size_class.carved() > 0
                && pool.is_attached(size_class.half)
                && !plan.follows_demand(size_class.half)
        };
        for size_class in pool.size_classes().filter(retiring) {
            let mut larger = sizes
                .iter()
                .filter(|&&size| size > size_class.samples as usize);
            let replacement = larger
                .next()
                .and_then(|&size| pool.find_size_class(size_class.half, size as u32));
            let Some(replacement) = replacement else {
                continue;
            };
            match wanted
                .iter_mut()
                .find(|(other, _)| other.id == replacement.id)
            {
                Some((_, buffers)) => *buffers += size_class.carved(),
                None => wanted.push((replacement, size_class.carved())),
            }
        }
        for (replacement, buffers) in &mut wanted {
            if !plan.has_class(replacement.samples) || replacement.carved() == 0 {
                // It also takes the requests that are now served by the next larger class.
                let mut serving = plan.serving(pool, replacement.half).into_iter();
                let larger = serving.find(|class| class.samples > replacement.samples);
                *buffers = larger.map_or(0, SizeClass::carved).max(*buffers);
            }
            if !plan.has_class(replacement.samples) {
                // A class that returns while it still drains.
                *buffers = buffers.saturating_sub(replacement.carved());
            }
        }
        for (done, &(replacement, buffers)) in wanted.iter().enumerate() {
            if let Err(error) = self.carver.carve(pool, replacement, buffers) {
                for &(replacement, buffers) in &wanted[..done] {
                    self.carver.uncarve_newly_carved(pool, replacement, buffers);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn make_size_classes(&mut self, sizes: &[usize]) -> Result<(), PoolError> {
        for half in self.half_ids() {
            for &size in sizes {
                self.plan
                    .make_size_class(&mut self.pool, half, size as u32)?;
            }
        }
        Ok(())
    }

    pub(super) fn half_ids(&self) -> Vec<u16> {
        self.pool.halves().map(|half| half.id).collect()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "class_change_tests.rs"]
mod tests;

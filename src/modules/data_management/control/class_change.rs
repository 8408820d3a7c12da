//! Changes the size classes while the pool is in use.

use super::arena::{UNIT_SAMPLES, units};
use super::pool_builder::check_classes;
use super::pool_control::PoolControl;
use crate::modules::data_management::error::PoolError;
use crate::modules::data_management::realtime::class_table::{BUCKETS, ClassTable};
use crate::modules::data_management::realtime::half::Half;
use crate::modules::data_management::realtime::pool_core::SharedPtr;
use crate::modules::data_management::realtime::size_class::SizeClass;
use crate::modules::data_management::sizing::sizing_profile::ClassBuffers;

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
    /// have now; all or none. A class that drains already had its replacement carved.
    fn carve_replacements(&mut self, sizes: &[usize]) -> Result<(), PoolError> {
        let mut wanted: Vec<(SharedPtr<SizeClass>, u32)> = Vec::new();
        for size_class in self.pool.size_classes() {
            let goes = self.has_class(size_class.samples)
                && !sizes.contains(&(size_class.samples as usize));
            if !goes || !self.is_attached(size_class.half) || self.follows_demand(size_class.half) {
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

    /// The classes of a half as they are now; none only for a pool without classes.
    pub(super) fn table_of(&self, half: SharedPtr<Half>) -> Option<Box<ClassTable>> {
        let of_half = || {
            self.pool
                .size_classes()
                .filter(|size_class| size_class.half == half.id)
        };
        let mut active: Vec<_> = of_half()
            .filter(|size_class| self.has_class(size_class.samples))
            .collect();
        active.sort_unstable_by_key(|size_class| size_class.samples);
        let draining: Vec<_> = of_half()
            .filter(|size_class| !self.has_class(size_class.samples) && size_class.carved() > 0)
            .collect();
        ClassTable::new(self.shift, &active, &draining).map(Box::new)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::modules::data_management::BufferPool;
    use crate::modules::data_management::control::pool_control::settle;
    use crate::modules::data_management::sizing::sizing_plan::SizingStep;

    fn change(control: &mut PoolControl, classes: &[(usize, u32)]) -> Result<(), PoolError> {
        let classes = classes.iter().map(|&(samples, buffers)| ClassBuffers {
            samples,
            buffers: buffers as _,
        });
        control.apply(&SizingStep::SetClasses {
            classes: classes.collect(),
        })
    }

    #[test]
    fn class_change_drains_old_classes() {
        let (mut control, mut half) = BufferPool::builder()
            .class(256, 4)
            .class(1024, 4)
            .limit_samples(1 << 16)
            .build()
            .unwrap();
        let old = half.acquire(200).unwrap();
        control.set_classes(&[384, 1024]).unwrap();
        control.grow(384, 4).unwrap();
        assert_eq!(old.capacity(), 256);
        settle(&mut control, &mut half);
        assert_eq!(half.acquire(200).unwrap().capacity(), 384);
        drop(old);
        settle(&mut control, &mut half);
        let metrics = control.metrics();
        assert_eq!(control.classes().collect::<Vec<_>>(), [384, 1024]);
        assert_eq!(metrics.total_allocations, 2);
        assert_eq!(metrics.leased, 0);
        assert!(
            metrics
                .classes
                .iter()
                .all(|class| !class.retired || class.carved == 0)
        );
        assert_eq!(
            control.set_classes(&[2048]),
            Err(PoolError::TooLarge {
                requested: 2048,
                largest: 1024
            })
        );
        assert!(matches!(
            control.set_classes(&[512, 256]),
            Err(PoolError::BadClasses { .. })
        ));
    }

    #[test]
    fn class_change_keeps_a_class_until_its_last_buffer_is_back() {
        let (mut control, mut half) = BufferPool::builder()
            .class(64, 50)
            .class(128, 1)
            .build()
            .unwrap();
        control.set_classes(&[128]).unwrap();
        for quantum in 0..20 {
            half.begin_quantum(quantum);
        }
        for quantum in 0..10 {
            assert!(!control.step(1).complete);
            half.begin_quantum(quantum);
            assert!(control.is_valid());
            assert!(
                control
                    .slots()
                    .all(|slot| slot.samples == 64 || slot.samples == 128)
            );
        }
        settle(&mut control, &mut half);
        assert_eq!(control.slots().count(), 1);
    }

    #[test]
    fn class_change_refused_leaves_nothing_carved() {
        let (mut control, half) = BufferPool::builder()
            .class(64, 0)
            .class(256, 0)
            .class(1024, 1)
            .limit_samples(1024 + 4 * (64 + 256) + 4 * 80 + 256)
            .build()
            .unwrap();
        let own = control.attach_with(&[(64, 4), (256, 4)]).unwrap();
        let before = control.bytes_held();
        for _ in 0..3 {
            let refused = change(&mut control, &[(80, 0), (320, 0), (1024, 0)]);
            assert!(matches!(refused, Err(PoolError::LimitReached { .. })));
            assert_eq!((control.bytes_held(), control.is_valid()), (before, true));
        }
        assert_eq!(control.classes().collect::<Vec<_>>(), [64, 256, 1024]);
        drop((own, half));
    }

    #[test]
    fn class_change_replaces_a_draining_class_once() {
        let (mut control, mut half) = BufferPool::builder()
            .class(64, 0)
            .class(1024, 1)
            .limit_samples(1 << 16)
            .build()
            .unwrap();
        let mut own = control.attach_with(&[(64, 4)]).unwrap();
        let held = own.acquire(64).unwrap();
        for size in [80, 96, 112] {
            change(&mut control, &[(size, 0), (1024, 1)]).unwrap();
            for _ in 0..4 {
                own.begin_quantum(0);
                settle(&mut control, &mut half);
            }
        }
        let metrics = control.metrics();
        let replacement = metrics.classes.iter().find(|class| class.samples == 112);
        assert_eq!(replacement.map(|class| class.carved), Some(4));
        drop(held);
    }

    #[test]
    fn class_change_to_too_large_classes_is_refused_before_anything_is_carved() {
        let (mut control, _half) = BufferPool::builder()
            .class(64, 2)
            .limit_samples(1 << 20)
            .build()
            .unwrap();
        let before = control.bytes_held();
        let size_classes = control.pool.size_classes().count();
        assert!(matches!(
            change(&mut control, &[(128, 2), (1 << 14, 2)]),
            Err(PoolError::TooLarge { .. })
        ));
        assert_eq!(control.bytes_held(), before);
        assert_eq!(control.pool.size_classes().count(), size_classes);
        change(&mut control, &[(256, u32::MAX)]).unwrap();
        assert!(control.is_valid());
    }

    #[test]
    fn class_change_reaches_a_detached_half() {
        let (mut control, mut half) = BufferPool::builder()
            .class(64, 2)
            .class(256, 2)
            .limit_samples(1 << 12)
            .build()
            .unwrap();
        let gone = control.attach().unwrap();
        drop(gone);
        control.set_classes(&[128, 256]).unwrap();
        settle(&mut control, &mut half);
        let retired = |size_class: &SharedPtr<SizeClass>| size_class.samples == 64;
        assert_eq!(control.pool.size_classes().filter(retired).count(), 0);
        let next = control.attach_with(&[(128, 1)]).unwrap();
        assert_eq!(next.acquire(60).unwrap().capacity(), 128);
    }
}

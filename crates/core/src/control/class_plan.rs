//! Which size classes a pool has, and which of them serve which half.

use crate::error::PoolError;
use crate::realtime::class_table::{BUCKETS, MAX_CLASSES, bucket_shift};
use crate::realtime::pool_core::{ControlRef, HalfClasses};
use crate::realtime::pool_state::OnRelease;
use crate::realtime::size_class::SizeClass;
use crate::realtime::slot_table::MAX_SAMPLES;
use alloc::vec::Vec;

/// See the module.
pub(super) struct ClassPlan {
    /// Size classes, ascending, and how many buffers of each a newly attached half gets.
    pub(super) classes: Vec<(u32, u32)>,
    /// Buffers by class that the host configured for halves attached since [`take_attached`](Self::take_attached) was
    /// last called. Without those of a mix that an earlier run learned.
    attached: Vec<(u32, u32)>,
    is_learned: bool,
    /// Halves with a mix of their own, each with the number of its attachment.
    own_mix: Vec<(u16, u32)>,
    /// Halves attached with a mix of their own so far.
    attachments: u32,
    shift: u32,
    /// Local buffers of each class that only critical acquires may take.
    pub(super) reserve: u32,
    on_release: OnRelease,
}

impl ClassPlan {
    /// The `classes` are ascending.
    pub(super) fn new(
        classes: Vec<(u32, u32)>,
        is_learned: bool,
        reserve: u32,
        on_release: OnRelease,
    ) -> Self {
        let largest = classes.last().map_or(1, |&(samples, _)| samples as usize);
        Self {
            classes,
            attached: Vec::new(),
            is_learned,
            own_mix: Vec::new(),
            attachments: 0,
            shift: bucket_shift(largest),
            reserve,
            on_release,
        }
    }

    pub(super) fn has_class(&self, samples: u32) -> bool {
        self.classes.iter().any(|&(class, _)| class == samples)
    }

    /// The size classes, ascending.
    pub(super) fn sizes(&self) -> impl Iterator<Item = usize> {
        self.classes.iter().map(|&(samples, _)| samples as usize)
    }

    /// The samples of a class that there is.
    pub(super) fn known(&self, samples: usize) -> Result<u32, PoolError> {
        let class = u32::try_from(samples).ok();
        let class = class.filter(|&class| self.has_class(class));
        class.ok_or_else(|| self.unknown_class(samples))
    }

    pub(super) fn unknown_class(&self, samples: usize) -> PoolError {
        let nearest = self.sizes().min_by_key(|class| class.abs_diff(samples));
        PoolError::UnknownClass {
            samples,
            nearest: nearest.unwrap_or(0),
        }
    }

    /// Changes to other sizes; those that stay keep their number of buffers.
    pub(super) fn set_sizes(&mut self, sizes: &[usize]) {
        let kept = |size: u32| self.classes.iter().find(|class| class.0 == size);
        let class = |&size: &usize| (size as u32, kept(size as u32).map_or(0, |class| class.1));
        self.classes = sizes.iter().map(class).collect();
    }

    /// Checks whether the pool can change to these sizes: the look-up serves no larger ones than the shift covers.
    pub(super) fn check_change(&self, sizes: &[usize]) -> Result<(), PoolError> {
        check_classes(sizes.iter().copied())?;
        let largest = BUCKETS << self.shift;
        match sizes.last() {
            Some(&requested) if requested > largest => {
                Err(PoolError::TooLarge { requested, largest })
            }
            _ => Ok(()),
        }
    }

    /// Whether the half was attached with the pool's mix: sizing plans name a class for all of these halves together.
    /// See `docs/decisions/0019-halves-with-a-mix-of-their-own-are-sized-one-by-one.md`.
    pub(super) fn follows_demand(&self, half: u16) -> bool {
        self.attachment(half).is_none()
    }

    /// The number of the attachment of a half with a mix of its own: another one each time.
    pub(super) fn attachment(&self, half: u16) -> Option<u32> {
        let mut own_mix = self.own_mix.iter();
        let found = own_mix.find(|&&(id, _)| id == half);
        found.map(|&(_, attachment)| attachment)
    }

    /// Notes the mix with which a half was attached: one of its own, or the pool's.
    pub(super) fn note_attached(&mut self, half: u16, mix: &[(u32, u32)], own: bool) {
        self.own_mix.retain(|&(id, _)| id != half);
        if own {
            self.attachments = self.attachments.wrapping_add(1);
            self.own_mix.push((half, self.attachments));
        } else if !self.is_learned {
            for &(samples, buffers) in mix {
                match self.attached.iter_mut().find(|class| class.0 == samples) {
                    Some(class) => class.1 = class.1.saturating_add(buffers),
                    None => self.attached.push((samples, buffers)),
                }
            }
        }
    }

    /// The mix that the host configured for halves attached since the last call.
    pub(super) fn take_attached(&mut self) -> Vec<(u32, u32)> {
        core::mem::take(&mut self.attached)
    }

    /// The largest size of each step of the demand histogram.
    pub(super) fn demand_steps(&self) -> impl Iterator<Item = usize> + use<> {
        let shift = self.shift;
        (1..=BUCKETS).map(move |step| step << shift)
    }

    /// Makes the size class of a half, if there is none. Returns its number.
    pub(super) fn make_size_class(
        &self,
        pool: &mut ControlRef,
        half: u16,
        samples: u32,
    ) -> Result<u16, PoolError> {
        match pool.find_size_class(half, samples) {
            Some(size_class) => Ok(size_class.id),
            None => pool.add_size_class(self.on_release, half, samples, self.reserve),
        }
    }

    /// The size classes that serve the requests of a half, ascending. A half with a mix of its own is served by the
    /// classes it has buffers of, and by the largest: a class that was added later would refuse what the next larger
    /// one can serve. See `docs/decisions/0019-halves-with-a-mix-of-their-own-are-sized-one-by-one.md`.
    pub(super) fn serving<'pool>(
        &self,
        pool: &'pool ControlRef,
        half: u16,
    ) -> Vec<&'pool SizeClass> {
        let of_half = pool.size_classes_of(half);
        let mut active: Vec<_> = of_half
            .filter(|size_class| self.has_class(size_class.samples))
            .collect();
        active.sort_unstable_by_key(|size_class| size_class.samples);
        let has_buffers = |size_class: &SizeClass| size_class.carved() > 0;
        if !self.follows_demand(half) && active.iter().any(|&active| has_buffers(active)) {
            let largest = active.last().map(|largest| largest.id);
            active.retain(|size_class| has_buffers(size_class) || Some(size_class.id) == largest);
        }
        active
    }

    /// Calls `publish` with the classes of a half as they are now.
    pub(super) fn with_classes_of<T>(
        &self,
        pool: &mut ControlRef,
        half: u16,
        publish: impl FnOnce(&mut ControlRef, &HalfClasses<'_>) -> T,
    ) -> T {
        let serving = self.serving(pool, half);
        let active: Vec<_> = serving.iter().map(|size_class| size_class.id).collect();
        let is_draining = |size_class: &&SizeClass| {
            !self.has_class(size_class.samples) && size_class.carved() > 0
        };
        let draining = pool.size_classes_of(half).filter(is_draining);
        let draining: Vec<_> = draining.map(|size_class| size_class.id).collect();
        let classes = HalfClasses {
            shift: self.shift,
            active: &active,
            draining: &draining,
        };
        publish(pool, &classes)
    }

    /// Offers the classes of a half, as they are now, to its owner.
    pub(super) fn publish(&self, pool: &mut ControlRef, half: u16) {
        self.with_classes_of(pool, half, |pool, classes| {
            pool.publish_classes(half, classes)
        });
    }

    pub(super) const fn heap_bytes(&self) -> usize {
        (self.classes.capacity() + self.attached.capacity()) * size_of::<(u32, u32)>()
            + self.own_mix.capacity() * size_of::<(u16, u32)>()
    }
}

/// Whether sizes, ascending, can be the classes of a pool.
pub(super) fn check_classes(sizes: impl Iterator<Item = usize> + Clone) -> Result<(), PoolError> {
    let count = sizes.clone().count();
    let ascending = sizes.clone().zip(sizes.clone().skip(1)).all(|(a, b)| a < b);
    let smallest = sizes.clone().min().unwrap_or(0);
    let largest = sizes.max().unwrap_or(0);
    if count == 0 || count > MAX_CLASSES || smallest == 0 || !ascending {
        return Err(PoolError::BadClasses {
            count,
            smallest,
            most: MAX_CLASSES,
        });
    }
    if largest > MAX_SAMPLES {
        return Err(PoolError::TooLarge {
            requested: largest,
            largest: MAX_SAMPLES,
        });
    }
    Ok(())
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "class_plan_tests.rs"]
mod tests;

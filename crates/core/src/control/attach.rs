//! Makes real-time halves, and attaches those again whose owner was dropped.

use super::pool_control::PoolControl;
use crate::error::{PoolError, Table};
use crate::realtime::class_table::{ClassTable, MAX_CLASSES};
use crate::realtime::half::Half;
use crate::realtime::pool_core::{MAX_HALVES, SharedPtr};
use crate::realtime::realtime_pool::RealtimePool;
use crate::realtime::size_class::SizeClass;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl PoolControl {
    /// Attaches a further real-time half, with the mix of the builder. A half whose owner was dropped is used again:
    /// its idle buffers return to the arena first, and requests to its former owner ([`trim`](Self::trim),
    /// [`shrink`](Self::shrink), [`replenish_below`](Self::replenish_below)) end. Its buffers that are still in use
    /// return to it.
    ///
    /// It has no buffers of classes that came after the pool was built until [`step`](Self::step) has seen requests
    /// for them, and sizing gives to other halves what it does not use for long. For buffers from the first request
    /// on, or for a rare burst, name their number: [`attach_with`](Self::attach_with).
    ///
    /// # Errors
    /// [`LimitReached`](PoolError::LimitReached) when arena and limit have no room for another mix;
    /// [`TableFull`](PoolError::TableFull), [`OutOfMemory`](PoolError::OutOfMemory).
    pub fn attach(&mut self) -> Result<RealtimePool, PoolError> {
        let mix = self.classes.clone();
        self.attach_mix(&mix, false)
    }

    /// [`attach`](Self::attach) with a mix of its own, `(class samples, buffers)`. For a half whose needs are known,
    /// such as a stream's or an engine's: no sizing plan takes from it or counts on it. Requests for a class that is
    /// left out, or that is added to the pool later, are served by the next larger class of the mix.
    ///
    /// # Errors
    /// As for `attach`; [`UnknownClass`](PoolError::UnknownClass), and
    /// [`ClassGivenTwice`](PoolError::ClassGivenTwice).
    pub fn attach_with(&mut self, mix: &[(usize, u32)]) -> Result<RealtimePool, PoolError> {
        let mut rest = mix.iter();
        while let Some(&(samples, _)) = rest.next() {
            if rest.as_slice().iter().any(|&(other, _)| other == samples) {
                return Err(PoolError::ClassGivenTwice { samples });
            }
        }
        let known = |&(samples, buffers): &(usize, u32)| {
            let class = u32::try_from(samples).ok();
            let class = class.filter(|&class| self.has_class(class));
            let class = class.ok_or_else(|| self.unknown_class(samples))?;
            Ok((class, buffers))
        };
        let mix = mix
            .iter()
            .map(known)
            .collect::<Result<Vec<_>, PoolError>>()?;
        self.attach_mix(&mix, true)
    }

    fn attach_mix(&mut self, mix: &[(u32, u32)], own: bool) -> Result<RealtimePool, PoolError> {
        let unowned = self.pool.halves().find(|half| !half.is_attached());
        let half = match unowned {
            Some(half) => {
                half.apply_while_detached();
                self.forget_owner(half);
                half.attach();
                half
            }
            None => self.make_half()?,
        };
        // Made before it is filled: if that fails, its drop detaches the half.
        let mut realtime = RealtimePool::new(self.pool.new_pool_ref(), half, self.options);
        let wanted = |&(samples, buffers): &(u32, u32)| {
            let size_class = self.size_class(half.id, samples)?;
            (buffers > 0).then_some((size_class, buffers))
        };
        let wanted: Vec<_> = mix.iter().filter_map(wanted).collect();
        self.carve_mix(&wanted)?;
        let followed_demand = self.follows_demand(half.id);
        if followed_demand == own {
            for size_class in self
                .pool
                .size_classes()
                .filter(|size_class| size_class.half == half.id)
            {
                self.past.take_over(&size_class, followed_demand);
            }
        }
        self.own_mix.retain(|&id| id != half.id);
        if own {
            self.own_mix.push(half.id);
        } else if !self.is_learned {
            self.note_attached(mix);
        }
        self.publish_classes(half);
        realtime.install_pending_table();
        half.collect_retired();
        Ok(realtime)
    }

    fn note_attached(&mut self, mix: &[(u32, u32)]) {
        for &(samples, buffers) in mix {
            match self.attached.iter_mut().find(|class| class.0 == samples) {
                Some(class) => class.1 = class.1.saturating_add(buffers),
                None => self.attached.push((samples, buffers)),
            }
        }
    }

    /// The mix that the host configured for halves attached since the last call.
    #[doc(hidden)]
    pub fn take_attached(&mut self) -> Vec<(u32, u32)> {
        core::mem::take(&mut self.attached)
    }

    /// Ends the requests to the former owner of a half, and returns its idle buffers to the arena: see
    /// `docs/decisions/0018-requests-to-an-owner-end-with-it.md`.
    fn forget_owner(&mut self, half: SharedPtr<Half>) {
        let size_classes: Vec<_> = self
            .pool
            .size_classes()
            .filter(|size_class| size_class.half == half.id)
            .collect();
        for size_class in size_classes {
            self.drain(&size_class, 0);
            size_class.set_target(0);
            let is_retired = !self.has_class(size_class.samples);
            size_class.set_limit(if is_retired { 0 } else { u32::MAX });
            self.return_idle_to_arena(&size_class);
        }
    }

    pub(super) fn make_half(&mut self) -> Result<SharedPtr<Half>, PoolError> {
        let id = self.pool.next_half().ok_or(PoolError::TableFull {
            table: Table::Halves,
            capacity: MAX_HALVES,
        })?;
        let sizes: Vec<u32> = self.classes.iter().map(|&(samples, _)| samples).collect();
        let mut size_classes = Vec::with_capacity(sizes.len());
        for samples in sizes {
            match self.make_size_class(id, samples) {
                Ok(size_class) => size_classes.push(size_class),
                Err(error) => {
                    for size_class in size_classes {
                        self.pool.remove_if_unused(size_class);
                    }
                    return Err(error);
                }
            }
        }
        let table =
            ClassTable::new(self.shift, &size_classes, &[]).ok_or(PoolError::BadClasses {
                count: size_classes.len(),
                smallest: 0,
                most: MAX_CLASSES,
            })?;
        self.pool.add_half(|id| Half::new(id, Box::new(table)))
    }

    pub(super) fn make_size_class(
        &mut self,
        half: u16,
        samples: u32,
    ) -> Result<SharedPtr<SizeClass>, PoolError> {
        let (core, on_release, reserve) = (self.pool.core(), self.on_release, self.reserve);
        self.pool
            .add_size_class(|id| SizeClass::new(core, on_release, (half, id), samples, reserve))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "attach_tests.rs"]
mod tests;

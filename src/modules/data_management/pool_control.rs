//! The half that may allocate: it carves, grows, collects, measures, and attaches real-time halves.

use super::accounts::bytes;
use super::arena::{FreeRuns, MemorySource, UNIT_SAMPLES};
use super::class_table::{ClassTable, bucket_shift};
use super::error::PoolError;
use super::free_list::{Chain, Shelf};
use super::pool_builder::{PoolBuilder, check_classes};
use super::pool_core::{ControlAnchor, Core, Half, Pinned};
use super::pool_events::PoolGrown;
use super::pool_metrics::ClassMetrics;
use super::realtime_pool::{HalfOptions, RealtimePool};
use super::sizing_plan::SizingStep;
use super::sizing_profile::ClassBuffers;
use super::unshared::Unshared;
use crate::event_bus::{Event, Publisher};
/// The control half: one per pool, on whatever thread may take its time.
///
/// # Real-time
/// Nothing here is for the audio thread: methods allocate. None of them blocks a real-time half.
///
/// # Drop
/// Real-time halves and handles go on working; what they shed is no longer collected. The memory is freed when the last
/// of control, halves and handles goes, by whoever that is.
pub struct PoolControl {
    /// What is free in the arena.
    pub(super) free: FreeRuns,
    /// Slots that have no memory.
    pub(super) spare: Chain,
    /// Collected buffers on their way back to the arena, with the units each of them has.
    pub(super) collected: (Chain, u32),
    /// Size classes, ascending, and how many buffers of each a newly attached half gets.
    pub(super) classes: Vec<(u32, u32)>,
    /// Halves with a mix of their own: what their owner said they need is theirs, and sizing leaves them alone.
    pub(super) own_mix: Vec<u16>,
    /// What shelves counted that are gone.
    pub(super) past: Vec<ClassMetrics>,
    pub(super) shift: u32,
    pub(super) reserve: u32,
    pub(super) reserved_units: usize,
    pub(super) limit_units: usize,
    /// What recycled vectors take of the limit.
    pub(super) shelved_samples: usize,
    pub(super) regions: u8,
    pub(super) options: HalfOptions,
    pub(super) source: MemorySource,
    pub(super) prefault: bool,
    pub(super) leases_reclaimed: u64,
    pub(super) buffers_leaked: u64,
    /// Buffers told as leaked that are still out.
    pub(super) leaks_told: Vec<u32>,
    publisher: Unshared<Option<Publisher>>,
    pub(super) anchor: ControlAnchor,
}

impl PoolControl {
    pub(super) fn new(core: Core, builder: &PoolBuilder, limit_units: usize) -> Self {
        let largest = builder.mix.last().map_or(1, |&(samples, _)| samples);
        Self {
            free: FreeRuns::default(),
            spare: Chain::EMPTY,
            collected: (Chain::EMPTY, 0),
            classes: builder
                .mix
                .iter()
                .map(|&(samples, buffers)| (samples as u32, buffers))
                .collect(),
            own_mix: Vec::new(),
            past: Vec::new(),
            shift: bucket_shift(largest),
            reserve: builder.reserve(),
            reserved_units: 0,
            limit_units,
            shelved_samples: 0,
            regions: 0,
            options: HalfOptions {
                borrow: builder.borrows(),
                sample_every: builder.sample_every(),
            },
            source: builder.source(),
            prefault: builder.prefaults(),
            leases_reclaimed: 0,
            buffers_leaked: 0,
            leaks_told: Vec::new(),
            publisher: Unshared::new(None),
            anchor: ControlAnchor::new(core),
        }
    }

    /// Events of the control half go out here.
    pub fn attach_publisher(&mut self, publisher: Publisher) {
        *self.publisher.get() = Some(publisher);
    }

    pub(super) fn tell<E: Event>(&mut self, event: E) {
        if let Some(publisher) = self.publisher.get() {
            publisher.publish(event);
        }
    }

    /// A further real-time half, with the mix of the builder. A half whose owner was dropped is taken over with what it
    /// has, and filled up.
    ///
    /// # Errors
    /// [`LimitReached`](PoolError::LimitReached) when arena and limit do not hold another mix;
    /// [`TableFull`](PoolError::TableFull), [`OutOfMemory`](PoolError::OutOfMemory).
    pub fn attach(&mut self) -> Result<RealtimePool, PoolError> {
        let mix = self.classes.clone();
        self.attach_mix(&mix, false)
    }

    /// [`attach`](Self::attach) with a mix of its own, `(class samples, buffers)`; classes left out start empty. For a
    /// half whose needs are known, a stream's or an engine's: no sizing plan takes from it or counts on it.
    ///
    /// # Errors
    /// As for `attach`; [`UnknownClass`](PoolError::UnknownClass).
    pub fn attach_with(&mut self, mix: &[(usize, u32)]) -> Result<RealtimePool, PoolError> {
        let mix: Vec<_> = mix
            .iter()
            .map(|&(samples, buffers)| (samples as u32, buffers))
            .collect();
        if let Some(&(samples, _)) = mix.iter().find(|&&(samples, _)| !self.has_class(samples)) {
            return Err(PoolError::UnknownClass {
                samples: samples as usize,
            });
        }
        self.attach_mix(&mix, true)
    }

    fn attach_mix(&mut self, mix: &[(u32, u32)], own: bool) -> Result<RealtimePool, PoolError> {
        let orphan = self.anchor.halves().find(|half| !half.is_attached());
        let half = match orphan {
            Some(half) => {
                half.adopt();
                half
            }
            None => self.make_half()?,
        };
        self.own_mix.retain(|&id| id != half.id);
        if own {
            self.own_mix.push(half.id);
        }
        // Made before it is filled: if that fails, its drop hands what it got to the next step.
        let realtime = RealtimePool::new(self.anchor.another(), half, self.options);
        // Largest first: each begins where its size divides the place.
        for &(samples, buffers) in mix.iter().rev() {
            if let Some(shelf) = self.shelf(half.id, samples) {
                self.carve(shelf, buffers.saturating_sub(shelf.idle()))?;
            }
        }
        Ok(realtime)
    }

    pub(super) fn make_half(&mut self) -> Result<Pinned<Half>, PoolError> {
        let id = self.anchor.next_half().unwrap_or(u16::MAX);
        let sizes: Vec<u32> = self.classes.iter().map(|&(samples, _)| samples).collect();
        let mut shelves = Vec::with_capacity(sizes.len());
        for samples in sizes {
            shelves.push(self.make_shelf(id, samples)?);
        }
        let table =
            ClassTable::new(self.shift, &shelves, Vec::new()).ok_or(PoolError::BadClasses {
                count: 0,
                smallest: 0,
                most: 0,
            })?;
        self.anchor.add_half(|id| Half::new(id, Box::new(table)))
    }

    fn make_shelf(&mut self, half: u16, samples: u32) -> Result<Pinned<Shelf>, PoolError> {
        let (core, reserve) = (self.anchor.core(), self.reserve);
        self.anchor
            .add_shelf(|id| Shelf::new(core, id, half, samples, reserve))
    }

    pub(super) fn shelf(&self, half: u16, samples: u32) -> Option<Pinned<Shelf>> {
        self.anchor
            .shelves()
            .find(|shelf| shelf.half == half && shelf.samples == samples)
    }

    pub(super) fn has_class(&self, samples: u32) -> bool {
        self.classes.iter().any(|&(class, _)| class == samples)
    }

    /// More buffers for a class, from the arena or, within the limit, from a new region. They go to the half that
    /// came closest to running out of that class; all or none.
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass), [`LimitReached`](PoolError::LimitReached),
    /// [`TableFull`](PoolError::TableFull), [`OutOfMemory`](PoolError::OutOfMemory).
    pub fn grow(&mut self, class_samples: usize, count: u32) -> Result<(), PoolError> {
        self.grow_where(class_samples, count, |_, _| true)
    }

    fn grow_where(
        &mut self,
        class_samples: usize,
        count: u32,
        may_grow: impl Fn(&Self, u16) -> bool,
    ) -> Result<(), PoolError> {
        let unknown = PoolError::UnknownClass {
            samples: class_samples,
        };
        let size = u32::try_from(class_samples)
            .ok()
            .filter(|&size| self.has_class(size))
            .ok_or(unknown)?;
        let attached = |shelf: &Pinned<Shelf>| {
            shelf.samples == size && self.is_attached(shelf.half) && may_grow(self, shelf.half)
        };
        let shelf = self
            .anchor
            .shelves()
            .filter(attached)
            .min_by_key(headroom)
            .ok_or(unknown)?;
        let kept = self.keep_draining(&shelf, count);
        self.carve(shelf, count - kept)?;
        if shelf.limit() < shelf.idle() {
            shelf.set_limit(u32::MAX);
        }
        self.tell(PoolGrown {
            class_samples: size,
            count,
            bytes_held: self.bytes_held() as u64,
            bytes_reserved: bytes(self.reserved_units) as u64,
        });
        Ok(())
    }

    pub(super) fn is_attached(&self, half: u16) -> bool {
        self.anchor
            .halves()
            .any(|other| other.id == half && other.is_attached())
    }

    /// Whether a half's buffers are sized by demand, not by its owner.
    pub(super) fn follows_demand(&self, half: u16) -> bool {
        !self.own_mix.contains(&half)
    }

    /// Sheds idle buffers of a class above `keep` in each half: each quantum a few, collected by [`step`](Self::step).
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass).
    pub fn trim(&mut self, class_samples: usize, keep: u32) -> Result<(), PoolError> {
        self.each_shelf(class_samples, |shelf| shelf.set_limit(keep))
    }

    /// Lets each [`step`](Self::step) fill a class of each half up to `idle` idle buffers.
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass).
    pub fn replenish_below(&mut self, class_samples: usize, idle: u32) -> Result<(), PoolError> {
        self.each_shelf(class_samples, |shelf| shelf.set_target(idle))
    }

    fn each_shelf(
        &self,
        class_samples: usize,
        mut change: impl FnMut(&Shelf),
    ) -> Result<(), PoolError> {
        let of_class = |shelf: &Pinned<Shelf>| shelf.samples as usize == class_samples;
        let mut found = false;
        for shelf in self.anchor.shelves().filter(of_class) {
            change(&shelf);
            found = true;
        }
        found.then_some(()).ok_or(PoolError::UnknownClass {
            samples: class_samples,
        })
    }

    /// Goes over to other size classes. Each half takes them up in its next quantum; buffers of classes that are gone
    /// come home and drain.
    ///
    /// # Errors
    /// [`BadClasses`](PoolError::BadClasses); [`TooLarge`](PoolError::TooLarge) when a class is larger than the largest
    /// the pool was built with; [`TableFull`](PoolError::TableFull) while too many old classes drain.
    pub fn set_classes(&mut self, sizes: &[usize]) -> Result<(), PoolError> {
        check_classes(sizes.iter().copied())?;
        let largest = self.largest_ever();
        if let Some(&requested) = sizes.last().filter(|&&size| size > largest) {
            return Err(PoolError::TooLarge { requested, largest });
        }
        self.make_shelves(sizes)?;
        let halves: Vec<_> = self.anchor.halves().collect();
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
        for shelf in self.anchor.shelves() {
            shelf.set_limit(if self.has_class(shelf.samples) {
                u32::MAX
            } else {
                0
            });
            if !self.has_class(shelf.samples) {
                shelf.set_target(0);
            }
        }
        for half in halves {
            self.publish_classes(half);
        }
        Ok(())
    }

    /// [`set_classes`](Self::set_classes), with buffers for new classes carved before any half asks for them, as far as
    /// there is room beside the old ones. They go to the first half; the others' are planned from what they then miss. A
    /// half with a mix of its own gets as many as it had, in the classes that will serve the same requests.
    fn change_classes(&mut self, classes: &[ClassBuffers]) -> Result<(), PoolError> {
        let sizes: Vec<usize> = classes.iter().map(|class| class.samples).collect();
        check_classes(sizes.iter().copied())?;
        self.make_shelves(&sizes)?;
        let own = self.anchor.shelves().filter(|shelf| {
            self.is_attached(shelf.half)
                && !self.follows_demand(shelf.half)
                && !sizes.contains(&(shelf.samples as usize))
        });
        for shelf in own.collect::<Vec<_>>() {
            let heir = sizes.iter().find(|&&size| size > shelf.samples as usize);
            if let Some(heir) = heir.and_then(|&size| self.shelf(shelf.half, size as u32)) {
                self.carve(heir, shelf.carved())?;
            }
        }
        let wanted: usize = classes
            .iter()
            .map(|class| class.samples * class.buffers as usize)
            .sum();
        let room = self.room_samples() + self.free.total() * UNIT_SAMPLES;
        let share = (room as f64 / wanted.max(1) as f64).min(1.0);
        let mut halves = self.anchor.halves();
        let first = halves.find(|half| half.is_attached() && self.follows_demand(half.id));
        drop(halves);
        for class in classes {
            let size = class.samples as u32;
            let buffers = (f64::from(class.buffers) * share) as u32;
            let shelf = first
                .filter(|_| !self.has_class(size))
                .and_then(|half| self.shelf(half.id, size));
            if let Some(shelf) = shelf
                && self.carve(shelf, buffers).is_err()
            {
                // Free memory lies in pieces: the class begins empty and grows as old buffers come home.
                continue;
            }
        }
        self.set_classes(&sizes)
    }

    fn make_shelves(&mut self, sizes: &[usize]) -> Result<(), PoolError> {
        let halves: Vec<_> = self.anchor.halves().collect();
        for half in &halves {
            for &size in sizes {
                if self.shelf(half.id, size as u32).is_none() {
                    self.make_shelf(half.id, size as u32)?;
                }
            }
        }
        Ok(())
    }

    /// The largest class the look-up was made for: the shift covers this many samples.
    const fn largest_ever(&self) -> usize {
        super::class_table::BUCKETS << self.shift
    }

    pub(super) fn publish_classes(&self, half: Pinned<Half>) {
        let of_half = || self.anchor.shelves().filter(|shelf| shelf.half == half.id);
        let mut active: Vec<_> = of_half()
            .filter(|shelf| self.has_class(shelf.samples))
            .collect();
        active.sort_unstable_by_key(|shelf| shelf.samples);
        let draining = of_half()
            .filter(|shelf| !self.has_class(shelf.samples) && shelf.carved() > 0)
            .collect();
        if let Some(table) = ClassTable::new(self.shift, &active, draining) {
            half.publish(Box::new(table));
        }
    }

    /// Applies one step of a sizing plan; answers whether anything changed.
    ///
    /// # Errors
    /// Those of [`grow`](Self::grow), [`trim`](Self::trim), [`set_classes`](Self::set_classes).
    pub fn apply(&mut self, step: &SizingStep) -> Result<(), PoolError> {
        match step {
            SizingStep::Grow {
                class_samples,
                buffers,
            } => self.grow_where(*class_samples, *buffers, Self::follows_demand),
            SizingStep::Shrink {
                class_samples,
                buffers,
            } => self.shrink(*class_samples, *buffers),
            SizingStep::SetClasses { classes } => self.change_classes(classes),
        }
    }

    /// Buffers the pool can ever describe: their numbers are below this.
    #[must_use]
    pub fn most_slots(&self) -> usize {
        self.anchor.table.capacity()
    }

    /// The size classes, ascending.
    pub fn classes(&self) -> impl Iterator<Item = usize> {
        self.classes.iter().map(|&(samples, _)| samples as usize)
    }
}

/// How far a shelf was from running out lately; a shelf that was not used comes last.
pub(super) fn headroom(shelf: &Pinned<Shelf>) -> (bool, u32) {
    let peak = shelf.window_peak();
    (peak == 0, shelf.carved().saturating_sub(peak))
}

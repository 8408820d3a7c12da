//! The half that may allocate: it carves, grows, collects, measures, and attaches real-time halves.

use core::panic::Location;

use super::arena::{FreeRuns, MemorySource, Region, Run, UNIT_SAMPLES, units};
use super::class_table::{ClassTable, bucket_shift};
use super::defragmentation::DefragmentationResult;
use super::error::PoolError;
use super::free_list::{Chain, Shelf};
use super::pool_builder::{PoolBuilder, check_classes};
use super::pool_core::{ControlAnchor, Core, Half, Pinned};
use super::pool_events::{BufferPoolRecycling, LeasesReclaimed, PoolGrown};
use super::pool_metrics::{ClassMetrics, PoolCounts, PoolMetrics};
use super::realtime_pool::{HalfOptions, RealtimePool};
use super::sizing_plan::SizingStep;
use super::sizing_profile::ClassBuffers;
use super::slot_table::SlotIndex;
use crate::event_bus::Publisher;

/// A region grown later has at least one part in this many of what is reserved, so that regions stay few.
const GROWTH_SHARE: usize = 4;
/// Buffers one defragmentation run looks at.
const DEFRAGMENTATION_STEPS: u32 = 1024;

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
    free: FreeRuns,
    /// Slots that have no memory.
    spare: Chain,
    /// Collected buffers on their way back to the arena, with the units each of them has.
    collected: (Chain, u32),
    /// Size classes, ascending, and how many buffers of each a newly attached half gets.
    classes: Vec<(u32, u32)>,
    /// What shelves counted that are gone.
    past: Vec<ClassMetrics>,
    shift: u32,
    reserve: u32,
    reserved_units: usize,
    limit_units: usize,
    regions: u8,
    options: HalfOptions,
    source: MemorySource,
    prefault: bool,
    leases_reclaimed: u64,
    publisher: Option<Publisher>,
    anchor: ControlAnchor,
}

/// What a control step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepReport {
    /// Buffers given back to the arena.
    pub collected: u32,
    /// Buffers carved for classes below their target.
    pub replenished: u32,
    /// Whether everything was done, or the budget ran out first.
    pub complete: bool,
}

/// One buffer, for kept views and for the map of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its number.
    pub index: u32,
    /// Where its samples are.
    pub address: usize,
    /// Its capacity.
    pub samples: usize,
    /// Samples its holder asked for; 0 while idle.
    pub lent_samples: usize,
    /// The half it belongs to.
    pub half: u16,
}

/// Who holds what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeakReport {
    /// Buffers in somebody's hands.
    pub leased: u64,
    /// Those among them whose acquire was sampled, oldest first.
    pub sites: Vec<LeakSite>,
}

/// A buffer in somebody's hands, and where it was acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeakSite {
    /// The buffer's number.
    pub slot: u32,
    /// Its capacity.
    pub class_samples: usize,
    /// Samples asked for.
    pub requested: usize,
    /// The call that acquired it.
    pub site: &'static Location<'static>,
    /// Frame of the quantum in which it was acquired.
    pub first_frame: u64,
    /// Frames its half has seen since: how long it has been held.
    pub held_frames: u64,
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
            past: Vec::new(),
            shift: bucket_shift(largest),
            reserve: builder.reserve(),
            reserved_units: 0,
            limit_units,
            regions: 0,
            options: HalfOptions {
                borrow: builder.borrows(),
                sample_every: builder.sample_every(),
            },
            source: builder.source(),
            prefault: builder.prefaults(),
            leases_reclaimed: 0,
            publisher: None,
            anchor: ControlAnchor::new(core),
        }
    }

    /// Events of the control half go out here.
    pub fn attach_publisher(&mut self, publisher: Publisher) {
        self.publisher = Some(publisher);
    }

    /// A further real-time half, with the mix of the builder. A half whose owner was dropped is taken over with what it
    /// has, and filled up.
    ///
    /// # Errors
    /// [`LimitReached`](PoolError::LimitReached) when arena and limit do not hold another mix;
    /// [`TableFull`](PoolError::TableFull), [`OutOfMemory`](PoolError::OutOfMemory).
    pub fn attach(&mut self) -> Result<RealtimePool, PoolError> {
        let mix = self.classes.clone();
        self.attach_mix(&mix)
    }

    /// [`attach`](Self::attach) with a mix of its own, `(class samples, buffers)`; classes left out start empty.
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
        self.attach_mix(&mix)
    }

    fn attach_mix(&mut self, mix: &[(u32, u32)]) -> Result<RealtimePool, PoolError> {
        let orphan = self.anchor.halves().find(|half| !half.is_attached());
        let half = match orphan {
            Some(half) => {
                half.adopt();
                half
            }
            None => self.make_half()?,
        };
        // Made before it is filled: if that fails, its drop hands what it got to the next step.
        let realtime = RealtimePool::new(self.anchor.another(), half, self.options);
        for &(samples, buffers) in mix {
            if let Some(shelf) = self.shelf(half.id, samples) {
                self.carve(shelf, buffers.saturating_sub(shelf.idle()))?;
            }
        }
        Ok(realtime)
    }

    fn make_half(&mut self) -> Result<Pinned<Half>, PoolError> {
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

    fn shelf(&self, half: u16, samples: u32) -> Option<Pinned<Shelf>> {
        self.anchor
            .shelves()
            .find(|shelf| shelf.half == half && shelf.samples == samples)
    }

    fn has_class(&self, samples: u32) -> bool {
        self.classes.iter().any(|&(class, _)| class == samples)
    }

    /// More buffers for a class, from the arena or, within the limit, from a new region. They go to the half that
    /// came closest to running out of that class; all or none.
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass), [`LimitReached`](PoolError::LimitReached),
    /// [`TableFull`](PoolError::TableFull), [`OutOfMemory`](PoolError::OutOfMemory).
    pub fn grow(&mut self, class_samples: usize, count: u32) -> Result<(), PoolError> {
        let unknown = PoolError::UnknownClass {
            samples: class_samples,
        };
        let size = u32::try_from(class_samples)
            .ok()
            .filter(|&size| self.has_class(size))
            .ok_or(unknown)?;
        let attached =
            |shelf: &Pinned<Shelf>| shelf.samples == size && self.is_attached(shelf.half);
        let shelf = self
            .anchor
            .shelves()
            .filter(attached)
            .min_by_key(headroom)
            .ok_or(unknown)?;
        self.carve(shelf, count)?;
        shelf.ask_back(0);
        if shelf.limit() < shelf.idle() {
            shelf.set_limit(u32::MAX);
        }
        if let Some(publisher) = &self.publisher {
            publisher.publish(PoolGrown {
                class_samples: size,
                count,
                bytes_held: self.bytes_held() as u64,
                bytes_reserved: bytes(self.reserved_units) as u64,
            });
        }
        Ok(())
    }

    fn is_attached(&self, half: u16) -> bool {
        self.anchor
            .halves()
            .any(|other| other.id == half && other.is_attached())
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

    /// [`set_classes`](Self::set_classes), with buffers for new classes carved before any half asks for them. Those go
    /// to the first half; the others' are planned from what they then miss.
    fn change_classes(&mut self, classes: &[ClassBuffers]) -> Result<(), PoolError> {
        let sizes: Vec<usize> = classes.iter().map(|class| class.samples).collect();
        self.make_shelves(&sizes)?;
        let first = self.anchor.halves().find(|half| half.is_attached());
        for class in classes {
            let size = class.samples as u32;
            let shelf = first
                .filter(|_| !self.has_class(size))
                .and_then(|half| self.shelf(half.id, size));
            if let Some(shelf) = shelf {
                self.carve(shelf, class.buffers)?;
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

    fn publish_classes(&self, half: Pinned<Half>) {
        let of_half = || self.anchor.shelves().filter(|shelf| shelf.half == half.id);
        let mut active: Vec<_> = of_half()
            .filter(|shelf| self.has_class(shelf.samples))
            .collect();
        active.sort_unstable_by_key(|shelf| shelf.samples);
        let draining = of_half()
            .filter(|shelf| !self.has_class(shelf.samples))
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
            } => self.grow(*class_samples, *buffers),
            SizingStep::Shrink {
                class_samples,
                buffers,
            } => self.shrink(*class_samples, *buffers),
            SizingStep::SetClasses { classes } => self.change_classes(classes),
        }
    }

    /// Sheds `buffers` idle buffers of a class, from the halves that were furthest from running out.
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass).
    pub fn shrink(&mut self, class_samples: usize, buffers: u32) -> Result<(), PoolError> {
        let of_class = |shelf: &Pinned<Shelf>| shelf.samples as usize == class_samples;
        let mut shelves: Vec<_> = self.anchor.shelves().filter(of_class).collect();
        if shelves.is_empty() {
            return Err(PoolError::UnknownClass {
                samples: class_samples,
            });
        }
        shelves.sort_unstable_by_key(|shelf| core::cmp::Reverse(headroom(shelf)));
        let mut left = buffers;
        for shelf in shelves {
            // Those on the surplus are on their way already.
            let going = left.min(shelf.shared.surplus.length());
            let asked = (left - going).min(shelf.idle() - shelf.shared.surplus.length());
            shelf.ask_back(asked);
            left -= going + asked;
        }
        Ok(())
    }

    /// One bounded step: frees what halves are done with, collects what they shed, gives it back to the arena,
    /// replenishes classes below their target.
    ///
    /// # Real-time
    /// For the control side. At most `budget` buffers are moved; besides, one look at each shelf.
    pub fn step(&mut self, budget: u32) -> StepReport {
        let mut report = StepReport::default();
        for half in self.anchor.halves() {
            half.collect_retired();
        }
        let mut left = budget;
        report.collected = self.collect(&mut left);
        report.replenished = self.replenish(&mut left);
        self.remove_drained();
        report.complete = left > 0;
        report
    }

    /// Begins [`recent_high_water`](ClassMetrics::recent_high_water) anew, for whoever has just looked at it.
    pub(super) fn begin_peak_window(&mut self) {
        for shelf in self.anchor.shelves() {
            shelf.forget_window_peak();
        }
    }

    fn collect(&mut self, budget: &mut u32) -> u32 {
        let mut collected = 0;
        loop {
            while *budget > 0 && self.give_back_one() {
                *budget -= 1;
                collected += 1;
            }
            if *budget == 0 || !self.take_next_list() {
                return collected;
            }
        }
    }

    /// Gives one collected buffer back to the arena.
    fn give_back_one(&mut self) -> bool {
        let (chain, units) = &mut self.collected;
        let units = *units;
        let Some(index) = chain.pop(&self.anchor.table) else {
            return false;
        };
        self.uncarve(index, units);
        true
    }

    fn uncarve(&mut self, index: SlotIndex, units: u32) {
        let slot = self.anchor.table.slot(index);
        let (region, unit) = (slot.region(), slot.unit());
        slot.uncarve();
        self.free.give(Run {
            region,
            unit,
            units,
        });
        self.spare.push(&self.anchor.table, index);
    }

    /// Takes a list that has something to collect: surplus, or any list of a half without owner.
    fn take_next_list(&mut self) -> bool {
        for shelf in self.anchor.shelves() {
            let mut chain = shelf.shared.surplus.take();
            if chain.length == 0 && !self.is_attached(shelf.half) {
                chain = shelf.take_local();
                if chain.length == 0 {
                    chain = shelf.shared.inbox.take();
                    self.count_recycled(&shelf, chain.length - chain.fresh);
                }
            }
            if chain.length > 0 {
                shelf.sub_carved(chain.length);
                self.collected = (chain, units(shelf.samples as usize) as u32);
                return true;
            }
        }
        false
    }

    /// Buffers that came home to a half without owner: counted and told here, since nobody else does.
    fn count_recycled(&self, shelf: &Shelf, returned: u32) {
        if returned == 0 {
            return;
        }
        shelf.taken.add(u64::from(returned));
        if let Some(publisher) = &self.publisher {
            publisher.publish(BufferPoolRecycling {
                class_samples: shelf.samples,
                count: returned,
                half: shelf.half,
                first_frame: 0,
            });
        }
    }

    fn replenish(&mut self, budget: &mut u32) -> u32 {
        let mut replenished = 0;
        let shelves: Vec<_> = self.anchor.shelves().collect();
        for shelf in shelves {
            let short = shelf.target().saturating_sub(shelf.idle()).min(*budget);
            if short > 0 && self.is_attached(shelf.half) && self.carve(shelf, short).is_ok() {
                *budget -= short;
                replenished += short;
            }
        }
        replenished
    }

    /// Frees shelves of classes that are gone, once their last buffer is back.
    fn remove_drained(&mut self) {
        let drained = |shelf: &Pinned<Shelf>| shelf.carved() == 0 && !self.has_class(shelf.samples);
        let drained: Vec<_> = self.anchor.shelves().filter(drained).collect();
        for shelf in drained {
            let half = self.anchor.halves().find(|half| half.id == shelf.half);
            let counted = counts_of(&shelf);
            if self.anchor.remove_if_unused(shelf) {
                add_counts(&mut self.past, &counted);
            } else if let Some(half) = half.filter(|half| half.is_current()) {
                self.publish_without_drained(half);
            }
        }
    }

    fn publish_without_drained(&self, half: Pinned<Half>) {
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

    /// Carves `count` buffers for a shelf and pushes them to its inbox; all or none.
    fn carve(&mut self, shelf: Pinned<Shelf>, count: u32) -> Result<(), PoolError> {
        let size = units(shelf.samples as usize) as u32;
        self.make_room(size, count)?;
        for done in 0..count {
            if let Err(error) = self.carve_one(&shelf, size) {
                self.undo(&shelf, size, done);
                return Err(error);
            }
        }
        Ok(())
    }

    fn carve_one(&mut self, shelf: &Shelf, size: u32) -> Result<(), PoolError> {
        let table = &self.anchor.table;
        let index = match self.spare.pop(table) {
            Some(index) => index,
            None => table.add()?,
        };
        let Some(run) = self.free.take(size) else {
            self.spare.push(table, index);
            return Err(self.limit_reached(size as usize));
        };
        table.slot(index).carve(run.region, run.unit, shelf.id);
        shelf.add_carved(1);
        if !shelf.shared.inbox.push_fresh(table, index) {
            shelf.sub_carved(1);
            self.uncarve(index, size);
            return Err(PoolError::TableFull {
                table: super::error::Table::Slots,
                capacity: usize::from(u16::MAX),
            });
        }
        Ok(())
    }

    /// Takes up to `count` buffers out of the inbox again, as many as the owner has not taken yet.
    fn undo(&mut self, shelf: &Shelf, size: u32, count: u32) {
        let mut chain = shelf.shared.inbox.take();
        let returned = chain.length - chain.fresh;
        for _ in 0..count.min(chain.fresh) {
            if let Some(index) = chain.pop(&self.anchor.table) {
                shelf.sub_carved(1);
                self.uncarve(index, size);
            }
        }
        self.put_back(shelf, chain, returned);
    }

    /// Pushes a chain to an inbox again, `returned` of them as returned ones.
    fn put_back(&self, shelf: &Shelf, mut chain: Chain, mut returned: u32) {
        while let Some(index) = chain.pop(&self.anchor.table) {
            let table = &self.anchor.table;
            if returned > 0 {
                returned -= 1;
                // Not closed: this anchor lives.
                let _ = shelf.shared.inbox.push(table, index);
            } else {
                shelf.shared.inbox.push_fresh(table, index);
            }
        }
    }

    /// Sees to it that `count` buffers of `size` units fit: from what is free, or by one new region.
    fn make_room(&mut self, size: u32, count: u32) -> Result<(), PoolError> {
        let missing = (count as usize).saturating_sub(self.free.fits(size));
        if missing == 0 {
            return Ok(());
        }
        let needed = missing.saturating_mul(size as usize);
        let room = self.limit_units - self.reserved_units;
        if needed > room {
            return Err(self.limit_reached(needed));
        }
        self.add_region(needed.max(self.reserved_units / GROWTH_SHARE).min(room))
    }

    fn limit_reached(&self, needed_units: usize) -> PoolError {
        PoolError::LimitReached {
            requested: needed_units * UNIT_SAMPLES,
            available: (self.limit_units - self.reserved_units) * UNIT_SAMPLES,
            limit: self.limit_units * UNIT_SAMPLES,
        }
    }

    pub(super) fn add_region(&mut self, units: usize) -> Result<(), PoolError> {
        let mut region = Region::new(units, self.source)?;
        if self.prefault {
            region.prefault(units);
        }
        let id = self.anchor.add_region(region)?;
        self.regions = id + 1;
        self.reserved_units += units;
        self.free.give(Run {
            region: id,
            unit: 0,
            units: units as u32,
        });
        Ok(())
    }

    /// Gives idle memory back to the arena, where it coalesces: what was shed, what dead halves left, and what no class
    /// has ever needed at once. Leased buffers stay where they are. Bounded; call again while not `complete`.
    pub fn defragment(&mut self) -> DefragmentationResult {
        let before_percentage = self.fragmentation_percentage();
        let before_free = self.free.total();
        let mut left = DEFRAGMENTATION_STEPS;
        let mut moved = self.collect(&mut left);
        let shelves: Vec<_> = self.anchor.shelves().collect();
        let mut complete = left > 0;
        for shelf in shelves {
            let needed = shelf.peak().max(shelf.leased() + shelf.target());
            let excess = shelf.carved().saturating_sub(needed);
            if excess == 0 {
                continue;
            }
            moved += self.take_from_inbox(&shelf, excess.min(left), &mut left);
            let rest = shelf.carved().saturating_sub(needed);
            if rest > 0 {
                // The owner has them: it sheds them over the next quanta.
                shelf.ask_back(rest);
                complete = false;
            }
        }
        DefragmentationResult {
            before_percentage,
            after_percentage: self.fragmentation_percentage(),
            bytes_moved: bytes(self.free.total() - before_free),
            buffers_moved: moved,
            steps: DEFRAGMENTATION_STEPS - left,
            complete: complete && left > 0,
            largest_free_run_samples: self.free.largest() as usize * UNIT_SAMPLES,
        }
    }

    /// Takes an inbox, gives up to `most` of its buffers back to the arena, and puts the rest back.
    fn take_from_inbox(&mut self, shelf: &Shelf, most: u32, budget: &mut u32) -> u32 {
        if most == 0 || shelf.shared.inbox.length() == 0 || shelf.shared.inbox.length() > *budget {
            return 0;
        }
        let mut chain = shelf.shared.inbox.take();
        *budget = budget.saturating_sub(chain.length);
        let mut returned = chain.length - chain.fresh;
        let mut moved = 0;
        while moved < most
            && let Some(index) = chain.pop(&self.anchor.table)
        {
            shelf.sub_carved(1);
            self.uncarve(index, units(shelf.samples as usize) as u32);
            moved += 1;
        }
        // Those that went are counted as returned ones first: they will not pass the owner any more.
        let gone = returned.min(moved);
        self.count_recycled(shelf, gone);
        returned -= gone;
        self.put_back(shelf, chain, returned);
        moved
    }

    /// Takes over what the owner of a half held that is known to be dead: a worker that was terminated, an instance
    /// that trapped. Its lists and its scratch buffers come back; buffers it had frozen, leased or owned are reclaimed
    /// by whoever kept their table. Answers how many scratch buffers came back.
    ///
    /// # Safety
    /// The half's `RealtimePool` is never used again, not even dropped.
    #[allow(unsafe_code)] // Only the host knows that a thread is dead.
    pub unsafe fn reclaim(&mut self, half: u16) -> u32 {
        let Some(dead) = self
            .anchor
            .halves()
            .find(|other| other.id == half && other.is_attached())
        else {
            return 0;
        };
        let mut count = 0;
        for index in self.anchor.table.indices() {
            let slot = self.anchor.table.slot(index);
            if slot.is_carved() && slot.is_scratch() {
                let shelf = self.anchor.core().shelf_of(index);
                if shelf.half == half {
                    slot.take_back();
                    shelf.push(&self.anchor.table, index);
                    shelf.returns.add(1);
                    count += 1;
                }
            }
        }
        dead.detach();
        // SAFETY: the dead owner's anchor is of this core, and is not dropped, says the caller.
        unsafe { self.anchor.forget_dead() };
        self.leases_reclaimed += u64::from(count);
        if let Some(publisher) = &self.publisher {
            publisher.publish(LeasesReclaimed {
                holder: u32::from(half),
                count,
                first_frame: dead.frame(),
            });
        }
        count
    }

    /// Buffers in somebody's hands. Another thread can change that at any moment.
    #[must_use]
    pub fn leased(&self) -> u64 {
        self.anchor
            .shelves()
            .map(|shelf| u64::from(shelf.leased()))
            .sum()
    }

    /// The size classes, ascending.
    pub fn classes(&self) -> impl Iterator<Item = usize> {
        self.classes.iter().map(|&(samples, _)| samples as usize)
    }

    /// Every buffer there is.
    pub fn slots(&self) -> impl Iterator<Item = SlotInfo> {
        let carved = |index: &SlotIndex| self.anchor.table.slot(*index).is_carved();
        self.anchor.table.indices().filter(carved).map(|index| {
            let shelf = self.anchor.core().shelf_of(index);
            SlotInfo {
                index: index.raw(),
                address: self.anchor.samples_at(index).as_ptr().addr(),
                samples: shelf.samples as usize,
                lent_samples: self.anchor.table.slot(index).lent_samples() as usize,
                half: shelf.half,
            }
        })
    }

    /// The arena's free runs: region, first sample, samples.
    pub fn free_runs(&self) -> impl Iterator<Item = (u8, usize, usize)> {
        self.free.iter().map(|run| {
            (
                run.region,
                run.unit as usize * UNIT_SAMPLES,
                run.units as usize * UNIT_SAMPLES,
            )
        })
    }

    /// Requests so far by size: the largest size of each step, and how many. A count that ran over begins at 0 again.
    pub fn demand(&self) -> impl Iterator<Item = (usize, u32)> {
        let mut counts = [0u32; super::class_table::BUCKETS];
        for half in self.anchor.halves() {
            for (sum, count) in counts.iter_mut().zip(half.demand()) {
                *sum = sum.wrapping_add(count);
            }
        }
        let shift = self.shift;
        counts
            .into_iter()
            .enumerate()
            .map(move |(step, count)| ((step + 1) << shift, count))
    }

    /// Who holds what, as far as acquires were sampled.
    #[must_use]
    pub fn leak_report(&self) -> LeakReport {
        let mut sites = Vec::new();
        for half in self.anchor.halves() {
            for sampled in half.sites.iter() {
                // A ring entry is about the present holder if the slot still carries the mark, and no later entry is.
                let newer = half
                    .sites
                    .iter()
                    .any(|other| other.slot == sampled.slot && other.order > sampled.order);
                let info = self
                    .slots()
                    .find(|slot| slot.index == sampled.slot && slot.lent_samples > 0);
                let marked = self.is_sampled(sampled.slot);
                if let Some(info) = info.filter(|_| marked && !newer) {
                    sites.push(LeakSite {
                        slot: info.index,
                        class_samples: info.samples,
                        requested: info.lent_samples,
                        site: sampled.site,
                        first_frame: sampled.frame,
                        held_frames: half.frame().saturating_sub(sampled.frame),
                    });
                }
            }
        }
        sites.sort_unstable_by_key(|site| site.first_frame);
        LeakReport {
            leased: self.leased(),
            sites,
        }
    }

    fn is_sampled(&self, slot: u32) -> bool {
        let mut indices = self.anchor.table.indices();
        indices.any(|index| index.raw() == slot && self.anchor.table.slot(index).is_sampled())
    }

    /// A snapshot of every figure. Costs the real-time halves nothing.
    #[must_use]
    pub fn metrics(&self) -> PoolMetrics {
        PoolMetrics::from_counts(&self.counts())
    }

    /// What the pool counted; other parts add what they counted before it becomes [`PoolMetrics`].
    #[must_use]
    pub fn counts(&self) -> PoolCounts {
        let mut classes: Vec<ClassMetrics> = Vec::with_capacity(self.classes.len());
        for &(samples, _) in &self.classes {
            classes.push(ClassMetrics {
                samples: samples as usize,
                ..ClassMetrics::default()
            });
        }
        for past in &self.past {
            add_counts(&mut classes, past);
        }
        for shelf in self.anchor.shelves() {
            add_counts(&mut classes, &counts_of(&shelf));
        }
        for class in &mut classes {
            class.retired = !self.has_class(class.samples as u32);
        }
        for slot in self.slots().filter(|slot| slot.lent_samples > 0) {
            if let Some(class) = classes
                .iter_mut()
                .find(|class| class.samples == slot.samples)
            {
                class.requested_samples += slot.lent_samples as u64;
            }
        }
        PoolCounts {
            classes,
            overhead_bytes: self.overhead_bytes(),
            bytes_reserved: bytes(self.reserved_units),
            bytes_limit: bytes(self.limit_units),
            bytes_shelved: 0,
            short_run_samples: self.short_run_units() * UNIT_SAMPLES,
            largest_free_run_samples: self.free.largest() as usize * UNIT_SAMPLES,
            leases_reclaimed: self.leases_reclaimed,
            ..PoolCounts::default()
        }
    }

    /// Buffers that came back, as far as their halves have seen: what the recycling events add up to.
    #[must_use]
    pub fn recycled(&self) -> u64 {
        self.anchor.shelves().map(|shelf| shelf.recycled()).sum()
    }

    fn overhead_bytes(&self) -> usize {
        self.anchor.heap_bytes()
            + self.free.heap_bytes()
            + self.classes.capacity() * size_of::<(u32, u32)>()
            + self.past.capacity() * size_of::<ClassMetrics>()
    }

    fn short_run_units(&self) -> usize {
        let largest = self
            .classes
            .last()
            .map_or(0, |&(samples, _)| units(samples as usize));
        let short = |run: &Run| (run.units as usize) < largest;
        self.free
            .iter()
            .filter(short)
            .map(|run| run.units as usize)
            .sum()
    }

    /// [`PoolMetrics::fragmentation_percentage`] alone.
    #[must_use]
    pub fn fragmentation_percentage(&self) -> f32 {
        self.short_run_units() as f32 / self.reserved_units.max(1) as f32 * 100.0
    }

    /// [`PoolMetrics::bytes_held`] alone.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        bytes(self.reserved_units - self.free.total())
    }

    /// Whether every account agrees with every other, list by list and slot by slot. For tests and debug builds, at
    /// points where no half and no handle is in the middle of anything.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let table = &self.anchor.table;
        let walk = |mut chain: Chain| {
            let length = chain.length;
            let mut seen = Vec::new();
            while seen.len() <= length as usize
                && let Some(index) = chain.pop(table)
            {
                seen.push(index.raw());
            }
            (seen.len() == length as usize).then_some(seen)
        };
        let mut carved_units = units_of(&self.collected.0, self.collected.1);
        let Some(mut on_lists) = walk(self.spare) else {
            return false;
        };
        let Some(held) = walk(self.collected.0) else {
            return false;
        };
        on_lists.extend(held);
        for shelf in self.anchor.shelves() {
            for chain in [
                shelf.peek_local(),
                shelf.shared.inbox.peek(),
                shelf.shared.surplus.peek(),
            ] {
                let Some(slots) = walk(chain) else {
                    return false;
                };
                let idle = |&raw: &u32| {
                    self.slots()
                        .any(|slot| slot.index == raw && slot.lent_samples == 0)
                };
                if !slots.iter().all(idle) {
                    return false;
                }
                on_lists.extend(slots);
            }
            let lent = self.lent_slots(shelf.id);
            if shelf.carved() != shelf.idle() + lent || shelf.leased() != lent {
                return false;
            }
            carved_units += shelf.carved() as usize * units(shelf.samples as usize);
        }
        on_lists.sort_unstable();
        on_lists.windows(2).all(|pair| pair[0] != pair[1])
            && self.free.is_valid()
            && carved_units + self.free.total() == self.reserved_units
    }

    /// Slots of a shelf that are in somebody's hands, counted in the slot table.
    fn lent_slots(&self, shelf: u16) -> u32 {
        let lent = |index: &SlotIndex| {
            let slot = self.anchor.table.slot(*index);
            slot.is_carved() && slot.shelf() == shelf && slot.lent_samples() > 0
        };
        self.anchor.table.indices().filter(lent).count() as u32
    }
}

/// How far a shelf was from running out lately; a shelf that was not used comes last.
fn headroom(shelf: &Pinned<Shelf>) -> (bool, u32) {
    let peak = shelf.window_peak();
    (peak == 0, shelf.carved().saturating_sub(peak))
}

fn units_of(chain: &Chain, units: u32) -> usize {
    chain.length as usize * units as usize
}

const fn bytes(units: usize) -> usize {
    units * super::arena::UNIT_BYTES
}

fn counts_of(shelf: &Shelf) -> ClassMetrics {
    ClassMetrics {
        samples: shelf.samples as usize,
        carved: u64::from(shelf.carved()),
        idle: u64::from(shelf.idle()),
        leased: u64::from(shelf.leased()),
        high_water: u64::from(shelf.peak()),
        recent_high_water: u64::from(shelf.window_peak()),
        hits: shelf.hits(),
        borrowed: shelf.borrowed.get(),
        created: 0,
        exhausted: shelf.exhausted.get(),
        requested_samples: 0,
        retired: false,
    }
}

/// Adds to the record of the same size, or makes one at its place.
fn add_counts(classes: &mut Vec<ClassMetrics>, more: &ClassMetrics) {
    let at = classes.partition_point(|class| class.samples < more.samples);
    match classes
        .get_mut(at)
        .filter(|class| class.samples == more.samples)
    {
        Some(class) => {
            class.carved += more.carved;
            class.idle += more.idle;
            class.leased += more.leased;
            class.high_water += more.high_water;
            class.recent_high_water += more.recent_high_water;
            class.hits += more.hits;
            class.borrowed += more.borrowed;
            class.exhausted += more.exhausted;
        }
        None => classes.insert(at, more.clone()),
    }
}

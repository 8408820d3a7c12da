//! The half that may allocate: it carves, grows, collects, measures, and attaches real-time halves.

use super::accounts::bytes;
use super::arena::{FreeRuns, MemorySource, UNIT_SAMPLES};
use super::class_boundaries::MAX_CLASSES;
use super::class_table::{ClassTable, bucket_shift};
use super::error::{PoolError, Table};
use super::free_list::Chain;
use super::half::Half;
use super::pool_builder::{PoolBuilder, check_classes};
use super::pool_core::{ControlAnchor, Core, MAX_HALVES, Pinned};
use super::pool_events::PoolGrown;
use super::pool_metrics::ClassMetrics;
use super::realtime_pool::{HalfOptions, RealtimePool};
use super::shelf::Shelf;
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
    /// Collected buffers on their way back to the arena, with the samples each of them has.
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
        let orphan = self.anchor.halves().find(|half| !half.is_attached());
        let half = match orphan {
            Some(half) => {
                half.take_up_for_nobody();
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
        let id = self.anchor.next_half().ok_or(PoolError::TableFull {
            table: Table::Halves,
            capacity: MAX_HALVES,
        })?;
        let sizes: Vec<u32> = self.classes.iter().map(|&(samples, _)| samples).collect();
        let mut shelves = Vec::with_capacity(sizes.len());
        for samples in sizes {
            match self.make_shelf(id, samples) {
                Ok(shelf) => shelves.push(shelf),
                Err(error) => {
                    for shelf in shelves {
                        self.anchor.remove_if_unused(shelf);
                    }
                    return Err(error);
                }
            }
        }
        let table =
            ClassTable::new(self.shift, &shelves, Vec::new()).ok_or(PoolError::BadClasses {
                count: shelves.len(),
                smallest: 0,
                most: MAX_CLASSES,
            })?;
        self.anchor.add_half(|id| Half::new(id, Box::new(table)))
    }

    fn make_shelf(&mut self, half: u16, samples: u32) -> Result<Pinned<Shelf>, PoolError> {
        let (core, reserve) = (self.anchor.core(), self.reserve);
        self.anchor
            .add_shelf(|id| Shelf::new(core, core.on_release, (half, id), samples, reserve))
    }

    pub(super) fn shelf(&self, half: u16, samples: u32) -> Option<Pinned<Shelf>> {
        self.anchor
            .shelves()
            .find(|shelf| shelf.half == half && shelf.samples == samples)
    }

    /// The class that would serve a request on a half, if it has none idle that anybody may take.
    pub(super) fn class_to_grow(&self, half: u16, samples: usize) -> Option<usize> {
        let class = self.classes().find(|&class| class >= samples)?;
        let shelf = self.shelf(half, class as u32)?;
        (samples > 0 && shelf.idle() <= self.reserve).then_some(class)
    }

    pub(super) fn has_class(&self, samples: u32) -> bool {
        self.classes.iter().any(|&(class, _)| class == samples)
    }

    /// More buffers for a class, from the arena or, within the limit, from a new region. They go to the half that
    /// came closest to running out of that class; all or none.
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass), [`NoHalf`](PoolError::NoHalf),
    /// [`LimitReached`](PoolError::LimitReached), [`TooManyAtOnce`](PoolError::TooManyAtOnce),
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
        let size = u32::try_from(class_samples)
            .ok()
            .filter(|&size| self.has_class(size))
            .ok_or_else(|| self.unknown_class(class_samples))?;
        let attached = |shelf: &Pinned<Shelf>| {
            shelf.samples == size && self.is_attached(shelf.half) && may_grow(self, shelf.half)
        };
        let shelf = self
            .anchor
            .shelves()
            .filter(attached)
            .min_by_key(headroom)
            .ok_or(PoolError::NoHalf {
                class_samples: size,
            })?;
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
        found
            .then_some(())
            .ok_or_else(|| self.unknown_class(class_samples))
    }

    pub(super) fn unknown_class(&self, samples: usize) -> PoolError {
        let nearest = self.classes().min_by_key(|class| class.abs_diff(samples));
        PoolError::UnknownClass {
            samples,
            nearest: nearest.unwrap_or(0),
        }
    }

    /// Goes over to other size classes. Each half takes them up in its next quantum; buffers of classes that are gone
    /// come home and drain.
    ///
    /// # Errors
    /// [`BadClasses`](PoolError::BadClasses); [`TooLarge`](PoolError::TooLarge) when a class is larger than the largest
    /// the pool was built with; [`TableFull`](PoolError::TableFull) while too many old classes drain.
    pub fn set_classes(&mut self, sizes: &[usize]) -> Result<(), PoolError> {
        self.check_change(sizes)?;
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
        self.check_change(&sizes)?;
        self.make_shelves(&sizes)?;
        self.carve_heirs(&sizes)?;
        let wanted = classes
            .iter()
            .map(|class| class.samples.saturating_mul(class.buffers as usize))
            .fold(0, usize::saturating_add);
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

    /// Whether the pool can go over to these classes at all.
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

    /// For halves with a mix of their own: as many buffers of the classes to come as the classes that go have now; all
    /// or none. What drains already has its heirs.
    fn carve_heirs(&mut self, sizes: &[usize]) -> Result<(), PoolError> {
        let mut wanted: Vec<(Pinned<Shelf>, u32)> = Vec::new();
        for shelf in self.anchor.shelves() {
            let goes = self.has_class(shelf.samples) && !sizes.contains(&(shelf.samples as usize));
            if !goes || !self.is_attached(shelf.half) || self.follows_demand(shelf.half) {
                continue;
            }
            let heir = sizes.iter().find(|&&size| size > shelf.samples as usize);
            let Some(heir) = heir.and_then(|&size| self.shelf(shelf.half, size as u32)) else {
                continue;
            };
            match wanted.iter_mut().find(|(other, _)| *other == heir) {
                Some((_, buffers)) => *buffers += shelf.carved(),
                None => wanted.push((heir, shelf.carved())),
            }
        }
        for (heir, buffers) in &mut wanted {
            if !self.has_class(heir.samples) {
                // A class that comes back while it still drains.
                *buffers = buffers.saturating_sub(heir.carved());
            }
        }
        for (done, &(heir, buffers)) in wanted.iter().enumerate() {
            if let Err(error) = self.carve(heir, buffers) {
                for &(heir, buffers) in &wanted[..done] {
                    self.uncarve_fresh(&heir, buffers);
                }
                return Err(error);
            }
        }
        Ok(())
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
        if let Some(table) = self.table_of(half) {
            half.publish(table);
        }
    }

    /// The classes of a half as they are now; none only where a pool has no class.
    pub(super) fn table_of(&self, half: Pinned<Half>) -> Option<Box<ClassTable>> {
        let of_half = || self.anchor.shelves().filter(|shelf| shelf.half == half.id);
        let mut active: Vec<_> = of_half()
            .filter(|shelf| self.has_class(shelf.samples))
            .collect();
        active.sort_unstable_by_key(|shelf| shelf.samples);
        let draining = of_half()
            .filter(|shelf| !self.has_class(shelf.samples) && shelf.carved() > 0)
            .collect();
        ClassTable::new(self.shift, &active, draining).map(Box::new)
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

impl Drop for PoolControl {
    fn drop(&mut self) {
        debug_assert!(self.agrees_at_rest() || std::thread::panicking());
    }
}

/// How far a shelf was from running out lately; a shelf that was not used comes last.
pub(super) fn headroom(shelf: &Pinned<Shelf>) -> (bool, u32) {
    let peak = shelf.window_peak();
    (peak == 0, shelf.carved().saturating_sub(peak))
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::modules::data_management::{BufferPool, DefragmentationResult};

    /// The interpreter is slow.
    const ROUNDS: u64 = if cfg!(miri) { 8 } else { 200 };

    /// Quanta and steps until nothing moves any more.
    fn settle(control: &mut PoolControl, half: &mut RealtimePool) {
        for quantum in 0..ROUNDS {
            half.begin_quantum(quantum * 128);
            control.step(64);
        }
        assert!(control.is_valid());
    }

    #[test]
    fn growth_is_bounded_by_the_limit_and_all_or_none() {
        let (mut control, half) = BufferPool::builder()
            .class(256, 2)
            .limit_samples(256 * 5)
            .build()
            .unwrap();
        let before = control.metrics();
        assert!(matches!(
            control.grow(256, 4),
            Err(PoolError::LimitReached { limit: 1280, .. })
        ));
        assert_eq!(control.metrics().bytes_held, before.bytes_held);
        control.grow(256, 3).unwrap();
        assert!(matches!(
            control.grow(256, 1),
            Err(PoolError::LimitReached { available: 0, .. })
        ));
        assert_eq!(
            control.grow(512, 1),
            Err(PoolError::UnknownClass {
                samples: 512,
                nearest: 256
            })
        );
        let held: Vec<_> = core::iter::from_fn(|| half.acquire(256).ok()).collect();
        assert_eq!((held.len(), control.is_valid()), (5, true));
    }

    #[test]
    fn addresses_stay_while_the_pool_grows() {
        let (mut control, half) = BufferPool::builder()
            .class(64, 1)
            .limit_samples(1 << 16)
            .build()
            .unwrap();
        let mut held = vec![half.acquire(64).unwrap()];
        held[0].fill(7.0);
        let address = held[0].address();
        for _ in 0..100 {
            control.grow(64, 1).unwrap();
            held.push(half.acquire(64).unwrap());
        }
        assert_eq!((held[0].address(), held[0][63]), (address, 7.0));
        let slots: Vec<_> = control.slots().collect();
        assert_eq!(slots.len(), 101);
        assert!(
            slots
                .iter()
                .all(|slot| slot.lent_samples == 64 && slot.samples == 64)
        );
        assert!(control.is_valid());
    }

    #[test]
    fn trimming_gives_back_what_is_idle_and_leaves_what_is_leased() {
        let (mut control, mut half) = BufferPool::builder().class(256, 8).build().unwrap();
        let held = half.acquire(256).unwrap();
        control.trim(256, 2).unwrap();
        settle(&mut control, &mut half);
        assert_eq!(control.bytes_held(), 3 * 1024);
        drop(held);
        settle(&mut control, &mut half);
        assert_eq!(control.bytes_held(), 2 * 1024);
        control.replenish_below(256, 2).unwrap();
        settle(&mut control, &mut half);
        assert_eq!(control.bytes_held(), 2 * 1024);
    }

    #[test]
    fn replenishing_keeps_so_many_idle() {
        let (mut control, mut half) = BufferPool::builder()
            .class(256, 1)
            .limit_samples(256 * 20)
            .build()
            .unwrap();
        control.replenish_below(256, 3).unwrap();
        let held: Vec<_> = (0..6)
            .map(|_| {
                settle(&mut control, &mut half);
                half.acquire(256).unwrap()
            })
            .collect();
        assert_eq!((held.len(), control.metrics().exhausted), (6, 0));
    }

    #[test]
    fn classes_change_and_old_ones_drain() {
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
    fn a_class_is_not_forgotten_while_its_buffers_are_on_their_way() {
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
    fn a_dropped_half_is_taken_over_with_what_it_had() {
        let (mut control, half) = BufferPool::builder().class(256, 4).build().unwrap();
        let outlives = half.acquire(256).unwrap();
        assert!(matches!(
            control.attach().err(),
            Some(PoolError::LimitReached { .. })
        ));
        drop(half);
        assert_eq!(
            control.grow(256, 1),
            Err(PoolError::NoHalf { class_samples: 256 })
        );
        let next = control.attach_with(&[(256, 3)]).unwrap();
        drop(outlives);
        let held: Vec<_> = core::iter::from_fn(|| next.acquire(256).ok()).collect();
        assert_eq!((held.len(), control.is_valid()), (4, true));
        assert!(matches!(
            control.attach_with(&[(300, 1)]).err(),
            Some(PoolError::UnknownClass {
                samples: 300,
                nearest: 256
            })
        ));
    }

    #[test]
    fn what_a_dropped_half_had_goes_back_to_the_arena() {
        let (mut control, half) = BufferPool::builder().class(256, 4).build().unwrap();
        let outlives = half.acquire(256).unwrap().freeze();
        drop(half);
        control.step(100);
        assert_eq!((control.bytes_held(), control.leased()), (1024, 1));
        drop(outlives);
        assert!(control.step(100).complete);
        assert_eq!(
            (control.bytes_held(), control.leased(), control.is_valid()),
            (0, 0, true)
        );
    }

    #[test]
    fn a_step_moves_no_more_than_its_budget() {
        let (mut control, half) = BufferPool::builder().class(64, 50).build().unwrap();
        drop(half);
        let report = control.step(20);
        assert_eq!((report.collected, report.complete), (20, false));
        assert!(control.is_valid());
        assert_eq!(control.step(100).collected, 30);
    }

    #[test]
    fn defragmenting_leaves_leased_buffers_alone() {
        let (mut control, mut half) = BufferPool::builder().class(256, 16).build().unwrap();
        let held = half.acquire(256).unwrap();
        let address = held.address();
        let mut moved = 0;
        for quantum in 0..ROUNDS {
            let DefragmentationResult { buffers_moved, .. } = control.defragment();
            moved += buffers_moved;
            half.begin_quantum(quantum);
            control.step(64);
        }
        assert!(control.bytes_held() < 16 * 1024, "{moved} moved");
        assert_eq!(
            (held.address(), control.leased(), control.is_valid()),
            (address, 1, true)
        );
    }

    #[test]
    fn the_leak_report_names_the_line_that_holds_the_buffer() {
        let (control, mut half) = BufferPool::builder()
            .class(256, 4)
            .leak_sampling(1)
            .build()
            .unwrap();
        half.begin_quantum(1000);
        let leaked = half.acquire(200).unwrap();
        let line = line!() - 1;
        drop(half.acquire(256).unwrap());
        half.begin_quantum(5000);
        let report = control.leak_report();
        assert_eq!((report.leased, report.sites.len()), (1, 1));
        let site = report.sites[0];
        assert_eq!(
            (site.slot, site.requested, site.class_samples),
            (leaked.slot_index(), 200, 256)
        );
        assert_eq!(
            (site.first_frame, site.held_frames),
            (Some(1000), Some(4000))
        );
        assert!(site.site.file().ends_with("pool_control.rs") && site.site.line() == line);
        drop(leaked);
        assert!(control.leak_report().sites.is_empty());
    }

    #[test]
    fn handles_outlive_everything() {
        let (control, half) = BufferPool::builder().class(64, 4).build().unwrap();
        let mut owned = half.acquire(64).unwrap();
        let shared = half.acquire_silent(64).unwrap().freeze();
        drop(control);
        drop(half);
        owned.fill(1.0);
        let shared = std::thread::spawn(move || (shared.clone(), shared).0)
            .join()
            .unwrap();
        assert_eq!((owned[63], shared[63]), (1.0, 0.0));
        drop(owned);
        drop(shared);
    }

    #[test]
    fn builders_refuse_classes_that_cannot_be() {
        let refused = |builder: PoolBuilder| builder.build().err();
        assert!(matches!(
            refused(BufferPool::builder().class(0, 1)),
            Some(PoolError::BadClasses { smallest: 0, .. })
        ));
        assert!(matches!(
            refused(BufferPool::builder().class(256, 1).class(256, 1)),
            Some(PoolError::BadClasses { count: 2, .. })
        ));
        let many = (1..=17).fold(BufferPool::builder(), |builder, i| builder.class(i * 16, 1));
        assert!(matches!(
            refused(many),
            Some(PoolError::BadClasses {
                count: 17,
                most: 16,
                ..
            })
        ));
        assert!(matches!(
            refused(BufferPool::builder().class(1 << 31, 1)),
            Some(PoolError::TooLarge { .. })
        ));
        // The interpreter gives up on such a size itself.
        #[cfg(not(miri))]
        assert!(matches!(
            refused(BufferPool::builder().class(1 << 28, 1 << 14)),
            Some(PoolError::OutOfMemory { .. } | PoolError::TableFull { .. })
        ));
    }

    #[test]
    fn threads_that_pass_buffers_on_lose_none() {
        let (control, mut half) = BufferPool::builder().class(256, 16).build().unwrap();
        let (send, receive) =
            std::sync::mpsc::sync_channel::<(u32, crate::modules::data_management::BufferRef)>(8);
        let reader = std::thread::spawn(move || {
            for (number, buffer) in receive {
                assert!(buffer.clone().iter().all(|&sample| sample == number as f32));
            }
        });
        let rounds = if cfg!(miri) { 50 } else { 20_000 };
        for number in 0..rounds {
            half.begin_quantum(u64::from(number) * 128);
            if let Ok(mut buffer) = half.acquire(256) {
                buffer.fill(number as f32);
                send.send((number, buffer.freeze())).unwrap();
            }
        }
        drop(send);
        reader.join().unwrap();
        assert_eq!((control.leased(), control.is_valid()), (0, true));
    }

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
    fn a_refused_change_of_classes_leaves_nothing_carved() {
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
    fn a_class_that_drains_is_not_inherited_again() {
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
        let heir = metrics.classes.iter().find(|class| class.samples == 112);
        assert_eq!(heir.map(|class| class.carved), Some(4));
        drop(held);
    }

    #[test]
    fn classes_too_large_are_refused_before_anything_is_carved() {
        let (mut control, _half) = BufferPool::builder()
            .class(64, 2)
            .limit_samples(1 << 20)
            .build()
            .unwrap();
        let before = control.bytes_held();
        let shelves = control.anchor.shelves().count();
        assert!(matches!(
            change(&mut control, &[(128, 2), (1 << 14, 2)]),
            Err(PoolError::TooLarge { .. })
        ));
        assert_eq!(control.bytes_held(), before);
        assert_eq!(control.anchor.shelves().count(), shelves);
        change(&mut control, &[(256, u32::MAX)]).unwrap();
        assert!(control.is_valid());
    }

    #[test]
    fn a_half_too_many_is_refused_without_a_trace() {
        let (mut control, half) = BufferPool::builder().class(64, 0).build().unwrap();
        let mut halves = vec![half];
        for _ in 1..MAX_HALVES {
            halves.push(control.attach().unwrap());
        }
        let shelves = control.anchor.shelves().count();
        assert!(matches!(
            control.attach().err(),
            Some(PoolError::TableFull {
                table: Table::Halves,
                ..
            })
        ));
        assert_eq!(control.anchor.shelves().count(), shelves);
    }

    #[test]
    fn shelves_of_a_half_that_could_not_be_made_are_freed() {
        let wide = (1..=16).fold(BufferPool::builder(), |builder, i| builder.class(i * 16, 0));
        let (mut control, _half) = wide.build().unwrap();
        control.make_shelves(&[8]).unwrap();
        let mut halves = Vec::new();
        let refused = loop {
            match control.attach() {
                Ok(half) => halves.push(half),
                Err(error) => break error,
            }
        };
        assert!(matches!(
            refused,
            PoolError::TableFull {
                table: Table::Shelves,
                ..
            }
        ));
        assert_eq!(
            control.anchor.shelves().count(),
            16 * (halves.len() + 1) + 1
        );
    }

    #[test]
    fn a_half_without_owner_takes_up_new_classes_and_keeps_no_old_ones() {
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
        let retired = |shelf: &Pinned<Shelf>| shelf.samples == 64;
        assert_eq!(control.anchor.shelves().filter(retired).count(), 0);
        let next = control.attach_with(&[(128, 1)]).unwrap();
        assert_eq!(next.acquire(60).unwrap().capacity(), 128);
    }

    #[test]
    #[cfg(target_pointer_width = "64")] // Elsewhere no size is too wide.
    fn class_sizes_are_not_truncated() {
        let (mut control, _half) = BufferPool::builder()
            .class(64, 1)
            .limit_samples(1024)
            .build()
            .unwrap();
        let samples = (1 << 32) + 64;
        assert!(matches!(
            control.attach_with(&[(samples, 1)]).err(),
            Some(PoolError::UnknownClass { .. })
        ));
    }

    #[test]
    fn the_last_handle_frees_everything() {
        let (mut control, half) = BufferPool::builder()
            .class(64, 4)
            .limit_samples(1024)
            .build()
            .unwrap();
        let other = control.attach().unwrap();
        let (owned, planar) = (half.acquire(64).unwrap(), other.acquire_planar(2, 64));
        drop(control);
        drop((half, other));
        let thread = std::thread::spawn(move || drop(owned));
        drop(planar);
        thread.join().unwrap();
    }

    #[test]
    fn padding_is_overhead_and_not_held() {
        let (control, _half) = BufferPool::builder().class(100, 8).build().unwrap();
        let metrics = control.metrics();
        assert_eq!((control.bytes_held(), metrics.bytes_held), (3200, 3200));
        assert_eq!((metrics.bytes_reserved, metrics.sample_bytes), (3584, 3200));
        let tables = control.counts().overhead_bytes;
        assert_eq!(metrics.memory_overhead_bytes, tables + 384);
    }
}

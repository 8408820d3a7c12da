//! The half that may allocate: it carves, grows, collects, measures, and attaches real-time halves.

use super::accounts::bytes;
use super::arena::{FreeRuns, MemorySource, units};
use super::past_counts::PastCounts;
use super::pool_builder::PoolBuilder;
use super::threshold_search::{SLOTS_PER_STEP, ThresholdSearches};
use super::usage_scan::UsageScan;
use crate::event_bus::{BusError, Event, Publisher};
use crate::modules::data_management::error::PoolError;
use crate::modules::data_management::pool_events::{PoolGrown, declare_for};
use crate::modules::data_management::realtime::class_table::bucket_shift;
use crate::modules::data_management::realtime::free_list::Chain;
use crate::modules::data_management::realtime::pool_core::{
    ControlRef, Core, OnRelease, SharedPtr,
};
use crate::modules::data_management::realtime::realtime_pool::HalfOptions;
use crate::modules::data_management::realtime::size_class::SizeClass;
use crate::modules::data_management::sizing::sizing_plan::SizingStep;
use crate::modules::data_management::unshared::Unshared;

/// The control half: one per pool, on any thread that has time for it.
///
/// # Real-time
/// Not for the audio thread: methods allocate. None of them blocks a real-time half.
///
/// # Drop
/// Real-time halves and handles stay usable; what they shed is no longer collected. The memory is freed with the last
/// of control half, real-time halves and handles, on that thread.
pub struct PoolControl {
    /// Free memory of the arena.
    pub(super) free: FreeRuns,
    /// Slots without memory.
    pub(super) spare: Chain,
    /// Collected buffers that were not returned to the arena yet, and the size of their class in samples.
    pub(super) collected: (Chain, u32),
    /// Size classes, ascending, and how many buffers of each a newly attached half gets.
    pub(super) classes: Vec<(u32, u32)>,
    /// Buffers by class that the host configured for halves attached since [`take_attached`](Self::take_attached) was
    /// last called. Without those of a mix that an earlier run learned.
    pub(super) attached: Vec<(u32, u32)>,
    pub(super) is_learned: bool,
    /// Halves with a mix of their own: sizing plans neither take from them nor give to them.
    pub(super) own_mix: Vec<u16>,
    /// Searches for reclaim thresholds, and how many slots this control step may still scan for them.
    pub(super) thresholds: ThresholdSearches,
    pub(super) scan_budget: u32,
    pub(super) slots_per_step: u32,
    /// Requested samples by size class, from a scan of all slots.
    pub(super) usage_scan: UsageScan,
    pub(super) past: PastCounts,
    pub(super) shift: u32,
    pub(super) reserve: u32,
    pub(super) reserved_units: usize,
    /// The largest region.
    pub(super) largest_region_units: u32,
    /// Limit of all buffers, free memory and recycled vectors in samples, without the padding of buffers.
    pub(super) limit_samples: usize,
    /// Samples of recycled vectors, which count towards the limit.
    pub(super) recycled_vector_samples: usize,
    pub(super) regions: u8,
    pub(super) options: HalfOptions,
    pub(super) source: MemorySource,
    pub(super) on_release: OnRelease,
    pub(super) prefault: bool,
    pub(super) leases_reclaimed: u64,
    pub(super) buffers_leaked: u64,
    /// Buffers that were published as leaked and are still in use.
    pub(super) published_leaks: Vec<u32>,
    publisher: Unshared<Option<Publisher>>,
    pub(crate) pool: ControlRef,
}

impl PoolControl {
    pub(super) fn new(core: Core, builder: &PoolBuilder, limit_samples: usize) -> Self {
        let largest = builder.mix.last().map_or(1, |&(samples, _)| samples);
        let mut free = FreeRuns::default();
        free.set_largest_class(units(largest) as u32);
        Self {
            free,
            spare: Chain::EMPTY,
            collected: (Chain::EMPTY, 0),
            classes: builder
                .mix
                .iter()
                .map(|&(samples, buffers)| (samples as u32, buffers))
                .collect(),
            attached: Vec::new(),
            is_learned: builder.is_learned(),
            own_mix: Vec::new(),
            thresholds: ThresholdSearches::default(),
            scan_budget: SLOTS_PER_STEP,
            slots_per_step: SLOTS_PER_STEP,
            usage_scan: UsageScan::default(),
            past: PastCounts::default(),
            shift: bucket_shift(largest),
            reserve: builder.reserve(),
            reserved_units: 0,
            largest_region_units: 0,
            limit_samples,
            recycled_vector_samples: 0,
            regions: 0,
            options: HalfOptions {
                borrow: builder.borrows(),
                sample_every: builder.sample_every(),
            },
            source: builder.source(),
            on_release: builder.on_release(),
            prefault: builder.prefaults(),
            leases_reclaimed: 0,
            buffers_leaked: 0,
            published_leaks: Vec::new(),
            publisher: Unshared::new(None),
            pool: ControlRef::new(core),
        }
    }

    /// Attaches the publisher of the control half's events. The pool's event types are declared on its bus, so that
    /// JSON subscribers get them all.
    ///
    /// # Errors
    /// The bus's, when it cannot declare the types: the publisher is not attached then.
    pub fn attach_publisher(&mut self, publisher: Publisher) -> Result<(), BusError> {
        declare_for(&publisher)?;
        *self.publisher.get() = Some(publisher);
        Ok(())
    }

    pub(super) fn publish<E: Event>(&mut self, event: E) {
        if let Some(publisher) = self.publisher.get() {
            publisher.publish(event);
        }
    }

    pub(super) fn size_class(&self, half: u16, samples: u32) -> Option<SharedPtr<SizeClass>> {
        self.pool
            .size_classes()
            .find(|size_class| size_class.half == half && size_class.samples == samples)
    }

    /// Grows the class that would serve a request on a half by one buffer, if no ordinary acquire would find one idle.
    /// Returns the class if it grew.
    pub(crate) fn grow_for(&mut self, half: u16, samples: usize) -> Option<usize> {
        let class = self.classes().find(|&class| class >= samples)?;
        let size_class = self.size_class(half, class as u32)?;
        if samples == 0 || size_class.idle_of_owner() > self.reserve {
            return None;
        }
        // Not `grow`: that would satisfy this request by cancelling a pending shrink request, and the buffer it
        // concerns may still be leased.
        self.carve(size_class, 1).ok()?;
        self.has_grown(&size_class, 1);
        Some(class)
    }

    pub(super) fn has_class(&self, samples: u32) -> bool {
        self.classes.iter().any(|&(class, _)| class == samples)
    }

    /// Grows a class from the arena or, within the limit, by a new region. The buffers go to the half that came
    /// closest to running out of that class; all or none.
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
        let attached = |size_class: &SharedPtr<SizeClass>| {
            size_class.samples == size
                && self.is_attached(size_class.half)
                && may_grow(self, size_class.half)
        };
        let size_class = self
            .pool
            .size_classes()
            .filter(attached)
            .min_by_key(headroom)
            .ok_or(PoolError::NoHalf {
                class_samples: size,
            })?;
        if count == 0 {
            return Ok(());
        }
        // Pending shrink requests are cancelled first: a class that grows must not give buffers back.
        let kept = size_class.draining().min(count);
        if kept < count {
            self.carve(size_class, count - kept)?;
        } else {
            self.drain(&size_class, size_class.draining() - kept);
        }
        self.has_grown(&size_class, count);
        Ok(())
    }

    /// Ends a limit below the number of buffers there are now.
    fn has_grown(&mut self, size_class: &SizeClass, count: u32) {
        if size_class.limit() < size_class.idle() {
            size_class.set_limit(u32::MAX);
        }
        self.publish(PoolGrown {
            class_samples: size_class.samples,
            count,
            bytes_held: self.bytes_held() as u64,
            bytes_reserved: bytes(self.reserved_units) as u64,
        });
    }

    pub(super) fn is_attached(&self, half: u16) -> bool {
        self.pool
            .halves()
            .any(|other| other.id == half && other.is_attached())
    }

    /// Whether a half is sized by demand, not by a mix of its own.
    pub(super) fn follows_demand(&self, half: u16) -> bool {
        !self.own_mix.contains(&half)
    }

    pub(super) fn unknown_class(&self, samples: usize) -> PoolError {
        let nearest = self.classes().min_by_key(|class| class.abs_diff(samples));
        PoolError::UnknownClass {
            samples,
            nearest: nearest.unwrap_or(0),
        }
    }

    /// Applies one step of a sizing plan.
    ///
    /// # Errors
    /// Those of [`grow`](Self::grow), [`shrink`](Self::shrink), [`set_classes`](Self::set_classes).
    pub fn apply(&mut self, step: &SizingStep) -> Result<(), PoolError> {
        let answer = self.apply_without_thresholds(step);
        self.compute_thresholds();
        answer
    }

    /// [`apply`](Self::apply) for one of several steps: the thresholds are computed for all of them together,
    /// afterwards.
    pub(super) fn apply_without_thresholds(&mut self, step: &SizingStep) -> Result<(), PoolError> {
        match step {
            SizingStep::Grow {
                class_samples,
                buffers,
            } => self.grow_where(*class_samples, *buffers, Self::follows_demand),
            SizingStep::Shrink {
                class_samples,
                buffers,
            } => self.request_shrink(*class_samples, *buffers),
            SizingStep::SetClasses { classes } => self.change_classes(classes),
        }
    }

    /// Buffers that the pool can describe: their numbers are below this.
    #[must_use]
    pub fn most_slots(&self) -> usize {
        self.pool.table.capacity()
    }

    /// The size classes, ascending.
    pub fn classes(&self) -> impl Iterator<Item = usize> {
        self.classes.iter().map(|&(samples, _)| samples as usize)
    }
}

impl Drop for PoolControl {
    fn drop(&mut self) {
        debug_assert!(self.is_valid_when_idle() || std::thread::panicking());
    }
}

/// How far a size class was from running out lately. A class that was not used compares as the farthest.
pub(super) fn headroom(size_class: &SharedPtr<SizeClass>) -> (bool, u32) {
    let peak = size_class.window_peak();
    (peak == 0, size_class.carved().saturating_sub(peak))
}

/// Quanta after which nothing moves in a test pool any more. The interpreter is slow.
#[cfg(all(test, not(loom)))]
const ROUNDS: u64 = if cfg!(miri) { 8 } else { 200 };

/// Runs quanta and steps until nothing moves any more.
#[cfg(all(test, not(loom)))]
pub(crate) fn settle(
    control: &mut PoolControl,
    half: &mut crate::modules::data_management::RealtimePool,
) {
    for quantum in 0..ROUNDS {
        half.begin_quantum(quantum * 128);
        control.step(64);
    }
    assert!(control.is_valid());
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::modules::data_management::{BufferPool, DefragmentationResult};

    #[test]
    fn grow_is_bounded_by_the_limit_and_all_or_none() {
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
    fn grow_keeps_every_address() {
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
    fn trim_returns_idle_buffers_and_leaves_leased_ones() {
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
    fn trim_waits_for_the_half_to_begin_a_quantum() {
        let (mut control, mut half) = BufferPool::builder().class(256, 8).build().unwrap();
        drop(half.acquire(256).unwrap());
        control.trim(256, 2).unwrap();
        while !control.step(100).complete {}
        assert_eq!(control.bytes_held(), 8 * 1024);
        half.begin_quantum(0);
        while !control.step(100).complete {}
        assert_eq!(control.bytes_held(), 2 * 1024);
        drop(half);
        while !control.step(100).complete {}
        assert_eq!((control.bytes_held(), control.is_valid()), (0, true));
    }

    #[test]
    fn replenish_below_keeps_so_many_idle() {
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
    fn dropped_half_returns_its_buffers_to_the_arena() {
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
    fn control_step_moves_no_more_than_its_budget() {
        let (mut control, half) = BufferPool::builder().class(64, 50).build().unwrap();
        drop(half);
        let report = control.step(20);
        assert_eq!((report.collected, report.complete), (20, false));
        assert!(control.is_valid());
        assert_eq!(control.step(100).collected, 30);
    }

    #[test]
    fn defragmentation_leaves_leased_buffers_alone() {
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
    fn leak_report_names_the_line_that_acquired_the_buffer() {
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
    fn handles_outlive_both_halves() {
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
    fn builder_refuses_invalid_classes() {
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
    fn buffers_passed_between_threads_are_not_lost() {
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

    #[test]
    fn last_handle_frees_the_pool() {
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

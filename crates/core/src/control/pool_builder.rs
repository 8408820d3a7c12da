//! Builds a pool: what is reserved, what it may grow to, what happens when a class is empty.

use super::arena::FreeRuns;
use super::carving::too_many;
use super::past_counts::PastCounts;
use super::pool_control::PoolControl;
use super::sizing_step::ClassBuffers;
use super::threshold_search::{SLOTS_PER_STEP, ThresholdSearches};
use super::usage_scan::UsageScan;
use crate::error::PoolError;
use crate::limits::{UNIT_SAMPLES, units};
use crate::memory::MemorySource;
use crate::realtime::class_table::{MAX_CLASSES, bucket_shift};
use crate::realtime::exhaustion::ExhaustionPolicy;
use crate::realtime::free_list::{Chain, MAX_NEWLY_CARVED};
use crate::realtime::pool_core::{ControlRef, Core, OnRelease};
use crate::realtime::realtime_pool::{HalfOptions, RealtimePool};
use crate::realtime::slot_table::MAX_SAMPLES;
use crate::unshared::Unshared;
use alloc::vec::Vec;

/// The classes of a pool that was built without any.
pub const DEFAULT_MIX: [(usize, u32); 5] =
    [(256, 64), (512, 64), (1024, 64), (2048, 64), (4096, 64)];

/// One acquire in this many has its call site recorded, unless the builder sets another number.
const SAMPLE_EVERY: u32 = 64;
/// Slots are reserved for buffers of this size when the limit is filled, or of the smallest class of the mix if that is
/// smaller. More buffers, of classes that are learned later, run into `TableFull`.
const SMALLEST_SLOT_SAMPLES: usize = 64;

/// The entry to the pool.
pub struct BufferPool;

impl BufferPool {
    /// A builder with nothing set: [`DEFAULT_MIX`], no growth, fail when exhausted.
    ///
    /// # Examples
    /// ```
    /// use wavepool_core::BufferPool;
    ///
    /// let (mut control, mut half) = BufferPool::builder().class(512, 8).class(2048, 4).build()?;
    /// half.begin_quantum(0);
    /// let mut block = half.acquire_silent(480)?;
    /// block[0] = 1.0;
    /// let shared = block.freeze();
    /// let elsewhere = shared.clone();
    /// drop(shared);
    /// assert_eq!((elsewhere.len(), elsewhere.capacity(), control.leased()), (480, 512, 1));
    /// drop(elsewhere);
    /// assert_eq!(control.leased(), 0);
    /// control.grow(512, 8).unwrap_err(); // no growth was allowed
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }
}

/// The options of a pool. See [`BufferPool::builder`].
#[derive(Debug, Clone)]
pub struct PoolBuilder {
    pub(super) mix: Vec<(usize, u32)>,
    limit_samples: usize,
    reserve_samples: usize,
    exhaustion: ExhaustionPolicy,
    scrub_on_release: bool,
    prefault: bool,
    source: MemorySource,
    leak_sampling: u32,
    is_learned: bool,
}

impl Default for PoolBuilder {
    fn default() -> Self {
        Self {
            mix: Vec::new(),
            limit_samples: 0,
            reserve_samples: 0,
            exhaustion: ExhaustionPolicy::Fail,
            scrub_on_release: false,
            prefault: true,
            source: MemorySource::Heap,
            leak_sampling: SAMPLE_EVERY,
            is_learned: false,
        }
    }
}

impl PoolBuilder {
    /// Adds a size class, and how many buffers of it each attached half starts with. The first call replaces the default
    /// mix.
    #[must_use]
    pub fn class(mut self, samples: usize, buffers: u32) -> Self {
        self.mix.push((samples, buffers));
        self
    }

    /// Samples that the control half may take in all, the first half's share included: those of buffers, and of memory that
    /// is carved into none. Less than that share means no growth, which is also the default.
    ///
    /// Each buffer begins and ends on a multiple of 64 bytes. What it is rounded up by is not part of the limit; metrics
    /// count it as overhead.
    #[must_use]
    pub const fn limit_samples(mut self, samples: usize) -> Self {
        self.limit_samples = samples;
        self
    }

    /// Samples for which memory is reserved at once, those of the mix included: up to there the control half grows
    /// without a system call.
    #[must_use]
    pub const fn reserve_samples(mut self, samples: usize) -> Self {
        self.reserve_samples = samples;
        self
    }

    /// What an acquire does when its class is empty.
    #[must_use]
    pub const fn exhaustion(mut self, policy: ExhaustionPolicy) -> Self {
        self.exhaustion = policy;
        self
    }

    /// Zeroes samples when their buffer is released, so that no later owner ever sees them. Costs every release the
    /// time to write the whole class.
    #[must_use]
    pub const fn scrub_on_release(mut self, scrub: bool) -> Self {
        self.scrub_on_release = scrub;
        self
    }

    /// Whether every page is touched before the pool is used (it is, by default), so that no first use is a page fault.
    #[must_use]
    pub const fn prefault(mut self, prefault: bool) -> Self {
        self.prefault = prefault;
        self
    }

    /// Where sample memory comes from.
    #[must_use]
    pub const fn memory(mut self, source: MemorySource) -> Self {
        self.source = source;
        self
    }

    /// Records the call site of one acquire in `every` for the leak report; rounded up to a power of two.
    #[must_use]
    pub const fn leak_sampling(mut self, every: u32) -> Self {
        self.leak_sampling = every;
        self
    }

    /// Reserves all memory, and returns the two halves.
    ///
    /// # Errors
    /// [`BadClasses`](PoolError::BadClasses), [`OutOfMemory`](PoolError::OutOfMemory);
    /// [`TooManyAtOnce`](PoolError::TooManyAtOnce) with more than 32,766 buffers of one class.
    pub fn build(mut self) -> Result<(PoolControl, RealtimePool), PoolError> {
        if self.mix.is_empty() {
            self.mix = DEFAULT_MIX.to_vec();
        }
        self.mix.sort_unstable();
        check_classes(self.mix.iter().map(|&(samples, _)| samples))?;
        let most = self.mix.iter().map(|&(_, buffers)| buffers).max();
        if let Some(buffers) = most.filter(|&buffers| u64::from(buffers) > MAX_NEWLY_CARVED) {
            return Err(too_many(buffers as usize));
        }
        let share = self.share_samples().max(self.reserve_samples);
        let limit = self.limit_samples.max(share);
        let smallest = self.mix.first().map_or(1, |&(samples, _)| samples);
        let most_slots = (limit / smallest.min(SMALLEST_SLOT_SAMPLES)).max(self.buffers());
        let core = Core::new(most_slots);
        let mut control = PoolControl::new(core, &self, limit);
        control.add_region(self.share_units().max(self.reserve_units()))?;
        let half = control.attach()?;
        Ok((control, half))
    }

    /// Where no limit was set: so many times the mix.
    #[doc(hidden)]
    #[must_use]
    pub fn or_limit_of_shares(mut self, shares: usize) -> Self {
        if self.limit_samples == 0 {
            if self.mix.is_empty() {
                self.mix = DEFAULT_MIX.to_vec();
            }
            self.limit_samples = self.share_samples().saturating_mul(shares);
        }
        self
    }

    /// Starts the pool with the classes that an earlier run learned; memory is reserved as before. Sizing may correct
    /// them at once, where it keeps a mix of [`class`](Self::class) until demand has aged.
    ///
    /// # Errors
    /// [`TooLarge`](PoolError::TooLarge) when its largest class is below this builder's: requests would be refused that
    /// this pool is to serve. [`LimitReached`](PoolError::LimitReached) when its buffers exceed the limit.
    pub fn learned_mix(mut self, mix: &[ClassBuffers]) -> Result<Self, PoolError> {
        if self.mix.is_empty() {
            self.mix = DEFAULT_MIX.to_vec();
        }
        let needed = self.mix.iter().map(|&(samples, _)| samples).max();
        let largest = mix.iter().map(|class| class.samples).max();
        if largest < needed {
            return Err(PoolError::TooLarge {
                requested: needed.unwrap_or(0),
                largest: largest.unwrap_or(0),
            });
        }
        let samples = |class: &ClassBuffers| class.samples.saturating_mul(class.buffers as usize);
        let requested = mix.iter().map(samples).fold(0, usize::saturating_add);
        let share = self.share_samples();
        let limit = self.limit_samples.max(share).max(self.reserve_samples);
        if requested > limit {
            return Err(PoolError::LimitReached {
                requested,
                available: limit,
                limit,
            });
        }
        self.reserve_samples = self.reserve_samples.max(share);
        self.mix = mix
            .iter()
            .map(|class| (class.samples, class.buffers))
            .collect();
        self.is_learned = true;
        Ok(self)
    }

    /// Samples of the buffers one half starts with, and units of memory they take.
    fn share_samples(&self) -> usize {
        self.share(|samples| samples)
    }

    fn share_units(&self) -> usize {
        self.share(units)
    }

    fn share(&self, of_buffer: impl Fn(usize) -> usize) -> usize {
        let class = |&(samples, buffers): &(usize, u32)| {
            of_buffer(samples).saturating_mul(buffers as usize)
        };
        self.mix.iter().map(class).fold(0, usize::saturating_add)
    }

    /// Units that hold the samples to reserve in buffers of any of the classes. Classes of so few samples that rounding more
    /// than doubles them are not taken into account.
    fn reserve_units(&self) -> usize {
        let reserve = self.reserve_samples as u128;
        let of_class = |&(samples, _): &(usize, u32)| {
            (reserve * units(samples) as u128).div_ceil(samples.max(1) as u128)
        };
        let most = 2 * reserve.div_ceil(UNIT_SAMPLES as u128);
        let needed = self.mix.iter().map(of_class).max().unwrap_or(0).min(most);
        usize::try_from(needed).unwrap_or(usize::MAX)
    }

    fn buffers(&self) -> usize {
        let buffers = |&(_, buffers): &(usize, u32)| buffers as usize;
        self.mix.iter().map(buffers).fold(0, usize::saturating_add)
    }

    pub(super) const fn reserve(&self) -> u32 {
        match self.exhaustion {
            ExhaustionPolicy::Reserve(kept) if kept > ExhaustionPolicy::MAX_RESERVE => {
                ExhaustionPolicy::MAX_RESERVE
            }
            ExhaustionPolicy::Reserve(kept) => kept,
            ExhaustionPolicy::Fail | ExhaustionPolicy::BorrowNextLarger => 0,
        }
    }

    pub(super) const fn borrows(&self) -> bool {
        matches!(self.exhaustion, ExhaustionPolicy::BorrowNextLarger)
    }

    pub(super) const fn sample_every(&self) -> u64 {
        let every = if self.leak_sampling == 0 {
            1
        } else {
            self.leak_sampling
        };
        (every as u64).next_power_of_two()
    }

    pub(super) const fn is_learned(&self) -> bool {
        self.is_learned
    }

    pub(super) const fn prefaults(&self) -> bool {
        self.prefault
    }

    pub(super) const fn on_release(&self) -> OnRelease {
        if self.scrub_on_release {
            OnRelease::Scrub
        } else {
            OnRelease::Leave
        }
    }

    pub(super) const fn source(&self) -> MemorySource {
        self.source
    }
}

impl PoolControl {
    fn new(core: Core, builder: &PoolBuilder, limit_samples: usize) -> Self {
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
            observer: Unshared::new(None),
            pool: ControlRef::new(core),
        }
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
#[path = "pool_builder_tests.rs"]
mod tests;

//! Builds a pool: what is reserved, what it may grow to, what happens when a class is empty.

use super::arena::{Arena, ArenaOptions};
use super::carving::{Carver, too_many};
use super::class_plan::{ClassPlan, check_classes};
use super::control_counts::ControlCounts;
use super::pool_control::PoolControl;
use super::reports::Reports;
use super::sizing_step::ClassBuffers;
use crate::error::PoolError;
use crate::limits::{UNIT_SAMPLES, units};
use crate::memory::MemorySource;
use crate::realtime::exhaustion::ExhaustionPolicy;
use crate::realtime::free_list::MAX_NEWLY_CARVED;
use crate::realtime::pool_core::{ControlRef, Core};
use crate::realtime::pool_state::OnRelease;
use crate::realtime::realtime_pool::{HalfOptions, RealtimePool};
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
    mix: Vec<(usize, u32)>,
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
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let (control, _audio) = BufferPool::builder().class(128, 8).class(2048, 4).build()?;
    /// assert_eq!(control.classes().collect::<Vec<_>>(), [128, 2048]);
    /// # Ok::<(), PoolError>(())
    /// ```
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
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let builder = BufferPool::builder().class(256, 1).limit_samples(512);
    /// let (mut control, _audio) = builder.build()?;
    /// control.grow(256, 1)?;
    /// assert!(matches!(control.grow(256, 1), Err(PoolError::LimitReached { .. })));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub const fn limit_samples(mut self, samples: usize) -> Self {
        self.limit_samples = samples;
        self
    }

    /// Samples for which memory is reserved at once, those of the mix included: up to there the control half grows
    /// without a system call.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let builder = BufferPool::builder().class(256, 1).limit_samples(4096);
    /// let (control, _audio) = builder.reserve_samples(4096).build()?;
    /// assert_eq!(control.usage().bytes_reserved, 4096 * 4);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub const fn reserve_samples(mut self, samples: usize) -> Self {
        self.reserve_samples = samples;
        self
    }

    /// What an acquire does when its class is empty.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let builder = BufferPool::builder().class(256, 1).class(1024, 1);
    /// let (_control, audio) = builder.exhaustion(ExhaustionPolicy::BorrowNextLarger).build()?;
    /// let _small = audio.acquire(256)?;
    /// // The larger class serves it.
    /// assert_eq!(audio.acquire(256)?.capacity(), 1024);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub const fn exhaustion(mut self, policy: ExhaustionPolicy) -> Self {
        self.exhaustion = policy;
        self
    }

    /// Zeroes samples when their buffer is released, so that no later owner ever sees them. Costs every release the
    /// time to write the whole class.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let builder = BufferPool::builder().class(256, 1);
    /// let (_control, audio) = builder.scrub_on_release(true).build()?;
    /// audio.acquire(256)?.fill(0.5);
    /// assert_eq!(audio.acquire(256)?[0], 0.0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub const fn scrub_on_release(mut self, scrub: bool) -> Self {
        self.scrub_on_release = scrub;
        self
    }

    /// Whether every page is touched before the pool is used (it is, by default), so that no first use is a page fault.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// // A short-lived pool whose memory may never be used.
    /// let (_control, _audio) = BufferPool::builder().class(65_536, 4).prefault(false).build()?;
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub const fn prefault(mut self, prefault: bool) -> Self {
        self.prefault = prefault;
        self
    }

    /// Where sample memory comes from.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let builder = BufferPool::builder().class(256, 4);
    /// let (_control, _audio) = builder.memory(MemorySource::Heap).build()?;
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub const fn memory(mut self, source: MemorySource) -> Self {
        self.source = source;
        self
    }

    /// Records the call site of one acquire in `every` for the leak report; rounded up to a power of two.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let builder = BufferPool::builder().class(256, 4);
    /// let (control, audio) = builder.leak_sampling(1).build()?;
    /// let _kept = audio.acquire(256)?;
    /// let report = control.leak_report();
    /// assert_eq!((report.leased, report.sites.len()), (1, 1));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
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
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let (_control, _audio) = BufferPool::builder().class(256, 8).class(2048, 4).build()?;
    /// let refused = BufferPool::builder().class(0, 8).build();
    /// assert!(matches!(refused, Err(PoolError::BadClasses { .. })));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
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
        let (reserve, on_release) = (self.reserve(), self.on_release());
        let class = |&(samples, buffers): &(usize, u32)| (samples as u32, buffers);
        let classes = self.mix.iter().map(class).collect();
        let largest = self.mix.last().map_or(1, |&(samples, _)| samples);
        let arena = ArenaOptions {
            limit_samples: limit,
            source: self.source,
            prefault: self.prefault,
        };
        let mut control = PoolControl {
            plan: ClassPlan::new(classes, self.is_learned, reserve, on_release),
            carver: Carver::new(Arena::new(arena, largest)),
            counts: ControlCounts::default(),
            options: HalfOptions {
                borrow: matches!(self.exhaustion, ExhaustionPolicy::BorrowNextLarger),
                sample_every: u64::from(self.leak_sampling.max(1)).next_power_of_two(),
            },
            reports: Reports::new(),
            pool: ControlRef::new(Core::new(most_slots)),
        };
        let first = self.share_units().max(self.reserve_units());
        control.carver.arena.add_region(&control.pool, first)?;
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
    #[doc(hidden)] // For the crate `wavepool`, which has the profiles of earlier runs.
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

    const fn reserve(&self) -> u32 {
        match self.exhaustion {
            ExhaustionPolicy::Reserve(kept) if kept > ExhaustionPolicy::MAX_RESERVE => {
                ExhaustionPolicy::MAX_RESERVE
            }
            ExhaustionPolicy::Reserve(kept) => kept,
            ExhaustionPolicy::Fail | ExhaustionPolicy::BorrowNextLarger => 0,
        }
    }

    const fn on_release(&self) -> OnRelease {
        if self.scrub_on_release {
            OnRelease::Scrub
        } else {
            OnRelease::Leave
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "pool_builder_tests.rs"]
mod tests;

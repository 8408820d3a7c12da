//! The figures of the pool: counts, maps, reports, and the check that the accounts agree.

use alloc::vec;
use alloc::vec::Vec;
use core::panic::Location;

use super::past_counts::add_counts;
use super::pool_control::PoolControl;
use super::usage::{ClassMetrics, PoolUsage};
use super::usage_scan::UsageScan;
use crate::limits::{UNIT_SAMPLES, bytes, units};
use crate::realtime::class_table::BUCKETS;
use crate::realtime::free_list::Chain;
use crate::realtime::pool_state::MAX_SIZE_CLASSES;
use crate::realtime::size_class::SizeClass;
use crate::realtime::slot_table::Slot;

/// One buffer, for kept views and for the map of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its number.
    pub index: u32,
    /// The address of its samples.
    pub address: usize,
    /// Its capacity.
    pub samples: usize,
    /// Requested length in samples; 0 while idle.
    pub requested_samples: usize,
    /// The half it belongs to.
    pub half: u16,
}

/// The buffers in use, and where they were acquired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeakReport {
    /// Buffers in use.
    pub leased: u64,
    /// Those among them whose acquire was sampled, oldest first.
    pub sites: Vec<LeakSite>,
    /// Acquires that were sampled while the records their half looked at were all in use: their call sites are not
    /// known.
    pub unrecorded: u64,
}

/// A buffer in use, and where it was acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeakSite {
    /// The buffer's number.
    pub slot: u32,
    /// Its capacity.
    pub class_samples: usize,
    /// Requested length in samples.
    pub requested: usize,
    /// The call that acquired it.
    pub site: &'static Location<'static>,
    /// First frame of the quantum in which it was acquired; none if its half followed no stream.
    pub first_frame: Option<u64>,
    /// Frames since then: how long it has been in use.
    pub held_frames: Option<u64>,
}

/// The requested length of a `Scratch` from the cache is not known: it counts as the whole buffer, so that it is no
/// waste.
fn borrowed_scratch_samples(size_class: &SizeClass) -> u64 {
    size_class
        .borrowed_scratch()
        .map_or(0, |_| u64::from(size_class.samples))
}

impl PoolControl {
    /// Buffers in use. Another thread can change that at any moment.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let block = audio.acquire(256)?;
    /// assert_eq!(control.leased(), 1);
    /// drop(block);
    /// assert_eq!(control.leased(), 0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn leased(&self) -> u64 {
        self.pool
            .size_classes()
            .map(|size_class| u64::from(size_class.leased()))
            .sum()
    }

    /// Every buffer that exists.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// assert_eq!(control.slots().count(), 4);
    /// assert!(control.slots().all(|slot| slot.samples == 256));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn slots(&self) -> impl Iterator<Item = SlotInfo> {
        self.pool.table.indices().filter_map(|index| {
            let slot = self.pool.table.slot(index);
            let size_class = self.pool.size_class_of(slot)?;
            let requested_samples = match slot.requested_samples() {
                0 if size_class.borrowed_scratch() == Some(index) => size_class.samples,
                requested => requested,
            };
            Some(SlotInfo {
                index: index.raw(),
                address: self.pool.samples_at(slot).as_ptr().addr(),
                samples: size_class.samples as usize,
                requested_samples: requested_samples as usize,
                half: size_class.half,
            })
        })
    }

    /// The arena's free runs: region, first sample, samples.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// // Nothing may grow, so that no memory is left beside the four buffers.
    /// assert_eq!(control.free_runs().count(), 0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn free_runs(&self) -> impl Iterator<Item = (u8, usize, usize)> {
        self.carver.arena.free.iter().map(|run| {
            (
                run.region,
                run.unit as usize * UNIT_SAMPLES,
                run.units as usize * UNIT_SAMPLES,
            )
        })
    }

    /// Requests so far by size: the largest size of each step, and how many. The counts wrap.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let _block = audio.acquire(200)?;
    /// let requests: u32 = control.demand().map(|(_, count)| count).sum();
    /// assert_eq!(requests, 1);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn demand(&self) -> impl Iterator<Item = (usize, u32)> {
        let mut counts = [0u32; BUCKETS];
        for half in self.pool.halves() {
            for (sum, count) in counts.iter_mut().zip(half.demand()) {
                *sum = sum.wrapping_add(count);
            }
        }
        self.plan.demand_steps().zip(counts)
    }

    /// The buffers in use, with the call sites of those whose acquire was sampled.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let _kept = audio.acquire(256)?;
    /// assert_eq!(control.leak_report().leased, 1);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn leak_report(&self) -> LeakReport {
        let (mut sites, mut unrecorded) = (Vec::new(), 0);
        for half in self.pool.halves() {
            unrecorded += half.sites.unrecorded.get();
            for sampled in half.sites.iter() {
                // Valid if the slot still carries the mark, and belongs to this half.
                let held = |slot: &SlotInfo| {
                    slot.index == sampled.slot && slot.half == half.id && slot.requested_samples > 0
                };
                if self.is_sampled(sampled.slot)
                    && let Some(info) = self.slots().find(held)
                {
                    let now = half.frame.get();
                    let frames = now.zip(sampled.frame);
                    sites.push(LeakSite {
                        slot: info.index,
                        class_samples: info.samples,
                        requested: info.requested_samples,
                        site: sampled.site,
                        first_frame: sampled.frame,
                        held_frames: frames.map(|(now, then)| now.saturating_sub(then)),
                    });
                }
            }
        }
        sites.sort_unstable_by_key(|site| site.first_frame);
        LeakReport {
            leased: self.leased(),
            sites,
            unrecorded,
        }
    }

    fn is_sampled(&self, slot: u32) -> bool {
        let mut indices = self.pool.table.indices();
        indices.any(|index| index.raw() == slot && self.pool.table.slot(index).is_sampled())
    }

    /// A snapshot of the pool's counts. Costs the real-time halves nothing.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let _block = audio.acquire(200)?;
    /// let usage = control.usage();
    /// assert_eq!(usage.sum(|class| class.acquires()), 1);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn usage(&self) -> PoolUsage {
        let mut usage = PoolUsage::default();
        self.read_usage(&mut usage);
        usage
    }

    /// [`usage`](Self::usage) into a value that is used again, so that reading does not allocate once `classes` has
    /// its capacity.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let mut usage = PoolUsage::default();
    /// control.read_usage(&mut usage);
    /// assert_eq!(usage.classes[0].carved, 4);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn read_usage(&self, usage: &mut PoolUsage) {
        let requested = UsageScan::scan_now(&self.pool.table);
        let requested =
            |size_class: &SizeClass| requested[usize::from(size_class.id) % MAX_SIZE_CLASSES];
        self.count_halves(usage, requested, false);
    }

    /// [`usage`](Self::usage) for a control step: requested lengths are from the last scan of all slots, of which each
    /// step does a part, up to `most` slots.
    #[doc(hidden)]
    pub fn usage_of_step(&mut self, most: u32) -> PoolUsage {
        self.counts.usage_scan.advance(&self.pool.table, most);
        let mut usage = PoolUsage::default();
        self.count_halves(&mut usage, self.requested_lately(), false);
        usage
    }

    fn requested_lately(&self) -> impl Fn(&SizeClass) -> u64 {
        |size_class| {
            self.counts
                .usage_scan
                .requested(size_class.id, size_class.leased())
        }
    }

    /// The counts of halves whose sizes follow demand, with the limit that the others leave them. `all` are the counts
    /// of every half.
    #[doc(hidden)]
    #[must_use]
    pub fn usage_of_demand(&self, all: &PoolUsage) -> PoolUsage {
        let mut size_classes = self.pool.size_classes();
        if self.counts.past.is_all_of_demand()
            && size_classes.all(|size_class| self.plan.follows_demand(size_class.half))
        {
            return all.clone();
        }
        drop(size_classes);
        let mut usage = PoolUsage::default();
        let requested = self.requested_lately();
        self.count_halves(&mut usage, requested, true);
        let own = self.pool.size_classes();
        let own = own.filter(|size_class| !self.plan.follows_demand(size_class.half));
        let taken: usize = own
            .map(|size_class| size_class.carved() as usize * size_class.samples as usize)
            .sum();
        usage.bytes_limit = sample_bytes(self.limit_samples().saturating_sub(taken));
        usage
    }

    fn count_halves(
        &self,
        usage: &mut PoolUsage,
        requested: impl Fn(&SizeClass) -> u64,
        demand_only: bool,
    ) {
        let mut classes = core::mem::take(&mut usage.classes);
        classes.clear();
        classes.reserve(self.plan.classes.len());
        classes.extend(self.classes().map(|samples| ClassMetrics {
            samples,
            ..ClassMetrics::default()
        }));
        for past in self.counts.past.classes(demand_only) {
            add_counts(&mut classes, past);
        }
        let size_classes = self.pool.size_classes();
        for size_class in size_classes
            .filter(|size_class| !demand_only || self.plan.follows_demand(size_class.half))
        {
            let counts = ClassMetrics {
                requested_samples: requested(size_class) + borrowed_scratch_samples(size_class),
                ..self.counts.past.figures_beside(size_class)
            };
            add_counts(&mut classes, &counts);
        }
        // Collected buffers that are not in the arena yet are still carved and idle, though no size class counts them.
        let (chain, id) = &self.carver.collected;
        let samples = self
            .pool
            .size_class(*id)
            .map(|size_class| size_class.samples as usize);
        let of_size = |class: &&mut ClassMetrics| Some(class.samples) == samples;
        if let Some(class) = classes.iter_mut().find(of_size) {
            class.carved += u64::from(chain.length);
            class.idle += u64::from(chain.length);
        }
        for class in &mut classes {
            class.retired = !self.plan.has_class(class.samples as u32);
        }
        let arena = &self.carver.arena;
        *usage = PoolUsage {
            padding_bytes: sample_bytes(arena.padding_samples()),
            classes,
            overhead_bytes: self.overhead_bytes(),
            bytes_reserved: bytes(arena.reserved_units),
            bytes_limit: sample_bytes(arena.limit_samples()),
            short_run_samples: arena.free.short() * UNIT_SAMPLES,
            largest_free_run_samples: arena.free.largest() as usize * UNIT_SAMPLES,
            leases_reclaimed: self.counts.leases_reclaimed,
            buffers_leaked: self.counts.buffers_leaked,
        };
    }

    /// Slots, free runs and stretches of the arena that control steps have scanned so far.
    #[doc(hidden)]
    #[must_use]
    pub fn scans(&self) -> u64 {
        self.carver.stretches.looks()
            + self.counts.usage_scan.scanned()
            + self.carver.arena.free.looks()
    }

    /// Buffers that came back, as far as their halves have seen: the sum of the recycling events.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// audio.release(audio.acquire(200)?);
    /// assert_eq!(control.recycled(), 1);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn recycled(&self) -> u64 {
        let there: u64 = self.pool.size_classes().map(SizeClass::recycled).sum();
        there + self.counts.past.recycled()
    }

    fn overhead_bytes(&self) -> usize {
        self.pool.heap_bytes()
            + self.carver.arena.free.heap_bytes()
            + self.carver.stretches.heap_bytes()
            + self.counts.heap_bytes()
            + self.plan.heap_bytes()
    }

    /// The share of the arena that is free in coalesced runs shorter than the largest class, in percent.
    /// See `docs/decisions/0016-fragmentation-counts-free-memory-only.md`.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// assert_eq!(control.fragmentation_percentage(), 0.0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn fragmentation_percentage(&self) -> f32 {
        self.carver.arena.fragmentation_percentage()
    }

    /// Capacity of all carved buffers in bytes, leased or idle.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// assert_eq!(control.bytes_held(), 4 * 256 * 4);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        sample_bytes(self.carver.arena.held_samples())
    }

    /// [`is_valid`](Self::is_valid) if the pool is known to be idle: no half has an owner, and no buffer is in use.
    /// True otherwise.
    pub(super) fn is_valid_when_idle(&self) -> bool {
        let owned = self.pool.halves().any(|half| half.is_attached());
        owned || self.leased() > 0 || self.is_valid()
    }

    /// Whether every account agrees with every other, list by list and slot by slot. For tests and debug builds, while
    /// no thread is inside an operation. One pass over lists and slots.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// assert!(control.is_valid());
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let table = &self.pool.table;
        let mut on_list = vec![false; table.indices().count()];
        // Every slot of a list is on no other, idle, and of this size class; and there are as many as the list says.
        let mut walk = |mut chain: Chain, size_class: Option<u16>| {
            let length = chain.length;
            for _ in 0..length {
                let Some(index) = chain.pop(table) else {
                    return false;
                };
                let slot = table.slot(index);
                let belongs = match size_class {
                    Some(size_class) => slot.is_carved() && slot.size_class() == size_class,
                    None => !slot.is_carved(),
                };
                let seen = core::mem::replace(&mut on_list[index.raw() as usize], true);
                if seen || !belongs || slot.requested_samples() > 0 {
                    return false;
                }
            }
            true
        };
        if !walk(self.carver.spare, None) {
            return false;
        }
        let (collected, id) = self.carver.collected;
        if !walk(collected, Some(id)) {
            return false;
        }
        let samples = self
            .pool
            .size_class(id)
            .map_or(0, |size_class| size_class.samples);
        let mut carved_units = collected.length as usize * units(samples as usize);
        let mut held_samples = (collected.length * samples) as usize;
        let mut leased = vec![0; MAX_SIZE_CLASSES];
        for size_class in self.pool.size_classes() {
            let [front, side] = size_class.shared.inbox.lists();
            let lists = [
                size_class.peek_local(),
                size_class.peek_cache(),
                front.peek(),
                side.peek(),
                size_class.shared.surplus.peek(),
            ];
            if !size_class.shed_is_valid()
                || !lists
                    .into_iter()
                    .all(|chain| walk(chain, Some(size_class.id)))
            {
                return false;
            }
            leased[usize::from(size_class.id)] =
                i64::from(size_class.carved()) - i64::from(size_class.idle());
            let (carved, samples) = (size_class.carved() as usize, size_class.samples as usize);
            carved_units += carved * units(samples);
            held_samples += carved * samples;
        }
        // A buffer that is on no list is in use.
        for index in table
            .indices()
            .filter(|index| !on_list[index.raw() as usize])
        {
            let slot = table.slot(index);
            let Some(size_class) = self.pool.size_class_of(slot) else {
                return false;
            };
            let out = size_class.borrowed_scratch() == Some(index);
            if out == (slot.requested_samples() > 0) {
                return false;
            }
            leased[usize::from(slot.size_class())] -= 1;
        }
        leased.iter().all(|&difference: &i64| difference == 0)
            && self.thresholds_are_valid()
            && self.carver.arena.free.is_valid()
            && carved_units + self.carver.arena.free.total() == self.carver.arena.reserved_units
            && held_samples == self.carver.arena.held_samples()
    }

    /// Whether the stretches count every buffer, and at least as many lie above each threshold as are requested.
    fn thresholds_are_valid(&self) -> bool {
        let slots = self.pool.table.indices();
        let slots = slots.map(|index| self.pool.table.slot(index));
        let carved = slots.filter(Slot::is_carved);
        let carved = carved.map(|slot| (slot.size_class(), slot.address_key()));
        let is_reached = |size_class: &SizeClass| {
            let of_class = carved.clone().filter(|(id, _)| *id == size_class.id);
            let above = of_class.filter(|(_, key)| *key >= size_class.reclaim_threshold());
            above.count() >= size_class.draining() as usize
        };
        self.carver.stretches.agrees_with(carved.clone())
            && self.pool.size_classes().all(is_reached)
    }
}

/// Samples in bytes.
const fn sample_bytes(samples: usize) -> usize {
    samples.saturating_mul(size_of::<f32>())
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "accounts_tests.rs"]
mod tests;

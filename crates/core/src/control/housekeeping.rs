//! The repeated work of the control half, in bounded steps: collect, return to the arena, replenish, reclaim.

use super::pool_control::PoolControl;
use crate::observer::{BufferLeaked, LeasesReclaimed};
use crate::realtime::half::Half;
use crate::realtime::lease::LeaseTable;
use crate::realtime::size_class::{NO_THRESHOLD, SizeClass};
use alloc::vec::Vec;

/// What a control step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepReport {
    /// Buffers returned to the arena.
    pub collected: u32,
    /// Buffers carved for classes below their target.
    pub replenished: u32,
    /// Whether all work was done; if not, the budget was used up first.
    pub complete: bool,
}

impl PoolControl {
    /// One bounded step: frees what halves have retired, collects what they shed and returns it to the arena, and
    /// replenishes classes below their target.
    ///
    /// # Real-time
    /// For the control side. At most `budget` buffers are moved; besides, one look at each size class.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let report = control.step(64);
    /// assert!(report.complete);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn step(&mut self, budget: u32) -> StepReport {
        let mut report = StepReport::default();
        self.collect_tables();
        let mut left = budget;
        report.collected = self.collect(&mut left);
        report.replenished = self.carver.replenish(&self.pool, &mut left);
        self.request_scans();
        self.remove_drained();
        report.complete = left > 0;
        debug_assert!(self.is_valid_when_idle());
        report
    }

    /// Has owners scan what became idle since, where they still have to shed buffers.
    pub(super) fn request_scans(&self) {
        for size_class in self.pool.size_classes() {
            match (size_class.reclaim_threshold(), size_class.draining()) {
                (NO_THRESHOLD, _) => {}
                (_, 0) => size_class.end_drain(),
                _ => size_class.request_scan(),
            }
        }
    }

    /// Frees the tables that owners have retired. A half without an owner picks up what was published since it was
    /// detached, so that no old size class stays named.
    fn collect_tables(&mut self) {
        self.pool.collect_retired();
        let mut installed = false;
        for half in self.half_ids() {
            let owned = self.pool.own(half);
            installed |= owned.is_some_and(|mut owned| owned.install_pending_table());
        }
        if installed {
            self.pool.collect_retired();
        }
    }

    /// Starts a new window of [`ClassMetrics::recent_high_water`], after the last one was read.
    ///
    /// [`ClassMetrics::recent_high_water`]:
    /// crate::ClassMetrics::recent_high_water
    #[doc(hidden)]
    pub fn begin_peak_window(&mut self) {
        for size_class in self.pool.size_classes() {
            size_class.restart_window_peak();
        }
    }

    pub(crate) fn collect(&mut self, budget: &mut u32) -> u32 {
        let (pool, reports) = (&self.pool, &mut self.reports);
        self.carver.collect(pool, reports, budget)
    }

    /// Frees retired size classes once their last buffer is back.
    fn remove_drained(&mut self) {
        // Collected buffers that are not in the arena yet name their size class.
        if self.carver.collected.0.length > 0 {
            return;
        }
        let drained = |size_class: &&SizeClass| {
            size_class.carved() == 0 && !self.plan.has_class(size_class.samples)
        };
        let drained = self.pool.size_classes().filter(drained);
        let figures = |size_class: &SizeClass| {
            let counted = self.counts.past.figures_beside(size_class);
            let (id, half) = (size_class.id, size_class.half);
            (id, half, counted, size_class.recycled())
        };
        for (id, half, counted, recycled) in drained.map(figures).collect::<Vec<_>>() {
            let follows_demand = self.plan.follows_demand(half);
            if self.pool.remove_if_unused(id) {
                let past = &mut self.counts.past;
                past.keep(id, counted, recycled, follows_demand);
            } else if self.pool.half(half).is_some_and(Half::is_current) {
                self.plan.publish(&mut self.pool, half);
            }
        }
    }

    /// Releases every lease of a participant that died; returns how many there were.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let mut leases = LeaseTable::new(1, 4);
    /// let _lease = leases.open(audio.acquire(200)?)?;
    /// assert_eq!((control.reclaim_leases(&mut leases), control.leased()), (1, 0));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn reclaim_leases<B>(&mut self, dead: &mut LeaseTable<B>) -> u32 {
        let count = dead.reclaim() as u32;
        self.counts.leases_reclaimed += u64::from(count);
        let first_frame = self.pool.halves().filter_map(|half| half.frame.get()).max();
        let reclaimed = LeasesReclaimed {
            holder: u32::from(dead.holder()),
            count,
            first_frame,
        };
        self.reports
            .send(|observer| observer.leases_reclaimed(reclaimed));
        count
    }

    /// Counts and publishes every buffer that is in use although nobody may have one any more, except those whose
    /// number `excused` accepts. Each is published once for as long as it stays in use. Returns how many were new.
    ///
    /// Only the host knows that moment: its last stream has closed, its last participant has left.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// std::mem::forget(audio.acquire(200)?);
    /// assert_eq!(control.report_leaks(|_| false), 1);
    /// // Each is reported once.
    /// assert_eq!(control.report_leaks(|_| false), 0);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn report_leaks(&mut self, excused: impl Fn(u32) -> bool) -> u32 {
        let out: Vec<_> = self
            .slots()
            .filter(|slot| slot.requested_samples > 0 && !excused(slot.index))
            .collect();
        let published = core::mem::take(&mut self.counts.published_leaks);
        let sites = self.leak_report().sites;
        for slot in out.iter().filter(|slot| !published.contains(&slot.index)) {
            self.counts.buffers_leaked += 1;
            let site = sites.iter().find(|site| site.slot == slot.index);
            let leaked = BufferLeaked {
                slot: slot.index,
                class_samples: slot.samples as u32,
                requested: slot.requested_samples as u32,
                first_frame: site.and_then(|site| site.first_frame),
            };
            self.reports.send(|observer| observer.leaked(leaked));
        }
        let found = out.iter().filter(|slot| !published.contains(&slot.index));
        let found = found.count() as u32;
        self.counts.published_leaks = out.iter().map(|slot| slot.index).collect();
        found
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "housekeeping_tests.rs"]
mod tests;

//! The repeated work of the control half, in bounded steps: collect, return to the arena, replenish, reclaim.

use super::past_counts::counts_since;
use super::pool_control::PoolControl;
use crate::lease::LeaseTable;
use crate::limits::units;
use crate::observer::{BufferLeaked, BufferPoolRecycling, LeasesReclaimed};
use crate::realtime::free_list::Chain;
use crate::realtime::pool_core::SharedPtr;
use crate::realtime::size_class::SizeClass;
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
    pub fn step(&mut self, budget: u32) -> StepReport {
        let mut report = StepReport::default();
        self.scan_budget = self.slots_per_step;
        for half in self.pool.halves() {
            half.collect_retired();
            if !half.is_attached() {
                half.apply_while_detached();
            }
        }
        let mut left = budget;
        report.collected = self.collect(&mut left);
        report.replenished = self.replenish(&mut left);
        report.replenished += self.compute_thresholds().0;
        self.request_scans();
        self.remove_drained();
        report.complete = left > 0;
        debug_assert!(self.is_valid_when_idle());
        report
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
        let mut collected = 0;
        loop {
            while *budget > 0 && self.return_one_to_arena() {
                *budget -= 1;
                collected += 1;
            }
            if *budget == 0 || !self.take_next_list() {
                return collected;
            }
        }
    }

    /// Returns one collected buffer to the arena.
    fn return_one_to_arena(&mut self) -> bool {
        let (chain, samples) = &mut self.collected;
        let units = units(*samples as usize) as u32;
        let Some(index) = chain.pop(&self.pool.table) else {
            return false;
        };
        self.uncarve(index, units);
        true
    }

    /// Takes a list that can be collected: a surplus, or any list of a detached half.
    fn take_next_list(&mut self) -> bool {
        let core = self.pool.core();
        for size_class in core.size_classes() {
            let mut chain = size_class.shared.surplus.take();
            if chain.length == 0 && !self.is_attached(size_class.half) {
                chain = self.take_idle(&size_class);
            }
            if chain.length > 0 {
                size_class.sub_carved(chain.length);
                self.collected = (chain, size_class.samples);
                return true;
            }
        }
        false
    }

    /// Takes the next list of idle buffers of a size class whose half is detached.
    fn take_idle(&mut self, size_class: &SizeClass) -> Chain {
        let mut chain = size_class.take_local();
        for list in size_class.shared.inbox.lists() {
            if chain.length == 0 {
                chain = list.take();
                let returned = size_class.count_returned(&chain);
                self.publish_recycled(size_class, returned);
            }
        }
        chain
    }

    /// Returns the idle buffers of a size class to the arena. Its half is detached.
    pub(super) fn return_idle_to_arena(&mut self, size_class: &SizeClass) {
        let size = units(size_class.samples as usize) as u32;
        let mut chain = size_class.shared.surplus.take();
        loop {
            size_class.sub_carved(chain.length);
            while let Some(index) = chain.pop(&self.pool.table) {
                self.uncarve(index, size);
            }
            chain = self.take_idle(size_class);
            if chain.length == 0 {
                return;
            }
        }
    }

    /// Publishes returns to a detached half, which nobody else does.
    pub(super) fn publish_recycled(&mut self, size_class: &SizeClass, count: u32) {
        if count > 0 {
            let owner = self.pool.halves().find(|half| half.id == size_class.half);
            let recycled = BufferPoolRecycling {
                class_samples: size_class.samples,
                count,
                half: size_class.half,
                first_frame: owner.and_then(|half| half.frame.get()),
            };
            self.report(|observer| observer.recycled(recycled));
        }
    }

    fn replenish(&mut self, budget: &mut u32) -> u32 {
        let mut replenished = 0;
        let size_classes: Vec<_> = self.pool.size_classes().collect();
        for size_class in size_classes {
            let short = size_class
                .target()
                .saturating_sub(size_class.idle())
                .min(*budget);
            if short > 0 && self.is_attached(size_class.half) {
                let carved = self.carve_up_to(size_class, short);
                *budget -= carved;
                replenished += carved;
            }
        }
        replenished
    }

    /// Carves `count` buffers, or as many as there is room for.
    fn carve_up_to(&mut self, size_class: SharedPtr<SizeClass>, count: u32) -> u32 {
        if self.carve(size_class, count).is_ok() {
            return count;
        }
        let mut carved = 0;
        while carved < count && self.carve(size_class, 1).is_ok() {
            carved += 1;
        }
        carved
    }

    /// Frees retired size classes once their last buffer is back.
    fn remove_drained(&mut self) {
        // Collected buffers that are not in the arena yet name their size class.
        if self.collected.0.length > 0 {
            return;
        }
        let drained = |size_class: &SharedPtr<SizeClass>| {
            size_class.carved() == 0 && !self.has_class(size_class.samples)
        };
        let drained: Vec<_> = self.pool.size_classes().filter(drained).collect();
        for size_class in drained {
            self.thresholds.cancel(size_class.id);
            let half = self.pool.halves().find(|half| half.id == size_class.half);
            let counted = counts_since(&size_class, self.past.of(&size_class));
            let (id, recycled) = (size_class.id, size_class.recycled());
            let follows_demand = self.follows_demand(size_class.half);
            if self.pool.remove_if_unused(size_class) {
                self.past.keep(id, &counted, recycled, follows_demand);
            } else if let Some(half) = half.filter(|half| half.is_current()) {
                self.publish_classes(half);
            }
        }
    }

    /// Releases every lease of a participant that died; returns how many there were.
    pub fn reclaim_leases<B>(&mut self, dead: &mut LeaseTable<B>) -> u32 {
        let count = dead.reclaim() as u32;
        self.leases_reclaimed += u64::from(count);
        let first_frame = self.pool.halves().filter_map(|half| half.frame.get()).max();
        let reclaimed = LeasesReclaimed {
            holder: u32::from(dead.holder()),
            count,
            first_frame,
        };
        self.report(|observer| observer.leases_reclaimed(reclaimed));
        count
    }

    /// Counts and publishes every buffer that is in use although nobody may have one any more, except those whose
    /// number `excused` accepts. Each is published once for as long as it stays in use. Returns how many were new.
    ///
    /// Only the host knows that moment: its last stream has closed, its last participant has left.
    pub fn report_leaks(&mut self, excused: impl Fn(u32) -> bool) -> u32 {
        let out: Vec<_> = self
            .slots()
            .filter(|slot| slot.lent_samples > 0 && !excused(slot.index))
            .collect();
        let published = core::mem::take(&mut self.published_leaks);
        let sites = self.leak_report().sites;
        for slot in out.iter().filter(|slot| !published.contains(&slot.index)) {
            self.buffers_leaked += 1;
            let site = sites.iter().find(|site| site.slot == slot.index);
            let leaked = BufferLeaked {
                slot: slot.index,
                class_samples: slot.samples as u32,
                requested: slot.lent_samples as u32,
                first_frame: site.and_then(|site| site.first_frame),
            };
            self.report(|observer| observer.leaked(leaked));
        }
        let found = out.iter().filter(|slot| !published.contains(&slot.index));
        let found = found.count() as u32;
        self.published_leaks = out.iter().map(|slot| slot.index).collect();
        found
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "housekeeping_tests.rs"]
mod tests;

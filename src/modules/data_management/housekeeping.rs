//! What the control half does again and again, in bounded steps: collect, give back, replenish, reclaim.

use super::accounts::{add_counts, counts_of};
use super::arena::units;
use super::free_list::Shelf;
use super::pool_control::PoolControl;
use super::pool_core::Pinned;
use super::pool_events::{BufferPoolRecycling, LeasesReclaimed};

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

impl PoolControl {
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
        self.look_for_draining();
        self.remove_drained();
        report.complete = left > 0;
        report
    }

    /// Begins [`recent_high_water`](super::pool_metrics::ClassMetrics::recent_high_water) anew, for whoever has just
    /// looked at it.
    pub(super) fn begin_peak_window(&mut self) {
        for shelf in self.anchor.shelves() {
            shelf.forget_window_peak();
        }
    }

    pub(super) fn collect(&mut self, budget: &mut u32) -> u32 {
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

    /// Takes a list that has something to collect: surplus, or any list of a half without owner.
    fn take_next_list(&mut self) -> bool {
        let core = self.anchor.core();
        for shelf in core.shelves() {
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
    fn count_recycled(&mut self, shelf: &Shelf, returned: u32) {
        if returned == 0 {
            return;
        }
        shelf.taken.add(u64::from(returned));
        self.tell(BufferPoolRecycling {
            class_samples: shelf.samples,
            count: returned,
            half: shelf.half,
            first_frame: 0,
        });
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
                self.publish_classes(half);
            }
        }
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
                    shelf.push(slot, index);
                    count += 1;
                }
            }
        }
        dead.detach();
        // SAFETY: the dead owner's anchor is of this core, and is not dropped, says the caller.
        unsafe { self.anchor.forget_dead() };
        self.leases_reclaimed += u64::from(count);
        self.tell(LeasesReclaimed {
            holder: u32::from(half),
            count,
            first_frame: dead.frame(),
        });
        count
    }
}

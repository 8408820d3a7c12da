//! How idle buffers move between the lists of a size class: into the local list, and out of it to the surplus. The owner's.

use super::free_list::{Chain, index_from};
use super::size_class::{NO_THRESHOLD, SizeClass};
use super::slot_table::{Slot, SlotTable};
use crate::sync::atomic::Ordering;

/// The longest inbox that is joined to the local list in a quantum, since it is walked over; a longer one waits until the
/// local list is empty.
const JOIN_AT_MOST: u32 = 16;

// Relaxed where a word is the owner's own, as in `size_class.rs`.
impl SizeClass {
    /// Whether a look in turn has to look closer: something came home, or there can be too much. What the control half
    /// asks for it says itself: see `Core::ask`.
    #[inline(always)]
    pub(super) fn may_need_service(&self) -> bool {
        // Relaxed: only whether there is something to look for; `serve` looks.
        !self.shared.inbox.is_empty() | (self.carved() > self.limit())
    }

    /// Does what there is to do here in a quantum that begins; answers like `shed`.
    pub(super) fn serve(&self, table: &SlotTable, most: u32) -> u32 {
        // Else what is in the cache stays there.
        if self.shared.inbox.is_empty() && !self.needs_service() {
            return 0;
        }
        self.shed(table, most)
    }

    /// Whether the control half asks for something that was not all done yet, or there is too much.
    pub(super) fn needs_service(&self) -> bool {
        let shared = &self.shared;
        self.window_peak_restarts()
            || self.reclaim_threshold() != NO_THRESHOLD
            || self.cache_should_be_enabled()
            || self.borrowed_scratch().is_some()
            || shared.scan_request.load(Ordering::Relaxed) > self.scanned.get()
            // All of them are seldom more than the limit.
            || (self.carved() > self.limit() && self.idle_of_owner() > self.limit())
    }

    /// Moves the inbox to the end of the local list, of which at most the reserve is left; answers how many of what came
    /// were returned. Wait-free: one addition, and a walk over at most the reserve.
    ///
    /// What came while the owner held the inbox last time waits for the next refill.
    #[cold]
    pub(crate) fn refill(&self, table: &SlotTable) -> u32 {
        self.flush_cache(table);
        let lists = self.shared.inbox.lists();
        let Some(list) = lists.into_iter().find(|list| list.length() > 0) else {
            return 0;
        };
        let chain = if cfg!(wavepool_mutant = "refill_without_mark") {
            list.peek()
        } else {
            list.begin_take()
        };
        let end = self.last_local(table);
        end.map_or(&self.first, |last| &last.state.next)
            .store(chain.first, Ordering::Relaxed);
        self.transfer(i64::from(chain.length));
        list.end_take();
        self.count_returned(&chain)
    }

    fn last_local<'table>(&self, table: &'table SlotTable) -> Option<Slot<'table>> {
        let (_, mut last) = self.front(table)?;
        while let Some(next) = index_from(last.state.next.load(Ordering::Relaxed)) {
            last = table.slot(next);
        }
        Some(last)
    }

    /// Counts the returned buffers of a chain that was taken from the inbox; answers how many.
    pub(crate) fn count_returned(&self, chain: &Chain) -> u32 {
        let returned = chain.length - chain.newly_carved;
        self.taken.add(u64::from(returned));
        returned
    }

    /// Puts what came home since the last quantum on top of the local list, so that the samples used last, which the
    /// processor's caches still hold, are used first. Wait-free: one addition, and a walk over what came. Answers like
    /// `refill`.
    fn join_inbox(&self, table: &SlotTable) -> u32 {
        let mut returned = 0;
        for list in self.shared.inbox.lists() {
            let Some(chain) = list.begin_take_at_most(JOIN_AT_MOST) else {
                continue;
            };
            if let Some(last) = chain.last(table) {
                let below = self.first.load(Ordering::Relaxed);
                table.slot(last).state.next.store(below, Ordering::Relaxed);
                self.first.store(chain.first, Ordering::Relaxed);
            }
            self.transfer(i64::from(chain.length));
            list.end_take();
            returned += self.count_returned(&chain);
        }
        returned
    }

    /// Looks at up to `most` idle buffers, as far as there are more than the limit or the control half asked. Those too
    /// many, and those beyond the line, go to the surplus; the others go to the inbox together, behind those not looked at
    /// yet, so that in the end all of them are seen. With nothing to look at, it joins the inbox to the local list.
    /// Begins a new look at the peak if it is time. Wait-free; for `begin_quantum`. Answers like `refill`.
    pub(super) fn shed(&self, table: &SlotTable, most: u32) -> u32 {
        self.flush_cache_and_leaked_scratch(table);
        self.begin_window();
        let idle = self.idle_of_owner();
        let too_many = idle.saturating_sub(self.shared.limit.load(Ordering::Relaxed));
        let asked = self
            .shared
            .scan_request
            .load(Ordering::Relaxed)
            .saturating_sub(self.scanned.get());
        let looks = u64::from(too_many)
            .max(asked)
            .min(u64::from(most.min(idle))) as u32;
        if looks == 0 {
            return if asked == 0 {
                self.join_inbox(table)
            } else {
                0
            };
        }
        let reclaim_threshold = self.reclaim_threshold();
        let (mut refilled, mut kept, mut last) = (None, Chain::EMPTY, None);
        for look in 0..looks {
            if self.local() == 0 && refilled.is_none() {
                refilled = Some(self.refill(table));
            }
            let Some((index, slot)) = self.front(table) else {
                break;
            };
            // As in `pop`: off every list it is the owner's who died, not somebody's who is bringing it home.
            slot.clear();
            self.unlink(slot);
            self.transfer(-1);
            let goes = look < too_many || slot.address_key() >= reclaim_threshold;
            if !goes || self.shared.surplus.push_single(table, index).is_err() {
                kept.push(table, index);
                last = last.or(Some(index));
            }
        }
        self.scanned.add(u64::from(looks));
        if let Some(last) = last
            && !self.shared.inbox.front.push_overflow(table, kept, last)
        {
            // No further than its own end: that was linked to what is in the inbox meanwhile.
            while (kept.length > 0 || cfg!(wavepool_mutant = "overflow_beyond_its_end"))
                && let Some(index) = kept.pop(table)
            {
                self.link(table.slot(index), index);
                self.transfer(1);
            }
        }
        refilled.unwrap_or(0)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use core::ptr::NonNull;

    use super::*;

    #[test]
    fn a_class_at_rest_is_left_alone_until_there_is_a_reason() {
        let (table, slots) = SlotTable::of_slots(3);
        let size_class = SizeClass::for_test(3, 0);
        size_class.push(table.slot(slots[0]), slots[0]);
        assert!(size_class.cache_released(table.slot(slots[1]), slots[1], NonNull::dangling()));
        let reasons: [fn(&SizeClass); 4] = [
            SizeClass::restart_window_peak,
            SizeClass::request_scan,
            |size_class| size_class.set_reclaim_threshold(1000),
            |size_class| size_class.set_limit(1),
        ];
        size_class.serve(&table, 8);
        for (n, reason) in reasons.into_iter().enumerate() {
            assert!(
                !size_class.needs_service() && !size_class.may_need_service(),
                "before reason {n}"
            );
            reason(&size_class);
            assert!(size_class.needs_service(), "reason {n}");
            size_class.serve(&table, 8);
            size_class.set_reclaim_threshold(NO_THRESHOLD);
            size_class.set_limit(3);
            size_class.serve(&table, 8);
        }
        let inbox = &size_class.shared.inbox;
        inbox.push(table.slot(slots[2]).state, slots[2]).unwrap();
        assert!(size_class.may_need_service() && !size_class.needs_service());
        assert_eq!(size_class.serve(&table, 8), 1);
        assert!(!size_class.may_need_service());
        // What comes home may now be too much, without anybody asking.
        size_class.set_limit(2);
        assert!(size_class.may_need_service());
    }

    #[test]
    fn a_wish_that_takes_several_quanta_is_not_forgotten() {
        let (table, slots) = SlotTable::of_slots(6);
        let size_class = SizeClass::for_test(6, 0);
        for &slot in &slots {
            size_class.push(table.slot(slot), slot);
        }
        size_class.request_scan();
        for left in [4, 2, 0] {
            assert!(size_class.needs_service(), "more than {left} to look at");
            size_class.serve(&table, 2);
        }
        assert!(!size_class.needs_service());
        // Those it kept went to its own inbox.
        size_class.serve(&table, 8);
        assert_eq!(size_class.local(), 6);
    }

    #[test]
    fn shedding_goes_down_to_the_limit_and_reaches_into_the_inbox() {
        let (table, slots) = SlotTable::of_slots(6);
        let size_class = SizeClass::for_test(6, 0);
        for &slot in &slots[..3] {
            size_class.push(table.slot(slot), slot);
        }
        for &slot in &slots[3..] {
            size_class
                .shared
                .inbox
                .push(table.slot(slot).state, slot)
                .unwrap();
        }
        size_class.set_limit(1);
        for _ in 0..4 {
            size_class.shed(&table, 2);
        }
        assert_eq!(
            (
                size_class.local() + size_class.shared.inbox.length(),
                size_class.shared.surplus.length()
            ),
            (1, 5)
        );
    }

    #[test]
    fn what_came_home_last_is_used_first() {
        let (table, slots) = SlotTable::of_slots(5);
        let size_class = SizeClass::for_test(5, 0);
        for &slot in &slots[..2] {
            size_class.push(table.slot(slot), slot);
        }
        let inbox = &size_class.shared.inbox;
        assert!(inbox.push_newly_carved(&table, slots[2]));
        for &slot in &slots[3..] {
            inbox.push(table.slot(slot).state, slot).unwrap();
        }
        assert_eq!(size_class.shed(&table, 8), 2);
        assert_eq!((size_class.local(), inbox.length()), (5, 0));
        let order = core::iter::from_fn(|| size_class.pop(&table, 1).map(|(index, _)| index.raw()));
        assert_eq!(order.collect::<Vec<_>>(), [4, 3, 2, 1, 0]);
        assert_eq!((size_class.taken.get(), size_class.leased()), (2, 5));
    }

    #[test]
    fn an_inbox_too_long_to_walk_over_in_a_quantum_waits() {
        let (table, slots) = SlotTable::of_slots(JOIN_AT_MOST + 2);
        let size_class = SizeClass::for_test(JOIN_AT_MOST + 2, 0);
        size_class.push(table.slot(slots[0]), slots[0]);
        for &slot in &slots[1..] {
            size_class
                .shared
                .inbox
                .push(table.slot(slot).state, slot)
                .unwrap();
        }
        assert_eq!(size_class.shed(&table, 8), 0);
        assert_eq!(size_class.local(), 1);
    }
}

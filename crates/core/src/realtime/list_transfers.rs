//! Moves idle buffers between the lists of a size class: from the inbox to the local list, and from there to the surplus
//! or, once scanned, back to the inbox. Only the owner does so.

use super::free_list::Chain;
use super::size_class::{NO_THRESHOLD, SizeClass};
use super::slot_table::{Slot, SlotTable};

/// Most buffers of an inbox that are joined to the local list in a quantum, which walks over them. Of its two lists, one
/// that is longer than what is left of this number waits until the local list is empty.
/// See `docs/decisions/0009-inboxes-are-taken-one-class-per-quantum.md`.
const JOIN_AT_MOST: u32 = 16;

// Accesses to the owner's own words are relaxed, as in `local_list.rs`.
impl SizeClass {
    /// The quick check of a quantum: whether buffers wait in the inbox, or there can be more idle ones than the limit.
    /// Requests of the control half are signalled on their own: see `Core::raise_request_epoch`.
    #[inline(always)]
    pub(super) fn may_need_service(&self) -> bool {
        // Relaxed: only a hint that there is work; `serve` reads again.
        !self.shared.inbox.is_empty() | (self.carved() > self.limit())
    }

    /// Does the work of one quantum for this class. Returns how many returned buffers left the inbox.
    pub(super) fn serve(&self, table: &SlotTable, most: u32) -> u32 {
        // Without work the cached buffer stays in the cache.
        if self.shared.inbox.is_empty() && !self.needs_service() {
            return 0;
        }
        self.shed(table, most)
    }

    /// Whether a request of the control half is not served completely yet, or there are more idle buffers than the
    /// limit.
    pub(super) fn needs_service(&self) -> bool {
        let shared = &self.shared;
        self.window_peak_restarts()
            || self.reclaim_threshold() != NO_THRESHOLD
            || self.cache_should_be_enabled()
            || self.borrowed_scratch().is_some()
            || shared.scan_request.get() > self.scanned.get()
            // Cheap check first: most classes have not even carved more than the limit.
            || (self.carved() > self.limit() && self.idle_of_owner() > self.limit())
    }

    /// Moves one list of the inbox to the end of the local list. Returns how many of these buffers were returned ones.
    /// Wait-free: one atomic addition, and a walk over the local list, which every caller keeps short: to the reserve, or
    /// to the number of buffers requested together.
    ///
    /// A buffer that arrived while the owner was taking waits in the other list of the inbox for the next refill.
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
            .set(chain.first);
        self.transfer(i64::from(chain.length));
        list.end_take();
        self.count_returned(&chain)
    }

    fn last_local<'table>(&self, table: &'table SlotTable) -> Option<Slot<'table>> {
        let (_, mut last) = self.first_local(table)?;
        while let Some(next) = last.state.next.get().get() {
            last = table.slot(next);
        }
        Some(last)
    }

    /// Counts the returned buffers of a chain that was taken from the inbox. Returns how many there were.
    pub(crate) fn count_returned(&self, chain: &Chain) -> u32 {
        let returned = chain.length - chain.newly_carved;
        self.inbox_returns.add(u64::from(returned));
        returned
    }

    /// Puts what arrived since the last quantum on top of the local list, so that the samples that were used last, and
    /// lie in the processor's caches, are used first. Wait-free: one atomic operation per list, and a walk over what
    /// arrived. Returns how many of them were returned.
    fn join_inbox(&self, table: &SlotTable) -> u32 {
        let (mut left, mut returned) = (JOIN_AT_MOST, 0);
        for list in self.shared.inbox.lists() {
            let Some(chain) = list.begin_take_at_most(left) else {
                continue;
            };
            left -= chain.length;
            if let Some(last) = chain.last(table) {
                let below = self.first.get();
                table.slot(last).state.next.set(below);
                self.first.set(chain.first);
            }
            self.transfer(i64::from(chain.length));
            list.end_take();
            returned += self.count_returned(&chain);
        }
        returned
    }

    /// Scans up to `most` idle buffers, as far as there are more than the limit or the control half requested a scan.
    /// Buffers above the limit and those at or above the reclaim threshold go to the surplus. The others go to the
    /// inbox together, behind those not scanned yet, so that in the end all are scanned. With nothing to scan, the
    /// inbox is joined to the local list, and what was returned is scanned if there is a threshold. Starts a new window of the peak if it is time. Wait-free. Returns how
    /// many returned buffers left the inbox.
    pub(super) fn shed(&self, table: &SlotTable, most: u32) -> u32 {
        self.flush_cache_and_leaked_scratch(table);
        self.begin_window();
        let idle = self.idle_of_owner();
        let too_many = idle.saturating_sub(self.shared.limit.get());
        let asked = self
            .shared
            .scan_request
            .get()
            .saturating_sub(self.scanned.get());
        let mut looks = u64::from(too_many)
            .max(asked)
            .min(u64::from(most.min(idle))) as u32;
        let mut refilled = None;
        if looks == 0 {
            if asked > 0 {
                return 0;
            }
            let returned = self.join_inbox(table);
            if self.reclaim_threshold() == NO_THRESHOLD {
                return returned;
            }
            // What arrived lies on top, and would be acquired again before a scan that the control half requests.
            (looks, refilled) = (returned.min(most), Some(returned));
        }
        let (mut kept, mut last) = (Chain::EMPTY, None);
        for look in 0..looks {
            if self.local() == 0 && refilled.is_none() {
                refilled = Some(self.refill(table));
            }
            let Some((index, slot)) = self.first_local(table) else {
                break;
            };
            // Before the slot leaves the list: the state of one from the inbox is still `in transit`. A clear state on no
            // list says that the owner died with the buffer, not that another thread is releasing it.
            slot.clear();
            self.unlink(slot);
            self.transfer(-1);
            let goes = look < too_many || self.is_to_be_shed(slot);
            if goes && self.shared.surplus.push_single(table, index).is_ok() {
                self.count_shed(1);
            } else {
                kept.push(table, index);
                last = last.or(Some(index));
            }
        }
        self.scanned.add(u64::from(looks));
        if let Some(last) = last
            && !self.shared.inbox.front.push_scanned(table, kept, last)
        {
            // Only as far as the chain's own end: its last slot was linked to the inbox meanwhile.
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
#[path = "list_transfers_tests.rs"]
mod tests;

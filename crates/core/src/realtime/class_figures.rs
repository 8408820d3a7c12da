//! The figures of a size class, and the requests of the control half to its owner. A figure races with the other
//! threads and is exact while they rest.

use super::size_class::{NO_THRESHOLD, PEAK_RESTARTS, SizeClass};
use super::slot_table::Slot;

// Every access is relaxed: figures and requests order nothing. The lists and the request epoch do.
impl SizeClass {
    /// Idle buffers on the local list and in the cache.
    pub(super) fn local(&self) -> u32 {
        self.listed() + u32::from(self.cache.cached().is_some())
    }

    /// Buffers that can be taken without the inbox. Exact for the owner.
    pub(super) fn available(&self) -> u32 {
        self.local().saturating_sub(self.reserve)
    }

    pub(super) fn listed(&self) -> u32 {
        let carved = i64::from(self.carved());
        let mut local = 0;
        for _ in 0..4 {
            let pops = self.pops.get();
            local = self
                .transfers
                .get()
                .wrapping_add(self.pushes.get())
                .wrapping_sub(pops) as i64;
            // On another thread: the counts belong together if nothing was popped in between. If a few attempts do not
            // get there, the figure errs towards idle.
            if self.pops.get() == pops {
                break;
            }
        }
        local.clamp(0, carved) as u32
    }

    pub(crate) fn carved(&self) -> u32 {
        self.shared.carved.get()
    }

    pub(crate) fn idle(&self) -> u32 {
        self.idle_of_owner() + self.shared.surplus.length()
    }

    pub(crate) fn leased(&self) -> u32 {
        self.carved().saturating_sub(self.idle())
    }

    /// Most buffers in use at once since the class was made.
    pub(crate) fn peak(&self) -> u32 {
        self.peak.get().max(self.leased())
    }

    /// Most buffers in use at once since `restart_window_peak`.
    pub(crate) fn window_peak(&self) -> u32 {
        self.noted_window_peak().max(self.leased())
    }

    pub(super) fn noted_window_peak(&self) -> u32 {
        let noted = self.window_peak.get();
        if noted == PEAK_RESTARTS { 0 } else { noted }
    }

    /// Has the owner start a new window of the peak. Called by the control half.
    pub(crate) fn restart_window_peak(&self) {
        // Relaxed: a figure. If the owner's own store overwrites this one, its next quantum counts for the old window.
        self.window_peak.set(PEAK_RESTARTS);
        self.signal_request();
    }

    /// Acquires of this class that were served from its own buffers.
    pub(crate) fn hits(&self) -> u64 {
        // All acquires it served, less those for the class below. The two counts may be one acquire apart.
        (self.pops.get() + self.cache_pops()).saturating_sub(self.served_for_smaller.get())
    }

    fn cache_pops(&self) -> u64 {
        self.cache.scratches.get() + self.cache.acquires.get()
    }

    /// Buffers that came back to the owner without the inbox. A buffer that was cached is either acquired again or
    /// still there.
    pub(super) fn returned_here(&self) -> u64 {
        self.pushes.get() + self.cache_pops() + u64::from(self.cache.cached().is_some())
    }

    /// Acquires by `Scratch` and returns that no event has published yet; from now on they count as published. Called
    /// by the owner.
    #[inline(always)]
    pub(crate) fn take_unpublished(&self) -> (u32, u32) {
        let scratches = self.pops.get() - self.list_acquires.get() + self.cache.scratches.get()
            - self.scratches_published.get();
        // An owner that died between two of its counts may have published more than it counted.
        let returns = self
            .returned_here()
            .saturating_sub(self.returns_published.get());
        // Most classes are idle in most quanta: nothing is written then.
        if scratches | returns > 0 {
            self.scratches_published.add(scratches);
            self.returns_published.add(returns);
        }
        (scratches as u32, returns as u32)
    }

    /// Buffers that came back, as far as the owner has seen.
    pub(crate) fn recycled(&self) -> u64 {
        self.returned_here() + self.inbox_returns.get()
    }

    // The control half's side.

    pub(crate) fn add_carved(&self, more: u32) {
        // Relaxed, as in `sub_carved`: one writer. Others read it as a racing figure. The teardown reads it after the
        // control half has dropped its pool reference, which orders the two.
        self.shared.carved.set(self.carved() + more);
        self.signal_request();
    }

    pub(crate) fn sub_carved(&self, less: u32) {
        self.shared.carved.set(self.carved() - less);
    }

    /// Signals a request: the owner serves this class when its next quantum begins.
    fn signal_request(&self) {
        self.pool().raise_request_epoch(self.half);
    }

    /// Counts buffers that were collected: they are no longer carved for this class.
    pub(crate) fn count_collected(&self, buffers: u32) {
        self.sub_carved(buffers);
        let shared = &self.shared;
        shared
            .collected
            .set(shared.collected.get() + u64::from(buffers));
    }

    /// Has `buffers` of the class reclaimed as soon as they are idle, those at or above the threshold; whatever else is
    /// collected meanwhile is subtracted. Replaces any earlier request.
    pub(crate) fn request_drain(&self, buffers: u32, threshold: u64) {
        // Relaxed, like all requests below: the request epoch orders them. The owner may use an older value for one
        // more quantum.
        let goal = self.shared.collected.get() + u64::from(buffers);
        self.shared.shed_goal.set(goal);
        self.reclaim_threshold.set(threshold);
        self.signal_request();
    }

    /// Ends the request to drain, if there is one.
    pub(crate) fn end_drain(&self) {
        self.request_drain(0, NO_THRESHOLD);
    }

    /// Buffers that were requested and not collected yet.
    pub(crate) fn draining(&self) -> u32 {
        let shared = &self.shared;
        shared
            .shed_goal
            .get()
            .saturating_sub(shared.collected.get()) as u32
    }

    /// Whether the owner is to shed this buffer because of its address.
    pub(super) fn is_to_be_shed(&self, slot: Slot<'_>) -> bool {
        slot.address_key() >= self.reclaim_threshold()
            && self.shed.get() < self.shared.shed_goal.get()
    }

    /// Counts buffers as shed.
    pub(crate) fn count_shed(&self, buffers: u32) {
        self.shed.set(self.shed.get() + u64::from(buffers));
    }

    /// Counts anew what went to the surplus: an owner that died may not have counted the last one.
    pub(crate) fn recount_shed(&self) {
        self.shed.set(self.collected_or_waiting());
    }

    /// Whether what went to the surplus is there or was collected.
    pub(crate) fn shed_is_valid(&self) -> bool {
        self.shed.get() == self.collected_or_waiting()
    }

    fn collected_or_waiting(&self) -> u64 {
        self.shared.collected.get() + u64::from(self.shared.surplus.length())
    }

    pub(crate) fn reclaim_threshold(&self) -> u64 {
        self.reclaim_threshold.get()
    }

    /// Has the owner scan every buffer that is idle now.
    pub(crate) fn request_scan(&self) {
        let scan_request = self.scanned.get() + u64::from(self.idle_of_owner());
        self.shared.scan_request.set(scan_request);
        self.signal_request();
    }

    pub(crate) fn set_limit(&self, idle: u32) {
        // Relaxed: the owner may shed by an older limit for one more quantum.
        self.shared.limit.set(idle);
        self.signal_request();
    }

    pub(crate) fn limit(&self) -> u32 {
        self.shared.limit.get()
    }
}

//! What a size class tells: racing answers for everyone, exact at rest; and what the control half asks of its owner.

use super::size_class::{NO_THRESHOLD, PEAK_RESTARTS, SizeClass};
use crate::sync::atomic::Ordering;

// Relaxed throughout: statistics and requests, which order nothing; the lists do, and the asking.
impl SizeClass {
    /// On the local list, and in the cache.
    pub(super) fn local(&self) -> u32 {
        self.listed() + u32::from(self.cached_index().is_some())
    }

    /// What may be taken without the inbox: exact for the owner.
    pub(super) fn available(&self) -> u32 {
        self.local().saturating_sub(self.reserve)
    }

    pub(super) fn listed(&self) -> u32 {
        let carved = i64::from(self.carved());
        let mut local = 0;
        for _ in 0..4 {
            let pops = self.pops.get();
            local = (self.transfers.load(Ordering::Relaxed))
                .wrapping_add(self.pushes.get())
                .wrapping_sub(pops) as i64;
            // Another thread's look: the counts belong together if nothing was taken in between. If it does not come to
            // that in a few attempts, the answer errs towards idle.
            if self.pops.get() == pops {
                break;
            }
        }
        local.clamp(0, carved) as u32
    }

    pub(crate) fn carved(&self) -> u32 {
        self.shared.carved.load(Ordering::Relaxed)
    }

    pub(crate) fn idle(&self) -> u32 {
        self.idle_of_owner() + self.shared.surplus.length()
    }

    pub(crate) fn leased(&self) -> u32 {
        self.carved().saturating_sub(self.idle())
    }

    /// Most buffers in use at once since the size class was made.
    pub(crate) fn peak(&self) -> u32 {
        self.peak.load(Ordering::Relaxed).max(self.leased())
    }

    /// Most buffers in use at once since `restart_window_peak`.
    pub(crate) fn window_peak(&self) -> u32 {
        self.noted_window_peak().max(self.leased())
    }

    pub(super) fn noted_window_peak(&self) -> u32 {
        let noted = self.window_peak.load(Ordering::Relaxed);
        if noted == PEAK_RESTARTS { 0 } else { noted }
    }

    /// Control half only.
    pub(crate) fn restart_window_peak(&self) {
        // Relaxed: a statistic; an owner that loses the race with this notes its next quantum.
        self.window_peak.store(PEAK_RESTARTS, Ordering::Relaxed);
        self.signal_request();
    }

    /// Acquires of this class served from this size class.
    pub(crate) fn hits(&self) -> u64 {
        // Served in all, less what was lent to the class below; the two may be one acquire apart.
        (self.pops.get() + self.cache_pops()).saturating_sub(self.served_for_smaller.get())
    }

    fn cache_pops(&self) -> u64 {
        self.cache_scratches.get() + self.cache_acquires.get()
    }

    /// Buffers that the owner got back from holders: what came to the cache has left it again, or is there.
    pub(super) fn returned_here(&self) -> u64 {
        self.pushes.get() + self.cache_pops() + u64::from(self.cached_index().is_some())
    }

    /// Acquires by `Scratch` and returns that no event has told yet; from now on they count as told. For the owner.
    #[inline(always)]
    pub(crate) fn take_unpublished(&self) -> (u32, u32) {
        let scratches = self.pops.get() - self.list_acquires.get() + self.cache_scratches.get()
            - self.scratches_published.get();
        // An owner that died between two of its counts may have told more.
        let returns = self
            .returned_here()
            .saturating_sub(self.returns_published.get());
        // Most classes rest in most quanta: nothing is written then.
        if scratches | returns > 0 {
            self.scratches_published.add(scratches);
            self.returns_published.add(returns);
        }
        (scratches as u32, returns as u32)
    }

    /// Buffers that came back, as far as the owner has seen.
    pub(crate) fn recycled(&self) -> u64 {
        self.returned_here() + self.taken.get()
    }

    // The control half's side.

    pub(crate) fn add_carved(&self, more: u32) {
        // Relaxed, like its twin: one writer; read by others as a racing answer, and by the teardown, which is ordered
        // after the control half's last act by the core's count of pool references.
        self.shared
            .carved
            .store(self.carved() + more, Ordering::Relaxed);
        self.signal_request();
    }

    pub(crate) fn sub_carved(&self, less: u32) {
        self.shared
            .carved
            .store(self.carved() - less, Ordering::Relaxed);
    }

    /// Has the owner look at this size class when its next quantum begins: after each request.
    fn signal_request(&self) {
        self.core.raise_request_epoch(self.half);
    }

    /// Asks for every buffer from `reclaim_threshold` on; [`NO_THRESHOLD`] asks for none.
    pub(crate) fn set_reclaim_threshold(&self, reclaim_threshold: u64) {
        // Relaxed: a request, like all below; the owner may act on an older one for one more quantum.
        self.reclaim_threshold
            .store(reclaim_threshold, Ordering::Relaxed);
        self.signal_request();
        if reclaim_threshold == NO_THRESHOLD {
            self.set_draining(0);
        }
    }

    pub(crate) fn set_draining(&self, buffers: u32) {
        self.shared.draining.store(buffers, Ordering::Relaxed);
    }

    pub(crate) fn draining(&self) -> u32 {
        self.shared.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn reclaim_threshold(&self) -> u64 {
        self.reclaim_threshold.load(Ordering::Relaxed)
    }

    /// Has the owner look at every buffer that is idle now.
    pub(crate) fn request_scan(&self) {
        let scan_request = self.scanned.get() + u64::from(self.idle_of_owner());
        self.shared
            .scan_request
            .store(scan_request, Ordering::Relaxed);
        self.signal_request();
    }

    pub(crate) fn set_limit(&self, idle: u32) {
        // Relaxed: the owner may shed by an older limit for one more quantum.
        self.shared.limit.store(idle, Ordering::Relaxed);
        self.signal_request();
    }

    pub(crate) fn set_target(&self, idle: u32) {
        self.shared.target.store(idle, Ordering::Relaxed);
    }

    pub(crate) fn target(&self) -> u32 {
        self.shared.target.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> u32 {
        self.shared.limit.load(Ordering::Relaxed)
    }
}

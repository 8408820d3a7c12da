//! What a shelf tells: racing answers for everyone, exact at rest; and what the control half asks of its owner.

use super::shelf::{FORGOTTEN, NO_LINE, Shelf};
use crate::sync::atomic::Ordering;

// Relaxed throughout: statistics and wishes, which order nothing; the lists do, and the asking.
impl Shelf {
    /// On the local list, and at hand.
    pub(super) fn local(&self) -> u32 {
        self.listed() + u32::from(self.at_hand().is_some())
    }

    /// What may be taken without the inbox: exact for the owner.
    pub(super) fn available(&self) -> u32 {
        self.local().saturating_sub(self.reserve)
    }

    pub(super) fn listed(&self) -> u32 {
        let carved = i64::from(self.carved());
        let mut local = 0;
        for _ in 0..4 {
            let served = self.served.get();
            local = (self.stocked.load(Ordering::Relaxed))
                .wrapping_add(self.returns.get())
                .wrapping_sub(served) as i64;
            // Another thread's look: the counts belong together if nothing was taken in between. If it does not come to
            // that in a few attempts, the answer errs towards idle.
            if self.served.get() == served {
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

    /// Most buffers in use at once since the shelf was made.
    pub(crate) fn peak(&self) -> u32 {
        self.peak.load(Ordering::Relaxed).max(self.leased())
    }

    /// Most buffers in use at once since `forget_window_peak`.
    pub(crate) fn window_peak(&self) -> u32 {
        self.noted_window_peak().max(self.leased())
    }

    pub(super) fn noted_window_peak(&self) -> u32 {
        let noted = self.window_peak.load(Ordering::Relaxed);
        if noted == FORGOTTEN { 0 } else { noted }
    }

    /// Control half only.
    pub(crate) fn forget_window_peak(&self) {
        // Relaxed: a statistic; an owner that loses the race with this notes its next quantum.
        self.window_peak.store(FORGOTTEN, Ordering::Relaxed);
        self.ask();
    }

    /// Acquires of this class served from this shelf.
    pub(crate) fn hits(&self) -> u64 {
        // Served in all, less what was lent to the class below; the two may be one acquire apart.
        (self.served.get() + self.taken_from_hand()).saturating_sub(self.lent_down.get())
    }

    fn taken_from_hand(&self) -> u64 {
        self.scratches_at_hand.get() + self.acquires_at_hand.get()
    }

    /// Buffers that the owner got back from holders: what came to the hand has left it again, or is there.
    pub(super) fn returned_here(&self) -> u64 {
        self.returns.get() + self.taken_from_hand() + u64::from(self.at_hand().is_some())
    }

    /// Acquires by `Scratch` and returns that no event has told yet; from now on they count as told. For the owner.
    #[inline(always)]
    pub(crate) fn untold(&self) -> (u32, u32) {
        let scratches = self.served.get() - self.acquires_listed.get()
            + self.scratches_at_hand.get()
            - self.scratches_told.get();
        // An owner that died between two of its counts may have told more.
        let returns = self.returned_here().saturating_sub(self.returns_told.get());
        // Most classes rest in most quanta: nothing is written then.
        if scratches | returns > 0 {
            self.scratches_told.add(scratches);
            self.returns_told.add(returns);
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
        // after the control half's last act by the core's count of anchors.
        self.shared
            .carved
            .store(self.carved() + more, Ordering::Relaxed);
        self.ask();
    }

    pub(crate) fn sub_carved(&self, less: u32) {
        self.shared
            .carved
            .store(self.carved() - less, Ordering::Relaxed);
    }

    /// Has the owner look at this shelf when its next quantum begins: after each wish.
    fn ask(&self) {
        self.core.ask(self.half);
    }

    /// Asks for every buffer from `line` on; [`NO_LINE`] asks for none.
    pub(crate) fn set_line(&self, line: u64) {
        // Relaxed: a wish, like all below; the owner may act on an older one for one more quantum.
        self.line.store(line, Ordering::Relaxed);
        self.ask();
        if line == NO_LINE {
            self.set_draining(0);
        }
    }

    pub(crate) fn set_draining(&self, buffers: u32) {
        self.shared.draining.store(buffers, Ordering::Relaxed);
    }

    pub(crate) fn draining(&self) -> u32 {
        self.shared.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn line(&self) -> u64 {
        self.line.load(Ordering::Relaxed)
    }

    /// Has the owner look at every buffer that is idle now.
    pub(crate) fn ask_for_looks(&self) {
        let looks = self.looked_at.get() + u64::from(self.idle_of_owner());
        self.shared.looks.store(looks, Ordering::Relaxed);
        self.ask();
    }

    pub(crate) fn set_limit(&self, idle: u32) {
        // Relaxed: the owner may shed by an older limit for one more quantum.
        self.shared.limit.store(idle, Ordering::Relaxed);
        self.ask();
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

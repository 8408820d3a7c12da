//! The consuming end of a stream that nobody here analyses: windows for whoever wants the samples.

use crate::modules::data_management::PlanarRef;

/// Takes the windows that a [`Capture`](super::Capture) queued, oldest first.
///
/// # Real-time
/// No allocation, no lock, no loop. A window that is dropped goes home by one lock-free push per channel.
pub struct Windows(rtrb::Consumer<PlanarRef>);

impl Windows {
    pub(super) const fn new(queue: rtrb::Consumer<PlanarRef>) -> Self {
        Self(queue)
    }

    /// The next window; none if the queue is empty.
    pub fn next_window(&mut self) -> Option<PlanarRef> {
        self.0.pop().ok()
    }

    /// Whether the capture is gone and every window it queued was taken.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // In this order: what was queued before the capture went is then seen.
        self.0.is_abandoned() && self.0.is_empty()
    }
}

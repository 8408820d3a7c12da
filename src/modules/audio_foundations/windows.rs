//! The consuming end of a stream that nobody here analyses: windows for whoever wants the samples.

use super::steps;
use crate::modules::data_management::PlanarRef;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::orderings::{WINDOW_TAKE_END, WINDOW_TAKE_IS_UNDER_WAY};

/// Takes the windows that a [`Capture`](super::Capture) queued, oldest first.
///
/// # Real-time
/// No allocation, no lock, no loop. A window that is dropped goes home by one lock-free push per channel.
pub struct Windows {
    queue: rtrb::Consumer<PlanarRef>,
    /// 1 while a window is being taken out of the queue.
    taking: AtomicU32,
}

impl Windows {
    pub(super) fn new(queue: rtrb::Consumer<PlanarRef>) -> Self {
        Self {
            queue,
            taking: AtomicU32::new(0),
        }
    }

    /// The next window; none if the queue is empty.
    pub fn next_window(&mut self) -> Option<PlanarRef> {
        if self.queue.is_empty() {
            return None;
        }
        // Relaxed: the queue's own release, of the place that becomes free, comes after it.
        self.taking.store(1, Ordering::Relaxed);
        let window = self.queue.pop().ok();
        self.taking.store(0, WINDOW_TAKE_END);
        window
    }

    /// Ends the reading side for a thread that died, wherever it was. What is queued is released, unless the thread was
    /// just taking a window: nobody can tell then which of the queue's places it had given back, so the queue's memory is
    /// leaked with what is in it. The caller takes that back by
    /// [`PoolControl::reclaim_all`](crate::modules::data_management::PoolControl::reclaim_all).
    pub fn abandon(self) {
        if self.taking.load(WINDOW_TAKE_IS_UNDER_WAY) == 1 {
            core::mem::forget(self);
        }
    }

    /// Whether the capture is gone and every window it queued was taken.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // In this order: what was queued before the capture went is then seen.
        self.queue.is_abandoned() && self.queue.is_empty()
    }
}

impl Drop for Windows {
    /// What is queued goes home now: the queue itself lives until its other end is dropped too, and that of a worklet that
    /// trapped never is.
    fn drop(&mut self) {
        // As many as there are now: a capture that is still running adds others.
        for _ in 0..self.queue.slots() {
            steps::count();
            drop(self.next_window());
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::super::test_rig::{MONO, Rig, play};
    use crate::modules::audio_foundations::AudioFoundationsModule;
    use crate::modules::data_management::DataManagementModule;

    #[test]
    fn queued_windows_go_home_with_their_reader_alone() {
        let mut rig = Rig::boot();
        let modules = rig
            .registry
            .get_two_mut::<AudioFoundationsModule, DataManagementModule>();
        let (audio, data) = modules.unwrap();
        let (mut capture, mut windows) = audio.open_windows(data, MONO).unwrap();
        play(&mut capture, &[0.5; 4096], 0);
        let taken = windows.next_window();
        assert!(taken.is_some() && rig.leased() > 1);
        drop((windows, taken));
        // The windows still open, which a full one of 1024 at hops of 256 leaves: those are the capture's.
        assert_eq!(rig.leased(), 3);
        assert_eq!(capture.counters().windows, 13);
    }
}

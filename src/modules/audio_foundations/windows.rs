//! The consuming end of a stream without analysis: the windows themselves.

use super::steps;
use crate::modules::data_management::PlanarRef;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::orderings::{WINDOW_TAKE_END, WINDOW_TAKE_IS_UNDER_WAY};

/// Pops the windows that a [`Capture`](super::Capture) queued, oldest first.
///
/// # Real-time
/// No allocation, no lock, no loop. Dropping a window returns its buffers to the pool by one lock-free push per channel.
pub struct Windows {
    queue: rtrb::Consumer<PlanarRef>,
    /// 1 while a window is being popped. Tells [`abandon`](Self::abandon) whether the thread died within `pop`.
    popping: AtomicU32,
}

impl Windows {
    pub(super) fn new(queue: rtrb::Consumer<PlanarRef>) -> Self {
        Self {
            queue,
            popping: AtomicU32::new(0),
        }
    }

    /// The next window; none if the queue is empty.
    pub fn next_window(&mut self) -> Option<PlanarRef> {
        if self.queue.is_empty() {
            return None;
        }
        // Relaxed: `pop` stores the queue's position with Release afterwards, so that this store is visible before that one.
        self.popping.store(1, Ordering::Relaxed);
        let window = self.queue.pop().ok();
        self.popping.store(0, WINDOW_TAKE_END);
        window
    }

    /// Drops the reading end of a thread that died at an unknown point. The queued windows are released, unless the thread
    /// died within `pop`. It is not known then which cells of the queue it had freed, so that the queue's memory is leaked
    /// with the windows in it. The caller reclaims their buffers with
    /// [`PoolControl::reclaim_all`](crate::modules::data_management::PoolControl::reclaim_all).
    pub fn abandon(self) {
        if self.popping.load(WINDOW_TAKE_IS_UNDER_WAY) == 1 {
            core::mem::forget(self);
        }
    }

    /// Whether the capture was dropped and all its windows were popped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // The order matters: after the capture was dropped nothing is queued any more, so that an empty queue stays empty.
        self.queue.is_abandoned() && self.queue.is_empty()
    }
}

impl Drop for Windows {
    /// Releases the queued windows now. The queue itself lives until its other end is dropped, and that of a worklet that
    /// trapped never is.
    fn drop(&mut self) {
        // Bounded by the windows of now: a capture that is still running queues others.
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
    fn queued_windows_are_released_when_their_reader_is_dropped() {
        let mut rig = Rig::boot();
        let modules = rig
            .registry
            .get_two_mut::<AudioFoundationsModule, DataManagementModule>();
        let (audio, data) = modules.unwrap();
        let (mut capture, mut windows) = audio.open_windows(data, MONO).unwrap();
        play(&mut capture, &[0.5; 4096], 0);
        let window = windows.next_window();
        assert!(window.is_some() && rig.leased() > 1);
        drop((windows, window));
        // The capture still has its open windows: three of 1024 frames at hops of 256.
        assert_eq!(rig.leased(), 3);
        assert_eq!(capture.counters().windows, 13);
    }
}

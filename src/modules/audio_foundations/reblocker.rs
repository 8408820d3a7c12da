//! From quanta of any size to overlapping windows: which samples go where.
//!
//! Pure bookkeeping: it knows neither pool nor samples. Overlapping windows are open at the same time, so that each
//! sample is copied straight into every window that has it, once, and never moved again. The copying itself may be
//! done by JavaScript: [`Reblocker::begin`] says what to copy, [`Reblocker::commit`] believes that it was done.

use core::mem::ManuallyDrop;
use std::collections::VecDeque;

use super::steps;

/// The most frames one plan covers. What a longer quantum has beyond it takes a plan of its own, or counts as lost.
pub const MAX_QUANTUM_FRAMES: usize = 4096;

/// Where windows come from and go to.
pub(super) trait WindowStore<T> {
    /// Memory for the window that begins at `first_frame`. On `None` the window is skipped, and the store counts it.
    fn open(&mut self, first_frame: u64) -> Option<T>;
    /// A window with all its samples.
    fn complete(&mut self, first_frame: u64, window: T);
    /// A window that will never have more than its first `filled` samples.
    fn abandon(&mut self, first_frame: u64, filled: usize, window: T);
    /// So many frames between the last committed quantum and this one were never given.
    fn lose(&mut self, frames: u64);
}

/// Copy `count` samples of the quantum, from `src`, into an open window, at `dst`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) dst: usize,
    pub(super) src: usize,
    pub(super) count: usize,
}

struct Open<T> {
    first_frame: u64,
    filled: usize,
    /// Dropped by the re-blocker, so that [`Reblocker::forget`] can leave it out.
    window: ManuallyDrop<T>,
}

/// A quantum that is being heard.
#[derive(Clone, Copy)]
struct Plan {
    first_frame: u64,
    frames: usize,
}

impl Plan {
    /// What of the quantum belongs into this window of `length` samples.
    #[inline]
    fn span<T>(self, open: &Open<T>, length: usize) -> Span {
        // Zero for all but those that begin in this quantum: the others are filled up to its start.
        let src = open.first_frame.saturating_sub(self.first_frame) as usize;
        Span {
            dst: open.filled,
            src,
            count: (self.frames - src).min(length - open.filled),
        }
    }
}

/// Invariants between calls: open windows are ordered by first frame; each is filled up to the end of the last
/// committed quantum, and short of its length.
/// See `docs/decisions/0029-overlapping-windows-are-filled-in-place.md`.
pub(super) struct Reblocker<T> {
    window: usize,
    hop: usize,
    /// Never above its first capacity, see [`Self::most_open`].
    open: VecDeque<Open<T>>,
    /// First frame of the window to open next.
    next_window: u64,
    /// The frame that the next quantum must begin with to follow the last one; `None` before the first.
    next_frame: Option<u64>,
    /// The quantum that was planned and is not committed yet.
    plan: Option<Plan>,
}

impl<T> Reblocker<T> {
    /// `1 <= hop <= window` is the caller's to check. Allocates all it will ever need.
    pub(super) fn new(window: usize, hop: usize) -> Self {
        debug_assert!(hop >= 1 && hop <= window);
        let most_open = Self::most_open(window, hop);
        Self {
            window,
            hop,
            open: VecDeque::with_capacity(most_open),
            next_window: 0,
            next_frame: None,
            plan: None,
        }
    }

    /// Windows that can have a sample in the longest quantum: they begin less than a window before it, or in it.
    pub(super) const fn most_open(window: usize, hop: usize) -> usize {
        (MAX_QUANTUM_FRAMES + window - 2) / hop + 1
    }

    /// Plans one quantum and opens the windows that begin in it. A quantum that does not follow the last one, or
    /// follows a plan that was never committed, abandons the open windows and starts afresh at its first frame.
    pub(super) fn begin(
        &mut self,
        frames: usize,
        first_frame: u64,
        store: &mut impl WindowStore<T>,
    ) {
        let frames = frames.min(MAX_QUANTUM_FRAMES);
        if self.plan.take().is_some() || self.next_frame != Some(first_frame) {
            while let Some(open) = self.open.pop_front() {
                steps::count();
                let window = ManuallyDrop::into_inner(open.window);
                store.abandon(open.first_frame, open.filled, window);
            }
            if let Some(missed) = self.next_frame {
                // A restart at an earlier frame has missed nothing.
                store.lose(first_frame.saturating_sub(missed));
            }
            self.next_window = first_frame;
        }
        self.next_frame = Some(first_frame);
        self.plan = Some(Plan {
            first_frame,
            frames,
        });
        let end = first_frame.saturating_add(frames as u64);
        // An integer that grows by at least one.
        while self.next_window < end {
            steps::count();
            if let Some(window) = store.open(self.next_window) {
                self.open.push_back(Open {
                    first_frame: self.next_window,
                    filled: 0,
                    window: ManuallyDrop::new(window),
                });
            }
            self.next_window = self.next_window.saturating_add(self.hop as u64);
        }
    }

    /// The plan and the memory of each of its windows, for whoever copies elsewhere.
    pub(super) fn plan(&self) -> impl Iterator<Item = (Span, &T)> {
        let (plan, length) = (self.plan, self.window);
        self.open
            .iter()
            .filter_map(move |open| Some((plan?.span(open, length), &*open.window)))
    }

    /// Carries the plan out: `copy` is given each open window and what belongs into it, or has copied it before. Hands over
    /// the windows that are now complete. Returns the frames of the plan and the number of windows; without a plan, nothing.
    #[inline]
    pub(super) fn commit(
        &mut self,
        store: &mut impl WindowStore<T>,
        mut copy: impl FnMut(Span, &mut T),
    ) -> Option<(usize, usize)> {
        let plan = self.plan.take()?;
        self.next_frame = Some(plan.first_frame.saturating_add(plan.frames as u64));
        for open in &mut self.open {
            steps::count();
            let span = plan.span(open, self.window);
            copy(span, &mut open.window);
            open.filled += span.count;
        }
        let mut completed = 0;
        while let Some(open) = self.open.pop_front_if(|open| open.filled == self.window) {
            steps::count();
            store.complete(open.first_frame, ManuallyDrop::into_inner(open.window));
            completed += 1;
        }
        Some((plan.frames, completed))
    }

    /// The oldest window that is not full, which has every sample since its first frame: that frame, and how many they are.
    pub(super) fn partial(&self) -> Option<(u64, usize)> {
        let open = self.open.front().filter(|open| open.filled > 0)?;
        Some((open.first_frame, open.filled))
    }

    /// Hands over the window that [`partial`](Self::partial) names. The others have nothing that it does not have.
    pub(super) fn take_partial(&mut self) -> Option<(u64, usize, T)> {
        self.partial()?;
        self.plan = None;
        let Open {
            first_frame,
            filled,
            window,
        } = self.open.pop_front()?;
        self.drop_open();
        Some((first_frame, filled, ManuallyDrop::into_inner(window)))
    }

    fn drop_open(&mut self) {
        while let Some(open) = self.open.pop_front() {
            drop(ManuallyDrop::into_inner(open.window));
        }
    }

    /// Frees its own memory without dropping the open windows, or reading anything of them: its thread died in the middle
    /// of something.
    pub(super) fn forget(&mut self) {
        self.open = VecDeque::new();
    }

    /// The frame after the last committed one, 0 before the first.
    pub(super) fn next_frame(&self) -> u64 {
        self.next_frame.unwrap_or(0)
    }
}

impl<T> Drop for Reblocker<T> {
    fn drop(&mut self) {
        self.drop_open();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `None` where nothing was copied yet, so that a sample copied twice is seen.
    type Window = Vec<Option<u64>>;

    /// Every `fail`th window (0: none) finds no memory.
    #[derive(Default)]
    struct Store {
        length: usize,
        fail: usize,
        asked: usize,
        skipped: Vec<u64>,
        abandoned: Vec<u64>,
        lost: u64,
        complete: Vec<(u64, Window)>,
    }

    impl WindowStore<Window> for Store {
        fn open(&mut self, first_frame: u64) -> Option<Window> {
            self.asked += 1;
            if self.fail != 0 && self.asked.is_multiple_of(self.fail) {
                self.skipped.push(first_frame);
                return None;
            }
            Some(vec![None; self.length])
        }
        fn complete(&mut self, first_frame: u64, window: Window) {
            self.complete.push((first_frame, window));
        }
        fn abandon(&mut self, first_frame: u64, filled: usize, window: Window) {
            assert!(window[..filled].iter().all(Option::is_some));
            self.abandoned.push(first_frame);
        }
        fn lose(&mut self, frames: u64) {
            self.lost += frames;
        }
    }

    /// Plays one quantum in which each sample is its own frame number.
    fn play(
        reblocker: &mut Reblocker<Window>,
        store: &mut Store,
        frames: usize,
        first: u64,
    ) -> usize {
        let capacity = reblocker.open.capacity();
        reblocker.begin(frames, first, store);
        let planned: Vec<Span> = reblocker.plan().map(|(span, _)| span).collect();
        let mut copied = Vec::new();
        let copy = |span: Span, window: &mut Window| {
            for i in 0..span.count {
                let old = window[span.dst + i].replace(first + (span.src + i) as u64);
                assert_eq!(old, None, "copied twice");
            }
            copied.push(span);
        };
        let (committed, completed) = reblocker.commit(store, copy).unwrap();
        assert_eq!(copied, planned);
        assert_eq!(committed, frames.min(MAX_QUANTUM_FRAMES));
        assert_eq!(reblocker.open.capacity(), capacity, "grown");
        completed
    }

    /// The naive twin: every `hop`th frame of a stretch begins a window, all of whose frames must have been heard.
    fn expected(stretches: &[(u64, u64)], window: u64, hop: u64) -> Vec<u64> {
        let mut starts = Vec::new();
        for &(first, end) in stretches {
            let begins = (first..end).step_by(hop as usize);
            starts.extend(begins.filter(|start| start + window <= end));
        }
        starts
    }

    fn begun(stretches: &[(u64, u64)], hop: u64) -> usize {
        let count = |&(first, end): &(u64, u64)| (end - first).div_ceil(hop) as usize;
        stretches.iter().map(count).sum()
    }

    proptest! {
        // Laws: every window of the naive twin is complete, skipped for want of memory, or (its end unheard)
        // abandoned or still open; complete ones hold exactly their frames, each copied once; nothing grows.
        #[test]
        fn windows_equal_the_naive_twins(
            (window, hop) in (1_usize..=700)
                .prop_flat_map(|window| (Just(window), window.div_ceil(16)..=window)),
            fail in 0_usize..=5,
            start in 0_u64..10_000,
            quanta in prop::collection::vec((1_usize..=1024, prop::option::weighted(0.1, 1_u64..5_000)), 1..40),
        ) {
            let mut reblocker = Reblocker::new(window, hop);
            let mut store = Store { length: window, fail, ..Store::default() };
            let mut stretches = vec![(start, start)];
            let mut at = start;
            let (mut completed, mut missed) = (0, 0);
            for (frames, gap) in quanta {
                if let Some(gap) = gap {
                    // Before the first quantum there is nothing to miss.
                    missed += if at == start { 0 } else { gap };
                    at += gap;
                    stretches.push((at, at));
                }
                completed += play(&mut reblocker, &mut store, frames, at);
                at += frames as u64;
                stretches.last_mut().unwrap().1 = at;
            }
            let mut wanted = expected(&stretches, window as u64, hop as u64);
            wanted.retain(|start| !store.skipped.contains(start));
            let starts: Vec<u64> = store.complete.iter().map(|(first, _)| *first).collect();
            prop_assert_eq!(starts, wanted);
            prop_assert_eq!(completed, store.complete.len());
            for (first, samples) in &store.complete {
                let right = (*first..).take(window).map(Some);
                prop_assert!(samples.iter().copied().eq(right));
            }
            let accounted = store.complete.len() + store.skipped.len() + store.abandoned.len() + reblocker.open.len();
            prop_assert_eq!(accounted, begun(&stretches, hop as u64));
            prop_assert_eq!(store.lost, missed);
            // What is left over begins where no complete window has been, and ends with the last frame heard.
            if let Some((first, filled, samples)) = reblocker.take_partial() {
                prop_assert_eq!(first + filled as u64, at);
                prop_assert!(samples[..filled].iter().copied().eq((first..at).map(Some)));
                prop_assert!(samples[filled..].iter().all(Option::is_none));
                prop_assert!(reblocker.take_partial().is_none());
            }
        }
    }

    fn stream(window: usize, hop: usize) -> (Reblocker<Window>, Store) {
        let store = Store {
            length: window,
            ..Store::default()
        };
        (Reblocker::new(window, hop), store)
    }

    #[test]
    fn a_quantum_may_hold_many_windows() {
        let (mut reblocker, mut store) = stream(256, 64);
        assert_eq!(play(&mut reblocker, &mut store, MAX_QUANTUM_FRAMES, 0), 61);
        assert_eq!(reblocker.open.len(), 3);
    }

    #[test]
    fn the_worst_case_fits_what_was_reserved() {
        let (mut reblocker, mut store) = stream(256, 4);
        play(&mut reblocker, &mut store, 255, 0);
        reblocker.begin(MAX_QUANTUM_FRAMES, 255, &mut store);
        let most = Reblocker::<Window>::most_open(256, 4);
        assert!(reblocker.open.len() <= most && reblocker.open.len() + 1 >= most);
    }

    #[test]
    fn a_plan_that_was_not_committed_abandons_its_windows() {
        let (mut reblocker, mut store) = stream(256, 128);
        play(&mut reblocker, &mut store, 128, 0);
        reblocker.begin(128, 128, &mut store);
        // JavaScript threw: what it copied is unknown.
        play(&mut reblocker, &mut store, 128, 256);
        assert_eq!(store.abandoned, [0, 128]);
        play(&mut reblocker, &mut store, 128, 384);
        assert_eq!(store.complete.len(), 1);
        assert_eq!(store.complete[0].0, 256);
    }

    #[test]
    fn lost_frames_above_the_most_of_a_quantum_are_counted() {
        let (mut reblocker, mut store) = stream(4096, 4096);
        play(&mut reblocker, &mut store, MAX_QUANTUM_FRAMES + 1, 0);
        assert_eq!(store.complete.len(), 1);
        play(
            &mut reblocker,
            &mut store,
            10,
            MAX_QUANTUM_FRAMES as u64 + 1,
        );
        assert_eq!(reblocker.open[0].first_frame, 4097);
        assert_eq!(store.lost, 1);
    }

    #[test]
    fn commit_without_a_plan_does_nothing() {
        let (mut reblocker, mut store) = stream(4, 4);
        assert_eq!(reblocker.commit(&mut store, |_, _| ()), None);
        assert_eq!(reblocker.plan().count(), 0);
        assert_eq!(play(&mut reblocker, &mut store, 4, 0), 1);
        assert_eq!(reblocker.commit(&mut store, |_, _| ()), None);
        assert_eq!(reblocker.plan().count(), 0);
        assert_eq!(store.complete.len(), 1);
    }

    #[test]
    fn frame_numbers_from_outside_may_be_anything() {
        let (mut reblocker, mut store) = stream(256, 64);
        for first in [
            u64::MAX,
            u64::MAX - 100,
            u64::MAX,
            u64::MAX,
            u64::MAX - 1,
            0,
        ] {
            reblocker.begin(128, first, &mut store);
            reblocker.commit(&mut store, |span, window| {
                window[span.dst..span.dst + span.count].fill(Some(0));
            });
        }
    }
}

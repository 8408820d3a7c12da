//! Reblocking: plans which samples of quanta of any size belong into which of the overlapping windows.
//!
//! A reblocker accesses neither the pool nor samples. Overlapping windows are open at the same time, so that each sample is
//! copied once, directly into every window that contains it, and never moved. JavaScript may do the copying:
//! [`Reblocker::begin`] plans it, and [`Reblocker::commit`] marks it as done.

use core::mem::ManuallyDrop;
use std::collections::VecDeque;

use super::steps;

/// The most frames of one plan. The other frames of a longer quantum need plans of their own, or count as lost.
pub const MAX_QUANTUM_FRAMES: usize = 4096;

/// Allocates windows and receives complete ones.
pub(super) trait WindowStore<T> {
    /// Allocates the window that begins at `first_frame`. `None`: the window is skipped; the store counts it.
    fn open(&mut self, first_frame: u64) -> Option<T>;
    /// Receives a window with all its samples.
    fn complete(&mut self, first_frame: u64, window: T);
    /// Receives a window of which only the first `filled` samples will ever be there.
    fn abandon(&mut self, first_frame: u64, filled: usize, window: T);
    /// Counts the frames of a gap between the last committed quantum and this one.
    fn count_lost(&mut self, frames: u64);
}

/// A range to copy: `count` samples, from `src` of the quantum to `dst` of an open window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) dst: usize,
    pub(super) src: usize,
    pub(super) count: usize,
}

struct OpenWindow<T> {
    first_frame: u64,
    filled: usize,
    /// Dropped explicitly, so that [`Reblocker::forget`] can leave it out.
    window: ManuallyDrop<T>,
}

/// A quantum whose samples are being copied.
#[derive(Clone, Copy)]
struct Plan {
    first_frame: u64,
    frames: usize,
}

impl Plan {
    /// The part of the quantum that belongs into this window of `length` samples.
    #[inline]
    fn span<T>(self, open: &OpenWindow<T>, length: usize) -> Span {
        // Zero for windows that began before this quantum, which are filled up to its beginning.
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
    /// Its length never exceeds the initial capacity, see [`Self::most_open`].
    open: VecDeque<OpenWindow<T>>,
    /// First frame of the window to open next.
    next_window: u64,
    /// The first frame of a quantum that follows the last one; `None` before the first quantum.
    next_frame: Option<u64>,
    /// The quantum that was planned and not committed yet.
    plan: Option<Plan>,
}

impl<T> Reblocker<T> {
    /// The caller checks `1 <= hop <= window`. All memory is allocated here.
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

    /// The most windows with a sample in the longest quantum: those that begin less than a window before it, or in it.
    pub(super) const fn most_open(window: usize, hop: usize) -> usize {
        (MAX_QUANTUM_FRAMES + window - 2) / hop + 1
    }

    /// Plans one quantum and opens the windows that begin in it. A quantum that does not follow the last one, or
    /// follows a plan that was never committed, abandons the open windows; new ones begin at its first frame.
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
            if let Some(expected) = self.next_frame {
                // Zero for a restart at an earlier frame.
                store.count_lost(first_frame.saturating_sub(expected));
            }
            self.next_window = first_frame;
        }
        self.next_frame = Some(first_frame);
        self.plan = Some(Plan {
            first_frame,
            frames,
        });
        let end = first_frame.saturating_add(frames as u64);
        // Bounded: `next_window` grows by at least one in each step.
        while self.next_window < end {
            steps::count();
            if let Some(window) = store.open(self.next_window) {
                self.open.push_back(OpenWindow {
                    first_frame: self.next_window,
                    filled: 0,
                    window: ManuallyDrop::new(window),
                });
            }
            self.next_window = self.next_window.saturating_add(self.hop as u64);
        }
    }

    /// The planned ranges, each with its window, for a caller that copies the samples itself.
    pub(super) fn plan(&self) -> impl Iterator<Item = (Span, &T)> {
        let (plan, length) = (self.plan, self.window);
        self.open
            .iter()
            .filter_map(move |open| Some((plan?.span(open, length), &*open.window)))
    }

    /// Commits the plan: calls `copy` with each range and its open window (a caller that has copied the samples already does
    /// nothing there), and passes the windows that are now complete to the store. Returns the frames of the plan and the number
    /// of complete windows; `None` without a plan.
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

    /// The oldest window that is not full: its first frame, and the number of its frames. It has all samples since that frame.
    pub(super) fn partial(&self) -> Option<(u64, usize)> {
        let open = self.open.front().filter(|open| open.filled > 0)?;
        Some((open.first_frame, open.filled))
    }

    /// Removes the window of [`partial`](Self::partial), and drops the other open windows, whose samples it contains.
    pub(super) fn take_partial(&mut self) -> Option<(u64, usize, T)> {
        self.partial()?;
        self.plan = None;
        let OpenWindow {
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

    /// Frees its own memory without dropping or reading the open windows, for a thread that died at an unknown point.
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

    /// `None` where nothing was copied yet, so that copying a sample twice is detected.
    type Window = Vec<Option<u64>>;

    /// Allocating every `fail`th window fails (0: none).
    #[derive(Default)]
    struct Store {
        length: usize,
        fail: usize,
        requests: usize,
        skipped: Vec<u64>,
        abandoned: Vec<u64>,
        lost: u64,
        complete: Vec<(u64, Window)>,
    }

    impl WindowStore<Window> for Store {
        fn open(&mut self, first_frame: u64) -> Option<Window> {
            self.requests += 1;
            if self.fail != 0 && self.requests.is_multiple_of(self.fail) {
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
        fn count_lost(&mut self, frames: u64) {
            self.lost += frames;
        }
    }

    /// Captures one quantum in which each sample is its frame number.
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
        assert_eq!(reblocker.open.capacity(), capacity, "reallocated");
        completed
    }

    /// The reference model: a window begins at every `hop`th frame of a section without gaps, and all its frames are in the
    /// section.
    fn expected(sections: &[(u64, u64)], window: u64, hop: u64) -> Vec<u64> {
        let mut starts = Vec::new();
        for &(first, end) in sections {
            let begins = (first..end).step_by(hop as usize);
            starts.extend(begins.filter(|start| start + window <= end));
        }
        starts
    }

    fn begun(sections: &[(u64, u64)], hop: u64) -> usize {
        let count = |&(first, end): &(u64, u64)| (end - first).div_ceil(hop) as usize;
        sections.iter().map(count).sum()
    }

    proptest! {
        // Laws: every window of the reference model is complete, skipped because its allocation failed, abandoned by a gap, or
        // still open. Complete windows contain exactly their frames, each copied once. Nothing is reallocated.
        #[test]
        fn windows_equal_those_of_the_reference_model(
            (window, hop) in (1_usize..=700)
                .prop_flat_map(|window| (Just(window), window.div_ceil(16)..=window)),
            fail in 0_usize..=5,
            start in 0_u64..10_000,
            quanta in prop::collection::vec((1_usize..=1024, prop::option::weighted(0.1, 1_u64..5_000)), 1..40),
        ) {
            let mut reblocker = Reblocker::new(window, hop);
            let mut store = Store { length: window, fail, ..Store::default() };
            let mut sections = vec![(start, start)];
            let mut at = start;
            let (mut completed, mut missed) = (0, 0);
            for (frames, gap) in quanta {
                if let Some(gap) = gap {
                    // Before the first quantum no frames can be lost.
                    missed += if at == start { 0 } else { gap };
                    at += gap;
                    sections.push((at, at));
                }
                completed += play(&mut reblocker, &mut store, frames, at);
                at += frames as u64;
                sections.last_mut().unwrap().1 = at;
            }
            let mut wanted = expected(&sections, window as u64, hop as u64);
            wanted.retain(|start| !store.skipped.contains(start));
            let starts: Vec<u64> = store.complete.iter().map(|(first, _)| *first).collect();
            prop_assert_eq!(starts, wanted);
            prop_assert_eq!(completed, store.complete.len());
            for (first, samples) in &store.complete {
                let right = (*first..).take(window).map(Some);
                prop_assert!(samples.iter().copied().eq(right));
            }
            let accounted = store.complete.len() + store.skipped.len() + store.abandoned.len() + reblocker.open.len();
            prop_assert_eq!(accounted, begun(&sections, hop as u64));
            prop_assert_eq!(store.lost, missed);
            // The partial window ends with the last captured frame.
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
    fn quantum_may_contain_many_windows() {
        let (mut reblocker, mut store) = stream(256, 64);
        assert_eq!(play(&mut reblocker, &mut store, MAX_QUANTUM_FRAMES, 0), 61);
        assert_eq!(reblocker.open.len(), 3);
    }

    #[test]
    fn open_windows_fit_the_reserved_capacity_in_the_worst_case() {
        let (mut reblocker, mut store) = stream(256, 4);
        play(&mut reblocker, &mut store, 255, 0);
        reblocker.begin(MAX_QUANTUM_FRAMES, 255, &mut store);
        let most = Reblocker::<Window>::most_open(256, 4);
        assert!(reblocker.open.len() <= most && reblocker.open.len() + 1 >= most);
    }

    #[test]
    fn uncommitted_plan_abandons_the_open_windows() {
        let (mut reblocker, mut store) = stream(256, 128);
        play(&mut reblocker, &mut store, 128, 0);
        reblocker.begin(128, 128, &mut store);
        // As if JavaScript had thrown: it is unknown which samples were copied.
        play(&mut reblocker, &mut store, 128, 256);
        assert_eq!(store.abandoned, [0, 128]);
        play(&mut reblocker, &mut store, 128, 384);
        assert_eq!(store.complete.len(), 1);
        assert_eq!(store.complete[0].0, 256);
    }

    #[test]
    fn lost_frames_above_the_longest_quantum_are_counted() {
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
    fn frame_numbers_of_any_value_are_accepted() {
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

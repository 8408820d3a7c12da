//! Counts, in tests, the steps of loops whose number depends on the samples or on a number that was given. Elsewhere it is
//! nothing.

#[cfg(test)]
thread_local! {
    static TAKEN: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
}

/// One step of a loop was taken on this thread.
#[inline(always)]
pub(super) fn count() {
    #[cfg(test)]
    TAKEN.set(TAKEN.get() + 1);
}

/// Runs `work`; returns the steps that it took beside what it returned.
#[cfg(test)]
pub(super) fn of<R>(work: impl FnOnce() -> R) -> (u64, R) {
    let before = TAKEN.get();
    let result = work();
    (TAKEN.get() - before, result)
}

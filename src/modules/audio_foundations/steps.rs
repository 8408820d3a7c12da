//! Counts the steps of loops whose number depends on the samples or on an argument. It counts in tests only; elsewhere it
//! compiles to nothing.

#[cfg(test)]
thread_local! {
    static STEPS: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
}

/// Counts one step of a loop on this thread.
#[inline(always)]
pub(super) fn count() {
    #[cfg(test)]
    STEPS.set(STEPS.get() + 1);
}

/// Runs `work`; returns the number of its steps, and its result.
#[cfg(test)]
pub(super) fn of<R>(work: impl FnOnce() -> R) -> (u64, R) {
    let before = STEPS.get();
    let result = work();
    (STEPS.get() - before, result)
}

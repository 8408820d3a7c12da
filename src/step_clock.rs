//! The time of control steps: the host's time, corrected so that calculations with it are safe.

/// The largest accepted time, in milliseconds: about 30,000 years. A larger one would leave no digits for milliseconds.
const MAX_TIME_MS: f64 = 1e15;

/// A monotonic time, from times that may go back.
///
/// NaN, or a time that is too large, counts as the time before it. If the host's clock was set back, the time stays the same
/// for that step and then advances with the host's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StepClock {
    now_ms: Option<f64>,
    /// Added to the host's time; 0 while its clock was never set back.
    ahead_ms: f64,
}

impl StepClock {
    /// The corrected time at the host's `given_ms`.
    pub(crate) fn at(&mut self, given_ms: f64) -> f64 {
        if !(-MAX_TIME_MS..=MAX_TIME_MS).contains(&given_ms) {
            return self.now_ms.unwrap_or(0.0);
        }
        let now_ms = given_ms + self.ahead_ms;
        let last_ms = self.now_ms.unwrap_or(now_ms);
        if now_ms < last_ms {
            self.ahead_ms = last_ms - given_ms;
        }
        *self.now_ms.insert(now_ms.max(last_ms))
    }
}

#[cfg(test)]
#[path = "step_clock_tests.rs"]
mod tests;

//! The time of control steps, as the host gives it, made safe to calculate with.

/// The largest time that counts as one, in milliseconds: some 30,000 years. A larger one would leave no digits for
/// milliseconds.
const MAX_TIME_MS: f64 = 1e15;

/// Time that never goes back, from times that may.
///
/// A time that is no number, or too large, counts as the time before it. Where the host's clock was set back, time stands
/// still for that step and goes on at the clock's pace from there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StepClock {
    now_ms: Option<f64>,
    /// What is added to the host's time, 0 as long as its clock was never set back.
    ahead_ms: f64,
}

impl StepClock {
    /// The time to calculate with at the host's `given_ms`.
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

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
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_after_nan_infinity_and_a_clock_set_back() {
        let mut clock = StepClock::default();
        let mut times = |given: &[f64]| given.iter().map(|&ms| clock.at(ms)).collect::<Vec<_>>();
        assert_eq!(times(&[f64::NAN, 10.0, 15.0]), [0.0, 10.0, 15.0]);
        assert_eq!(
            times(&[f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 20.0]),
            [15.0, 15.0, 15.0, 20.0]
        );
        // Set back by 18 ms, and once more.
        assert_eq!(times(&[2.0, 7.0, 12.0]), [20.0, 25.0, 30.0]);
        assert_eq!(times(&[-1000.0, -995.0]), [30.0, 35.0]);
        let far = times(&[MAX_TIME_MS, 0.0, 5.0]);
        assert_eq!(far[1] - far[0], 0.0);
        assert_eq!(far[2] - far[1], 5.0);
    }
}

//! The error of a setting outside its limits, and the check that returns it.

use core::fmt;
use core::ops::RangeInclusive;

/// A setting is outside its limits. Nothing was changed: give a value within them.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "invalid {setting}: must be {} to {} (got {})",
    Plain(*least),
    Plain(*most),
    Plain(*value)
)]
pub struct SettingError {
    /// The name of the setting, with its type.
    pub setting: &'static str,
    /// The value given.
    pub value: f64,
    /// The smallest accepted value.
    pub least: f64,
    /// The largest accepted value.
    pub most: f64,
}

/// A number in readable form: a very large one with an exponent.
#[derive(Debug, Clone, Copy)]
pub struct Plain(pub f64);

impl fmt::Display for Plain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_finite() && self.0.abs() >= 1e16 {
            write!(out, "{:e}", self.0)
        } else {
            write!(out, "{}", self.0)
        }
    }
}

/// Checks that `value` is within `limits`; NaN never is.
///
/// # Errors
/// [`SettingError`] with the name of the setting, the value and the limits.
pub fn check(
    setting: &'static str,
    value: f64,
    limits: RangeInclusive<f64>,
) -> Result<(), SettingError> {
    if limits.contains(&value) {
        return Ok(());
    }
    Err(SettingError {
        setting,
        value,
        least: *limits.start(),
        most: *limits.end(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Values that no float setting with finite limits accepts.
    pub(crate) const NEVER_ACCEPTED: [f64; 4] =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::MAX];

    #[test]
    fn setting_outside_its_limits_is_refused_with_name_value_and_limits() {
        for value in NEVER_ACCEPTED {
            assert!(check("Policy::window_ms", value, 1.0..=10.0).is_err());
        }
        for value in [1.0, 5.0, 10.0] {
            assert_eq!(check("Policy::window_ms", value, 1.0..=10.0), Ok(()));
        }
        let error = check("Policy::window_ms", 0.5, 1.0..=10.0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid Policy::window_ms: must be 1 to 10 (got 0.5)"
        );
        let numbers = [1e300, f64::NAN, f64::NEG_INFINITY, 4294967295.0];
        let written = numbers.map(|number| Plain(number).to_string());
        assert_eq!(written, ["1e300", "NaN", "-inf", "4294967295"]);
    }
}

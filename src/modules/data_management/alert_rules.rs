//! The rules by which the monitor raises and ends alerts.

use serde::{Deserialize, Serialize};

use super::sizing::demand::WINDOW_LIMITS_MS;
use crate::setting_error::{SettingError, check};

/// A threshold with hysteresis.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The alert is raised beyond this value.
    pub raise: f32,
    /// The alert ends when the figure is better than this value.
    pub clear: f32,
}

/// The alert rules. The default is the story's: hit rate below 90 %, overhead above 3 %, fragmentation above 5 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AlertRules {
    /// Hit rate over one window, in percent.
    pub hit_rate: Threshold,
    /// Memory overhead, in percent.
    pub memory_overhead: Threshold,
    /// Fragmentation, in percent.
    pub fragmentation: Threshold,
    /// The length of the window for the hit rate, and the time without failed requests after which exhaustion ends.
    pub window_ms: f64,
    /// Windows with fewer requests than this are not judged by their hit rate.
    pub minimum_requests: u64,
}

impl Default for AlertRules {
    fn default() -> Self {
        Self {
            hit_rate: Threshold {
                raise: 90.0,
                clear: 92.0,
            },
            memory_overhead: Threshold {
                raise: 3.0,
                clear: 2.5,
            },
            fragmentation: Threshold {
                raise: 5.0,
                clear: 4.0,
            },
            window_ms: 1000.0,
            minimum_requests: 50,
        }
    }
}

impl AlertRules {
    /// Checks the rules.
    ///
    /// # Errors
    /// [`SettingError`] for the first setting outside its limits. A low hit rate is bad, so that its alert ends at the same
    /// or a higher rate; overhead and fragmentation end at the same or a lower percentage.
    pub fn check(&self) -> Result<(), SettingError> {
        let (low, high) = (self.hit_rate, self.memory_overhead);
        check("AlertRules::hit_rate.raise", low.raise.into(), 0.0..=100.0)?;
        check(
            "AlertRules::hit_rate.clear",
            low.clear.into(),
            low.raise.into()..=100.0,
        )?;
        let most = f64::from(f32::MAX);
        check(
            "AlertRules::memory_overhead.raise",
            high.raise.into(),
            0.0..=most,
        )?;
        check(
            "AlertRules::memory_overhead.clear",
            high.clear.into(),
            0.0..=high.raise.into(),
        )?;
        let high = self.fragmentation;
        check(
            "AlertRules::fragmentation.raise",
            high.raise.into(),
            0.0..=most,
        )?;
        check(
            "AlertRules::fragmentation.clear",
            high.clear.into(),
            0.0..=high.raise.into(),
        )?;
        check("AlertRules::window_ms", self.window_ms, WINDOW_LIMITS_MS)
    }
}

#[cfg(test)]
#[path = "alert_rules_tests.rs"]
mod tests;

//! When the monitor raises an alert, and when it ends.

use serde::{Deserialize, Serialize};

use super::setting_error::{SettingError, check};
use super::sizing::demand::WINDOW_LIMITS_MS;

/// A threshold with the distance the figure must come back before the alert ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The alert is raised beyond this.
    pub raise: f32,
    /// The alert ends once the figure is on the good side of this.
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
    /// Length of the hit rate's window, and how long no request may be refused before exhaustion is over.
    pub window_ms: f64,
    /// A window with fewer requests than this says nothing about the hit rate.
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
    /// Whether a monitor accepts these rules.
    ///
    /// # Errors
    /// [`SettingError`] with the first setting that is outside of its limits. A hit rate is bad when it is low, so that its
    /// alert ends at the same or a higher rate; overhead and fragmentation end at the same or a lower share.
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

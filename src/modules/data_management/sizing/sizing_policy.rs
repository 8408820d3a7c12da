//! The policy of the optimizer: what the sizing rules may do.

use serde::{Deserialize, Serialize};

use super::class_buffers::{ClassBuffers, MAX_BUFFERS_AT_ONCE};
use super::demand::WINDOW_LIMITS_MS;
use crate::setting_error::{SettingError, check};
use wavepool_core::internal::MAX_SAMPLES;

/// The settings of the optimizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizingPolicy {
    /// The length of a demand window, from a millisecond to a day. The pool shrinks only after
    /// a few of them.
    pub window_ms: f64,
    /// The most buffers to carve or return in one control step: from one to as many as a half can receive at a time.
    pub buffers_per_step: u32,
    /// Whether the next larger class may serve a class without buffers; the pool's exhaustion policy must allow it.
    pub may_borrow: bool,
    /// Whether size classes may be learned.
    pub learn_classes: bool,
    /// The smallest number of buffers of classes, for example from a capacity plan.
    pub floors: Vec<ClassBuffers>,
}

impl Default for SizingPolicy {
    fn default() -> Self {
        Self {
            window_ms: 2000.0,
            buffers_per_step: 128,
            may_borrow: false,
            learn_classes: true,
            floors: Vec::new(),
        }
    }
}

impl SizingPolicy {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`SettingError`] for the first setting outside its limits.
    pub fn check(&self) -> Result<(), SettingError> {
        check("SizingPolicy::window_ms", self.window_ms, WINDOW_LIMITS_MS)?;
        check(
            "SizingPolicy::buffers_per_step",
            self.buffers_per_step.into(),
            1.0..=f64::from(MAX_BUFFERS_AT_ONCE),
        )?;
        for floor in &self.floors {
            check(
                "SizingPolicy::floors.samples",
                floor.samples as f64,
                1.0..=MAX_SAMPLES as f64,
            )?;
        }
        Ok(())
    }
}

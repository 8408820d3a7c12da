//! What one run learned, saved so that the next one starts warm.

use serde::{Deserialize, Serialize};

use super::class_boundaries::MAX_CLASSES;
use super::class_targets::with_margin;
use crate::modules::data_management::realtime::free_list::MAX_NEWLY_CARVED;
use crate::modules::data_management::realtime::slot_table::MAX_SAMPLES;

/// Version of the saved form.
pub const PROFILE_VERSION: u16 = 1;

/// Most buffers of one class that a half can be handed at once, when a pool is built or grown.
pub const MAX_BUFFERS_AT_ONCE: u32 = MAX_NEWLY_CARVED as u32;

/// A class and a number of its buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClassBuffers {
    /// Capacity of the class.
    pub samples: usize,
    /// Number of buffers.
    pub buffers: u32,
}

impl ClassBuffers {
    /// Capacity of them all.
    #[must_use]
    pub fn bytes(self) -> usize {
        let buffers = self.buffers as usize;
        self.samples
            .saturating_mul(buffers)
            .saturating_mul(size_of::<f32>())
    }
}

/// Size classes, and how many buffers of each a start should carve. Reading one checks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub struct SizingProfile {
    version: u16,
    /// Peak use of each class, ascending by capacity.
    classes: Vec<ClassBuffers>,
    /// What all classes together may take; classes that peak at different times do not add up.
    bytes_budget: usize,
}

/// The saved form, before it is checked.
#[derive(Deserialize)]
struct Saved {
    version: u16,
    classes: Vec<ClassBuffers>,
    bytes_budget: usize,
}

impl TryFrom<Saved> for SizingProfile {
    type Error = ProfileError;

    fn try_from(saved: Saved) -> Result<Self, ProfileError> {
        if saved.version != PROFILE_VERSION {
            return Err(ProfileError::Version {
                found: saved.version,
            });
        }
        Self::new(saved.classes, saved.bytes_budget)
    }
}

/// A saved profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not the JSON of a profile.
    #[error("not a sizing profile: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a version that means something else by it.
    #[error(
        "sizing profile has version {found}, this version reads {PROFILE_VERSION}; record a new one"
    )]
    Version {
        /// Version of the file.
        found: u16,
    },
    /// Classes that no pool can have.
    #[error(
        "sizing profile has {count} classes, the {index}th with {samples} samples: up to {MAX_CLASSES} ascending sizes are needed"
    )]
    Classes {
        /// Number of classes.
        count: usize,
        /// The first that is out of order, or beyond the largest number of classes.
        index: usize,
        /// Its capacity.
        samples: usize,
    },
    /// Buffers that no pool can have.
    #[error(
        "sizing profile, class {index}: {what} must be {least} to {most} (got {value}); record a new one"
    )]
    Class {
        /// Its place in the list, from 0.
        index: usize,
        /// Which of its numbers.
        what: &'static str,
        /// The number in the file.
        value: usize,
        /// The smallest that is accepted.
        least: usize,
        /// The largest that is accepted.
        most: usize,
    },
    /// Written for an application with smaller buffers.
    #[error("sizing profile ends at {largest} samples, {needed} are needed")]
    TooSmall {
        /// Its largest class.
        largest: usize,
        /// The largest class of the configuration.
        needed: usize,
    },
    /// More than the pool may take.
    #[error("sizing profile begins with {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes of its buffers.
        bytes: usize,
        /// What the configuration allows.
        limit: usize,
    },
}

impl SizingProfile {
    /// A profile of `classes` (ascending), which together may take `bytes_budget`.
    ///
    /// # Errors
    /// [`ProfileError::Classes`] and [`ProfileError::Class`]: classes, sizes or counts that no pool can have.
    pub fn new(classes: Vec<ClassBuffers>, bytes_budget: usize) -> Result<Self, ProfileError> {
        let mut below = 0;
        for (index, class) in classes.iter().enumerate() {
            let number = |what, value, least, most| {
                if (least..=most).contains(&value) {
                    return Ok(());
                }
                Err(ProfileError::Class {
                    index,
                    what,
                    value,
                    least,
                    most,
                })
            };
            number("samples", class.samples, 1, MAX_SAMPLES)?;
            number(
                "buffers",
                class.buffers as usize,
                0,
                MAX_BUFFERS_AT_ONCE as usize,
            )?;
            if class.samples <= below || index >= MAX_CLASSES {
                return Err(ProfileError::Classes {
                    count: classes.len(),
                    index,
                    samples: class.samples,
                });
            }
            below = class.samples;
        }
        Ok(Self::of_checked(classes, bytes_budget))
    }

    /// A profile of classes that are known to be those of a pool.
    pub(crate) fn of_checked(classes: Vec<ClassBuffers>, bytes_budget: usize) -> Self {
        Self {
            version: PROFILE_VERSION,
            classes,
            bytes_budget,
        }
    }

    /// The buffers to start with: each class's peak, with as much of its margin as the budget holds. Peaks that together
    /// exceed the budget came at different times: all are scaled down alike. At least one of each class.
    #[must_use]
    pub fn mix(&self) -> Vec<ClassBuffers> {
        let bytes = |buffers: fn(u64) -> u64| -> f64 {
            let each = self.classes.iter();
            each.map(|class| buffers(class.buffers.into()) as f64 * class.samples as f64 * 4.0)
                .sum()
        };
        let budget = self.bytes_budget as f64;
        let peaks = bytes(|peak| peak);
        let margins = bytes(margin);
        let scale = (budget / peaks.max(1.0)).min(1.0);
        let share = ((budget - peaks) / margins.max(1.0)).clamp(0.0, 1.0);
        let begin = |class: &ClassBuffers| {
            let margin = margin(class.buffers.into()) as f64;
            let buffers = f64::from(class.buffers) * scale + (margin * share).floor();
            ClassBuffers {
                buffers: (buffers as u32).clamp(1, MAX_BUFFERS_AT_ONCE),
                ..*class
            }
        };
        self.classes.iter().map(begin).collect()
    }

    /// The form to save.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Reads a saved profile.
    ///
    /// # Errors
    /// When the text is not a profile, is of another version, or names classes, sizes or counts that no pool can have.
    pub fn from_json(text: &str) -> Result<Self, ProfileError> {
        serde_json::from_str::<Saved>(text)?.try_into()
    }
}

/// What is kept beyond a peak; nothing for a class that was not used.
fn margin(peak: u64) -> u64 {
    match peak {
        0 => 0,
        peak => with_margin(peak) - peak,
    }
}

#[cfg(test)]
#[path = "sizing_profile_tests.rs"]
mod tests;

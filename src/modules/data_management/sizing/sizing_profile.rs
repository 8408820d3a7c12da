//! Sizing profiles: the peaks of one run, saved for the start of the next one.

use serde::{Deserialize, Serialize};

use super::class_buffers::with_margin;
pub use super::class_buffers::{ClassBuffers, MAX_BUFFERS_AT_ONCE};
use wavepool_core::internal::MAX_SAMPLES;
use wavepool_core::{MAX_CLASSES, PoolBuilder, PoolError};

/// The version of the saved format.
pub const PROFILE_VERSION: u16 = 1;

/// Size classes, and the number of buffers of each to carve at the start. Reading a profile checks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub struct SizingProfile {
    version: u16,
    /// The peak use of each class, ascending by capacity.
    classes: Vec<ClassBuffers>,
    /// The bytes that all classes together may have: classes with peaks at different times do not add up.
    bytes_budget: usize,
}

/// The saved format, before it is checked.
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

/// Why a saved profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The text is not the JSON of a profile.
    #[error("not a sizing profile: {0}")]
    Json(#[from] serde_json::Error),
    /// The format has another version.
    #[error(
        "sizing profile has version {found}, this version reads {PROFILE_VERSION}; record a new one"
    )]
    Version {
        /// The version of the file.
        found: u16,
    },
    /// No pool can have these classes.
    #[error(
        "sizing profile has {count} classes, the {index}th with {samples} samples: up to {MAX_CLASSES} ascending sizes are needed"
    )]
    Classes {
        /// The number of classes.
        count: usize,
        /// The first class that is out of order, or above the largest number of classes.
        index: usize,
        /// The capacity of that class.
        samples: usize,
    },
    /// No pool can have these buffers.
    #[error(
        "sizing profile, class {index}: {what} must be {least} to {most} (got {value}); record a new one"
    )]
    Class {
        /// The index of the class.
        index: usize,
        /// The name of the number.
        what: &'static str,
        /// The value in the file.
        value: usize,
        /// The smallest accepted value.
        least: usize,
        /// The largest accepted value.
        most: usize,
    },
    /// The profile is of an application with smaller buffers.
    #[error("sizing profile ends at {largest} samples, {needed} are needed")]
    TooSmall {
        /// The largest class of the profile.
        largest: usize,
        /// The largest class of the configuration.
        needed: usize,
    },
    /// The profile needs more memory than the pool may have.
    #[error("sizing profile begins with {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes of the profile's buffers.
        bytes: usize,
        /// The limit of the configuration.
        limit: usize,
    },
    /// The pool cannot start with it.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

impl SizingProfile {
    /// A profile of `classes` (ascending), which together may have `bytes_budget` bytes.
    ///
    /// # Errors
    /// [`ProfileError::Classes`] and [`ProfileError::Class`] for classes, sizes or counts that no pool can have.
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

    /// A profile of classes that a pool has.
    pub(crate) fn of_checked(classes: Vec<ClassBuffers>, bytes_budget: usize) -> Self {
        Self {
            version: PROFILE_VERSION,
            classes,
            bytes_budget,
        }
    }

    /// The buffers to start with: the peak of each class, and as much of its margin as the budget allows. Peaks that together
    /// exceed the budget occurred at different times; all are scaled down by the same factor. At least one buffer of each
    /// class.
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

    /// The format to save.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Reads a saved profile.
    ///
    /// # Errors
    /// If the text is not a profile, has another version, or contains classes, sizes or counts that no pool can have.
    pub fn from_json(text: &str) -> Result<Self, ProfileError> {
        serde_json::from_str::<Saved>(text)?.try_into()
    }
}

/// Starts a pool with what an earlier run learned.
pub trait LearnedMix: Sized {
    /// Starts the pool with the classes of a profile; memory is reserved as before. Sizing may correct them at once,
    /// where it keeps a mix of [`PoolBuilder::class`] until demand has aged.
    ///
    /// # Errors
    /// [`ProfileError::TooSmall`] when its largest class is below this builder's: requests would be refused that this
    /// pool is to serve. [`ProfileError::TooLarge`] when its buffers exceed the limit.
    fn profile(self, profile: &SizingProfile) -> Result<Self, ProfileError>;
}

impl LearnedMix for PoolBuilder {
    fn profile(self, profile: &SizingProfile) -> Result<Self, ProfileError> {
        let bytes = |samples: usize| samples.saturating_mul(size_of::<f32>());
        self.learned_mix(&profile.mix())
            .map_err(|error| match error {
                PoolError::LimitReached {
                    requested, limit, ..
                } => ProfileError::TooLarge {
                    bytes: bytes(requested),
                    limit: bytes(limit),
                },
                PoolError::TooLarge { requested, largest } => ProfileError::TooSmall {
                    largest,
                    needed: requested,
                },
                other => ProfileError::Pool(other),
            })
    }
}

/// The margin over a peak; zero for a class that was not used.
fn margin(peak: u64) -> u64 {
    match peak {
        0 => 0,
        peak => with_margin(peak) - peak,
    }
}

#[cfg(test)]
#[path = "sizing_profile_tests.rs"]
mod tests;

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
mod tests {
    use super::*;
    use crate::modules::data_management::BufferPool;

    fn class(samples: usize, buffers: u32) -> ClassBuffers {
        ClassBuffers { samples, buffers }
    }

    #[test]
    fn saved_and_read_again_it_is_the_same() {
        let profile = SizingProfile::new(vec![class(256, 10), class(480, 3)], 1 << 20).unwrap();
        assert_eq!(
            SizingProfile::from_json(&profile.to_json()).unwrap(),
            profile
        );
        assert_eq!(profile.mix(), [class(256, 11), class(480, 4)]);
    }

    /// A profile of one class, as a file has it.
    fn json(samples: u64, buffers: u64, budget: u64) -> String {
        format!(
            r#"{{"version":1,"classes":[{{"samples":{samples},"buffers":{buffers}}}],"bytes_budget":{budget}}}"#
        )
    }

    #[test]
    fn profile_numbers_beyond_the_limits_of_a_pool_are_refused_with_class_value_and_limit() {
        let error = |samples, buffers| {
            let read = SizingProfile::from_json(&json(samples, buffers, 0));
            read.unwrap_err().to_string()
        };
        assert_eq!(
            error(16, 40_000),
            format!(
                "sizing profile, class 0: buffers must be 0 to {MAX_BUFFERS_AT_ONCE} (got 40000); record a new one"
            )
        );
        assert!(error(0, 1).contains("class 0: samples must be 1 to"));
        assert!(error(MAX_SAMPLES as u64 + 1, 1).contains("class 0: samples must be 1 to"));
        assert!(error(16, u64::from(u32::MAX)).contains("class 0: buffers must be"));
        assert!(error(16, u64::MAX).starts_with("not a sizing profile"));
        // Serde's own way in is checked too.
        let direct = serde_json::from_str::<SizingProfile>(&json(16, 40_000, 0));
        assert!(direct.unwrap_err().to_string().contains("(got 40000)"));
    }

    #[test]
    fn a_profile_that_is_accepted_builds_a_pool_or_is_refused_by_its_builder() {
        let most = u64::from(MAX_BUFFERS_AT_ONCE);
        for samples in [1, 16, 4096, MAX_SAMPLES as u64] {
            for buffers in [0, 1, most - 1, most] {
                for budget in [0, 1, u64::from(u32::MAX), usize::MAX as u64] {
                    let json = json(samples, buffers, budget);
                    let profile = SizingProfile::from_json(&json).unwrap();
                    let builder = BufferPool::builder().class(samples.min(4096) as usize, 1);
                    let builder = builder.limit_samples(1 << 16).profile(&profile);
                    if let Ok(builder) = builder {
                        builder
                            .build()
                            .unwrap_or_else(|error| panic!("{json}: {error}"));
                    }
                }
            }
        }
    }

    #[test]
    fn peaks_at_different_times_share_the_budget() {
        let profile = SizingProfile::new(vec![class(256, 100), class(1024, 25)], 102_400).unwrap();
        assert_eq!(profile.mix(), [class(256, 50), class(1024, 12)]);
    }

    #[test]
    fn a_margin_never_costs_another_class_its_peak() {
        let peak = 4096 + 20 * 608;
        let budget = (peak * 4) as f64 * 1.15;
        let profile = SizingProfile::new(
            vec![class(256, 0), class(608, 20), class(4096, 1)],
            budget as usize,
        )
        .unwrap();
        let mix = profile.mix();
        assert!(
            mix[1].buffers >= 20 && mix[2].buffers >= 1 && mix[0].buffers == 1,
            "{mix:?}"
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_reason() {
        let error = |text: &str| SizingProfile::from_json(text).unwrap_err().to_string();
        assert!(error("{}").starts_with("not a sizing profile"));
        assert!(error("").starts_with("not a sizing profile"));
        assert_eq!(
            error(r#"{"version":9,"classes":[],"bytes_budget":0}"#),
            "sizing profile has version 9, this version reads 1; record a new one"
        );
        let two = r#"{"version":1,"classes":[{"samples":512,"buffers":1},{"samples":512,"buffers":1}],"bytes_budget":0}"#;
        assert!(error(two).contains("2 classes, the 1th with 512 samples"));
        let zero = r#"{"version":1,"classes":[{"samples":0,"buffers":1}],"bytes_budget":0}"#;
        assert!(matches!(
            SizingProfile::from_json(zero),
            Err(ProfileError::Class { index: 0, .. })
        ));
        let many = (1..=17).map(|i| class(i * 16, 1)).collect();
        let many = SizingProfile::of_checked(many, 0).to_json();
        assert!(matches!(
            SizingProfile::from_json(&many),
            Err(ProfileError::Classes { index: 16, .. })
        ));
    }
}

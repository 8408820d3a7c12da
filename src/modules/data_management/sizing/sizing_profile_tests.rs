use super::*;
use crate::modules::data_management::BufferPool;

fn class(samples: usize, buffers: u32) -> ClassBuffers {
    ClassBuffers { samples, buffers }
}

#[test]
fn sizing_profile_json_round_trips() {
    let profile = SizingProfile::new(vec![class(256, 10), class(480, 3)], 1 << 20).unwrap();
    assert_eq!(
        SizingProfile::from_json(&profile.to_json()).unwrap(),
        profile
    );
    assert_eq!(profile.mix(), [class(256, 11), class(480, 4)]);
}

/// The JSON of a profile of one class.
fn json(samples: u64, buffers: u64, budget: u64) -> String {
    format!(
        r#"{{"version":1,"classes":[{{"samples":{samples},"buffers":{buffers}}}],"bytes_budget":{budget}}}"#
    )
}

#[test]
fn sizing_profile_numbers_above_the_limits_are_refused_with_class_value_and_limit() {
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
    // Deserialising with serde checks the numbers as well.
    let direct = serde_json::from_str::<SizingProfile>(&json(16, 40_000, 0));
    assert!(direct.unwrap_err().to_string().contains("(got 40000)"));
}

#[test]
fn sizing_profile_that_is_accepted_builds_a_pool_or_is_refused_by_its_builder() {
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
fn sizing_profile_peaks_at_different_times_share_the_budget() {
    let profile = SizingProfile::new(vec![class(256, 100), class(1024, 25)], 102_400).unwrap();
    assert_eq!(profile.mix(), [class(256, 50), class(1024, 12)]);
}

#[test]
fn sizing_profile_margin_never_reduces_the_peak_of_another_class() {
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
fn sizing_profile_that_cannot_be_used_is_refused_with_the_reason() {
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

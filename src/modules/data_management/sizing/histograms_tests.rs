use super::*;
use proptest::prelude::*;

#[test]
fn histogram_buckets_cover_the_range_without_gaps() {
    for bucket in 0..BUCKETS {
        assert_eq!(bucket_of(bucket_top(bucket)), bucket);
        if bucket + 1 < BUCKETS {
            assert_eq!(bucket_of(bucket_top(bucket) + 1), bucket + 1);
        }
    }
    assert_eq!(bucket_of(u32::MAX), BUCKETS - 1);
}

proptest! {
    #[test]
    fn histogram_quantile_is_at_most_an_eighth_above_the_exact_one(
        values in prop::collection::vec(0u32..100_000, 1..200),
        quantile in 0.0f64..=1.0,
    ) {
        let mut histogram = SlidingHistogram::default();
        values.iter().for_each(|&value| histogram.record(value));
        let mut sorted = values;
        sorted.sort_unstable();
        let rank = ((sorted.len() as f64 * quantile).ceil() as usize).max(1);
        let exact = sorted[rank - 1];
        let got = histogram.quantile(quantile, WINDOWS).unwrap();
        prop_assert!(got >= exact && f64::from(got) <= f64::from(exact) * 1.125 + 1.0);
        prop_assert!(got <= *sorted.last().unwrap());
    }
}

#[test]
fn histogram_discards_the_oldest_window() {
    let mut histogram = SlidingHistogram::default();
    histogram.record(100);
    for _ in 1..WINDOWS {
        histogram.rotate();
        histogram.record(3);
    }
    assert_eq!(histogram.quantile(1.0, WINDOWS), Some(100));
    assert_eq!(histogram.quantile(1.0, 1), Some(3));
    histogram.rotate();
    assert_eq!(histogram.quantile(1.0, WINDOWS), Some(3));
    assert_eq!(histogram.quantile(1.0, 1), None);
}

#[test]
fn histogram_share_counts_records_up_to_a_value() {
    let mut histogram = SlidingHistogram::default();
    [1, 2, 3, 4]
        .into_iter()
        .for_each(|value| histogram.record(value));
    assert_eq!(histogram.share_up_to(3), Some(0.75));
    assert_eq!(SlidingHistogram::default().share_up_to(3), None);
}

#[test]
fn size_histogram_counts_by_granule() {
    let mut sizes = SizeHistogram::default();
    [(1, 1), (16, 1), (17, 5), (64, 2)]
        .into_iter()
        .for_each(|(s, n)| sizes.add(s, n));
    assert_eq!(
        sizes.iter().collect::<Vec<_>>(),
        [(16, 2), (32, 5), (64, 2)]
    );
    assert_eq!((sizes.largest(), sizes.requests()), (64, 9));
    assert_eq!(sizes.requests_between(16, 64), 7);
}

#[test]
fn size_histogram_of_extreme_sizes_and_counts_does_not_overflow() {
    let mut sizes = SizeHistogram::default();
    for samples in [0, 1, usize::MAX - 1, usize::MAX] {
        sizes.add(samples, u64::MAX);
        sizes.add(samples, 1);
    }
    assert_eq!(sizes.iter().count(), 2);
    assert_eq!((sizes.largest(), sizes.requests()), (usize::MAX, u64::MAX));
    assert_eq!(sizes.requests_between(0, usize::MAX), u64::MAX);
    sizes.fade();
    assert_eq!(sizes.requests_between(0, 16), u64::MAX / 2);
}

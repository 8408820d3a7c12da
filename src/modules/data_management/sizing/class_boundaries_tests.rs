use super::*;
use crate::modules::data_management::sizing::histograms::GRANULE_SAMPLES;
use proptest::prelude::*;

fn histogram(sizes: &[(usize, u64)]) -> SizeHistogram {
    let mut histogram = SizeHistogram::default();
    for &(size, count) in sizes {
        histogram.add(size, count);
    }
    histogram
}

/// The least waste with up to `k` classes, by trying every subset of the sizes.
fn brute_force(histogram: &SizeHistogram, k: usize) -> u64 {
    let sizes: Vec<usize> = histogram.iter().map(|(size, _)| size).collect();
    (1u32..1 << sizes.len())
        .filter(|mask| mask.count_ones() as usize <= k && mask >> (sizes.len() - 1) == 1)
        .map(|mask| {
            let classes: Vec<usize> = (0..sizes.len())
                .filter(|i| mask >> i & 1 == 1)
                .map(|i| sizes[i])
                .collect();
            wasted_samples(histogram, &classes)
        })
        .min()
        .unwrap_or(0)
}

fn layers(histogram: &SizeHistogram, k: usize) -> BoundarySearch {
    let mut search = BoundarySearch::new(histogram, 0, k);
    while search.advance(1).is_none() {}
    search
}

proptest! {
    #[test]
    fn least_waste_for_every_number_of_classes(
        sizes in prop::collection::vec((1usize..4096, 1u64..1000), 1..10),
        k in 1usize..6,
    ) {
        let histogram = histogram(&sizes);
        let search = layers(&histogram, k);
        for layer in 0..search.best.len() {
            let proposal = search.boundaries(layer, 0);
            prop_assert_eq!(proposal.wasted_samples, brute_force(&histogram, layer + 1));
            prop_assert_eq!(proposal.wasted_samples, wasted_samples(&histogram, &proposal.classes));
            prop_assert!(proposal.classes.len() <= layer + 1);
            prop_assert!(proposal.classes.is_sorted());
        }
    }

    #[test]
    fn class_search_in_portions_gives_the_same_proposal(
        sizes in prop::collection::vec((1usize..4096, 1u64..1000), 0..20),
        budget in 0usize..50,
    ) {
        let histogram = histogram(&sizes);
        let mut search = BoundarySearch::new(&histogram, 4096, MAX_CLASSES);
        let whole = search.clone().finish();
        let portions = loop {
            if let Some(proposal) = search.advance(budget) { break proposal }
        };
        prop_assert_eq!(whole, portions);
    }
}

#[test]
fn class_search_lets_similar_sizes_share_a_class() {
    let proposal =
        BoundarySearch::new(&histogram(&[(480, 100), (496, 1000), (1920, 500)]), 0, 16).finish();
    assert_eq!(proposal.classes, [496, 1920]);
}

#[test]
fn class_search_keeps_serving_the_largest_size_without_requests() {
    let proposal = BoundarySearch::new(&histogram(&[(480, 1000)]), 4096, 16).finish();
    assert_eq!(proposal.classes, [480, 4096]);
    assert_eq!(proposal.wasted_samples, 0);
}

#[test]
fn extreme_sizes_and_counts_overflow_nothing() {
    let extremes = [
        (1, u64::MAX),
        (usize::MAX, u64::MAX),
        (usize::MAX >> 24, 1),
        (16, 3),
    ];
    for largest in [0, 1, usize::MAX] {
        for max_classes in [0, 1, 16, usize::MAX] {
            let search = BoundarySearch::new(&histogram(&extremes), largest, max_classes);
            let proposal = search.clone().finish();
            assert!(proposal.classes.is_sorted() && !proposal.classes.is_empty());
            assert!((0.0..=100.0).contains(&proposal.waste_percentage()));
            assert!(search.least_waste().classes.len() <= MAX_CLASSES);
        }
    }
}

#[test]
fn class_search_without_observations_proposes_nothing() {
    assert!(
        BoundarySearch::new(&histogram(&[]), 0, 16)
            .finish()
            .classes
            .is_empty()
    );
}

#[test]
fn class_boundaries_are_whole_granules() {
    let proposal = BoundarySearch::new(&histogram(&[(441, 7), (1000, 7)]), 0, 16).finish();
    assert!(
        proposal
            .classes
            .iter()
            .all(|class| class % GRANULE_SAMPLES == 0)
    );
    assert_eq!(proposal.classes, [448, 1008]);
}

#[test]
fn class_search_portion_is_bounded() {
    // Miri is slow.
    let (sizes, portion) = if cfg!(miri) { (64, 256) } else { (512, 4096) };
    let all: Vec<_> = (1..=sizes)
        .map(|i| (i * GRANULE_SAMPLES, i as u64))
        .collect();
    let mut search = BoundarySearch::new(&histogram(&all), 0, MAX_CLASSES);
    let mut portions = 1;
    while search.advance(portion).is_none() {
        portions += 1;
    }
    // A portion exceeds its budget by at most one row of all sizes.
    let total = MAX_CLASSES * sizes * (sizes + 1) / 2;
    assert!(
        portions >= total / (portion + sizes) / 2,
        "{portions} portions"
    );
}

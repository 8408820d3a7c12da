use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn wanted(classes: &[(u32, u32)]) -> Vec<Wanted> {
    let class = |&(units, count): &(u32, u32)| Wanted { units, count };
    classes.iter().map(class).collect()
}

fn run(unit: u32, units: u32) -> Run {
    Run {
        region: 0,
        unit,
        units,
    }
}

proptest! {
    #[test]
    fn alignment_in_a_new_region_is_natural_and_no_unit_is_lost(
        classes in vec((1u32..300, 0u32..9), 1..16), start in 0u32..100,
    ) {
        let wanted = wanted(&classes);
        let total = total_units(&wanted) as u32;
        for start in [0, start] {
            let mut unit = start;
            for placed in fill_run(run(start, total), &wanted) {
                prop_assert_eq!(placed.run.unit, unit);
                prop_assert_eq!(placed.run.units, wanted[placed.class].units);
                prop_assert!(start > 0 || unit.is_multiple_of(natural_alignment(placed.run.units)));
                unit += placed.run.units;
            }
            prop_assert_eq!(unit, start + total);
        }
    }
}

#[test]
fn placement_in_several_runs_takes_the_shortest_that_fits() {
    let runs = [run(0, 10), run(100, 6), run(200, 3)];
    let (placed, left) = fill_runs(&runs, &wanted(&[(5, 2), (6, 1), (4, 1)]));
    let mut places: Vec<_> = placed
        .iter()
        .map(|placed| (placed.run.unit, placed.class))
        .collect();
    places.sort_unstable();
    assert_eq!(places, [(0, 0), (5, 0), (100, 1)]);
    assert_eq!(left, wanted(&[(5, 0), (6, 0), (4, 1)]));
}

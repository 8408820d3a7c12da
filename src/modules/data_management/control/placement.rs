//! Where the buffers of several classes go when they are carved together: side by side, so that no unit between them is lost.
//!
//! A run is filled from its start without a gap. Of the classes that are left, the one with the largest natural alignment
//! that divides the current place comes next. In a new region, which starts at place 0, every buffer is therefore naturally
//! aligned: the sizes that come before a buffer are all multiples of its alignment. See
//! `docs/decisions/0017-buffers-of-a-mix-are-placed-together.md`.

use super::arena::{Run, natural_alignment};

/// Buffers of one class that are to be carved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) units: u32,
    pub(super) count: u32,
}

/// Where one buffer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// Its class, by the position in the list of what was wanted.
    pub(super) class: usize,
    pub(super) run: Run,
}

/// Units of all these buffers together.
pub(super) fn total_units(wanted: &[Wanted]) -> usize {
    let of_class = |class: &Wanted| (class.units as usize).saturating_mul(class.count as usize);
    wanted.iter().map(of_class).fold(0, usize::saturating_add)
}

/// Fills a run that holds all of these buffers.
pub(super) fn fill_run(run: Run, wanted: &[Wanted]) -> Vec<Placed> {
    let mut left = wanted.to_vec();
    let mut placed = Vec::new();
    let mut unit = run.unit;
    while let Some(class) = next_at(unit, &left) {
        let units = left[class].units;
        placed.push(Placed {
            class,
            run: Run { unit, units, ..run },
        });
        left[class].count -= 1;
        unit += units;
    }
    placed
}

/// The class whose buffer comes next at this place: of those that are aligned there the one with the largest alignment, else
/// the one with the smallest, which leaves the others the chance of a better place.
fn next_at(unit: u32, left: &[Wanted]) -> Option<usize> {
    let some = left.iter().enumerate().filter(|(_, class)| class.count > 0);
    let (aligned, other): (Vec<_>, Vec<_>) = some
        .map(|(index, class)| (natural_alignment(class.units), class.units, index))
        .partition(|&(align, ..)| unit.is_multiple_of(align));
    let best = aligned.into_iter().max().or(other.into_iter().min());
    best.map(|(_, _, index)| index)
}

/// Fills several runs, largest buffers first, each in the shortest run that holds it. Also returns what fits in none.
pub(super) fn fill_runs(runs: &[Run], wanted: &[Wanted]) -> (Vec<Placed>, Vec<Wanted>) {
    let mut left = wanted.to_vec();
    let none = Wanted { units: 0, count: 0 };
    let mut shares = vec![vec![none; wanted.len()]; runs.len()];
    let mut room: Vec<u32> = runs.iter().map(|run| run.units).collect();
    let mut by_size: Vec<usize> = (0..wanted.len()).collect();
    by_size.sort_unstable_by_key(|&class| core::cmp::Reverse(wanted[class].units));
    for class in by_size {
        let units = wanted[class].units;
        while left[class].count > 0 {
            let holds = |&run: &usize| room[run] >= units;
            let Some(run) = (0..runs.len()).filter(holds).min_by_key(|&run| room[run]) else {
                break;
            };
            let count = (room[run] / units).min(left[class].count);
            shares[run][class] = Wanted { units, count };
            left[class].count -= count;
            room[run] -= count * units;
        }
    }
    let filled = runs.iter().zip(&shares);
    let placed = filled.flat_map(|(&run, share)| fill_run(run, share));
    (placed.collect(), left)
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
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
}

//! Where the buffers of several classes go when they are carved together: side by side, so that no unit between them is lost.
//!
//! A run is filled from its start without a gap. Of the classes that are left, the one with the largest natural alignment
//! that divides the current place comes next. In a new region, which starts at place 0, every buffer is therefore naturally
//! aligned: the sizes that come before a buffer are all multiples of its alignment. See
//! `docs/decisions/0017-buffers-of-a-mix-are-placed-together.md`.

use super::free_runs::Run;
use crate::limits::natural_alignment;
use alloc::vec;
use alloc::vec::Vec;

/// Buffers of one class that are to be carved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) units: u32,
    pub(super) count: u32,
}

/// Where one buffer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// Its class, by the position in the list of requested classes.
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
#[path = "placement_tests.rs"]
mod tests;

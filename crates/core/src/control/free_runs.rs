//! The ordered list of what is free in the regions.

use alloc::vec::Vec;

use crate::realtime::cells::Counter;

/// A stretch of free units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(super) region: u8,
    pub(super) unit: u32,
    pub(super) units: u32,
}

impl Run {
    const fn end(self) -> u32 {
        self.unit + self.units
    }

    const fn key(self) -> (u8, u32) {
        (self.region, self.unit)
    }

    /// Orders runs and slots by address.
    pub(super) const fn address_key(self) -> u64 {
        (self.region as u64) << 32 | self.unit as u64
    }

    const fn touches(self, next: Self) -> bool {
        self.region == next.region && self.end() == next.unit
    }

    /// Units before its first multiple of `align`, a power of two.
    fn before(&self, align: u32) -> u32 {
        self.unit.wrapping_neg() & (align - 1)
    }
}

/// The requirements of a buffer to a free run, and how far the search for one has come.
///
/// While nothing returns to the arena, the runs before `next` do not fit: many buffers are carved in one pass over the
/// runs.
pub(super) struct Fit {
    /// Length, at multiples of `align`.
    pub(super) units: u32,
    pub(super) align: u32,
    /// The run is shorter than this.
    pub(super) shorter_than: u32,
    /// The buffer lies below this address.
    pub(super) below: u64,
    /// The first run that was not scanned yet.
    pub(super) next: usize,
}

impl Fit {
    pub(super) const fn new(units: u32, align: u32) -> Self {
        Self {
            units,
            align,
            shorter_than: u32::MAX,
            below: u64::MAX,
            next: 0,
        }
    }
}

/// Free memory, ordered by address. The lowest address is used first, so that live buffers lie close together; what
/// returns coalesces with its neighbours. Only for the control half.
///
/// Invariants: runs are ordered, not empty, and no two of one region touch; `total` and `short` are their sums.
#[derive(Default)]
pub(crate) struct FreeRuns {
    runs: Vec<Run>,
    /// Units of all runs.
    total: usize,
    /// Units of runs that are shorter than `short_below`: the largest class.
    short: usize,
    short_below: u32,
    /// Runs that were scanned.
    looks: Counter,
}

impl FreeRuns {
    /// Takes a run for a buffer at the lowest address that fits.
    pub(super) fn take(&mut self, fit: &mut Fit) -> Option<Run> {
        let first = fit.next;
        let found = self.runs[first..].iter().position(|run| {
            if run.address_key() >= fit.below {
                return true;
            }
            // Most runs of a fragmented arena are too short: that costs one comparison.
            run.units >= fit.units
                && run.units < fit.shorter_than
                && run.before(fit.align) + fit.units <= run.units
                && run.address_key() + u64::from(run.before(fit.align)) < fit.below
        });
        let at = found.map_or(self.runs.len(), |found| first + found);
        self.looks.add((at - first + 1) as u64);
        fit.next = at;
        let run = *self
            .runs
            .get(at)
            .filter(|run| run.address_key() < fit.below)?;
        Some(self.split(at, run.before(fit.align), fit.units))
    }

    /// Takes `units` out of a run, from `before` units behind its start.
    fn split(&mut self, at: usize, before: u32, units: u32) -> Run {
        let run = self.runs[at];
        let taken = Run {
            unit: run.unit + before,
            units,
            ..run
        };
        let after = Run {
            unit: taken.end(),
            units: run.units - before - units,
            ..run
        };
        match (before > 0, after.units > 0) {
            (false, false) => drop(self.runs.remove(at)),
            (false, true) => self.runs[at] = after,
            (true, false) => self.runs[at].units = before,
            (true, true) => {
                self.runs[at].units = before;
                self.runs.insert(at + 1, after);
            }
        }
        self.total -= units as usize;
        self.short -= self.short_of(run.units);
        self.short += self.short_of(before) + self.short_of(after.units);
        taken
    }

    /// What a run of `units` units adds to `short`.
    const fn short_of(&self, units: u32) -> usize {
        if units < self.short_below {
            units as usize
        } else {
            0
        }
    }

    /// Sets the units of the largest class.
    pub(super) fn set_largest_class(&mut self, units: u32) {
        self.short_below = units;
        self.short = self.sum_of_short();
    }

    fn sum_of_short(&self) -> usize {
        self.runs.iter().map(|run| self.short_of(run.units)).sum()
    }

    /// Units in runs that are too short for the largest class.
    pub(super) const fn short(&self) -> usize {
        self.short
    }

    /// Runs scanned so far.
    pub(super) fn looks(&self) -> u64 {
        self.looks.get()
    }

    /// Returns a run of a carved buffer, or adds that of a new region.
    pub(super) fn give(&mut self, run: Run) {
        if run.units == 0 {
            return;
        }
        let at = self.runs.partition_point(|other| other.key() < run.key());
        debug_assert!(
            at == 0 || self.runs[at - 1].region < run.region || self.runs[at - 1].end() <= run.unit
        );
        let joins_before = at > 0 && self.runs[at - 1].touches(run);
        let joins_after = self.runs.get(at).is_some_and(|next| run.touches(*next));
        let before = if joins_before {
            self.runs[at - 1].units
        } else {
            0
        };
        let after = if joins_after { self.runs[at].units } else { 0 };
        self.total += run.units as usize;
        self.short -= self.short_of(before) + self.short_of(after);
        self.short += self.short_of(before + run.units + after);
        match (joins_before, joins_after) {
            (true, true) => {
                self.runs[at - 1].units += run.units + self.runs[at].units;
                self.runs.remove(at);
            }
            (true, false) => self.runs[at - 1].units += run.units,
            (false, true) => {
                self.runs[at].unit = run.unit;
                self.runs[at].units += run.units;
            }
            (false, false) => self.runs.insert(at, run),
        }
    }

    /// How many of `count` buffers fit.
    pub(super) fn fits(&self, fit: &Fit, count: usize) -> usize {
        let (mut fitting, mut looks) = (0, 0);
        for run in &self.runs {
            looks += 1;
            if run.address_key() >= fit.below || fitting >= count {
                break;
            }
            if run.units >= fit.units && run.units < fit.shorter_than {
                fitting += (run.units.saturating_sub(run.before(fit.align)) / fit.units) as usize;
            }
        }
        self.looks.add(looks);
        fitting.min(count)
    }

    pub(super) fn largest(&self) -> u32 {
        self.looks.add(self.runs.len() as u64);
        self.runs.iter().map(|run| run.units).max().unwrap_or(0)
    }

    pub(super) const fn total(&self) -> usize {
        self.total
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Run> {
        self.runs.iter().copied()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }

    /// Whether the invariants hold.
    pub(super) fn is_valid(&self) -> bool {
        let total: usize = self.runs.iter().map(|run| run.units as usize).sum();
        (total, self.sum_of_short()) == (self.total, self.short)
            && self.runs.iter().all(|run| run.units > 0)
            && self.runs.windows(2).all(|pair| {
                pair[0].key() < pair[1].key()
                    && !pair[0].touches(pair[1])
                    && (pair[0].region < pair[1].region || pair[0].end() < pair[1].unit)
            })
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "free_runs_tests.rs"]
mod tests;

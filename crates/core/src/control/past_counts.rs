//! Counts that outlive their source: those of freed size classes, and those of a half from before its owner changed.
//!
//! Sizing uses the counts of halves whose sizes follow demand. A half that changes from these to a mix of its own, or
//! back, must neither remove its counts from theirs nor add others: what was counted before stays where it was
//! counted, so that no total ever falls.

use super::usage::ClassMetrics;
use crate::realtime::size_class::SizeClass;
use alloc::vec::Vec;

/// See the module.
#[derive(Default)]
pub(super) struct PastCounts {
    all: Vec<ClassMetrics>,
    /// The part of `all` that was counted while the half's sizes followed demand.
    of_demand: Vec<ClassMetrics>,
    /// The figures of a live size class when its counts were last added to `all`, by its number. Most have none.
    taken_over: Vec<(u16, ClassMetrics)>,
    recycled: u64,
}

impl PastCounts {
    /// By class; of all halves, or of those whose sizes follow demand.
    pub(super) fn classes(&self, demand_only: bool) -> &[ClassMetrics] {
        if demand_only {
            &self.of_demand
        } else {
            &self.all
        }
    }

    /// Whether all counts are of halves whose sizes follow demand.
    pub(super) fn is_all_of_demand(&self) -> bool {
        self.all == self.of_demand
    }

    /// Returns to size classes that were freed.
    pub(super) const fn recycled(&self) -> u64 {
        self.recycled
    }

    /// The figures of a size class, of its counts those that were not taken over.
    pub(super) fn figures_beside(&self, size_class: &SizeClass) -> ClassMetrics {
        self.beside(size_class.id, figures(size_class))
    }

    fn beside(&self, size_class: u16, figures: ClassMetrics) -> ClassMetrics {
        let mut taken_over = self.taken_over.iter();
        match taken_over.find(|(id, _)| *id == size_class) {
            None => figures,
            Some((_, before)) => ClassMetrics {
                // A racing read of the hits may be one short of an earlier one.
                hits: figures.hits.saturating_sub(before.hits),
                borrowed: figures.borrowed.saturating_sub(before.borrowed),
                exhausted: figures.exhausted.saturating_sub(before.exhausted),
                ..figures
            },
        }
    }

    /// Takes over what a size class has counted so far; from now on it counts for another side.
    pub(super) fn take_over(&mut self, size_class: &SizeClass, follows_demand: bool) {
        let all = figures(size_class);
        let counted = self.beside(size_class.id, all.clone());
        if counted.acquires() == 0 {
            return;
        }
        let past = ClassMetrics {
            samples: counted.samples,
            hits: counted.hits,
            borrowed: counted.borrowed,
            exhausted: counted.exhausted,
            ..ClassMetrics::default()
        };
        self.add(&past, follows_demand);
        self.forget(size_class.id);
        self.taken_over.push((size_class.id, all));
    }

    /// Keeps the counts of a size class that was freed.
    pub(super) fn keep(
        &mut self,
        size_class: u16,
        counted: ClassMetrics,
        recycled: u64,
        follows_demand: bool,
    ) {
        let past = ClassMetrics {
            // Of a moment in the past.
            recent_high_water: 0,
            ..counted
        };
        self.add(&past, follows_demand);
        self.forget(size_class);
        self.recycled += recycled;
    }

    fn forget(&mut self, size_class: u16) {
        self.taken_over.retain(|&(id, _)| id != size_class);
    }

    fn add(&mut self, past: &ClassMetrics, follows_demand: bool) {
        add_counts(&mut self.all, past);
        if follows_demand {
            add_counts(&mut self.of_demand, past);
        }
    }

    pub(super) const fn heap_bytes(&self) -> usize {
        (self.all.capacity() + self.of_demand.capacity()) * size_of::<ClassMetrics>()
            + self.taken_over.capacity() * size_of::<(u16, ClassMetrics)>()
    }
}

/// The figures of a size class, as it counted them itself.
fn figures(size_class: &SizeClass) -> ClassMetrics {
    ClassMetrics {
        samples: size_class.samples as usize,
        carved: u64::from(size_class.carved()),
        idle: u64::from(size_class.idle()),
        leased: u64::from(size_class.leased()),
        high_water: u64::from(size_class.peak()),
        recent_high_water: u64::from(size_class.window_peak()),
        hits: size_class.hits(),
        borrowed: size_class.borrowed.get(),
        exhausted: size_class.exhausted.get(),
        draining: u64::from(size_class.draining()),
        ..ClassMetrics::default()
    }
}

/// Adds to the record of the same size, or inserts one.
pub(super) fn add_counts(classes: &mut Vec<ClassMetrics>, more: &ClassMetrics) {
    let at = classes.partition_point(|class| class.samples < more.samples);
    match classes
        .get_mut(at)
        .filter(|class| class.samples == more.samples)
    {
        Some(class) => {
            class.carved += more.carved;
            class.draining += more.draining;
            class.idle += more.idle;
            class.leased += more.leased;
            class.high_water += more.high_water;
            class.recent_high_water += more.recent_high_water;
            class.hits += more.hits;
            class.borrowed += more.borrowed;
            class.exhausted += more.exhausted;
            class.requested_samples += more.requested_samples;
        }
        None => classes.insert(at, more.clone()),
    }
}

//! The size classes with the least internal fragmentation for the requested sizes, by exact dynamic programming.
//!
//! A request is served by the smallest class that is large enough; the rest of the buffer is waste. For each number of
//! classes the search finds the boundaries with the least waste over all observed requests. It then chooses the smallest
//! number of classes that comes close to the best one, since every class has idle buffers of its own.

use serde::{Deserialize, Serialize};

use super::histograms::SizeHistogram;
use wavepool_core::MAX_CLASSES;

/// The smallest share of the requested samples that one more class must save, because every class keeps a margin of idle
/// buffers.
const WORTH_A_CLASS: f64 = 0.02;

/// A set of classes, and its waste for the observed requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassProposal {
    /// Capacities in samples, ascending.
    pub classes: Vec<usize>,
    /// Samples wasted over all observed requests.
    pub wasted_samples: u64,
    /// Requested samples over all observed requests.
    pub requested_samples: u64,
}

impl ClassProposal {
    /// Waste ÷ acquired capacity, in percent.
    #[must_use]
    pub(crate) fn waste_percentage(&self) -> f64 {
        let capacity = self.wasted_samples.saturating_add(self.requested_samples);
        self.wasted_samples as f64 / capacity.max(1) as f64 * 100.0
    }
}

/// The samples that `classes` (ascending) waste for the requests of `sizes`. Requests above the largest class are not served
/// and waste nothing.
#[must_use]
pub(crate) fn wasted_samples(sizes: &SizeHistogram, classes: &[usize]) -> u64 {
    sizes
        .iter()
        .filter_map(|(size, count)| {
            let class = classes.iter().find(|&&class| class >= size)?;
            Some(((class - size) as u64).saturating_mul(count))
        })
        .fold(0, u64::saturating_add)
}

/// The search. It advances in portions, so that a control step stays short.
///
/// `best[k][j]` is the least waste if `k + 1` classes serve the smallest `j` sizes and the largest of these classes is size
/// `j - 1`; `cut[k][j]` is the number of sizes that the smaller classes serve then. Sums saturate at `u64::MAX`.
/// See `docs/decisions/0023-class-boundaries-by-dynamic-programming.md`.
#[derive(Debug, Clone)]
pub struct BoundarySearch {
    sizes: Vec<usize>,
    /// Sums over the sizes before each index: requests, and requested samples.
    requests: Vec<u64>,
    samples: Vec<u64>,
    best: Vec<Vec<u64>>,
    cut: Vec<Vec<u32>>,
    max_classes: usize,
}

impl BoundarySearch {
    /// Begins a search over the observed `sizes`. `largest` is a size that the pool must serve, whether it was observed or
    /// not.
    #[must_use]
    pub fn new(sizes: &SizeHistogram, largest: usize, max_classes: usize) -> Self {
        let mut search = Self {
            sizes: Vec::new(),
            requests: vec![0],
            samples: vec![0],
            best: Vec::new(),
            cut: Vec::new(),
            max_classes: max_classes.clamp(1, MAX_CLASSES),
        };
        let unseen = (sizes.largest() < largest).then_some((largest, 0));
        for (size, count) in sizes.iter().chain(unseen) {
            let before = search.sizes.len();
            search.sizes.push(size);
            search
                .requests
                .push(search.requests[before].saturating_add(count));
            let samples = (size as u64).saturating_mul(count);
            search
                .samples
                .push(search.samples[before].saturating_add(samples));
        }
        search
    }

    /// The waste if one class serves the sizes `from..to`.
    fn waste(&self, from: usize, to: usize) -> u64 {
        (self.sizes[to - 1] as u64)
            .saturating_mul(self.requests[to] - self.requests[from])
            .saturating_sub(self.samples[to] - self.samples[from])
    }

    /// Advances by about `budget` comparisons at most, and by at least one cell; returns the proposal when the search is
    /// done.
    pub fn advance(&mut self, budget: usize) -> Option<ClassProposal> {
        let count = self.sizes.len();
        let mut spent = 0;
        while spent <= budget {
            if count == 0 || self.best.len() == self.max_classes.min(count) && self.layer_done() {
                return Some(self.propose());
            }
            if self.best.is_empty() || self.layer_done() {
                self.best.push(vec![0]);
                self.cut.push(vec![0]);
            }
            spent += self.fill_cell();
        }
        None
    }

    /// Runs the search to its end.
    #[must_use]
    pub fn finish(mut self) -> ClassProposal {
        loop {
            if let Some(proposal) = self.advance(usize::MAX) {
                return proposal;
            }
        }
    }

    /// Runs the search to its end; returns the proposal with the least waste for any number of classes.
    #[must_use]
    pub fn least_waste(mut self) -> ClassProposal {
        while self.advance(usize::MAX).is_none() {}
        let requested_samples = self.samples[self.sizes.len()];
        self.boundaries(self.best.len().saturating_sub(1), requested_samples)
    }

    fn layer_done(&self) -> bool {
        self.best
            .last()
            .is_some_and(|layer| layer.len() == self.sizes.len() + 1)
    }

    /// Computes the next cell of the last layer; returns the number of comparisons.
    fn fill_cell(&mut self) -> usize {
        let layer = self.best.len() - 1;
        let to = self.best[layer].len();
        let (mut least, mut at) = (u64::MAX, 0);
        let mut comparisons = 1;
        if layer == 0 {
            least = self.waste(0, to);
        } else {
            // Fewer sizes than classes: the cell of the layer below serves them without a cut.
            for from in 0..to {
                let waste = self.best[layer - 1][from].saturating_add(self.waste(from, to));
                if waste < least {
                    (least, at) = (waste, from);
                }
            }
            comparisons = to;
        }
        self.best[layer].push(least);
        self.cut[layer].push(at as u32);
        comparisons
    }

    fn propose(&self) -> ClassProposal {
        let count = self.sizes.len();
        let requested_samples = self.samples[count];
        let worth = (requested_samples as f64 * WORTH_A_CLASS) as u64;
        // The smallest number of classes after which no larger number saves enough per additional class.
        let layer = (0..self.best.len())
            .find(|&layer| {
                (layer + 1..self.best.len()).all(|more| {
                    self.best[layer][count].saturating_sub(self.best[more][count])
                        <= worth.saturating_mul((more - layer) as u64)
                })
            })
            .unwrap_or(0);
        self.boundaries(layer, requested_samples)
    }

    fn boundaries(&self, mut layer: usize, requested_samples: u64) -> ClassProposal {
        let mut to = self.sizes.len();
        let wasted_samples = self.best.get(layer).map_or(0, |row| row[to]);
        let mut classes = Vec::with_capacity(layer + 1);
        while to > 0 {
            classes.push(self.sizes[to - 1]);
            to = self.cut[layer][to] as usize;
            layer = layer.saturating_sub(1);
        }
        classes.reverse();
        ClassProposal {
            classes,
            wasted_samples,
            requested_samples,
        }
    }
}

#[cfg(test)]
#[path = "class_boundaries_tests.rs"]
mod tests;

//! The arena as a map, for people: where each class lies, what of it is in use, what is free.

use alloc::vec::Vec;
use core::iter;

use super::pool_control::PoolControl;
use crate::limits::{UNIT_SAMPLES, units};

/// What a stretch of the arena is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum SpanState {
    /// Carved into no buffer.
    Free,
    /// Buffers on a list.
    Idle,
    /// Buffers in use.
    Leased,
}

/// Neighbouring buffers of one class in one state, or one free run.
///
/// Serialises as `[region, first sample, samples of one, how many, state]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(into = "(u8, usize, usize, u32, SpanState)"))]
pub struct ArenaSpan {
    /// The region it lies in.
    pub region: u8,
    /// Where it starts in its region.
    pub first_sample: usize,
    /// Capacity of each buffer, or length of the free run.
    pub samples: usize,
    /// Buffers, side by side; 1 for a free run.
    pub count: u32,
    /// What they are.
    pub state: SpanState,
}

impl From<ArenaSpan> for (u8, usize, usize, u32, SpanState) {
    fn from(span: ArenaSpan) -> Self {
        (
            span.region,
            span.first_sample,
            span.samples,
            span.count,
            span.state,
        )
    }
}

impl ArenaSpan {
    /// Where it ends: each buffer takes whole cache lines.
    fn end(&self) -> usize {
        self.first_sample + self.count as usize * units(self.samples) * UNIT_SAMPLES
    }

    fn goes_on_with(&self, next: &Self) -> bool {
        self.state != SpanState::Free
            && (self.region, self.samples, self.state) == (next.region, next.samples, next.state)
            && self.end() == next.first_sample
    }
}

/// The arena at one moment; other threads go on taking and giving back meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ArenaMap {
    /// Length of each region in samples.
    pub regions: Vec<usize>,
    /// By region and place.
    pub spans: Vec<ArenaSpan>,
    /// Spans beyond the requested number.
    pub left_off: usize,
}

impl PoolControl {
    /// Draws the arena, with at most `most_spans` spans.
    ///
    /// # Real-time
    /// For the control side: allocates, and looks at every buffer. Costs the audio thread nothing: it reads words that
    /// thread writes anyway.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let map = control.arena_map(100);
    /// assert!(map.spans.len() <= 100);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub fn arena_map(&self, most_spans: usize) -> ArenaMap {
        let free = self
            .free_runs()
            .map(|(region, first_sample, samples)| ArenaSpan {
                region,
                first_sample,
                samples,
                count: 1,
                state: SpanState::Free,
            });
        let buffers = self.pool.table.indices().filter_map(|index| {
            let slot = self.pool.table.slot(index);
            let size_class = self.pool.size_class_of(slot)?;
            let is_out =
                slot.requested_samples() > 0 || size_class.borrowed_scratch() == Some(index);
            Some(ArenaSpan {
                region: slot.region(),
                first_sample: slot.unit() as usize * UNIT_SAMPLES,
                samples: size_class.samples as usize,
                count: 1,
                state: if is_out {
                    SpanState::Leased
                } else {
                    SpanState::Idle
                },
            })
        });
        let mut all: Vec<_> = buffers.chain(free).collect();
        all.sort_unstable();
        let mut regions = Vec::new();
        for span in &all {
            regions.extend(iter::repeat_n(
                0,
                (usize::from(span.region) + 1).saturating_sub(regions.len()),
            ));
            regions[usize::from(span.region)] = span.end();
        }
        let mut spans: Vec<ArenaSpan> = Vec::new();
        for span in all {
            match spans.last_mut() {
                Some(last) if last.goes_on_with(&span) => last.count += 1,
                _ => spans.push(span),
            }
        }
        let left_off = spans.len().saturating_sub(most_spans);
        spans.truncate(most_spans);
        ArenaMap {
            regions,
            spans,
            left_off,
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "arena_map_tests.rs"]
mod tests;

//! The arena as a map, for people: where each class lies, what of it is in use, what is free.

use core::iter;

use serde::Serialize;

use super::arena::{UNIT_SAMPLES, units};
use super::pool_control::PoolControl;

/// What a stretch of the arena is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanState {
    /// Carved into no buffer.
    Free,
    /// Buffers on a list.
    Idle,
    /// Buffers in somebody's hands.
    Leased,
}

/// Neighbouring buffers of one class in one state, or one free run.
///
/// Serialises as `[region, first sample, samples of one, how many, state]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "(u8, usize, usize, u32, SpanState)")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArenaMap {
    /// Length of each region in samples.
    pub regions: Vec<usize>,
    /// By region and place.
    pub spans: Vec<ArenaSpan>,
    /// Spans beyond the number that was asked for.
    pub left_off: usize,
}

impl PoolControl {
    /// Draws the arena, with at most `most_spans` spans.
    ///
    /// # Real-time
    /// For the control side: allocates, and looks at every buffer. Costs the audio thread nothing: it reads words that
    /// thread writes anyway.
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
            if !slot.is_carved() {
                return None;
            }
            let size_class = self.pool.core().size_class_of(index);
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
mod tests {
    use super::*;
    use crate::modules::data_management::BufferPool;

    #[test]
    fn arena_map_has_every_sample_in_one_span() {
        let (mut control, mut half) = BufferPool::builder()
            .class(100, 4)
            .class(256, 4)
            .reserve_samples(4096)
            .build()
            .unwrap();
        half.begin_quantum(0);
        let held = [half.acquire(200).unwrap(), half.acquire(80).unwrap()];
        let map = control.arena_map(usize::MAX);
        // Memory for 4096 samples in buffers of 100, each of which takes 112.
        let reserved = (4096usize * 112).div_ceil(100).next_multiple_of(16);
        assert_eq!((map.regions.as_slice(), map.left_off), (&[reserved][..], 0));
        let mut end = 0;
        for span in &map.spans {
            assert_eq!(span.first_sample, end, "{map:?}");
            end = span.end();
        }
        assert_eq!(end, reserved);
        let buffers = |state, samples| -> u32 {
            let spans = map.spans.iter();
            let spans = spans.filter(|span| (span.state, span.samples) == (state, samples));
            spans.map(|span| span.count).sum()
        };
        assert_eq!(
            (
                buffers(SpanState::Leased, 256),
                buffers(SpanState::Idle, 256)
            ),
            (1, 3)
        );
        assert_eq!(
            (
                buffers(SpanState::Leased, 100),
                buffers(SpanState::Idle, 100)
            ),
            (1, 3)
        );
        // What is held stays in its place on the map.
        let base = control.slots().map(|slot| slot.address).min().unwrap();
        let leased = map
            .spans
            .iter()
            .filter(|span| span.state == SpanState::Leased);
        let drawn: Vec<_> = leased.map(|span| base + span.first_sample * 4).collect();
        assert!(
            held.iter()
                .all(|buffer| drawn.contains(&buffer.as_ptr().addr()))
        );

        drop(held);
        control.trim(256, 0).unwrap();
        for frame in 1..8 {
            half.begin_quantum(frame * 128);
            control.step(100);
        }
        let spans = control.arena_map(usize::MAX).spans;
        let carved = spans.iter().filter(|span| span.state != SpanState::Free);
        assert!(carved.map(|span| span.samples).eq([100]));
    }

    #[test]
    fn arena_map_counts_the_spans_left_off() {
        let (control, half) = BufferPool::builder().class(256, 8).build().unwrap();
        let mut held: Vec<_> = (0..8).map(|_| half.acquire(256).unwrap()).collect();
        held.sort_unstable_by_key(|buffer| buffer.as_ptr().addr());
        let mut kept = [false, true].into_iter().cycle();
        held.retain(|_| kept.next() == Some(true));
        let map = control.arena_map(3);
        assert_eq!((map.spans.len(), map.left_off), (3, 5));
        let json = serde_json::to_value(&map).unwrap();
        assert_eq!(json["spans"][0], serde_json::json!([0, 0, 256, 1, "idle"]));
    }
}

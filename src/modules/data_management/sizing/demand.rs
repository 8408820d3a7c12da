//! What was asked of the pool lately: concurrent use, request sizes and pauses between requests, over sliding windows.
//!
//! Fed by the control step from counters the real-time half writes anyway; costs that half nothing further.

use serde::{Deserialize, Serialize};

use crate::modules::data_management::pool_metrics::{ClassMetrics, PoolMetrics};

/// Request sizes are told apart in steps of this many samples: one cache line, the grain in which the arena is carved.
pub const GRANULE_SAMPLES: usize = 16;

/// Values up to this are counted exactly, larger ones in eight steps an octave.
const EXACT: u32 = 16;
const STEPS_LOG2: u32 = 3;
/// Values reach 2^20: a million buffers, or a second in microseconds.
const MAX_LOG2: u32 = 20;
const BUCKETS: usize = (EXACT + (MAX_LOG2 - 4) * (1 << STEPS_LOG2)) as usize;

fn bucket_of(value: u32) -> usize {
    let value = value.min((1 << MAX_LOG2) - 1);
    if value < EXACT {
        return value as usize;
    }
    let shift = value.ilog2() - STEPS_LOG2;
    ((EXACT + ((shift - 1) << STEPS_LOG2)) + ((value >> shift) - (1 << STEPS_LOG2))) as usize
}

/// Largest value that falls into the bucket.
fn bucket_top(bucket: usize) -> u32 {
    let bucket = bucket as u32;
    if bucket < EXACT {
        return bucket;
    }
    let shift = ((bucket - EXACT) >> STEPS_LOG2) + 1;
    let step = ((bucket - EXACT) & ((1 << STEPS_LOG2) - 1)) + (1 << STEPS_LOG2);
    ((step + 1) << shift) - 1
}

/// Sizes are forgotten by half when more requests than this were counted: rare requests are remembered for longer.
const SIZES_REMEMBERED: u64 = 1 << 16;

/// A longer pause between requests does not count as use: a window of a stream now and then is use, an hour of rest is not.
const LONGEST_PAUSE_MS: f64 = 250.0;

/// How many windows are kept. The oldest is given up when a new one begins.
pub const WINDOWS: usize = 4;

/// A histogram over the last [`WINDOWS`] windows. Values are rounded up by at most an eighth, the largest not at all.
#[derive(Debug, Clone)]
pub struct SlidingHistogram {
    windows: Box<[Window; WINDOWS]>,
    current: usize,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    counts: [u16; BUCKETS],
    /// Sum of the counts.
    total: u32,
    largest: u32,
}

const EMPTY: Window = Window {
    counts: [0; BUCKETS],
    total: 0,
    largest: 0,
};

impl Default for SlidingHistogram {
    fn default() -> Self {
        Self {
            windows: Box::new([EMPTY; WINDOWS]),
            current: 0,
        }
    }
}

impl SlidingHistogram {
    /// Counts `value` once.
    pub fn record(&mut self, value: u32) {
        let window = &mut self.windows[self.current];
        let count = &mut window.counts[bucket_of(value)];
        let is_full = *count == u16::MAX;
        *count += u16::from(!is_full);
        window.total += u32::from(!is_full);
        window.largest = window.largest.max(value);
    }

    /// Begins a window and forgets the oldest.
    pub fn rotate(&mut self) {
        self.current = (self.current + 1) % WINDOWS;
        self.windows[self.current] = EMPTY;
    }

    /// The value that a share of `quantile` of the records in the newest `windows` windows does not exceed; none when
    /// nothing was recorded.
    #[must_use]
    pub fn quantile(&self, quantile: f64, windows: usize) -> Option<u32> {
        let total = self.total(windows);
        let rank = ((total as f64 * quantile).ceil() as u64).max(1);
        let largest = self.largest(windows);
        // From the top: high quantiles are asked for, and there is nothing above the largest.
        let mut up_to = total;
        (0..=bucket_of(largest))
            .rev()
            .find(|&bucket| {
                up_to -= self.count(bucket, windows);
                up_to < rank
            })
            .filter(|_| total > 0)
            .map(|bucket| bucket_top(bucket).min(largest))
    }

    /// Share (0 to 1) of all records that do not exceed `value`; none when nothing was recorded.
    #[must_use]
    pub fn share_up_to(&self, value: u32) -> Option<f64> {
        let total = self.total(WINDOWS);
        let largest = self.largest(WINDOWS);
        let above: u64 = (0..=bucket_of(largest))
            .rev()
            .take_while(|&bucket| bucket_top(bucket).min(largest) > value)
            .map(|bucket| self.count(bucket, WINDOWS))
            .sum();
        (total > 0).then(|| (total - above) as f64 / total as f64)
    }

    fn total(&self, windows: usize) -> u64 {
        self.newest(windows)
            .map(|window| u64::from(window.total))
            .sum()
    }

    fn largest(&self, windows: usize) -> u32 {
        self.newest(windows)
            .map(|window| window.largest)
            .max()
            .unwrap_or(0)
    }

    fn count(&self, bucket: usize, windows: usize) -> u64 {
        self.newest(windows)
            .map(|window| u64::from(window.counts[bucket]))
            .sum()
    }

    fn newest(&self, windows: usize) -> impl Iterator<Item = &Window> + '_ {
        (0..windows.min(WINDOWS)).map(|age| &self.windows[(self.current + WINDOWS - age) % WINDOWS])
    }

    /// Value and count of every bucket that is not empty, over all windows.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let largest = self.largest(WINDOWS);
        (0..=bucket_of(largest))
            .map(move |bucket| (bucket_top(bucket).min(largest), self.count(bucket, WINDOWS)))
            .filter(|&(_, count)| count > 0)
    }
}

/// How often each size was asked for, in steps of [`GRANULE_SAMPLES`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeHistogram {
    counts: Vec<u64>,
}

impl SizeHistogram {
    /// Counts `count` requests of `samples` samples.
    ///
    /// Allocates when the size is larger than any before.
    pub fn add(&mut self, samples: usize, count: u64) {
        let granule = samples.saturating_sub(1) / GRANULE_SAMPLES;
        if granule >= self.counts.len() {
            self.counts.resize(granule + 1, 0);
        }
        self.counts[granule] += count;
    }

    /// Size (rounded up to the granule) and count, ascending, for sizes that were asked for.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let granules = self.counts.iter().enumerate();
        granules
            .filter(|(_, count)| **count > 0)
            .map(|(i, &count)| ((i + 1) * GRANULE_SAMPLES, count))
    }

    /// The largest size that was asked for, 0 when none was.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.counts
            .iter()
            .rposition(|&count| count > 0)
            .map_or(0, |i| (i + 1) * GRANULE_SAMPLES)
    }

    /// Number of requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Requests that fall into the class of `samples` when the next smaller class has `below`.
    #[must_use]
    pub fn requests_between(&self, below: usize, samples: usize) -> u64 {
        self.iter()
            .filter(|&(size, _)| size > below && size <= samples)
            .map(|(_, count)| count)
            .sum()
    }

    /// Halves every count, so that old habits fade.
    pub fn fade(&mut self) {
        self.counts.iter_mut().for_each(|count| *count /= 2);
    }
}

/// Demand for one class.
#[derive(Debug, Clone, Default)]
pub struct ClassDemand {
    /// Capacity of the class.
    pub samples: usize,
    /// Most buffers in use at once, one record for each control step.
    pub concurrent: SlidingHistogram,
    /// Mean pause between two requests in microseconds, one record for each control step that saw a request.
    pub inter_arrival_us: SlidingHistogram,
    /// Most buffers in use at once during the last control step.
    pub peak: u64,
    /// Whether the class serves no more requests.
    pub retired: bool,
    /// Buffers the class had when it was first seen: what the host, or a change of classes, expected it to need.
    pub expected: u64,
    /// The change of the peak in the last two steps, the newer first.
    changes: [i64; 2],
    seen: bool,
    acquires: u64,
    last_arrival_ms: Option<f64>,
}

impl ClassDemand {
    /// How far use rose in the last step.
    #[must_use]
    pub fn rise(&self) -> u64 {
        self.changes[0].max(0) as u64
    }

    /// The rise or fall that the last two steps agree on: one jump is not a trend.
    #[must_use]
    pub fn trend(&self) -> i64 {
        match self.changes {
            [newer, older] if newer > 0 && older > 0 => newer.min(older),
            [newer, older] if newer < 0 && older < 0 => newer.max(older),
            _ => 0,
        }
    }

    fn observe(&mut self, now_ms: f64, class: &ClassMetrics) {
        let peak = class.recent_high_water.max(class.leased);
        if std::mem::replace(&mut self.seen, true) {
            self.changes = [peak as i64 - self.peak as i64, self.changes[0]];
        } else {
            self.expected = class.carved;
        }
        self.peak = peak;
        self.retired = class.retired;
        self.concurrent.record(saturate(peak));
        let arrivals = class.acquires().saturating_sub(self.acquires);
        self.acquires = class.acquires();
        if arrivals > 0 {
            if let Some(last_ms) = self.last_arrival_ms {
                self.inter_arrival_us
                    .record(((now_ms - last_ms) * 1000.0 / arrivals as f64) as u32);
            }
            self.last_arrival_ms = Some(now_ms);
        }
    }
}

fn saturate(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Demand for all classes, as the optimizer reads it.
///
/// Windows grow old only while requests come: a pool that nobody uses for an hour forgets nothing.
#[derive(Debug, Clone)]
pub struct Demand {
    /// Per class, smallest first.
    pub classes: Vec<ClassDemand>,
    /// Sizes asked for; old ones fade.
    pub sizes: SizeHistogram,
    /// Most samples in use at once in each window.
    peak_samples: [u64; WINDOWS],
    window_ms: f64,
    /// Time spent with requests in the current window, short pauses included, and since the last of them.
    active_ms: f64,
    pause_ms: f64,
    last_ms: Option<f64>,
    requests: u64,
    rotations: usize,
    /// Bytes held when observation began: what the host configured.
    configured_bytes: Option<usize>,
}

impl Demand {
    /// Nothing observed yet; windows of `window_ms` of activity.
    #[must_use]
    pub fn new(window_ms: f64) -> Self {
        Self {
            classes: Vec::new(),
            sizes: SizeHistogram::default(),
            peak_samples: [0; WINDOWS],
            window_ms,
            active_ms: 0.0,
            pause_ms: 0.0,
            last_ms: None,
            requests: 0,
            rotations: 0,
            configured_bytes: None,
        }
    }

    /// Takes in a snapshot.
    ///
    /// # Real-time
    /// For the control side. Allocates only when a class appears for the first time; bounded by the number of classes.
    pub fn observe(&mut self, now_ms: f64, metrics: &PoolMetrics) {
        self.configured_bytes.get_or_insert(metrics.bytes_held);
        self.age(now_ms, metrics.total_allocations);
        self.follow_classes(&metrics.classes);
        for (demand, class) in self.classes.iter_mut().zip(&metrics.classes) {
            demand.observe(now_ms, class);
        }
        // What a retired class still has out goes over to others, in other capacities.
        let active = self.classes.iter().filter(|class| !class.retired);
        let used: u64 = active.map(|class| class.peak * class.samples as u64).sum();
        let peak = &mut self.peak_samples[self.rotations % WINDOWS];
        *peak = used.max(*peak);
    }

    /// Most bytes in use at once over all windows.
    #[must_use]
    pub fn peak_bytes(&self) -> usize {
        self.peak_samples
            .iter()
            .max()
            .map_or(0, |&samples| samples as usize * size_of::<f32>())
    }

    /// What the host configured, until demand has aged: before, nothing is known that would justify taking it back.
    #[must_use]
    pub fn configured_bytes(&self) -> usize {
        self.configured_bytes
            .filter(|_| !self.is_aged())
            .unwrap_or(0)
    }

    /// Whether every window has been filled: from then on little observed demand means little demand.
    #[must_use]
    pub fn is_aged(&self) -> bool {
        self.rotations >= WINDOWS
    }

    /// Prepares for other size classes: each new one is expected to need its share of what the old ones needed, by
    /// the sizes that were asked for.
    pub fn expect_classes(&mut self, classes: impl Iterator<Item = usize>) {
        let mut below = 0;
        let mut added = Vec::new();
        for samples in classes {
            if self.classes.iter().all(|class| class.samples != samples) {
                let expected = self.expected_use(below, samples);
                let mut class = ClassDemand {
                    samples,
                    ..Default::default()
                };
                class.concurrent.record(expected.ceil() as u32);
                added.push(class);
            }
            below = samples;
        }
        self.classes.append(&mut added);
        // Peaks were measured in capacities that are gone.
        self.peak_samples = [0; WINDOWS];
        self.classes.sort_unstable_by_key(|class| class.samples);
    }

    /// Buffers in use at once for requests above `below` and up to `samples`, as the present classes saw them.
    #[must_use]
    pub fn expected_use(&self, below: usize, samples: usize) -> f64 {
        let mut smaller = 0;
        let shares = self.classes.iter().map(|class| {
            let from = std::mem::replace(&mut smaller, class.samples);
            let all = self.sizes.requests_between(from, class.samples);
            let moved = self
                .sizes
                .requests_between(from.max(below), class.samples.min(samples));
            let peak = class.concurrent.quantile(1.0, WINDOWS).unwrap_or(0);
            f64::from(peak) * moved as f64 / all.max(1) as f64
        });
        shares.sum()
    }

    fn age(&mut self, now_ms: f64, requests: u64) {
        self.pause_ms += now_ms - self.last_ms.replace(now_ms).unwrap_or(now_ms);
        if std::mem::replace(&mut self.requests, requests) != requests {
            self.active_ms += std::mem::take(&mut self.pause_ms).min(LONGEST_PAUSE_MS);
        }
        if self.active_ms >= self.window_ms {
            self.active_ms = 0.0;
            self.rotate();
        }
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        self.peak_samples[self.rotations % WINDOWS] = 0;
        for class in &mut self.classes {
            class.concurrent.rotate();
            class.inter_arrival_us.rotate();
        }
        if self.sizes.requests() > SIZES_REMEMBERED {
            self.sizes.fade();
        }
    }

    /// Keeps the records of classes that go on, drops those that ended, begins those that are new.
    fn follow_classes(&mut self, classes: &[ClassMetrics]) {
        let samples = |class: &ClassMetrics| class.samples;
        if self
            .classes
            .iter()
            .map(|class| class.samples)
            .eq(classes.iter().map(samples))
        {
            return;
        }
        let mut old = std::mem::take(&mut self.classes);
        self.classes.extend(classes.iter().map(|class| {
            let known = old
                .iter()
                .position(|demand| demand.samples == class.samples);
            known.map_or_else(
                || ClassDemand {
                    samples: class.samples,
                    ..Default::default()
                },
                |index| old.swap_remove(index),
            )
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_cover_the_range_without_gap() {
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
        fn quantile_is_at_most_an_eighth_above_the_sorted_one(
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
    fn the_oldest_window_is_forgotten() {
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
    fn share_counts_records_not_above_a_value() {
        let mut histogram = SlidingHistogram::default();
        [1, 2, 3, 4]
            .into_iter()
            .for_each(|value| histogram.record(value));
        assert_eq!(histogram.share_up_to(3), Some(0.75));
        assert_eq!(SlidingHistogram::default().share_up_to(3), None);
    }

    #[test]
    fn sizes_fall_into_granules() {
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

    fn snapshot(leased: u64, peak: u64, hits: u64) -> PoolMetrics {
        let class = ClassMetrics {
            samples: 256,
            leased,
            recent_high_water: peak,
            hits,
            ..Default::default()
        };
        PoolMetrics {
            total_allocations: hits,
            classes: vec![class],
            ..Default::default()
        }
    }

    #[test]
    fn peak_rise_and_pauses_follow_the_counters() {
        let mut demand = Demand::new(1000.0);
        demand.observe(0.0, &snapshot(2, 4, 10));
        demand.observe(10.0, &snapshot(2, 9, 20));
        let class = &demand.classes[0];
        assert_eq!((class.peak, class.rise(), class.trend()), (9, 5, 0));
        // Ten requests in 10 ms: 1 ms apart.
        assert_eq!(class.inter_arrival_us.quantile(0.5, 1), Some(1000));
        assert_eq!(demand.peak_bytes(), 9 * 256 * 4);
        let mut trend = |peak| {
            demand.observe(20.0, &snapshot(0, peak, 20));
            demand.classes[0].trend()
        };
        assert_eq!([12, 20, 19, 15, 14].map(&mut trend), [3, 3, 0, -1, -1]);
    }

    #[test]
    fn silence_does_not_age() {
        let mut demand = Demand::new(10.0);
        demand.observe(0.0, &snapshot(8, 8, 1));
        for step in 1..100 {
            demand.observe(f64::from(step) * 10.0, &snapshot(0, 0, 1));
        }
        assert!(!demand.is_aged());
        assert_eq!(demand.peak_bytes(), 8 * 256 * 4);
        for step in 100..110 {
            demand.observe(f64::from(step) * 10.0, &snapshot(0, 0, step as u64));
        }
        assert!(demand.is_aged());
        assert_eq!(demand.peak_bytes(), 0);
    }

    #[test]
    fn requests_now_and_then_age_like_those_of_every_step() {
        let age = |steps_per_request: u64| {
            let mut demand = Demand::new(100.0);
            let steps = 1..;
            let aged = steps.map(|step| {
                demand.observe(
                    step as f64 * 3.0,
                    &snapshot(1, 1, 1 + step / steps_per_request),
                );
                (step, demand.is_aged())
            });
            aged.skip_while(|(_, aged)| !aged)
                .map(|(step, _)| step)
                .next()
        };
        let (each, seldom) = (age(1).unwrap(), age(8).unwrap());
        assert!(each.abs_diff(seldom) <= 4 * 8, "{each} and {seldom} steps");
    }

    #[test]
    fn new_classes_expect_their_share_of_the_old_ones() {
        let mut demand = Demand::new(1000.0);
        demand.observe(0.0, &snapshot(8, 8, 5));
        demand.sizes.add(96, 30);
        demand.sizes.add(240, 10);
        demand.expect_classes([96, 240].into_iter());
        let peaks: Vec<_> = demand
            .classes
            .iter()
            .map(|c| (c.samples, c.concurrent.quantile(1.0, WINDOWS).unwrap()))
            .collect();
        assert_eq!(peaks, [(96, 6), (240, 2), (256, 8)]);
    }

    #[test]
    fn classes_that_go_on_keep_their_record() {
        let mut demand = Demand::new(1000.0);
        demand.observe(0.0, &snapshot(5, 5, 5));
        let mut next = snapshot(5, 5, 5);
        next.classes.insert(
            0,
            ClassMetrics {
                samples: 128,
                ..Default::default()
            },
        );
        demand.observe(1.0, &next);
        let peaks: Vec<_> = demand
            .classes
            .iter()
            .map(|c| c.concurrent.quantile(1.0, WINDOWS))
            .collect();
        assert_eq!(peaks, [Some(0), Some(5)]);
    }
}

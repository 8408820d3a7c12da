//! Histograms: counts by value over sliding windows, and counts by requested size.

/// The granularity of requested sizes: one cache line, in whose multiples the arena is carved.
pub(crate) const GRANULE_SAMPLES: usize = 16;

/// Values up to this one are counted exactly, larger ones in eight buckets per octave.
const EXACT: u32 = 16;
const STEPS_LOG2: u32 = 3;
/// Values are at most 2^20: a million buffers, or a second in microseconds.
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

/// The largest value of the bucket.
fn bucket_top(bucket: usize) -> u32 {
    let bucket = bucket as u32;
    if bucket < EXACT {
        return bucket;
    }
    let shift = ((bucket - EXACT) >> STEPS_LOG2) + 1;
    let step = ((bucket - EXACT) & ((1 << STEPS_LOG2) - 1)) + (1 << STEPS_LOG2);
    ((step + 1) << shift) - 1
}

/// The number of windows. When a new one begins, the oldest is discarded.
pub(crate) const WINDOWS: usize = 4;

/// A histogram over the last `WINDOWS` windows. Values are rounded up by at most an eighth; the largest value is exact.
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

    /// Begins a window and discards the oldest.
    pub(crate) fn rotate(&mut self) {
        self.current = (self.current + 1) % WINDOWS;
        self.windows[self.current] = EMPTY;
    }

    /// The smallest value that a share of `quantile` of the records in the newest `windows` windows does not exceed; `None`
    /// without records.
    #[must_use]
    pub fn quantile(&self, quantile: f64, windows: usize) -> Option<u32> {
        let total = self.total(windows);
        let rank = ((total as f64 * quantile).ceil() as u64).max(1);
        let largest = self.largest(windows);
        // From the highest bucket down: high quantiles are the usual ones, and buckets above the largest value are skipped.
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

    /// The share (0 to 1) of all records that do not exceed `value`; `None` without records.
    #[must_use]
    pub(crate) fn share_up_to(&self, value: u32) -> Option<f64> {
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

    /// The value and count of every bucket that is not empty, over all windows.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let largest = self.largest(WINDOWS);
        (0..=bucket_of(largest))
            .map(move |bucket| (bucket_top(bucket).min(largest), self.count(bucket, WINDOWS)))
            .filter(|&(_, count)| count > 0)
    }
}

/// The number of requests of each size, in steps of `GRANULE_SAMPLES`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SizeHistogram {
    /// Granule and count, ascending by granule: the memory depends on the number of different sizes, not on the largest one.
    counts: Vec<(usize, u64)>,
}

impl SizeHistogram {
    /// Counts `count` requests of `samples` samples. Counts saturate at `u64::MAX`.
    ///
    /// Allocates if the size was never requested before.
    pub fn add(&mut self, samples: usize, count: u64) {
        let granule = samples.saturating_sub(1) / GRANULE_SAMPLES;
        match self
            .counts
            .binary_search_by_key(&granule, |&(granule, _)| granule)
        {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(count),
            Err(at) => self.counts.insert(at, (granule, count)),
        }
    }

    /// The size (rounded up to the granule) and count of all requested sizes, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let asked = self.counts.iter().filter(|&&(_, count)| count > 0);
        asked.map(|&(granule, count)| (size_of_granule(granule), count))
    }

    /// The largest requested size; 0 without requests.
    #[must_use]
    pub fn largest(&self) -> usize {
        let asked = self.counts.iter().rfind(|&&(_, count)| count > 0);
        asked.map_or(0, |&(granule, _)| size_of_granule(granule))
    }

    /// The number of requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, &(_, count)| sum.saturating_add(count))
    }

    /// The number of requests that a class of `samples` serves if the next smaller class has `below`.
    #[must_use]
    pub(crate) fn requests_between(&self, below: usize, samples: usize) -> u64 {
        self.iter()
            .filter(|&(size, _)| size > below && size <= samples)
            .fold(0, |sum: u64, (_, count)| sum.saturating_add(count))
    }

    /// Halves every count, so that old requests weigh less.
    pub fn fade(&mut self) {
        self.counts.iter_mut().for_each(|(_, count)| *count /= 2);
    }
}

/// The largest size of the granule.
fn size_of_granule(granule: usize) -> usize {
    granule.saturating_add(1).saturating_mul(GRANULE_SAMPLES)
}

#[cfg(test)]
#[path = "histograms_tests.rs"]
mod tests;

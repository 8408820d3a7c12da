//! The recent demand on the pool: buffers in use, requested sizes and pauses between requests, over sliding windows.
//!
//! The control step measures it from counters that the real-time half writes anyway; that half has no further costs.

use super::histograms::{SizeHistogram, SlidingHistogram, WINDOWS};
use crate::modules::data_management::metrics::pool_metrics::{
    ClassMetrics, PoolMetrics, sample_bytes,
};
use crate::setting_error::{SettingError, check};
use crate::step_clock::StepClock;

/// The limits of a window's length: from a millisecond to a day.
pub(crate) const WINDOW_LIMITS_MS: core::ops::RangeInclusive<f64> = 1.0..=86_400_000.0;

/// The counts of sizes are halved when they exceed this number of requests: rare requests are remembered for longer.
const SIZES_REMEMBERED: u64 = 1 << 16;
/// The same for the recent sizes, among which are the requests of the buffers in use.
const MAX_RECENT_SIZES: u64 = 1 << 8;

/// Longer pauses between requests do not count as activity: one window of a stream from time to time is activity, an hour
/// without requests is not.
const MAX_PAUSE_MS: f64 = 250.0;

/// The demand for one class.
#[derive(Debug, Clone, Default)]
pub struct ClassDemand {
    /// Capacity of the class.
    pub samples: usize,
    /// The most buffers in use at a time, recorded once per control step.
    pub concurrent: SlidingHistogram,
    /// The mean pause between two requests in microseconds, recorded once per control step with a request.
    pub inter_arrival_us: SlidingHistogram,
    /// The most buffers in use at a time during the last control step.
    pub peak: u64,
    /// Whether a request failed since the last control step.
    pub is_refused: bool,
    exhausted: u64,
    /// Whether the class serves no more requests.
    pub retired: bool,
    /// The buffers of the class at the first observation: the number that the host, or a change of classes, expected.
    pub expected: u64,
    /// The changes of the peak in the last two steps, the newer one first.
    changes: [i64; 2],
    seen: bool,
    acquires: u64,
    last_arrival_ms: Option<f64>,
}

impl ClassDemand {
    /// The rise of use in the last step.
    #[must_use]
    pub fn rise(&self) -> u64 {
        self.changes[0].max(0) as u64
    }

    /// The rise or fall in which the last two steps agree: one jump is not a trend.
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
            let change = i64::try_from(i128::from(peak) - i128::from(self.peak));
            let most = if peak > self.peak { i64::MAX } else { i64::MIN };
            self.changes = [change.unwrap_or(most), self.changes[0]];
        } else {
            self.expected = class.carved;
        }
        self.peak = peak;
        self.retired = class.retired;
        let exhausted = std::mem::replace(&mut self.exhausted, class.exhausted);
        self.is_refused = class.exhausted > exhausted;
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

/// The demand for all classes.
///
/// Windows age only while there are requests: a pool without requests for an hour forgets nothing.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The classes, smallest first.
    pub classes: Vec<ClassDemand>,
    /// Requested sizes; old counts fade.
    pub sizes: SizeHistogram,
    recent_sizes: SizeHistogram,
    /// The most samples in use at a time in each window.
    peak_samples: [u64; WINDOWS],
    window_ms: f64,
    clock: StepClock,
    /// Time with requests in the current window, including short pauses, and the time since the last request.
    active_ms: f64,
    pause_ms: f64,
    last_ms: Option<f64>,
    requests: u64,
    rotations: usize,
    /// Carved bytes at the first observation: those that the host configured.
    configured_bytes: Option<usize>,
    configured: Vec<Configured>,
}

/// Buffers of one class in the mix of an attached half, which the host configured.
#[derive(Debug, Clone, Copy)]
struct Configured {
    samples: usize,
    buffers: u64,
    /// The number of windows that had passed when the half was attached.
    rotations: usize,
}

impl Demand {
    /// An empty measurement with windows of `window_ms` of activity.
    ///
    /// # Errors
    /// [`SettingError`] if the windows are shorter than a millisecond or longer than a day.
    pub fn new(window_ms: f64) -> Result<Self, SettingError> {
        check("Demand::window_ms", window_ms, WINDOW_LIMITS_MS)?;
        Ok(Self::of_window(window_ms))
    }

    /// [`new`](Self::new) for a length that was checked before.
    pub(crate) fn of_window(window_ms: f64) -> Self {
        Self {
            classes: Vec::new(),
            sizes: SizeHistogram::default(),
            recent_sizes: SizeHistogram::default(),
            peak_samples: [0; WINDOWS],
            window_ms,
            clock: StepClock::default(),
            active_ms: 0.0,
            pause_ms: 0.0,
            last_ms: None,
            requests: 0,
            rotations: 0,
            configured_bytes: None,
            configured: Vec::new(),
        }
    }

    /// Adds a snapshot. A time before the last one, or NaN, counts as the last one.
    ///
    /// # Real-time
    /// For the control side. Allocates only when a class appears for the first time; bounded by the number of classes.
    pub fn observe(&mut self, now_ms: f64, metrics: &PoolMetrics) {
        let now_ms = self.clock.at(now_ms);
        self.configured_bytes.get_or_insert(metrics.bytes_held);
        self.age(now_ms, metrics.total_allocations);
        self.follow_classes(&metrics.classes);
        for (demand, class) in self.classes.iter_mut().zip(&metrics.classes) {
            demand.observe(now_ms, class);
        }
        // Buffers of a retired class that are in use will be replaced by buffers of other classes, with other capacities.
        let active = self.classes.iter().filter(|class| !class.retired);
        let used = active
            .map(|class| class.peak.saturating_mul(class.samples as u64))
            .fold(0, u64::saturating_add);
        let peak = &mut self.peak_samples[self.rotations % WINDOWS];
        *peak = used.max(*peak);
    }

    /// Counts `count` requests of `samples` samples.
    pub(crate) fn add_size(&mut self, samples: usize, count: u64) {
        self.sizes.add(samples, count);
        self.recent_sizes.add(samples, count);
    }

    /// The most bytes in use at a time over all windows.
    #[must_use]
    pub fn peak_bytes(&self) -> usize {
        self.peak_samples
            .iter()
            .max()
            .map_or(0, |&samples| sample_bytes(1, samples))
    }

    /// The bytes that the host configured, until demand has aged: before, nothing is known that would justify shrinking them.
    #[must_use]
    pub(crate) fn configured_bytes(&self) -> usize {
        self.configured_bytes
            .filter(|_| !self.is_aged())
            .unwrap_or(0)
    }

    /// Records that a half was attached with so many buffers of a class, which the host configured.
    pub(crate) fn observe_attached(&mut self, samples: usize, buffers: u32) {
        let rotations = self.rotations;
        // Those that have aged are no lower limit any more.
        self.configured
            .retain(|configured| rotations < configured.rotations + WINDOWS);
        self.configured.push(Configured {
            samples,
            buffers: buffers.into(),
            rotations,
        });
    }

    fn unaged_configured(&self) -> impl Iterator<Item = &Configured> {
        let configured = self.configured.iter();
        configured.filter(|configured| self.rotations < configured.rotations + WINDOWS)
    }

    /// The configured buffers of a class since whose attachment demand has not aged: none of these is taken away.
    #[must_use]
    pub(crate) fn configured_buffers(&self, samples: usize) -> u64 {
        let of_class = self
            .unaged_configured()
            .filter(|configured| configured.samples == samples);
        of_class.fold(0, |sum, configured| sum.saturating_add(configured.buffers))
    }

    /// Whether more was in use at a time than the host configured in all: its mix then says nothing about the need.
    #[must_use]
    pub(crate) fn has_outgrown_configured(&self) -> bool {
        let samples = self
            .unaged_configured()
            .map(|configured| configured.buffers.saturating_mul(configured.samples as u64));
        let samples = samples.fold(0, u64::saturating_add);
        self.peak_samples.iter().any(|&peak| peak > samples)
    }

    /// Whether every window has been filled: from then on little observed demand means little demand.
    #[must_use]
    pub fn is_aged(&self) -> bool {
        self.rotations >= WINDOWS
    }

    /// Prepares for other size classes. The expected demand of each new class is its share of the demand of the old ones, by
    /// requested sizes.
    pub(crate) fn expect_classes(&mut self, classes: impl Iterator<Item = usize>) {
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
        // Peaks were measured in capacities that do not exist any more.
        self.peak_samples = [0; WINDOWS];
        self.classes.sort_unstable_by_key(|class| class.samples);
    }

    /// The expected number of buffers in use at a time for requests above `below` and up to `samples`, from the present
    /// classes: their share of the peak over all windows, and of the present use, which can differ if sizes alternate.
    #[must_use]
    pub(crate) fn expected_use(&self, below: usize, samples: usize) -> f64 {
        let mut smaller = 0;
        // The next larger class serves the requests of a retired class now.
        let present = self.classes.iter().filter(|class| !class.retired);
        let shares = present.map(|class| {
            let from = std::mem::replace(&mut smaller, class.samples);
            let share = |sizes: &SizeHistogram| {
                let all = sizes.requests_between(from, class.samples);
                let moved = sizes.requests_between(from.max(below), class.samples.min(samples));
                moved as f64 / all.max(1) as f64
            };
            let peak = class.concurrent.quantile(1.0, WINDOWS).unwrap_or(0);
            let now = class.peak as f64 * share(&self.recent_sizes);
            now.max(f64::from(peak) * share(&self.sizes))
        });
        shares.sum()
    }

    fn age(&mut self, now_ms: f64, requests: u64) {
        if self.recent_sizes.requests() > MAX_RECENT_SIZES {
            self.recent_sizes.fade();
        }
        self.pause_ms += now_ms - self.last_ms.replace(now_ms).unwrap_or(now_ms);
        if std::mem::replace(&mut self.requests, requests) != requests {
            self.active_ms += std::mem::take(&mut self.pause_ms).min(MAX_PAUSE_MS);
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
#[path = "demand_tests.rs"]
mod tests;

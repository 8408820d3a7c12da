//! What was asked of the pool lately: concurrent use, request sizes and pauses between requests, over sliding windows.
//!
//! Fed by the control step from counters the real-time half writes anyway; costs that half nothing further.

use super::histograms::{SizeHistogram, SlidingHistogram, WINDOWS};
use super::sizing_rules::WINDOW_LIMITS_MS;
use crate::modules::data_management::pool_metrics::{ClassMetrics, PoolMetrics, sample_bytes};
use crate::modules::data_management::setting_error::{SettingError, check};
use crate::modules::data_management::step_clock::StepClock;

/// Sizes are forgotten by half when more requests than this were counted: rare requests are remembered for longer.
const SIZES_REMEMBERED: u64 = 1 << 16;
/// And those of late when more than this were: what is in use now was asked for by some of them.
const SIZES_OF_LATE: u64 = 1 << 8;

/// A longer pause between requests does not count as use: a window of a stream now and then is use, an hour of rest is not.
const LONGEST_PAUSE_MS: f64 = 250.0;

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
    /// Whether a request was refused since the last control step.
    pub is_refused: bool,
    exhausted: u64,
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

/// Demand for all classes, as the optimizer reads it.
///
/// Windows grow old only while requests come: a pool that nobody uses for an hour forgets nothing.
#[derive(Debug, Clone)]
pub struct Demand {
    /// Per class, smallest first.
    pub classes: Vec<ClassDemand>,
    /// Sizes asked for; old ones fade.
    pub sizes: SizeHistogram,
    sizes_of_late: SizeHistogram,
    /// Most samples in use at once in each window.
    peak_samples: [u64; WINDOWS],
    window_ms: f64,
    clock: StepClock,
    /// Time spent with requests in the current window, short pauses included, and since the last of them.
    active_ms: f64,
    pause_ms: f64,
    last_ms: Option<f64>,
    requests: u64,
    rotations: usize,
    /// Bytes held when observation began: what the host configured.
    configured_bytes: Option<usize>,
    configured: Vec<Configured>,
}

/// Buffers of one class that the host configured: in the mix of a half that was attached.
#[derive(Debug, Clone, Copy)]
struct Configured {
    samples: usize,
    buffers: u64,
    /// How many windows had passed then.
    rotations: usize,
}

impl Demand {
    /// Nothing observed yet; windows of `window_ms` of activity.
    ///
    /// # Errors
    /// [`SettingError`] when the windows are shorter than a millisecond or longer than a day.
    pub fn new(window_ms: f64) -> Result<Self, SettingError> {
        check("Demand::window_ms", window_ms, WINDOW_LIMITS_MS)?;
        Ok(Self::of_window(window_ms))
    }

    /// [`new`](Self::new) for a length that was checked.
    pub(crate) fn of_window(window_ms: f64) -> Self {
        Self {
            classes: Vec::new(),
            sizes: SizeHistogram::default(),
            sizes_of_late: SizeHistogram::default(),
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

    /// Takes in a snapshot. A time before the last one, or one that is no number, counts as the last one.
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
        // What a retired class still has out goes over to others, in other capacities.
        let active = self.classes.iter().filter(|class| !class.retired);
        let used = active
            .map(|class| class.peak.saturating_mul(class.samples as u64))
            .fold(0, u64::saturating_add);
        let peak = &mut self.peak_samples[self.rotations % WINDOWS];
        *peak = used.max(*peak);
    }

    /// Counts `count` requests of `samples` samples.
    pub fn add_size(&mut self, samples: usize, count: u64) {
        self.sizes.add(samples, count);
        self.sizes_of_late.add(samples, count);
    }

    /// Most bytes in use at once over all windows.
    #[must_use]
    pub fn peak_bytes(&self) -> usize {
        self.peak_samples
            .iter()
            .max()
            .map_or(0, |&samples| sample_bytes(1, samples))
    }

    /// What the host configured, until demand has aged: before, nothing is known that would justify taking it back.
    #[must_use]
    pub fn configured_bytes(&self) -> usize {
        self.configured_bytes
            .filter(|_| !self.is_aged())
            .unwrap_or(0)
    }

    /// Takes note that a half was attached with so many buffers of a class, which the host configured.
    pub fn observe_attached(&mut self, samples: usize, buffers: u32) {
        let rotations = self.rotations;
        // Those that have aged are no floor any more.
        self.configured
            .retain(|configured| rotations < configured.rotations + WINDOWS);
        self.configured.push(Configured {
            samples,
            buffers: buffers.into(),
            rotations,
        });
    }

    fn young(&self) -> impl Iterator<Item = &Configured> {
        let configured = self.configured.iter();
        configured.filter(|configured| self.rotations < configured.rotations + WINDOWS)
    }

    /// Buffers of a class that the host configured, as far as demand has not aged since: none of these is taken back.
    #[must_use]
    pub fn configured_buffers(&self, samples: usize) -> u64 {
        let of_class = self
            .young()
            .filter(|configured| configured.samples == samples);
        of_class.fold(0, |sum, configured| sum.saturating_add(configured.buffers))
    }

    /// Whether more was in use at once than the host configured in all: then its mix says nothing about what is needed.
    #[must_use]
    pub fn has_outgrown_configured(&self) -> bool {
        let samples = self
            .young()
            .map(|configured| configured.buffers.saturating_mul(configured.samples as u64));
        let samples = samples.fold(0, u64::saturating_add);
        self.peak_samples.iter().any(|&peak| peak > samples)
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

    /// Buffers in use at once for requests above `below` and up to `samples`, as the present classes saw them: their share
    /// of the peak over all windows, and of what is in use now, which may be another where sizes take turns.
    #[must_use]
    pub fn expected_use(&self, below: usize, samples: usize) -> f64 {
        let mut smaller = 0;
        // Requests that a retired class served go to the next larger one now.
        let present = self.classes.iter().filter(|class| !class.retired);
        let shares = present.map(|class| {
            let from = std::mem::replace(&mut smaller, class.samples);
            let share = |sizes: &SizeHistogram| {
                let all = sizes.requests_between(from, class.samples);
                let moved = sizes.requests_between(from.max(below), class.samples.min(samples));
                moved as f64 / all.max(1) as f64
            };
            let peak = class.concurrent.quantile(1.0, WINDOWS).unwrap_or(0);
            let now = class.peak as f64 * share(&self.sizes_of_late);
            now.max(f64::from(peak) * share(&self.sizes))
        });
        shares.sum()
    }

    fn age(&mut self, now_ms: f64, requests: u64) {
        if self.sizes_of_late.requests() > SIZES_OF_LATE {
            self.sizes_of_late.fade();
        }
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
#[path = "demand_tests.rs"]
mod tests;

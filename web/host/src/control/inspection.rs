//! The part of a snapshot that changes slowly: who holds how much, the arena's map, demand, the last plan, the alert rules.

use serde::Serialize;

use super::recording::RecordingFigures;
use crate::shared::unit_costs;
use wavepool::internal::{Demand, SlidingHistogram};
use wavepool::modules::data_management::pool_monitor::AlertState;
use wavepool::modules::data_management::sizing::sizing_plan::{AppliedPlan, Effect, PlannedStep};
use wavepool::modules::data_management::{
    ArenaMap, DataManagementModule, HalfAccount, SettingError, VectorAccount,
};

/// The time between two inspections: people do not read a map faster.
const PERIOD_MS: f64 = 500.0;
/// The most spans of a map: a row of a screen has fewer pixels.
const MAX_SPANS: usize = 2048;
/// Demand is measured over four windows of this length.
const WINDOW_MS: f64 = 2500.0;
/// The peak of use is measured over as many of this length.
const PEAK_WINDOW_MS: f64 = 750.0;

/// Measures the demand of all halves of this memory's pool together. The optimizer measures those with a stated need one by one.
pub(crate) struct Inspector {
    demand: Demand,
    /// The same over a shorter time, for the peak.
    lately: Demand,
    inspected_ms: f64,
}

impl Inspector {
    pub(crate) fn new() -> Result<Self, SettingError> {
        Ok(Self {
            demand: Demand::new(WINDOW_MS)?,
            lately: Demand::new(PEAK_WINDOW_MS)?,
            inspected_ms: f64::NEG_INFINITY,
        })
    }

    /// Adds the measurements of a control step.
    pub(crate) fn observe(&mut self, now_ms: f64, data: &DataManagementModule) {
        if let Some(metrics) = data.observed() {
            self.demand.observe(now_ms, metrics);
            self.lately.observe(now_ms, metrics);
        }
    }

    /// An inspection, if one is due.
    pub(crate) fn inspect(
        &mut self,
        now_ms: f64,
        data: &DataManagementModule,
        remote: impl Iterator<Item = HalfAccount>,
        recording: Option<RecordingFigures>,
    ) -> Option<Inspection> {
        if now_ms - self.inspected_ms < PERIOD_MS {
            return None;
        }
        self.inspected_ms = now_ms;
        let optimizer = data.optimizer()?;
        let classes = self.demand.classes.iter().filter(|class| !class.retired);
        let sizes = optimizer.demand().sizes.iter();
        let remote: Vec<_> = remote.collect();
        let peaks = remote.iter().map(|account| account.bytes_peak);
        Some(Inspection {
            peak_bytes: self.lately.peak_bytes() + peaks.sum::<usize>(),
            accounts: data.accounts().cloned().chain(remote).collect(),
            vectors: data.vectors()?,
            arena: data.control()?.arena_map(MAX_SPANS),
            demand: classes
                .map(|class| ClassDemandFigures {
                    samples: class.samples,
                    concurrent: bars(&class.concurrent),
                    pause_us: bars(&class.inter_arrival_us),
                })
                .collect(),
            sizes: sizes.map(|(size, count)| (size as u64, count)).collect(),
            plan: optimizer
                .last_plan()
                .map(|plan| PlanFigures::of(plan, now_ms, data)),
            alerts: data.monitor()?.states().collect(),
            recording,
            profile: optimizer.profile().to_json(),
            unit_costs: unit_costs::MEASURED.map(|measured| measured.source),
        })
    }
}

fn bars(histogram: &SlidingHistogram) -> Vec<Bar> {
    let bars = histogram.iter();
    bars.map(|(value, count)| (value.into(), count)).collect()
}

/// A value, and how often it was counted.
type Bar = (u64, u64);

/// What people look at twice a second. In transfer mode all but the accounts describes the pool of the control worker only.
#[derive(Serialize)]
pub(crate) struct Inspection {
    /// The most sample memory in use at a time over the last three seconds with requests. In transfer mode with the peaks of the worklets'
    /// pools since they were opened.
    peak_bytes: usize,
    /// What each user of a pool with a stated need holds. In transfer mode with those of the worklets' pools.
    accounts: Vec<HalfAccount>,
    /// What recycled vectors need, beside the buffers of the arena.
    vectors: VectorAccount,
    arena: ArenaMap,
    demand: Vec<ClassDemandFigures>,
    /// Requested sizes in samples, rounded up to a cache line, with the number of requests.
    sizes: Vec<Bar>,
    /// The optimizer's last plan; `None` before the first.
    plan: Option<PlanFigures>,
    alerts: Vec<AlertState>,
    /// `None` while no requests are recorded.
    recording: Option<RecordingFigures>,
    /// The profile for the next start as JSON, which the page stores.
    profile: String,
    /// The source of the costs of JavaScript objects; `None` if there is none, and `js_gc_pressure_reduction` with it.
    unit_costs: Option<&'static str>,
}

/// The demand of a size class over the last ten seconds with requests, as histograms in ascending order.
#[derive(Serialize)]
struct ClassDemandFigures {
    /// Samples of the class.
    samples: usize,
    /// Buffers in use, counted once per control step.
    concurrent: Vec<Bar>,
    /// Mean time between two requests in microseconds, counted once per control step with requests.
    pause_us: Vec<Bar>,
}

/// An applied sizing plan.
#[derive(Serialize)]
struct PlanFigures {
    /// The steps and their reasons in words, in the order in which they were applied.
    steps: Vec<String>,
    /// The time since it was applied.
    age_s: f64,
    before: Effect,
    expected: Effect,
    /// `None` until a window has passed.
    measured: Option<Effect>,
}

impl PlanFigures {
    fn of(applied: &AppliedPlan, now_ms: f64, data: &DataManagementModule) -> Self {
        let describe = |planned: &PlannedStep| {
            let mut accounts = data.accounts();
            let account = accounts.find(|account| Some(account.half) == planned.half);
            planned.describe(account.map(|account| account.name.as_str()))
        };
        Self {
            steps: applied.plan.steps.iter().map(describe).collect(),
            age_s: (now_ms - applied.applied_at_ms) / 1000.0,
            before: applied.plan.before,
            expected: applied.plan.expected,
            measured: applied.measured,
        }
    }
}

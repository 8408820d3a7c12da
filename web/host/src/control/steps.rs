//! The control steps of the pool, and the load that they can be shown with.

use wavepool::modules::data_management::RealtimePool;
use wavepool::modules::data_management::pool_metrics::BoundaryCounts;

use super::activity::{self, Activity};
use super::exercise::Exercise;
use super::inspection::Inspector;
use super::instance::Instance;
use super::tracks::Tracks;
use crate::shared::platform::now_ms;

/// The time between two control steps of the pool. Pumps are much more frequent.
const PERIOD_MS: f64 = 10.0;

/// Runs the control steps when they are due.
pub(crate) struct ControlSteps {
    /// When the last one ran.
    last_ms: f64,
    exercise: Option<Exercise>,
    tracks: Option<Tracks>,
    /// Whether the next one must not return: see [`spin`](Self::spin).
    spins: bool,
}

impl ControlSteps {
    pub(crate) const fn new() -> Self {
        Self {
            last_ms: f64::NEG_INFINITY,
            exercise: None,
            tracks: None,
            spins: false,
        }
    }

    /// Runs the exercise, and a control step if one is due.
    pub(crate) fn run(
        &mut self,
        instance: &mut Instance,
        inspector: &mut Inspector,
        boundary: BoundaryCounts,
    ) {
        let begin_ms = now_ms();
        if let Some(exercise) = &mut self.exercise {
            activity::begin(Activity::Exercise, 0);
            exercise.run(begin_ms);
        }
        activity::begin(Activity::ControlStep, 0);
        if self.spins {
            loop {
                core::hint::spin_loop();
            }
        }
        if begin_ms - self.last_ms >= PERIOD_MS
            && let Some(data) = instance.data_mut()
        {
            self.last_ms = begin_ms;
            data.observe_boundary(boundary);
            let report = data.tick(begin_ms);
            inspector.observe(begin_ms, data);
            if let Some((tracks, report)) = self.tracks.as_mut().zip(report) {
                tracks.add(begin_ms, now_ms(), &report);
            }
        }
    }

    /// Replaces the exercise: starts it on a pool half, or stops it.
    pub(crate) fn set_exercise(&mut self, half: Option<RealtimePool>) {
        self.exercise = half.map(|half| Exercise::start(half, now_ms()));
    }

    /// Releases the buffers of the exercise, so that leaks can be counted.
    pub(crate) fn release_exercise(&mut self) {
        if let Some(exercise) = &mut self.exercise {
            exercise.release_all();
        }
    }

    /// From now on control steps are recorded.
    pub(crate) fn keep(&mut self) {
        self.tracks = Some(Tracks::default());
    }

    /// The recorded control steps as JSON; `None` if there are none.
    pub(crate) fn take(&mut self) -> Option<String> {
        self.tracks.as_mut()?.take()
    }

    /// Makes the next control step endless, to test that it is detected.
    pub(crate) const fn spin(&mut self) {
        self.spins = true;
    }
}

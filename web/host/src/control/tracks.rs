//! Control steps for the browser's performance timeline; recorded only while the page draws them.

use serde::Serialize;

use wavepool::modules::data_management::control::pool_maintenance::MaintenanceReport;
use wavepool::modules::data_management::pool_monitor::Alert;

/// The most recorded steps until the page takes them; further ones are not recorded.
const MAX_STEPS: usize = 256;

/// The control steps since the page took them last.
#[derive(Default)]
pub(crate) struct Tracks {
    steps: Vec<ControlStep>,
}

/// A control step of the pool. Times are values of `performance.now` in the control worker.
#[derive(Serialize)]
struct ControlStep {
    start_ms: f64,
    end_ms: f64,
    /// Buffers that were moved or examined.
    operations: u32,
    /// The steps of the sizing plan in words, if one was applied.
    plan: Vec<String>,
    alerts: Vec<Alert>,
    defragmented: bool,
}

impl Tracks {
    pub(crate) fn add(&mut self, start_ms: f64, end_ms: f64, report: &MaintenanceReport) {
        if self.steps.len() == MAX_STEPS {
            return;
        }
        let plan = report.plan.iter().flat_map(|plan| &plan.steps);
        self.steps.push(ControlStep {
            start_ms,
            end_ms,
            operations: report.operations,
            plan: plan.map(ToString::to_string).collect(),
            alerts: report.alerts.clone(),
            defragmented: report.defragmentation.is_some(),
        });
    }

    /// The steps as JSON; `None` if there are none.
    pub(crate) fn take(&mut self) -> Option<String> {
        if self.steps.is_empty() {
            return None;
        }
        let json = serde_json::to_string(&self.steps).ok();
        self.steps.clear();
        json
    }
}

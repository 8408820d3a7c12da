//! Control steps for the browser's own timeline, kept only while somebody draws them.

use serde::Serialize;

use crate::modules::data_management::control::pool_maintenance::MaintenanceReport;
use crate::modules::data_management::pool_monitor::Alert;

/// Steps kept until they are taken; later ones are left out.
const MOST_STEPS: usize = 256;

/// Control steps since they were last taken.
#[derive(Default)]
pub(super) struct Tracks {
    steps: Vec<ControlStep>,
}

/// Times are those of the worker's `performance.now`.
#[derive(Serialize)]
struct ControlStep {
    start_ms: f64,
    end_ms: f64,
    operations: u32,
    /// The plan in words, where one was applied.
    plan: Vec<String>,
    alerts: Vec<Alert>,
    defragmented: bool,
}

impl Tracks {
    pub(super) fn add(&mut self, start_ms: f64, end_ms: f64, report: &MaintenanceReport) {
        if self.steps.len() == MOST_STEPS {
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

    /// The steps as JSON; none where there are none.
    pub(super) fn take(&mut self) -> Option<String> {
        if self.steps.is_empty() {
            return None;
        }
        let json = serde_json::to_string(&self.steps).ok();
        self.steps.clear();
        json
    }
}

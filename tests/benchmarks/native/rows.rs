//! The figures: collected as rows, printed, and written for machines.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use serde::Serialize;

/// One figure of ours beside a rival's.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) bench: &'static str,
    /// The rival, then what else tells rows apart: size, quantile, clock.
    pub(crate) case: String,
    /// Ours.
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The rival's.
    pub(crate) baseline: Option<f64>,
    /// `baseline` ÷ `value`: above 1 we are ahead. None against nothing, and where ours is 0.
    pub(crate) ratio: Option<f64>,
}

impl Row {
    pub(crate) fn against(
        bench: &'static str,
        case: impl Into<String>,
        unit: &'static str,
        value: f64,
        baseline: f64,
    ) -> Self {
        Self {
            bench,
            case: case.into(),
            value: rounded(value),
            unit,
            baseline: Some(rounded(baseline)),
            ratio: (value > 0.0).then(|| rounded(baseline / value)),
        }
    }

    pub(crate) fn alone(
        bench: &'static str,
        case: impl Into<String>,
        unit: &'static str,
        value: f64,
    ) -> Self {
        Self {
            bench,
            case: case.into(),
            value: rounded(value),
            unit,
            baseline: None,
            ratio: None,
        }
    }
}

fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// Rows as an aligned table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let figure = |figure: Option<f64>| figure.map_or("-".into(), |figure| format!("{figure:.2}"));
    for row in rows {
        let _ = writeln!(
            text,
            "{:14} {:42} {:>11.2} {:12} {:>11} {:>8}",
            row.bench,
            row.case,
            row.value,
            row.unit,
            figure(row.baseline),
            figure(row.ratio)
        );
    }
    text
}

pub(crate) fn write_json(rows: &[Row], path: &Path) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(rows)?;
    text.push('\n');
    fs::write(path, text)
}

/// The figures of a run, for later ones to be compared with.
pub(crate) fn csv(rows: &[Row]) -> String {
    let mut text = "bench,case,value,unit,baseline,ratio\n".to_owned();
    for row in rows {
        let figure =
            |figure: Option<f64>| figure.map_or(String::new(), |figure| figure.to_string());
        let _ = writeln!(
            text,
            "{},{},{},{},{},{}",
            row.bench,
            row.case,
            row.value,
            row.unit,
            figure(row.baseline),
            figure(row.ratio)
        );
    }
    text
}

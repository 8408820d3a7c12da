//! What the native benchmark's figures must keep to: those that do not depend on how busy the machine is.

use super::rows::Row;

/// The story's target, in percent of the samples.
const OVERHEAD_MOST: f64 = 3.0;
/// Instructions of one acquire, touch and release: of a scratch, and of an owned buffer.
const SCRATCH_MOST: f64 = 45.5;
const ACQUIRE_MOST: f64 = 59.5;

/// The figures above their limits, as sentences.
pub(crate) fn shortcomings(rows: &[Row]) -> Vec<String> {
    let limit = |row: &Row| match row.bench {
        "overhead" => Some(OVERHEAD_MOST),
        "instructions" if row.case.ends_with(" acquire") => Some(ACQUIRE_MOST),
        "instructions" => Some(SCRATCH_MOST),
        _ => None,
    };
    let above = |row: &Row| {
        let most = limit(row)?;
        let is_within = row.value <= most;
        let Row {
            bench,
            case,
            value,
            unit,
            ..
        } = row;
        (!is_within).then(|| format!("{bench} {case}: {value} {unit}, at most {most}"))
    };
    rows.iter().filter_map(above).collect()
}

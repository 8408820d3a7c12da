//! The figures: collected as rows, printed, and written for machines.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

use serde::Serialize;

use super::clock::cores;

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

/// Keeps a run for later ones to be compared with: figures as CSV, and what they were measured on.
pub(crate) fn record(rows: &[Row], folder: &Path) -> io::Result<()> {
    let machine = Machine::read();
    let stem = format!("{}-{}", today(), machine.name());
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
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{stem}.csv")), text)?;
    fs::write(folder.join(format!("{stem}.machine.txt")), machine.text())
}

/// What a figure depends on besides the code.
struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    compiler: String,
}

impl Machine {
    fn read() -> Self {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processor
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1))
            .unwrap_or("unknown processor");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let compiler = std::process::Command::new("rustc").arg("-V").output();
        Self {
            processor: processor.trim().to_owned(),
            cores: cores(),
            kernel: format!("{} {}", std::env::consts::OS, kernel.trim()),
            compiler: compiler.map_or("unknown".into(), |output| {
                String::from_utf8_lossy(&output.stdout).trim().to_owned()
            }),
        }
    }

    fn name(&self) -> String {
        let plain = |letter: char| letter.is_ascii_alphanumeric();
        let mut words: Vec<String> = self
            .processor
            .split(|letter| !plain(letter))
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        words.push(format!("{}-cores", self.cores));
        words.join("-")
    }

    fn text(&self) -> String {
        format!(
            "processor: {}\ncores: {}\nkernel: {}\narchitecture: {}\ncompiler: {}\nprofile: bench (thin LTO, one codegen unit)\n",
            self.processor,
            self.cores,
            self.kernel,
            std::env::consts::ARCH,
            self.compiler
        )
    }
}

/// Year, month and day (UTC), by Howard Hinnant's `civil_from_days`.
fn today() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let day = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

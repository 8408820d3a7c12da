//! What is kept of a run: figures as CSV in `tests/benchmarks/record/`, and what they were measured on.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

/// Keeps the figures of a run for later ones to be compared with, in a file of today, this machine and `suffix`.
pub(crate) fn keep(csv: &str, suffix: &str, cores: usize) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benchmarks/record");
    let machine = Machine::read(cores);
    let stem = format!("{}-{}", today(), machine.name());
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{stem}{suffix}.csv")), csv)?;
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
    fn read(cores: usize) -> Self {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processor
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1))
            .unwrap_or("unknown processor");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let compiler = std::process::Command::new("rustc").arg("-V").output();
        Self {
            processor: processor.trim().to_owned(),
            cores,
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

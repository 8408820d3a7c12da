//! Instructions per operation, counted by callgrind in a child process: they do not depend on the machine's mood.

use std::process::Command;
use std::{env, fs};

use super::one_thread::{Work, contenders, expected};
use super::rows::Row;

/// Operations counted.
const COUNT: usize = 10_000;
/// The benchmarks whose operations are counted, and the mark of their cases.
const COUNTED: [(&str, &str); 2] = [("scratch", ""), ("acquire", " acquire")];
/// 1024 samples.
const WORK: Work = Work::One { class: 2 };

/// Entered and left by callgrind's collecting: see `--toggle-collect`.
#[inline(never)]
fn counted_instructions(run: &mut dyn FnMut(Work, usize) -> f32) -> f32 {
    run(WORK, COUNT)
}

/// The child: warms up, then runs what is counted.
pub(crate) fn child(bench: &str, place: usize) {
    let mut contenders = contenders(bench);
    let run = &mut contenders[place].batch;
    run(WORK, COUNT);
    assert_eq!(counted_instructions(&mut **run), expected(COUNT));
}

fn count(bench: &str, place: usize) -> Option<f64> {
    let out = env::temp_dir().join(format!("wavepool-callgrind-{}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg("--toggle-collect=*counted_instructions*")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().ok()?)
        .args(["--count", bench, &place.to_string()])
        .output()
        .ok()?;
    let text = fs::read_to_string(&out).unwrap_or_default();
    let _ = fs::remove_file(&out);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<f64>().ok());
    total.map(|total| total / COUNT as f64)
}

/// Nothing where valgrind is not installed; the reason is printed.
pub(crate) fn measure() -> Vec<Row> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("instructions: not measured, valgrind is not installed");
        return Vec::new();
    }
    let mut rows = Vec::new();
    for (bench, mark) in COUNTED {
        let names: Vec<_> = contenders(bench).iter().map(|one| one.name).collect();
        let Some(ours) = count(bench, 0) else {
            continue;
        };
        for (place, name) in names.iter().enumerate().skip(1) {
            if let Some(theirs) = count(bench, place) {
                let case = format!("{name}{mark}");
                rows.push(Row::against(
                    "instructions",
                    case,
                    "instructions",
                    ours,
                    theirs,
                ));
            }
        }
    }
    rows
}

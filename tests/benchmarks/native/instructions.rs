//! Instructions per operation, counted by callgrind in a child process: they do not depend on the machine's mood.

use std::process::Command;
use std::{env, fs};

use super::one_thread::{Contender, Work, contenders, expected};
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
pub(crate) fn child(mut contender: Contender) {
    let run = &mut contender.batch;
    run(WORK, COUNT);
    assert_eq!(counted_instructions(&mut **run), expected(COUNT));
}

/// Whether callgrind is installed.
pub(crate) fn can_be_counted() -> bool {
    let valgrind = Command::new("valgrind").arg("--version").output();
    valgrind.is_ok_and(|valgrind| valgrind.status.success())
}

/// Instructions of one operation in a child of this program. `child` adds what makes the program run [`child`].
pub(crate) fn count(child: impl FnOnce(&mut Command)) -> Option<f64> {
    let out = env::temp_dir().join(format!("wavepool-callgrind-{}", std::process::id()));
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg("--toggle-collect=*counted_instructions*")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().ok()?);
    child(&mut valgrind);
    let output = valgrind.output().ok()?;
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
    if !can_be_counted() {
        println!("instructions: not measured, valgrind is not installed");
        return Vec::new();
    }
    let counted = |bench: &str, place: usize| {
        count(|valgrind| {
            valgrind.args(["--count", bench, &place.to_string()]);
        })
    };
    let mut rows = Vec::new();
    for (bench, mark) in COUNTED {
        let names: Vec<_> = contenders(bench).iter().map(|one| one.name).collect();
        let Some(ours) = counted(bench, 0) else {
            continue;
        };
        for (place, name) in names.iter().enumerate().skip(1) {
            if let Some(theirs) = counted(bench, place) {
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

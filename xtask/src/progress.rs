//! Progress on long work: step n of N, what it is, how long it took.

use std::time::{Duration, Instant};

/// Counts the steps of one command.
pub(crate) struct Steps {
    total: usize,
    done: usize,
}

impl Steps {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, done: 0 }
    }

    /// Runs one step between a line that announces it and a line with its time.
    pub(crate) fn step<T>(&mut self, what: &str, work: impl FnOnce() -> T) -> T {
        self.done += 1;
        let place = format!("[{}/{}]", self.done, self.total);
        println!("{place} {what} …");
        let start = Instant::now();
        let result = work();
        println!("{place} {what}: {}", seconds(start.elapsed()));
        result
    }
}

/// `0.3 s`, `42.0 s`, `3 min 05 s`.
pub(crate) fn seconds(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    if seconds < 100 {
        format!("{:.1} s", elapsed.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        assert_eq!(seconds(Duration::from_millis(340)), "0.3 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 05 s");
    }
}

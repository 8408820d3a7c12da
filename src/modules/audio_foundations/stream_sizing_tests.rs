//! The memory of running streams follows what they use, without a refused buffer.

use super::test_rig::Rig;
use super::{Analysis, Capture, StreamConfig};
use crate::modules::data_management::pool_metrics::ClassMetrics;
use crate::modules::data_management::{DataManagementModule, PoolMetrics};

/// Simulated seconds after which demand has aged: four windows of two seconds, and a margin.
const AGED_S: u64 = if cfg!(miri) { 1 } else { 10 };
const MOST_HELD_PER_PEAK: f64 = 1.5;

fn config(window: usize, hop: usize) -> StreamConfig {
    StreamConfig {
        sample_rate_hz: 48_000.0,
        channels: 1,
        window,
        hop,
    }
}

/// Streams that are played, read and maintained in simulated time.
struct Session {
    rig: Rig,
    streams: Vec<(Capture, Analysis)>,
    quanta: u64,
    /// Whether the readers stall.
    stalled: bool,
    /// The most bytes in use at a time since it was set to 0.
    peak: usize,
}

impl Session {
    fn new() -> Self {
        Self {
            rig: Rig::boot(),
            streams: Vec::new(),
            quanta: 0,
            stalled: false,
            peak: 0,
        }
    }

    fn open(&mut self, window: usize, hop: usize) {
        let stream = self.rig.open(config(window, hop));
        self.streams.push(stream);
    }

    fn play_ms(&mut self, ms: u64) {
        for _ in 0..ms * 48 / 128 {
            for (capture, _) in &mut self.streams {
                capture.push_silence(128, self.quanta * 128);
            }
            self.quanta += 1;
            if self.quanta.is_multiple_of(4) {
                if !self.stalled {
                    for (_, analysis) in &mut self.streams {
                        while analysis.poll(1) > 0 {}
                    }
                }
                let now_ms = self.quanta as f64 * 128.0 / 48.0;
                self.data().tick(now_ms);
                let used =
                    |class: &ClassMetrics| class.recent_high_water as usize * class.samples * 4;
                let peak = self
                    .data()
                    .observed()
                    .unwrap()
                    .classes
                    .iter()
                    .map(used)
                    .sum();
                self.peak = self.peak.max(peak);
            }
        }
    }

    fn data(&mut self) -> &mut DataManagementModule {
        self.rig.registry.get_mut().unwrap()
    }

    fn metrics(&mut self) -> PoolMetrics {
        self.data().metrics().unwrap()
    }

    fn held_per_peak(&mut self) -> f64 {
        self.metrics().bytes_held as f64 / self.peak as f64
    }

    fn assert_nothing_refused(&mut self) {
        let metrics = self.metrics();
        assert_eq!((metrics.exhausted, metrics.pool_misses), (0, 0));
        for (capture, _) in &self.streams {
            assert_eq!(capture.counters().skipped_windows, 0);
        }
    }
}

#[test]
fn stream_keeps_its_stated_need_until_demand_has_aged_and_then_what_it_uses() {
    let mut session = Session::new();
    assert_eq!(session.metrics().bytes_held, 0);
    session.open(4096, 1024);
    let stated = session.metrics().bytes_held;
    session.play_ms(1000);
    assert_eq!(session.metrics().bytes_held, stated);
    session.play_ms(1000 * AGED_S);
    let held = session.held_per_peak();
    assert!(held <= MOST_HELD_PER_PEAK, "held ÷ peak {held}");
    let plans = session.rig.events("PoolOptimization");
    assert!(!plans.is_empty());
    session.assert_nothing_refused();
    // A reader that stalls for as long as the queue lasts gets as much as at the start.
    session.stalled = true;
    session.play_ms(450);
    session.stalled = false;
    session.play_ms(50);
    session.assert_nothing_refused();
    // What it needed once is kept for as long as it was remembered, and no longer.
    session.peak = 0;
    session.play_ms(1000 * AGED_S);
    session.peak = 0;
    session.play_ms(1000);
    let held = session.held_per_peak();
    assert!(
        held <= MOST_HELD_PER_PEAK,
        "held ÷ peak {held} after a stall"
    );
    session.assert_nothing_refused();
}

#[test]
fn memory_of_closed_streams_comes_back_while_others_go_on() {
    let mut session = Session::new();
    session.open(4096, 1024);
    session.play_ms(1000 * AGED_S);
    let before = session.metrics().bytes_held;
    for (window, hop) in [(1103, 441), (3000, 1500)] {
        session.open(window, hop);
        session.play_ms(1000);
        assert!(session.metrics().bytes_held > before);
        let closed = session.streams.pop();
        session.assert_nothing_refused();
        drop(closed);
        session.play_ms(100);
        let after = session.metrics().bytes_held;
        assert!(after <= before, "{after} bytes held after, {before} before");
    }
    session.assert_nothing_refused();
    session.streams.clear();
    session.play_ms(100);
    assert_eq!(session.metrics().bytes_held, 0);
}

#[test]
fn odd_windows_get_their_class_without_a_refused_request() {
    let mut session = Session::new();
    session.open(3000, 750);
    session.play_ms(1000 * 2 * AGED_S);
    let classes: Vec<_> = session.data().control().unwrap().classes().collect();
    assert!(classes.contains(&3008), "{classes:?}");
    let waste = session.metrics().internal_waste_percentage.unwrap();
    assert!(waste < 5.0, "{waste} % of the capacity in use is wasted");
    session.peak = 0;
    session.play_ms(1000);
    let held = session.held_per_peak();
    assert!(held <= MOST_HELD_PER_PEAK, "held ÷ peak {held}");
    let metrics = session.metrics();
    assert_eq!(metrics.exhausted, 0);
}

#[test]
fn accounts_name_each_stream_and_what_it_holds() {
    let mut session = Session::new();
    session.open(4096, 1024);
    session.open(1024, 256);
    session.play_ms(200);
    let held = session.metrics().bytes_held;
    let accounts: Vec<_> = session.data().accounts().cloned().collect();
    let names: Vec<_> = accounts
        .iter()
        .map(|account| account.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "stream 1 capture",
            "stream 1 analysis",
            "stream 2 capture",
            "stream 2 analysis"
        ]
    );
    assert_eq!(
        accounts
            .iter()
            .map(|account| account.bytes_held)
            .sum::<usize>(),
        held
    );
    assert!(accounts.iter().all(|account| account.bytes_peak > 0));
    session.streams.clear();
    session.play_ms(20);
    assert_eq!(session.data().accounts().count(), 0);
}

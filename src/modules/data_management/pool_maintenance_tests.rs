use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::*;
use crate::event_bus::{Event, TypedEventBus};
use crate::modules::data_management::pool_events::PoolExhausted;
use crate::modules::data_management::{AttachPublisher, BufferPool, RealtimePool};
use wavepool_core::internal::MOST_STRETCHES;

/// Counts events of one type as they are dispatched.
fn tally<E: Event>(bus: &TypedEventBus) -> (Arc<Mutex<Vec<E>>>, crate::event_bus::Subscription) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let guard = bus
        .subscribe(move |event: &E| sink.lock().unwrap().push(*event))
        .unwrap();
    (seen, guard)
}

struct Host {
    bus: TypedEventBus,
    publisher: Publisher,
    control: PoolControl,
    half: RealtimePool,
    maintenance: PoolMaintenance,
    step: u64,
}

impl Host {
    fn new(classes: &[(usize, u32)]) -> Self {
        let bus = TypedEventBus::default();
        let pool = classes
            .iter()
            .fold(BufferPool::builder(), |pool, &(samples, buffers)| {
                pool.class(samples, buffers)
            });
        let (control, mut half) = pool.limit_samples(1 << 20).build().unwrap();
        half.attach_publisher(bus.publisher().unwrap()).unwrap();
        let policy = SizingPolicy {
            window_ms: 50.0,
            ..Default::default()
        };
        let publisher = bus.publisher().unwrap();
        let maintenance = PoolMaintenance::new(AlertRules::default(), Some(policy)).unwrap();
        Self {
            bus,
            publisher,
            control,
            half,
            maintenance,
            step: 0,
        }
    }

    /// One control step, after a quantum in which `count` buffers of `samples` were in use at once.
    fn use_buffers(&mut self, samples: usize, count: usize) -> MaintenanceReport {
        self.step += 1;
        self.half.begin_quantum(self.step * 128);
        let held: Vec<_> = (0..count)
            .filter_map(|_| self.half.acquire(samples).ok())
            .collect();
        held.into_iter()
            .for_each(|buffer| self.half.release(buffer));
        let now_ms = self.step as f64 * 5.0;
        let report =
            self.maintenance
                .step(now_ms, &mut self.control, Some(&self.publisher), |_| {});
        self.bus.pump(usize::MAX);
        assert!(!self.step.is_multiple_of(64) || self.control.is_valid());
        report
    }
}

#[test]
fn maintenance_grows_what_is_needed_and_reclaims_what_is_not() {
    let mut host = Host::new(&[(256, 4), (1024, 40)]);
    let (plans, _guard) = tally::<PoolOptimization>(&host.bus);
    for _ in 0..if cfg!(miri) { 70 } else { 200 } {
        host.use_buffers(256, 30);
    }
    let metrics = host.maintenance.metrics().clone();
    assert!(
        metrics.classes[0].carved >= 30 && metrics.classes[1].carved < 10,
        "{:?}",
        metrics.classes
    );
    assert!((metrics.bytes_held as f64) < 1.3 * f64::from(30 * 256 * 4));
    let plans = plans.lock().unwrap();
    assert!(
        plans.iter().any(|plan| plan.buffers_added > 0)
            && plans.iter().any(|plan| plan.buffers_removed > 0)
    );
    assert!(host.use_buffers(256, 30).plan.is_none(), "it has settled");
}

#[test]
fn maintenance_learns_the_classes() {
    let mut host = Host::new(&[(256, 8), (1024, 8)]);
    let (plans, _guard) = tally::<PoolOptimization>(&host.bus);
    for _ in 0..if cfg!(miri) { 220 } else { 400 } {
        host.use_buffers(600, 6);
    }
    assert_eq!(host.control.classes().collect::<Vec<_>>(), [608, 1024]);
    assert!(plans.lock().unwrap().iter().any(|plan| plan.classes == 2));
    let exhausted = host.maintenance.metrics().exhausted;
    host.use_buffers(600, 6);
    assert_eq!(
        host.maintenance.metrics().exhausted,
        exhausted,
        "the new class serves at once"
    );
}

#[test]
fn maintenance_refuses_no_alternating_sizes_while_it_learns() {
    // Classes are learned after enough requests, at any moment of a turn.
    // The interpreter is slow: one turn, and everything so many times as quick.
    let (turns, quicker): (&[usize], _) = if cfg!(miri) {
        (&[187], 4.0)
    } else {
        (&[750, 800, 875], 1.0)
    };
    let default = SizingPolicy::default();
    let policy = SizingPolicy {
        window_ms: default.window_ms / quicker,
        ..default
    };
    for &turn in turns {
        let mut host = Host::new(&[256, 512, 1024, 2048, 4096].map(|samples| (samples, 64)));
        host.maintenance =
            PoolMaintenance::new(AlertRules::default(), Some(policy.clone())).unwrap();
        let mut held = VecDeque::new();
        for quantum in 0..8 * turn {
            host.half.begin_quantum(quantum as u64 * 128);
            let samples = [600, 1500, 350, 3000][quantum / turn % 4];
            let into = quantum % turn;
            // From no buffers at once to 24 and back; the oldest is released in each quantum.
            let most = 48 * into.min(turn - into) / turn;
            while let Some(oldest) = held.pop_front() {
                host.half.release(oldest);
                if held.len() <= most {
                    break;
                }
            }
            while held.len() < most {
                held.push_back(host.half.acquire(samples).unwrap());
            }
            if quantum.is_multiple_of(4) {
                let now_ms = quantum as f64 * 128.0 / 48.0;
                host.maintenance
                    .step(now_ms, &mut host.control, None, |_| {});
            }
        }
        let classes: Vec<_> = host.control.classes().collect();
        assert_eq!(classes, [352, 608, 1504, 3008, 4096]);
    }
}

#[test]
fn alerts_become_events() {
    let mut host = Host::new(&[(256, 2)]);
    host.maintenance = PoolMaintenance::new(AlertRules::default(), None).unwrap();
    let (low, _low) = tally::<HitRateLow>(&host.bus);
    let (overhead, _overhead) = tally::<MemoryOverheadHigh>(&host.bus);
    let (refused, _refused) = tally::<PoolExhausted>(&host.bus);
    let (snapshots, _snapshots) = tally::<PoolMetricsSnapshot>(&host.bus);
    for _ in 0..250 {
        host.use_buffers(256, 4);
    }
    let low = low.lock().unwrap();
    assert_eq!(low.len(), 1, "raised once, not at every step");
    assert!((low[0].hit_rate_percentage - 50.0).abs() < 0.5);
    // Two buffers of 1 KB: the tables weigh more than that.
    assert_eq!(overhead.lock().unwrap().len(), 1);
    assert_eq!(
        refused.lock().unwrap().len() as u64,
        host.maintenance.metrics().exhausted
    );
    assert!(
        (12..=13).contains(&snapshots.lock().unwrap().len()),
        "every 100 ms"
    );
}

#[test]
fn fragmentation_is_published_and_reduced() {
    let mut host = Host::new(&[(256, 64), (1024, 1)]);
    host.maintenance = PoolMaintenance::new(AlertRules::default(), None).unwrap();
    let (published, _guard) = tally::<PoolFragmentation>(&host.bus);
    let (ended, _ended) = tally::<PoolAlertEnded>(&host.bus);
    let mut held: Vec<_> = (0..64).map(|_| host.half.acquire(256).unwrap()).collect();
    held.sort_unstable_by_key(|buffer| buffer.as_ptr().addr());
    let mut index = 0;
    held.retain(|_| {
        index += 1;
        index % 2 == 0
    });
    host.control.trim(256, 0).unwrap();
    let runs = (0..40)
        .filter_map(|_| host.use_buffers(1024, 0).defragmentation)
        .count();
    assert_eq!(published.lock().unwrap().len(), 1);
    assert!(runs > 0);
    let fragmentation = || {
        let ended = ended.lock().unwrap();
        let of_kind = |event: &&PoolAlertEnded| event.kind == AlertKind::Fragmentation;
        ended.iter().filter(of_kind).count()
    };
    assert_eq!(fragmentation(), 0);
    drop(held);
    for _ in 0..40 {
        host.use_buffers(1024, 0);
    }
    assert_eq!(fragmentation(), 1);
}

#[test]
fn boundary_figures_are_published_when_measured_and_changed() {
    let mut host = Host::new(&[(256, 2)]);
    let (published, _guard) = tally::<JSGCPressureReduction>(&host.bus);
    let boundary = BoundaryCounts {
        objects: 1,
        bytes_allocated: 10,
        bytes_unpooled: 100,
    };
    for step in 0..3 {
        let now_ms = f64::from(step) * 200.0;
        host.maintenance
            .step(now_ms, &mut host.control, Some(&host.publisher), |counts| {
                counts.boundary = boundary
            });
    }
    host.bus.pump(usize::MAX);
    let published = published.lock().unwrap();
    assert_eq!(
        (published.len(), published[0].reduction_percentage),
        (1, 90.0)
    );
}

/// The bound of a step: slots by their number, free runs and stretches by how often it passes over them.
fn most_scans(host: &Host) -> usize {
    const PASSES: usize = 3 * 16 + 8;
    let runs = host.control.free_runs().count();
    // For each class to shrink it, and to fill gaps.
    let stretches = 2 * host.control.classes().count() * (MOST_STRETCHES + 1);
    SLOTS_PER_STEP as usize + PASSES * (runs + 1) + stretches
}

/// Runs a pool of more buffers than a step may scan, whose use jumps between two sizes. Returns the most that a step
/// scanned.
fn needs_service(slots_per_step: u32) -> u32 {
    let moves = 2 * SizingPolicy::default().buffers_per_step + COLLECT_BUDGET + 32;
    let sizes = if cfg!(miri) {
        [(16, 300), (64, 80)]
    } else {
        [(16, 9000), (64, 2000)]
    };
    let mut host = Host::new(&sizes);
    host.maintenance.slots_per_step = slots_per_step;
    let (mut most, mut plans) = (0, 0);
    let (steps, turn) = if cfg!(miri) { (36, 12) } else { (300, 30) };
    for step in 0..steps {
        let (samples, count) = sizes[usize::from(step % (2 * turn) < turn)];
        let report = host.use_buffers(samples, count as usize);
        assert!(report.operations <= moves, "{}", report.operations);
        assert!(
            report.scans as usize <= most_scans(&host),
            "{} scans in a step",
            report.scans
        );
        most = most.max(report.scans);
        plans += u32::from(report.plan.is_some());
    }
    assert!(plans > 10, "nothing was asked of it");
    most
}

#[test]
fn control_step_moves_and_scans_a_bounded_number() {
    assert!(needs_service(SLOTS_PER_STEP) > SLOTS_PER_STEP);
}

#[test]
#[should_panic(expected = "scans in a step")]
fn control_step_bound_trips_when_every_slot_is_scanned() {
    needs_service(u32::MAX);
}

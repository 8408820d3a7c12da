use super::*;
use crate::modules::data_management::pool_events::PoolMetricsSnapshot;
use crate::modules::data_management::sizing::sizing_profile::ClassBuffers;
use crate::registry::ModuleRegistry;

#[test]
fn data_module_booted_by_the_registry_serves_and_publishes() {
    let bus = TypedEventBus::default();
    let (sent, seen) = std::sync::mpsc::channel();
    let _guard = bus
        .subscribe(move |event: &PoolMetricsSnapshot| sent.send(*event).unwrap())
        .unwrap();
    let mut registry = ModuleRegistry::builder(bus.clone()).boot().unwrap();
    let module = registry.get_mut::<DataManagementModule>().unwrap();
    let first = module.attach_realtime().unwrap();
    let second = module.attach_realtime().unwrap();
    let held = (first.acquire(100).unwrap(), second.acquire(100).unwrap());
    module.tick(0.0);
    bus.pump(usize::MAX);
    let snapshot = seen.try_recv().unwrap();
    assert_eq!((snapshot.leased, snapshot.total_allocations), (2, 2));
    drop(held);
    assert_eq!(module.control().unwrap().leased(), 0);
    assert_eq!(module.health(), Health::Healthy);
    let format = crate::modules::data_management::AudioFormat {
        sample_rate_hz: 48_000.0,
        channels: 2,
        frames: 4096,
    };
    module
        .audio_buffers_mut()
        .unwrap()
        .create("in", format)
        .unwrap();
    module.tick(1.0);
    assert_eq!(module.control().unwrap().leased(), 2);
    registry.shutdown().unwrap();
    assert!(first.acquire(100).is_ok());
}

#[test]
fn watchdog_reports_a_control_step_that_does_not_return() {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    let mut registry = ModuleRegistry::builder(TypedEventBus::default())
        .boot()
        .unwrap();
    let watchdog = registry.watchdog();
    let seen = AtomicBool::new(false);
    let start = Instant::now();
    let late = || start.elapsed() > Duration::from_secs(20);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let running = || watchdog.running_for(Duration::ZERO);
            while !running().iter().any(|call| call.call == "tick") && !late() {
                std::thread::yield_now();
            }
            seen.store(!late(), Ordering::Relaxed);
        });
        let module = registry.get_mut::<DataManagementModule>().unwrap();
        while !seen.load(Ordering::Relaxed) && !late() {
            module.tick(start.elapsed().as_secs_f64() * 1000.0);
        }
    });
    assert!(seen.load(Ordering::Relaxed), "no tick was ever under way");
    assert_eq!(watchdog.running_for(Duration::ZERO), []);
}

#[test]
fn sizing_profile_of_a_first_run_leaves_the_second_without_misses() {
    let config = DataManagementConfig {
        sizing: Some(SizingPolicy {
            window_ms: 50.0,
            ..Default::default()
        }),
        ..Default::default()
    };
    let run = |config: DataManagementConfig| {
        let builder = ModuleRegistry::builder(TypedEventBus::default());
        let mut registry = builder.configure(config).boot().unwrap();
        let module = registry.get_mut::<DataManagementModule>().unwrap();
        let mut half = module.attach_realtime().unwrap();
        for step in 0..if cfg!(miri) { 110 } else { 400u32 } {
            half.begin_quantum(u64::from(step) * 128);
            let held: Vec<_> = (0..20).filter_map(|_| half.acquire(600).ok()).collect();
            held.into_iter().for_each(|buffer| half.release(buffer));
            module.tick(f64::from(step) * 5.0);
        }
        let json = module.optimizer().unwrap().profile().to_json();
        (module.metrics().unwrap(), json)
    };
    let (_, saved) = run(config.clone());
    let profile = SizingProfile::from_json(&saved).unwrap();
    assert!(
        profile.mix().iter().any(|class| class.samples == 608),
        "{saved}"
    );
    let (second, _) = run(config.with_profile(&profile).unwrap());
    assert_eq!(second.hit_rate_percentage, Some(100.0));
    assert!(second.classes.iter().any(|class| class.samples == 608));
}

#[test]
fn sizing_profile_of_another_application_is_refused() {
    let refused = |classes| {
        DataManagementConfig::default()
            .with_profile(&SizingProfile::new(classes, usize::MAX).unwrap())
            .unwrap_err()
            .to_string()
    };
    let class = |samples, buffers| ClassBuffers { samples, buffers };
    assert_eq!(
        refused(vec![class(256, 4)]),
        "sizing profile ends at 256 samples, 4096 are needed"
    );
    assert!(refused(vec![]).contains("ends at 0 samples"));
    assert!(refused(vec![class(4096, 1000)]).contains("the limit is 16252928"));
}

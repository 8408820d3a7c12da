//! Attaching a publisher declares its event types: JSON subscribers get the pool's events, whether they subscribe before or
//! after.

use std::sync::{Arc, Mutex};

use wavepool::event_bus::{
    BusError, Event, EventRecord, Priority, Published, Subscription, TypedEventBus,
};
use wavepool::modules::data_management::control::pool_maintenance::PoolMaintenance;
use wavepool::modules::data_management::pool_monitor::AlertRules;
use wavepool::modules::data_management::{AttachPublisher, BufferPool, PoolControl, RealtimePool};

use super::{Later, Urgent};

type Names = Arc<Mutex<Vec<&'static str>>>;

fn subscribe_json(bus: &TypedEventBus) -> (Names, Subscription) {
    let names = Names::default();
    let seen = names.clone();
    let guard =
        bus.subscribe_json(move |record: &EventRecord| seen.lock().unwrap().push(record.name));
    (names, guard)
}

fn pool() -> (PoolControl, RealtimePool) {
    let builder = BufferPool::builder().class(256, 1).limit_samples(1024);
    builder.build().unwrap()
}

#[test]
fn attaching_a_publisher_declares_its_events() {
    for subscribes_before in [true, false] {
        let bus = TypedEventBus::default();
        let (mut control, mut half) = pool();
        let before = subscribes_before.then(|| subscribe_json(&bus));
        half.attach_publisher(bus.publisher().unwrap()).unwrap();
        control.attach_publisher(bus.publisher().unwrap()).unwrap();
        let (names, _guard) = before.unwrap_or_else(|| subscribe_json(&bus));
        half.begin_quantum(0);
        let held = half.acquire(256).unwrap();
        assert!(half.acquire(256).is_err());
        half.release(held);
        control.grow(256, 1).unwrap();
        bus.pump(usize::MAX);
        let mut names = names.lock().unwrap().clone();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "BufferPoolAllocation",
                "BufferPoolRecycling",
                "PoolExhausted",
                "PoolGrown"
            ]
        );
    }
}

#[test]
fn maintenance_with_its_own_publisher_declares_its_events() {
    let bus = TypedEventBus::default();
    let (names, _guard) = subscribe_json(&bus);
    let (mut control, _half) = pool();
    let publisher = bus.publisher().unwrap();
    let mut maintenance = PoolMaintenance::new(AlertRules::default(), None).unwrap();
    maintenance.step(0.0, &mut control, Some(&publisher), |_| ());
    bus.pump(usize::MAX);
    assert!(names.lock().unwrap().contains(&"PoolMetricsSnapshot"));
}

#[test]
fn publisher_declares_event_types_on_its_bus() {
    let bus = TypedEventBus::default();
    let (names, _guard) = subscribe_json(&bus);
    let publisher = bus.publisher().unwrap();
    assert_eq!(publisher.publish(Urgent(0)), Published::Idle);
    publisher.declare::<Urgent>().unwrap();
    assert_eq!(publisher.publish(Urgent(1)), Published::Queued);
    bus.pump(usize::MAX);
    assert_eq!(*names.lock().unwrap(), ["Urgent"]);
    drop((bus, _guard));
    assert_eq!(publisher.declare::<Later>(), Ok(()), "the bus was dropped");
}

#[test]
fn attaching_to_a_bus_that_cannot_declare_is_refused_and_changes_nothing() {
    #[derive(Clone, Copy, serde::Serialize)]
    struct Namesake;
    impl Event for Namesake {
        const NAME: &'static str = "PoolExhausted";
        const PRIORITY: Priority = Priority::Normal;
    }
    let bus = TypedEventBus::default();
    bus.declare::<Namesake>().unwrap();
    let (_control, mut half) = pool();
    let refused = half.attach_publisher(bus.publisher().unwrap());
    assert!(matches!(
        refused,
        Err(BusError::NameTaken {
            name: "PoolExhausted",
            ..
        })
    ));
    bus.pump(0);
    assert_eq!(bus.stats().publishers, 0, "it was not attached");
}

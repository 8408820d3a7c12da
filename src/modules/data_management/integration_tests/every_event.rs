//! Every type of event is published where its cause occurs, with measured data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::event_bus::{EventRecord, EventType, Priority};
use crate::modules::data_management::sizing::sizing_rules::SizingPolicy;
use crate::modules::data_management::{
    BufferPool, DataManagementConfig, ObjectCosts, PoolError, PooledBuffer, WasmJsBridge,
    pool_events,
};

fn never_published(types: &[EventType], seen: &BTreeSet<&'static str>) -> Vec<&'static str> {
    let names = types.iter().map(|declared| declared.name);
    names.filter(|name| !seen.contains(name)).collect()
}

/// A small pool: its tables exceed 3 % of its samples, for which an event is published, and its classes differ enough to
/// fragment the arena.
fn small_pool() -> DataManagementConfig {
    DataManagementConfig {
        pool: BufferPool::builder()
            .class(64, 8)
            .class(256, 64)
            .class(1024, 8)
            .limit_samples(1 << 20)
            .leak_sampling(1),
        sizing: Some(SizingPolicy::default()),
        audio_buffers: vec![(1024, 2)],
        ..DataManagementConfig::default()
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn every_event_type_is_published_from_its_real_place() {
    let bus = TypedEventBus::default();
    let records = Arc::new(Mutex::new(Vec::new()));
    let sink = records.clone();
    let _guard =
        bus.subscribe_json(move |record: &EventRecord| sink.lock().unwrap().push(record.clone()));
    let mut registry = ModuleRegistry::builder(bus.clone())
        .configure(small_pool())
        .boot()
        .unwrap();
    let types = bus.types();
    let declared: BTreeSet<_> = types.iter().map(|declared| declared.name).collect();
    for name in pool_events::NAMES {
        assert!(declared.contains(name), "{name} was not declared at boot");
    }
    // Thirteen event types of the pool, five of audio, and `EventsDropped`.
    assert_eq!(types.len(), pool_events::NAMES.len() + 6);
    assert_eq!(never_published(&types, &BTreeSet::new()).len(), types.len());

    // Exhaustion and misses: the hit rate falls. A plan then carves the missing buffers.
    let mut half = data(&mut registry).attach_realtime().unwrap();
    half.begin_quantum(128);
    let mut held: Vec<_> = core::iter::from_fn(|| half.acquire(256).ok()).collect();
    assert_eq!(held.len(), 64);
    data(&mut registry).tick(0.0);
    assert!((0..60).filter(|_| half.scratch(1000).is_err()).count() == 0);
    held.extend(core::iter::from_fn(|| half.acquire(256).ok()));
    for _ in 0..200 {
        assert!(matches!(
            half.acquire(256),
            Err(PoolError::Exhausted { .. })
        ));
    }
    data(&mut registry).tick(1000.0);

    // Fragmentation: every other buffer is released, and its class keeps none.
    let mut place = 0;
    held.sort_unstable_by_key(PooledBuffer::address);
    held.retain(|_| {
        place += 1;
        place % 2 == 0
    });
    let control = data(&mut registry).control_mut().unwrap();
    control.trim(256, 0).unwrap();
    for quantum in 2..10 {
        half.begin_quantum(quantum * 128);
    }
    data(&mut registry).tick(1010.0);
    held.clear();

    // JavaScript: buffers that were passed, and a participant that died with two of them.
    let mut bridge = WasmJsBridge::new(1, 8, data(&mut registry).control().unwrap().most_slots());
    bridge.calibrate(ObjectCosts {
        view_bytes: 99,
        message_bytes: 120,
        array_bytes: 160,
    });
    for _ in 0..10 {
        let buffer = bridge.acquire(&half, 1000).unwrap();
        bridge.view(buffer).unwrap();
        bridge.release(buffer).unwrap();
    }
    bridge.acquire(&half, 1000).unwrap();
    bridge.acquire(&half, 1000).unwrap();
    data(&mut registry).observe_boundary(bridge.counts());
    let control = data(&mut registry).control_mut().unwrap();
    assert_eq!(control.reclaim_leases(bridge.leases()), 2);
    data(&mut registry).tick(1200.0);

    // A stream with a gap.
    let config = StreamConfig {
        sample_rate_hz: RATE_HZ,
        channels: 1,
        window: 512,
        hop: 256,
    };
    let (mut capture, mut analysis) = open_stream(&mut registry, config);
    for quantum in (0..20).chain(30..50) {
        capture.process(&[&sine(440.0, quantum * 128)], quantum * 128);
        analysis.poll(4);
    }
    drop((capture, analysis));

    // More events than a lane has cells, without a pump.
    pump(&bus, 10_000);
    for _ in 0..2000 {
        half.release(half.acquire(64).unwrap());
    }

    // The last stream is closed while a buffer is still in use.
    assert_eq!(data(&mut registry).report_leaks(), 0);
    let leaked = half.acquire(1000).unwrap();
    let slot = leaked.slot_index();
    core::mem::forget(leaked);
    assert_eq!(data(&mut registry).report_leaks(), 1);
    data(&mut registry).tick(1300.0);
    // Longer after the last refusal than a window: that alert ends.
    data(&mut registry).tick(3000.0);
    pump(&bus, 20_000);
    pump(&bus, 20_000);

    let records = records.lock().unwrap();
    let seen: BTreeSet<_> = records.iter().map(|record| record.name).collect();
    assert_eq!(never_published(&types, &seen), [""; 0]);
    for name in &seen {
        let others = seen.iter().copied().filter(|other| other != name).collect();
        assert_eq!(never_published(&types, &others), [*name]);
    }
    let data_of = |name| {
        let record = records.iter().find(|record| record.name == name);
        &record.unwrap().data
    };
    assert_eq!(data_of("BufferLeaked")["slot"], slot);
    assert_eq!(data_of("LeasesReclaimed")["count"], 2);
    assert_eq!(data_of("PoolExhausted")["carved"], 64);
    assert_eq!(data_of("MemoryOverheadHigh")["threshold_percentage"], 3.0);
    assert!(
        data_of("HitRateLow")["hit_rate_percentage"]
            .as_f64()
            .unwrap()
            < 90.0
    );
    assert!(
        data_of("PoolFragmentation")["fragmentation_percentage"]
            .as_f64()
            .unwrap()
            > 5.0
    );
    let mut ended = records
        .iter()
        .filter(|record| record.name == "PoolAlertEnded");
    assert!(ended.any(|record| record.data["kind"] == "exhausted" && record.data["value"] == 0.0));
    let counts = bridge.counts();
    let pressure = data_of("JSGCPressureReduction");
    assert_eq!(pressure["objects"], counts.objects);
    assert_eq!(pressure["bytes_unpooled"], 10 * (4000 + 160));

    // The events of each publisher and lane are in order, and none is missing except those announced as dropped.
    let mut next = BTreeMap::<(u32, Priority), u64>::new();
    for record in &*records {
        let next = next.entry((record.publisher, record.priority)).or_default();
        assert_eq!((record.version, record.seq), (EventRecord::VERSION, *next));
        *next += 1;
    }
}

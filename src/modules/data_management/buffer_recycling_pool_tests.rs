use std::sync::{Arc, Mutex};

use super::*;
use crate::event_bus::EventRecord;
use crate::modules::data_management::{BufferPool, DataManagementModule, VectorAccount};
use crate::registry::ModuleRegistry;
use wavepool_core::internal::MAX_SAMPLES;

fn pool() -> BufferRecyclingPoolImpl {
    let builder = BufferPool::builder()
        .class(64, 2)
        .class(256, 2)
        .limit_samples(4096);
    BufferRecyclingPoolImpl::new(builder).unwrap()
}

#[test]
fn js_reference_is_made_within_the_limit_whatever_was_requested_back() {
    let builder = BufferPool::builder().class(256, 4).limit_samples(8192);
    let mut pool = BufferRecyclingPoolImpl::new(builder).unwrap();
    let held: Vec<_> = (0..4)
        .map(|_| pool.get_js_buffer_ref(200).unwrap())
        .collect();
    // Asks back more than is idle: some of these.
    pool.control.shrink(256, 3).unwrap();
    (0..8).for_each(|_| _ = pool.control.step(100));
    let more: Vec<_> = (0..6).map(|_| pool.get_js_buffer_ref(200)).collect();
    assert!(more.iter().all(Result::is_ok), "{more:?}");
    drop(held);
}

#[test]
fn js_view_is_stale_if_the_buffer_number_stands_for_other_memory() {
    let builder = BufferPool::builder()
        .class(64, 1)
        .class(256, 2)
        .limit_samples(4096);
    let mut pool = BufferRecyclingPoolImpl::new(builder).unwrap();
    let mut arrays = std::collections::HashMap::new();
    let mut renumbered = 0;
    for size in [256, 256, 64, 64, 64, 64, 64, 64] {
        let buffer = pool.get_js_buffer_ref(size).unwrap();
        let view = pool.bridge().view(buffer).unwrap();
        let memory = (view.address, view.capacity);
        let known = arrays.insert(view.slot, memory);
        assert_eq!(view.make, known != Some(memory), "{view:?}");
        renumbered += usize::from(known.is_some_and(|known| known != memory));
        pool.bridge().end_view(buffer).unwrap();
        if size == 256 {
            pool.recycle_js_buffer_ref(buffer).unwrap();
            pool.control.shrink(256, 2).unwrap();
            (0..8).for_each(|_| _ = pool.defragment());
        }
    }
    assert!(renumbered > 0, "no number was used again for other memory");
}

#[test]
fn recycled_and_new_vectors_look_the_same() {
    let mut pool = pool();
    let mut vector = pool.get_or_create(60).unwrap();
    assert_eq!((vector.len(), vector.capacity()), (60, 64));
    vector.fill(1.0);
    pool.recycle(vector).unwrap();
    assert_eq!(pool.get_or_create(64).unwrap(), [0.0; 64]);
    let metrics = pool.get_efficiency_metrics();
    assert_eq!(
        (
            metrics.pool_hits,
            metrics.created,
            metrics.total_allocations
        ),
        (1, 1, 2)
    );
    assert_eq!(metrics.hit_rate_percentage, Some(50.0));
}

#[test]
fn vector_sizes_that_no_buffer_can_have_are_refused() {
    let mut pool = pool();
    assert_eq!(pool.get_or_create(0), Err(PoolError::ZeroLength));
    for requested in [MAX_SAMPLES + 1, usize::MAX] {
        let largest = MAX_SAMPLES;
        let too_large = PoolError::TooLarge { requested, largest };
        assert_eq!(pool.get_or_create(requested), Err(too_large));
    }
    let too_large = PoolError::TooLarge {
        requested: 257,
        largest: 256,
    };
    assert_eq!(pool.get_js_buffer_ref(257), Err(too_large));
    assert_eq!(pool.get_efficiency_metrics().total_allocations, 0);
}

#[test]
fn vectors_above_the_largest_class_are_created_and_kept_up_to_twice_its_size() {
    let mut pool = pool();
    let limit = pool.control().limit_samples();
    let held = [300, 512, 513, 2 * limit].map(|size| pool.get_or_create(size).unwrap());
    assert_eq!(held[3].len(), 2 * limit);
    assert!(held[3].iter().all(|&sample| sample == 0.0));
    let bytes = (300 + 512 + 513 + 2 * limit) * 4;
    let account = |bytes_held, bytes_leased| VectorAccount {
        bytes_held,
        bytes_leased,
        bytes_peak: bytes,
    };
    assert_eq!(pool.vectors(), account(bytes, bytes));
    for vector in held {
        pool.recycle(vector).unwrap();
    }
    assert_eq!(pool.vectors(), account((300 + 512) * 4, 0));
    let metrics = pool.get_efficiency_metrics();
    assert_eq!(
        metrics.sample_bytes - metrics.bytes_reserved,
        (300 + 512) * 4
    );
    // The two that were kept, for requests that fit.
    assert_eq!(pool.get_or_create(500).unwrap(), [0.0; 500]);
    assert_eq!(pool.get_or_create(301).unwrap(), [0.0; 301]);
    assert_eq!(pool.get_or_create(256).unwrap(), [0.0; 256]);
    let metrics = pool.get_efficiency_metrics();
    let [small, large] = &metrics.classes[..] else {
        panic!("{metrics:?}");
    };
    assert_eq!((small.created, large.created, large.hits), (0, 5, 2));
    assert_eq!((metrics.pool_hits, metrics.pool_misses), (2, 5));
    // Nothing that large is out any more.
    assert!(matches!(
        pool.recycle(Vec::with_capacity(513)),
        Err(PoolError::VectorTooLarge { .. })
    ));
}

#[test]
fn recycled_vectors_of_any_origin_serve_the_class_of_their_capacity() {
    let mut pool = pool();
    pool.recycle(Vec::with_capacity(300)).unwrap();
    pool.recycle(vec![1.0; 64]).unwrap();
    assert!(pool.get_or_create(250).unwrap().capacity() >= 300);
    assert_eq!(pool.get_or_create(10).unwrap(), [0.0; 10]);
    assert_eq!(pool.get_efficiency_metrics().pool_hits, 2);
    assert!(matches!(
        pool.recycle(Vec::with_capacity(63)),
        Err(PoolError::VectorTooSmall { smallest: 64, .. })
    ));
    assert!(matches!(
        pool.recycle(Vec::with_capacity(513)),
        Err(PoolError::VectorTooLarge { most: 512, .. })
    ));
}

#[test]
fn recycled_vectors_share_the_limit() {
    let mut pool = pool();
    let room = pool.control().room_samples();
    let kept = (0..100)
        .filter(|_| pool.recycle(Vec::with_capacity(256)).is_ok())
        .count();
    assert_eq!(kept, room / 256);
    assert!(matches!(
        pool.recycle(Vec::with_capacity(256)),
        Err(PoolError::NoRoomForVector { available, .. }) if available < 256
    ));
    assert!(pool.control.grow(256, 1).is_err());
    let metrics = pool.get_efficiency_metrics();
    assert_eq!(metrics.sample_bytes, metrics.bytes_reserved + kept * 1024);
}

#[test]
fn js_references_are_zeroed_checked_and_grown_within_the_limit() {
    let mut pool = pool();
    let many: Vec<_> = core::iter::from_fn(|| pool.get_js_buffer_ref(200).ok()).collect();
    assert!(many.len() > 2 && many.len() <= 4096 / 256, "{}", many.len());
    let view = pool.bridge().view(many[0]).unwrap();
    assert_eq!((view.samples, view.capacity), (200, 256));
    for &buffer in &many {
        pool.recycle_js_buffer_ref(buffer).unwrap();
    }
    assert!(matches!(
        pool.recycle_js_buffer_ref(many[0]),
        Err(PoolError::StaleLease { .. })
    ));
    assert_eq!(pool.control().leased(), 0);
    assert!(pool.control().is_valid());
    assert_eq!(
        pool.get_efficiency_metrics().wasm_js_boundary_allocations,
        1
    );
}

#[test]
fn defragmentation_returns_idle_memory() {
    let mut pool = pool();
    let held = pool.get_js_buffer_ref(256).unwrap();
    let before = pool.get_efficiency_metrics().bytes_held;
    let result = pool.defragment();
    assert!(result.complete);
    assert!(result.bytes_moved > 0 && pool.get_efficiency_metrics().bytes_held < before);
    assert!(pool.control().is_valid());
    pool.recycle_js_buffer_ref(held).unwrap();
    assert!(pool.get_js_buffer_ref(256).is_ok());
}

#[test]
fn optimize_pool_sizes_grows_classes_in_demand() {
    let mut pool = pool();
    for _ in 0..20 {
        let held: Vec<_> = (0..2)
            .map(|_| pool.get_js_buffer_ref(64).unwrap())
            .collect();
        for buffer in held {
            pool.recycle_js_buffer_ref(buffer).unwrap();
        }
        pool.optimize_pool_sizes();
        assert!(pool.control().is_valid());
    }
    let metrics = pool.get_efficiency_metrics();
    assert!(metrics.classes[0].carved > 2, "{metrics:?}");
    assert_eq!(metrics.exhausted, 0);
}

#[test]
fn recycled_vectors_are_kept_with_the_default_builder() {
    let mut pool = BufferRecyclingPoolImpl::new(BufferPool::builder()).unwrap();
    let vector = pool.get_or_create(1000).unwrap();
    pool.recycle(vector).unwrap();
    pool.get_or_create(1000).unwrap();
    assert_eq!(pool.get_efficiency_metrics().pool_hits, 1);
}

#[test]
fn js_reference_that_grows_the_pool_counts_as_created() {
    let mut pool = pool();
    let held: Vec<_> = (0..3)
        .map(|_| pool.get_js_buffer_ref(64).unwrap())
        .collect();
    let metrics = pool.get_efficiency_metrics();
    assert_eq!(
        (metrics.pool_hits, metrics.created, metrics.exhausted),
        (2, 1, 0)
    );
    drop(held);
    while pool.get_js_buffer_ref(200).is_ok() {}
    assert_eq!(pool.get_efficiency_metrics().exhausted, 1);
}

#[test]
fn bridge_tables_count_as_overhead() {
    let mut pool = pool();
    let bridge = pool.bridge().heap_bytes();
    let tables = pool.get_efficiency_metrics().memory_overhead_bytes;
    let own = pool.control().metrics().memory_overhead_bytes;
    let lists = pool.beside.vectors.heap_bytes();
    assert_eq!(tables, own + lists + bridge);
    assert!(bridge > 0);
}

/// A module, its bus, and the events on it.
fn module() -> (ModuleRegistry, Arc<Mutex<Vec<EventRecord>>>, impl Sized) {
    let bus = TypedEventBus::default();
    let records = Arc::new(Mutex::new(Vec::new()));
    let sink = records.clone();
    let guard =
        bus.subscribe_json(move |record: &EventRecord| sink.lock().unwrap().push(record.clone()));
    let registry = ModuleRegistry::builder(bus).boot().unwrap();
    (registry, records, guard)
}

/// The fields of the events of a type, since the last call.
fn take(
    registry: &ModuleRegistry,
    records: &Mutex<Vec<EventRecord>>,
    name: &str,
) -> Vec<serde_json::Value> {
    registry.bus().pump(usize::MAX);
    let records = std::mem::take(&mut *records.lock().unwrap());
    let of_type = records.into_iter().filter(|record| record.name == name);
    of_type.map(|record| record.data).collect()
}

#[test]
fn recycled_vectors_of_the_module_are_in_its_events_metrics_and_limit() {
    let (mut registry, records, _guard) = module();
    let data = registry.get_mut::<DataManagementModule>().unwrap();
    let room = data.control().unwrap().room_samples();
    let pool = data.recycling_pool().unwrap();
    let held = [pool.get_or_create(1000), pool.get_or_create(10_000)].map(Result::unwrap);
    let allocations = take(&registry, &records, "BufferPoolAllocation");
    let figures = |field| allocations.iter().map(move |one| one[field].as_u64());
    assert!(figures("class_samples").eq([Some(1024), Some(10_000)]));
    assert!(figures("requested").eq([Some(1000), Some(10_000)]));
    assert!(figures("count").eq([Some(1), Some(1)]));

    let data = registry.get_mut::<DataManagementModule>().unwrap();
    for vector in held {
        data.recycling_pool().unwrap().recycle(vector).unwrap();
    }
    assert_eq!(data.control().unwrap().room_samples(), room - 1024);
    assert_eq!(data.recycled(), 2);
    let again = data.recycling_pool().unwrap().get_or_create(600).unwrap();
    let metrics = data.metrics().unwrap();
    assert_eq!((metrics.pool_hits, metrics.created), (1, 2));
    assert_eq!(data.vectors().unwrap().bytes_leased, 4096);
    data.tick(0.0);
    let data = registry.get::<DataManagementModule>().unwrap();
    assert_eq!(data.observed().unwrap().created, 2);
    let recyclings = take(&registry, &records, "BufferPoolRecycling");
    let classes = recyclings.iter().map(|one| one["class_samples"].as_u64());
    assert!(classes.eq([Some(1024), Some(10_000)]));
    drop(again);
}

#[test]
fn idle_vectors_of_the_module_are_freed_when_not_needed_and_under_pressure() {
    let (mut registry, ..) = module();
    let data = registry.get_mut::<DataManagementModule>().unwrap();
    let use_three = |data: &mut DataManagementModule| {
        let pool = data.recycling_pool().unwrap();
        let held = [256, 512, 600].map(|size| pool.get_or_create(size).unwrap());
        held.into_iter()
            .for_each(|vector| pool.recycle(vector).unwrap());
    };
    let idle = |data: &DataManagementModule| data.vectors().unwrap().bytes_held;
    let window_ms = SizingPolicy::default().window_ms;
    for now_ms in [0.0, f64::NAN, f64::INFINITY, -1.0] {
        data.tick(now_ms);
        data.recycling_pool().unwrap().optimize_pool_sizes();
    }
    data.tick(0.0);
    use_three(data);
    data.tick(window_ms - 2.0);
    assert_eq!(idle(data), 4 * (256 + 512 + 1024));
    // They were needed in the window that ends here, and are not in the next one.
    data.tick(window_ms);
    assert_eq!(idle(data), 4 * (256 + 512 + 1024));
    data.tick(2.0 * window_ms);
    assert_eq!(idle(data), 0);
    use_three(data);
    let optimizer = data.optimizer_mut().unwrap();
    optimizer.set_memory_pressure(MemoryPressure::Critical);
    data.tick(2.0 * window_ms + 1.0);
    assert_eq!(idle(data), 0);
    let room = data.control().unwrap().room_samples();
    use_three(data);
    data.recycling_pool().unwrap().optimize_pool_sizes();
    data.recycling_pool().unwrap().optimize_pool_sizes();
    assert_eq!(data.control().unwrap().room_samples(), room);
}

#[test]
fn js_references_of_the_module_are_in_its_arena_and_events() {
    let (mut registry, records, _guard) = module();
    let data = registry.get_mut::<DataManagementModule>().unwrap();
    let pool = data.recycling_pool().unwrap();
    let buffer = pool.get_js_buffer_ref(200).unwrap();
    assert_eq!(pool.bridge().view(buffer).unwrap().samples, 200);
    pool.bridge().end_view(buffer).unwrap();
    let metrics = data.metrics().unwrap();
    assert_eq!((metrics.leased, metrics.pool_hits), (1, 1));
    assert_eq!(metrics.wasm_js_boundary_allocations, 1);
    data.tick(0.0);
    let allocations = take(&registry, &records, "BufferPoolAllocation");
    assert_eq!(allocations.len(), 1);
    assert_eq!(allocations[0]["class_samples"], 256);
    let data = registry.get_mut::<DataManagementModule>().unwrap();
    let pool = data.recycling_pool().unwrap();
    pool.recycle_js_buffer_ref(buffer).unwrap();
    assert_eq!(pool.control().leased(), 0);
    assert!(pool.defragment().complete);
    assert!(pool.control().is_valid());
}

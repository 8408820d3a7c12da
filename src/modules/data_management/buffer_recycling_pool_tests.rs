use super::*;
use crate::modules::data_management::BufferPool;

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
        let view = pool.bridge.view(buffer).unwrap();
        let memory = (view.address, view.capacity);
        let known = arrays.insert(view.slot, memory);
        assert_eq!(view.make, known != Some(memory), "{view:?}");
        renumbered += usize::from(known.is_some_and(|known| known != memory));
        pool.bridge.end_view(buffer).unwrap();
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
fn vector_sizes_without_a_class_are_refused() {
    let mut pool = pool();
    assert_eq!(pool.get_or_create(0), Err(PoolError::ZeroLength));
    let too_large = Err(PoolError::TooLarge {
        requested: 257,
        largest: 256,
    });
    assert_eq!(pool.get_or_create(257), too_large);
    assert_eq!(pool.get_js_buffer_ref(257).err(), too_large.err());
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
    let pool = pool();
    let tables = pool.get_efficiency_metrics().memory_overhead_bytes;
    let own = pool.control().metrics().memory_overhead_bytes;
    let lists = size_of_val(&*pool.lists);
    assert_eq!(tables, own + lists + pool.bridge.heap_bytes());
    assert!(pool.bridge.heap_bytes() > 0);
}

//! A failed request changes nothing but the count of failed requests.

use proptest::prelude::*;

use crate::modules::data_management::{
    AudioBufferManagerImpl, AudioFormat, BufferPool, BufferRecyclingPool, BufferRecyclingPoolImpl,
    ExhaustionPolicy, PoolControl, PoolError, PoolFigures, PoolMetrics, WasmJsBridge,
};

/// The figures that must be equal before and after a failed request.
fn unchanged(metrics: &PoolMetrics) -> (u64, u64, u64, usize, Vec<[u64; 4]>) {
    let classes = metrics.classes.iter();
    let classes = classes.map(|class| [class.carved, class.idle, class.high_water, class.hits]);
    let (hits, borrowed) = (metrics.pool_hits, metrics.borrowed);
    (
        hits,
        borrowed,
        metrics.leased,
        metrics.bytes_held,
        classes.collect(),
    )
}

fn demand(control: &PoolControl) -> u64 {
    control.demand().map(|(_, count)| u64::from(count)).sum()
}

#[test]
fn refused_planar_request_counts_one_miss_and_no_hit() {
    let (control, half) = BufferPool::builder().class(64, 2).build().unwrap();
    for refused in 1..=100 {
        assert!(matches!(
            half.acquire_planar(3, 64),
            Err(PoolError::Exhausted { carved: 2, .. })
        ));
        let metrics = control.metrics();
        assert_eq!((metrics.pool_hits, metrics.pool_misses), (0, refused));
        assert_eq!(metrics.hit_rate_percentage, Some(0.0));
        assert_eq!((metrics.leased, metrics.classes[0].high_water), (0, 0));
        assert_eq!((demand(&control), control.recycled()), (refused, 0));
    }
    assert!(half.acquire_planar(2, 64).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn refused_planar_request_changes_nothing(
        small in 0u32..8, large in 0u32..8, policy in 0u32..4, channels in 1usize..=16, frames in 1usize..=128,
        held in prop::collection::vec((1usize..=128, 0..3), 0..12), cached in any::<bool>(),
    ) {
        let policy = match policy {
            0 => ExhaustionPolicy::Fail,
            1 => ExhaustionPolicy::BorrowNextLarger,
            reserve => ExhaustionPolicy::Reserve(reserve),
        };
        let pool = BufferPool::builder().class(64, small).class(128, large).exhaustion(policy);
        let (control, half) = pool.build().unwrap();
        // Some stay in use, some are released to the list, some to the inbox.
        let mut out = Vec::new();
        for (samples, way) in held {
            match half.acquire(samples) {
                Ok(buffer) if way == 0 => out.push(buffer),
                Ok(buffer) if way == 1 => half.release(buffer),
                Ok(buffer) => drop(buffer),
                Err(_) => {}
            }
        }
        if cached {
            drop(half.scratch(64));
        }
        let before = control.metrics();
        let (reserve, borrows) = match policy {
            ExhaustionPolicy::Reserve(reserve) => (u64::from(reserve), false),
            policy => (0, policy == ExhaustionPolicy::BorrowNextLarger),
        };
        let idle = |class: usize| before.classes[class].idle.saturating_sub(reserve);
        let own = usize::from(frames > 64);
        let borrowed = if borrows && own == 0 { idle(1) } else { 0 };
        let requested = demand(&control);
        let block = half.acquire_planar(channels, frames);
        let after = control.metrics();
        prop_assert_eq!(block.is_ok(), idle(own) + borrowed >= channels as u64);
        if block.is_ok() {
            prop_assert_eq!(after.leased, before.leased + channels as u64);
            prop_assert_eq!(demand(&control), requested + channels as u64);
        } else {
            prop_assert_eq!(unchanged(&after), unchanged(&before));
            prop_assert_eq!((after.exhausted, demand(&control)), (before.exhausted + 1, requested + 1));
        }
        prop_assert!(control.is_valid());
        drop((block, out));
        prop_assert_eq!(control.leased(), 0);
    }
}

#[test]
fn refused_block_of_a_stream_changes_nothing() {
    let (control, half) = BufferPool::builder().class(64, 5).build().unwrap();
    let mut buffers = AudioBufferManagerImpl::new(half);
    let format = AudioFormat {
        sample_rate_hz: 48_000.0,
        channels: 3,
        frames: 64,
    };
    let block: [&[f32]; 3] = [&[1.0; 10]; 3];
    buffers.create("in", format).unwrap().write(&block);
    let before = control.metrics();
    for refused in 1..=10 {
        let shared = buffers
            .share_channels("in")
            .map(|channels| channels.count());
        assert!(shared.is_err());
        assert_eq!(unchanged(&control.metrics()), unchanged(&before));
        assert_eq!(control.metrics().exhausted, refused);
        assert_eq!(buffers.get("in").unwrap().position(), 10);
    }
}

#[test]
fn refused_lease_takes_no_buffer() {
    let (control, half) = BufferPool::builder().class(64, 4).build().unwrap();
    let mut bridge = WasmJsBridge::new(0, 1, 4);
    bridge.acquire(&half, 64).unwrap();
    let before = control.metrics();
    for _ in 0..3 {
        assert!(matches!(
            bridge.acquire(&half, 64),
            Err(PoolError::TableFull { .. })
        ));
        assert_eq!(control.metrics(), before);
    }
    let builder = BufferPool::builder().class(4096, 1).limit_samples(4096 * 3);
    let mut pool = BufferRecyclingPoolImpl::new(builder).unwrap();
    let leases: Vec<_> = core::iter::from_fn(|| pool.get_js_buffer_ref(1).ok()).collect();
    let before = pool.get_efficiency_metrics();
    assert!(pool.get_js_buffer_ref(1).is_err());
    assert_eq!(
        unchanged(&pool.get_efficiency_metrics()),
        unchanged(&before)
    );
    drop(leases);
}

#[test]
fn refused_growth_changes_nothing() {
    let pool = BufferPool::builder().class(64, 8).class(256, 4);
    let (mut control, mut half) = pool.limit_samples(8 * 64 + 5 * 256).build().unwrap();
    let held: Vec<_> = (0..8).map(|_| half.acquire(64).unwrap()).collect();
    control.shrink(64, 3).unwrap();
    half.begin_quantum(0);
    control.step(64);
    let before = control.metrics();
    assert_eq!(before.classes[0].draining, 3);
    for count in [100, 40_000, u32::MAX] {
        assert!(control.grow(64, count).is_err());
        assert_eq!(control.metrics(), before, "{count}");
    }
    control.grow(64, 0).unwrap();
    assert_eq!(control.metrics(), before);
    // Buffers that were requested back still are.
    drop(held);
    for frame in 0..4 {
        half.begin_quantum(frame);
        control.step(64);
    }
    assert_eq!(control.metrics().classes[0].carved, 5);
}

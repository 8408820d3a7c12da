use super::*;
use crate::modules::data_management::{
    BufferPool,
    pool_events::{BufferPoolAllocation, BufferPoolRecycling, PoolExhausted},
};
use wavepool_core::PoolObserver;

mockall::mock! {
    Observer {}
    impl PoolObserver for Observer {
        fn is_subscribed(&self) -> bool;
        fn allocated(&self, report: BufferPoolAllocation);
        fn recycled(&self, report: BufferPoolRecycling);
        fn exhausted(&self, report: PoolExhausted);
    }
}

#[test]
fn bridge_reports_each_buffer_once_and_nothing_for_views_and_shares() {
    let (_control, mut half) = BufferPool::builder().class(64, 1).build().unwrap();
    let mut observer = MockObserver::new();
    observer.expect_is_subscribed().return_const(true);
    let acquired = observer.expect_allocated();
    let acquired = acquired.withf(|report| (report.requested, report.count) == (48, 1));
    acquired.times(2).return_const(());
    let released = observer.expect_recycled();
    let released = released.withf(|report| (report.class_samples, report.count) == (64, 1));
    released.times(2).return_const(());
    let refused = observer.expect_exhausted();
    let refused = refused.withf(|report| (report.requested, report.carved) == (50, 1));
    refused.times(1).return_const(());
    half.attach_observer(Box::new(observer));
    half.begin_quantum(0);
    let mut bridge = WasmJsBridge::new(0, 4, 8);
    let first = bridge.acquire(&half, 48).unwrap();
    bridge.view(first).unwrap();
    bridge.end_view(first).unwrap();
    assert!(bridge.acquire(&half, 50).is_err());
    bridge.release_on(&half, first).unwrap();
    assert!(bridge.release_on(&half, first).is_err());
    let second = bridge.acquire(&half, 48).unwrap();
    let shared = bridge.share(second).unwrap();
    bridge.release(second).unwrap();
    bridge.release(shared).unwrap();
    half.begin_quantum(128);
}

#[test]
fn bridge_view_is_made_once_per_buffer_and_again_after_growth() {
    let (_control, half) = BufferPool::builder().class(64, 1).build().unwrap();
    let mut bridge = WasmJsBridge::new(0, 4, 8);
    let cross = |bridge: &mut WasmJsBridge| {
        let buffer = bridge.acquire(&half, 48).unwrap();
        let view = bridge.view(buffer).unwrap();
        bridge.release(buffer).unwrap();
        view
    };
    let first = cross(&mut bridge);
    assert_eq!((first.samples, first.capacity, first.make), (48, 64, true));
    assert!((0..100).all(|_| !cross(&mut bridge).make));
    assert_eq!(bridge.counts().objects, 1);
    bridge.detect_growth(7);
    bridge.memory_pages = 0;
    assert!(cross(&mut bridge).make);
    assert_eq!((bridge.objects().views, bridge.epoch), (2, 2));
}

#[test]
fn bridge_bytes_are_counted_if_costs_are_known() {
    let (_control, half) = BufferPool::builder().class(64, 1).build().unwrap();
    let mut bridge = WasmJsBridge::new(0, 4, 8);
    for _ in 0..2 {
        let buffer = bridge.acquire(&half, 60).unwrap();
        bridge.view(buffer).unwrap();
        bridge.release(buffer).unwrap();
    }
    bridge.count_message(8);
    bridge.count_buffer(256);
    let unknown = bridge.counts();
    let bytes = (unknown.bytes_allocated, unknown.bytes_unpooled);
    assert_eq!((unknown.objects, bytes), (3, (0, 0)));
    bridge.calibrate(ObjectCosts {
        view_bytes: 100,
        message_bytes: 50,
        array_bytes: 200,
    });
    let counts = bridge.counts();
    assert_eq!(
        (counts.objects, counts.bytes_allocated),
        (3, 100 + 58 + 456)
    );
    assert_eq!(counts.bytes_unpooled, 2 * (60 * 4 + 200));
}

#[test]
fn bridge_release_on_its_half_makes_the_buffer_the_next_one_acquired() {
    let (control, half) = BufferPool::builder().class(64, 2).build().unwrap();
    let mut bridge = WasmJsBridge::new(0, 4, 8);
    let buffer = bridge.acquire(&half, 64).unwrap();
    let slot = bridge.view(buffer).unwrap().slot;
    bridge.release_on(&half, buffer).unwrap();
    assert!(bridge.release_on(&half, buffer).is_err());
    let next = bridge.acquire(&half, 64).unwrap();
    assert_eq!(bridge.view(next).unwrap().slot, slot);
    bridge.end_view(next).unwrap();
    let shared = bridge.share(next).unwrap();
    bridge.release_on(&half, next).unwrap();
    assert_eq!(control.leased(), 1);
    bridge.release_on(&half, shared).unwrap();
    assert_eq!(control.leased(), 0);
}

#[test]
fn bridge_refusals_are_those_of_the_lease_table() {
    let (control, half) = BufferPool::builder().class(64, 2).build().unwrap();
    let mut bridge = WasmJsBridge::new(5, 4, 8);
    let buffer = bridge.acquire(&half, 64).unwrap();
    assert!(bridge.view(buffer).unwrap().writable);
    bridge.end_view(buffer).unwrap();
    let other = bridge.share(buffer).unwrap();
    assert!(!bridge.view(buffer).unwrap().writable);
    bridge.end_view(buffer).unwrap();
    bridge.release(buffer).unwrap();
    assert!(bridge.release(JSBufferRef::from_raw(buffer.raw())).is_err());
    assert_eq!((bridge.live(), control.leased()), (1, 1));
    assert_eq!(bridge.leases().reclaim(), 1);
    assert!(bridge.view(other).is_err());
    assert_eq!(control.leased(), 0);
}

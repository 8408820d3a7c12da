//! The real-time half allocates and frees nothing: counted by an allocator of this binary's own.
#![allow(
    unsafe_code,
    reason = "an allocator that counts implements an unsafe trait"
)]

mod counting_allocator;
mod realtime_loop;

use std::hint::black_box;
use std::thread;

use wavepool::modules::data_management::{
    AudioBufferManagerImpl, AudioFormat, BufferPool, JSBufferRef, LeaseTable, PoolFigures,
    WasmJsBridge,
};

use counting_allocator::calls_in;

#[test]
fn the_guard_trips() {
    assert_eq!(calls_in(|| drop(black_box(Box::new(1)))).0, 2);
    // The control half may, and does.
    let (control, half) = BufferPool::builder().class(256, 1).build().expect("pool");
    assert!(calls_in(|| drop(black_box(control.metrics()))).0 > 0);
    // The last one out frees, as its documentation says.
    drop(control);
    assert!(calls_in(|| drop(half)).0 > 0);
}

#[test]
fn a_million_real_time_operations_allocate_nothing() {
    let (mut audio, others) = realtime_loop::start();
    let audio = thread::spawn(move || {
        let (calls, ()) = calls_in(|| {
            while audio.operations < 1_000_000 {
                audio.quantum();
            }
        });
        (calls, audio)
    });
    let (calls, audio) = audio.join().expect("audio thread");
    assert_eq!(calls, 0);
    assert!(audio.queued > 0, "the bus was wanted");
    others.finish(audio);
}

/// Halves, handles and a bare drop of each: while the control half lives, none of it frees.
#[test]
fn dropping_a_half_and_its_last_buffers_frees_nothing() {
    let (control, half) = BufferPool::builder().class(256, 4).build().expect("pool");
    let buffer = half.acquire(256).expect("idle buffer");
    let shared = half.acquire(256).expect("idle buffer").freeze();
    assert_eq!(
        calls_in(|| {
            drop(half);
            drop(buffer);
            drop(shared);
        })
        .0,
        0
    );
    assert_eq!(control.leased(), 0);
}

/// Every error that a real-time call can return, made and dropped: none of them allocates.
#[test]
fn errors_on_the_real_time_side_allocate_nothing() {
    let pool = BufferPool::builder().class(256, 3);
    let (control, half) = pool.build().expect("pool");
    let held = half.acquire(256).expect("idle buffer");
    let mut leases = LeaseTable::new(1, 1);
    let lease = leases
        .open(half.acquire(256).expect("idle buffer"))
        .expect("a free entry");
    let mut bridge = WasmJsBridge::new(2, 1, 4);
    let mut buffers = AudioBufferManagerImpl::new(half);
    let format = AudioFormat {
        sample_rate_hz: 48_000.0,
        channels: 1,
        frames: 256,
    };
    buffers.create("in", format).expect("idle buffer");
    let (calls, errors) = calls_in(|| {
        let mut errors = 0;
        let mut refused = |is_refused: bool| errors += u32::from(is_refused);
        for samples in [0, 1, 257, usize::MAX] {
            let half = buffers.half_mut().unwrap();
            refused(black_box(half.scratch(samples)).is_err());
            refused(black_box(half.acquire(samples)).is_err());
            refused(black_box(half.acquire_silent(samples)).is_err());
            refused(black_box(half.acquire_critical(samples)).is_err());
            refused(black_box(half.acquire_planar(2, samples)).is_err());
            refused(black_box(half.acquire_planar(samples, 256)).is_err());
            refused(black_box(bridge.acquire(half, samples)).is_err());
        }
        refused(black_box(buffers.get("typo")).is_err());
        refused(black_box(buffers.get_mut("typo")).is_err());
        refused(black_box(buffers.share("typo")).is_err());
        refused(
            black_box(buffers.share_channels("a name that no buffer has, and no error could hold"))
                .is_err(),
        );
        refused(black_box(buffers.share("in")).is_err());
        refused(black_box(buffers.remove("typo")).is_err());
        let forged = JSBufferRef::from_raw(7);
        refused(black_box(bridge.view(forged)).is_err());
        refused(black_box(bridge.end_view(forged)).is_err());
        refused(black_box(bridge.share(forged)).is_err());
        refused(black_box(bridge.release(forged)).is_err());
        refused(black_box(leases.end_view(lease)).is_err());
        refused(black_box(leases.share(lease)).is_err());
        refused(black_box(leases.open(held)).is_err());
        errors
    });
    assert_eq!((calls, errors), (0, 28 + 13));
    drop((buffers, leases));
    assert_eq!(control.leased(), 0);
}

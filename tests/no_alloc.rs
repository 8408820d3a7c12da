//! The real-time half allocates and frees nothing: counted by an allocator of this binary's own.
#![allow(
    unsafe_code,
    reason = "an allocator that counts implements an unsafe trait"
)]

mod counting_allocator;
mod realtime_loop;

use std::hint::black_box;
use std::thread;

use wavepool::modules::data_management::BufferPool;

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

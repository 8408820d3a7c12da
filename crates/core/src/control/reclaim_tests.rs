use core::mem::forget;

use super::*;
use crate::observer::recorder::{Recorder, Report};
use crate::sync::atomic::stop_after;
use crate::{BufferPool, BufferRef, ExhaustionPolicy, PoolBuilder, RealtimePool};

/// What the owner does when it is stopped. What it acquired is lost with it.
type Work = fn(&mut RealtimePool);

const WORKS: [(&str, Work); 9] = [
    ("scratch", |half| {
        let first = half.scratch(60);
        drop(half.scratch(64));
        forget(half.scratch(10));
        drop(first);
    }),
    ("acquire and release", |half| {
        let first = half.acquire(60).ok();
        let _ = half.acquire(64).map(|buffer| half.release(buffer));
        forget(first);
    }),
    ("drop", |half| {
        let buffers = [half.acquire(1), half.acquire(2), half.acquire_silent(200)];
        drop(buffers);
    }),
    ("planar", |half| {
        let held = half.acquire_planar(2, 64);
        let _ = half.acquire_planar(16, 64);
        drop(half.acquire_planar(2, 200));
        forget(held);
    }),
    ("planar and back", |half| {
        for frames in [64, 64, 200] {
            drop(half.scratch(60));
            let _ = half
                .acquire_planar(2, frames)
                .map(|buffer| half.release_planar(buffer));
        }
    }),
    ("refill", |half| {
        // More than the local list has.
        (0..6).for_each(|_| forget(half.acquire(64)));
    }),
    ("refill over a reserve", |half| {
        (0..6).for_each(|_| forget(half.acquire_critical(64)));
    }),
    ("shed", |half| {
        (0..3).for_each(|frame| half.begin_quantum(frame))
    }),
    ("new classes", |half| {
        forget(half.scratch(64));
        half.begin_quantum(0);
        forget(half.scratch(64));
    }),
];

/// A half with buffers in every place: on its list, newly carved and returned ones in its inbox, shed ones, shared
/// ones; and with class changes and limits that it has not served yet.
fn pool(builder: PoolBuilder) -> (PoolControl, RealtimePool, [BufferRef; 2]) {
    let builder = builder.class(64, 5).class(256, 3).leak_sampling(1);
    let (mut control, mut half) = builder.limit_samples(1 << 13).build().unwrap();
    control.trim(64, 4).unwrap();
    half.begin_quantum(0);
    let shared = [64, 256].map(|samples| half.acquire(samples).unwrap().freeze());
    half.release(half.acquire(64).unwrap());
    drop(half.acquire(64).unwrap().freeze());
    drop(half.acquire(64).unwrap());
    control.grow(64, 2).unwrap();
    control.trim(64, 2).unwrap();
    control.set_classes(&[64, 128, 256]).unwrap();
    (control, half, shared)
}

/// From one stop to the next, and how many there are. The interpreter is slow: it takes some of them.
const STEP: u64 = if cfg!(miri) { 37 } else { 1 };
const STOPS: usize = if cfg!(miri) { 3 } else { usize::MAX };

/// Stops the owner before each store of each work, and reclaims.
fn everything_comes_back(builder: impl Fn() -> PoolBuilder) {
    for (name, work) in WORKS {
        for stores in (0..).step_by(STEP as usize).take(STOPS) {
            let (mut control, mut half, shared) = pool(builder());
            let id = half.id();
            let done = stop_after(stores, || work(&mut half));
            forget(half);
            // SAFETY: forgotten, with all that it acquired; `shared` is frozen.
            let reclaimed = unsafe { control.reclaim(id) };
            assert_eq!(reclaimed.shared, 2, "{name} stopped after {stores}");
            assert_eq!(control.leased(), 2, "{name} stopped after {stores}");
            assert!(control.is_valid(), "{name} stopped after {stores}");
            drop(shared);
            let mut next = control.attach().unwrap();
            next.begin_quantum(0);
            let all: Vec<_> = core::iter::from_fn(|| next.acquire(64).ok()).collect();
            let carved = control.usage().classes[0].clone();
            assert!(
                all.len() as u64 + 2 >= carved.carved - carved.idle,
                "{name} {stores}"
            );
            drop((all, next));
            while !control.step(100).complete {}
            assert_eq!(
                (control.bytes_held(), control.is_valid()),
                (0, true),
                "{name} {stores}"
            );
            if done < stores {
                assert!(stores > 5, "{name}");
                break;
            }
        }
    }
}

#[test]
fn reclaim_after_a_stop_before_any_store_loses_nothing() {
    everything_comes_back(BufferPool::builder);
}

#[test]
fn reclaim_after_a_stop_before_any_store_loses_nothing_with_a_reserve() {
    everything_comes_back(|| {
        let reserve = ExhaustionPolicy::Reserve(2);
        BufferPool::builder()
            .exhaustion(reserve)
            .scrub_on_release(true)
    });
}

/// What a participant does when it is stopped, with frozen buffers that no other thread has.
const SHARING: [(&str, Work); 3] = [
    ("freeze and share", |half| {
        let Ok(buffer) = half.acquire(60) else { return };
        let shared = buffer.freeze();
        let further = shared.clone();
        forget((shared, further));
    }),
    ("share and release", |half| {
        let Ok(buffer) = half.acquire(64) else { return };
        let shared = buffer.freeze();
        let further = shared.clone();
        drop(shared);
        drop(further);
    }),
    ("frozen windows", |half| {
        for frames in [64, 200] {
            let Ok(window) = half.acquire_planar(3, frames) else {
                return;
            };
            drop(window.freeze());
        }
    }),
];

#[test]
fn reclaim_all_after_a_stop_before_any_store_includes_frozen_buffers() {
    for (name, work) in SHARING.into_iter().chain(WORKS) {
        for stores in (0..).step_by(STEP as usize).take(STOPS) {
            let (mut control, mut half, shared) = pool(BufferPool::builder());
            let done = stop_after(stores, || work(&mut half));
            forget(shared);
            let (id, _) = half.abandon();
            // SAFETY: abandoned, with all that it acquired, and what was shared is forgotten.
            let reclaimed = unsafe { control.reclaim_all(id) };
            let seen = (reclaimed.shared, control.leased(), control.is_valid());
            assert_eq!(seen, (0, 0, true), "{name} stopped after {stores}");
            assert!(reclaimed.count >= 2, "{name} stopped after {stores}");
            let next = control.attach().unwrap();
            assert_eq!(next.id(), id);
            drop(next);
            while !control.step(100).complete {}
            assert_eq!(control.bytes_held(), 0, "{name} stopped after {stores}");
            if done < stores {
                break;
            }
        }
    }
}

#[test]
fn reclaim_keeps_the_reserve_for_the_next_owner() {
    let builder = BufferPool::builder().exhaustion(ExhaustionPolicy::Reserve(2));
    let (mut control, half) = builder.class(64, 3).build().unwrap();
    let id = half.id();
    forget(half);
    // SAFETY: forgotten, and nothing was acquired.
    unsafe { control.reclaim(id) };
    let half = control.attach().unwrap();
    drop(half.scratch(64));
    let scratch = half.scratch(64);
    let critical = half.acquire_critical(64).unwrap();
    drop(scratch);
    assert!(half.acquire(64).is_err());
    half.release(critical);
    assert!(half.acquire(64).is_ok());
}

#[test]
fn reclaim_loses_no_later_release_and_takes_nothing_twice() {
    let recorder = Recorder::default();
    let (mut control, mut half) = BufferPool::builder().class(64, 4).build().unwrap();
    control.attach_observer(recorder.observer());
    half.begin_quantum(128);
    forget(half.scratch(10));
    forget(half.acquire(64));
    let shared = half.acquire(64).unwrap().freeze();
    let id = half.id();
    forget(half);
    // SAFETY: forgotten above, with two of the three buffers.
    let reclaimed = unsafe { control.reclaim(id) };
    assert_eq!(
        reclaimed,
        Reclaimed {
            count: 2,
            shared: 1
        }
    );
    // SAFETY: as above; it is not attached any more, so nothing happens.
    assert_eq!(unsafe { control.reclaim(id) }, Reclaimed::default());
    // SAFETY: there is no such half.
    assert_eq!(unsafe { control.reclaim(99) }, Reclaimed::default());
    assert_eq!((control.leased(), control.usage().leases_reclaimed), (1, 2));
    let event = LeasesReclaimed {
        holder: u32::from(id),
        count: 2,
        first_frame: Some(128),
    };
    let published = recorder.all(|report| match report {
        Report::LeasesReclaimed(reclaimed) => Some(*reclaimed),
        _ => None,
    });
    assert_eq!(published, [event]);
    let next = control.attach_with(&[(64, 3)]).unwrap();
    drop(shared);
    let all: Vec<_> = core::iter::from_fn(|| next.acquire(64).ok()).collect();
    assert_eq!((all.len(), control.is_valid()), (4, true));
}

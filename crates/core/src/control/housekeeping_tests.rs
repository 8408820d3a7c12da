use super::*;
use crate::BufferPool;
use crate::observer::recorder::{Recorder, Report};

#[test]
fn leak_is_published_once_and_again_for_another_buffer() {
    let recorder = Recorder::default();
    let (mut control, mut half) = BufferPool::builder()
        .class(64, 4)
        .leak_sampling(1)
        .build()
        .unwrap();
    control.attach_observer(recorder.observer());
    assert_eq!(control.report_leaks(|_| false), 0);
    half.begin_quantum(128);
    let (leaked, kept) = (half.acquire(50).unwrap(), half.acquire(64).unwrap());
    let excused = kept.slot_index();
    assert_eq!(control.report_leaks(|slot| slot == excused), 1);
    assert_eq!(control.report_leaks(|slot| slot == excused), 0);
    assert_eq!(control.usage().buffers_leaked, 1);
    let first = BufferLeaked {
        slot: leaked.slot_index(),
        class_samples: 64,
        requested: 50,
        first_frame: Some(128),
    };
    let leaks = recorder.all(|report| match report {
        Report::Leaked(leaked) => Some(*leaked),
        _ => None,
    });
    assert_eq!(leaks, [first]);
    drop(leaked);
    assert_eq!(control.report_leaks(|_| false), 1);
    drop(kept);
    assert_eq!(control.report_leaks(|_| false), 0);
}

#[test]
fn leases_of_a_dead_participant_are_reclaimed_and_published() {
    let recorder = Recorder::default();
    let (mut control, half) = BufferPool::builder().class(64, 4).build().unwrap();
    control.attach_observer(recorder.observer());
    let mut leases = LeaseTable::new(3, 4);
    for _ in 0..2 {
        leases.open(half.acquire(64).unwrap()).unwrap();
    }
    assert_eq!(control.reclaim_leases(&mut leases), 2);
    assert_eq!((control.leased(), control.usage().leases_reclaimed), (0, 2));
    let published = recorder.all(|report| match report {
        Report::LeasesReclaimed(reclaimed) => Some(*reclaimed),
        _ => None,
    });
    assert_eq!(
        (published.len(), published[0].holder, published[0].count),
        (1, 3, 2)
    );
}

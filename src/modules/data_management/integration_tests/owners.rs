//! After the owner of a half was dropped: no request to it, no count of it, and no unreported buffer is left.

use core::mem::forget;

use proptest::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::modules::data_management::control::pool_maintenance::PoolMaintenance;
use crate::modules::data_management::pool_monitor::AlertRules;
use crate::modules::data_management::sizing::sizing_rules::SizingPolicy;
use crate::modules::data_management::{BufferPool, PoolControl, PoolFigures, RealtimePool};

fn pool(limit_samples: usize) -> (PoolControl, RealtimePool) {
    let pool = BufferPool::builder().class(256, 8).class(1024, 2);
    pool.leak_sampling(1)
        .limit_samples(limit_samples)
        .build()
        .unwrap()
}

/// Runs quanta and control steps; returns how many buffers the last of them moved.
fn settle(control: &mut PoolControl, half: &mut RealtimePool) -> u32 {
    let mut moved = 0;
    for quantum in 0..100 {
        half.begin_quantum(quantum * 128);
        let report = control.step(64);
        moved = if quantum < 50 {
            0
        } else {
            moved + report.collected + report.replenished
        };
    }
    assert!(control.is_valid());
    moved
}

fn carved(control: &PoolControl, samples: usize) -> u64 {
    let metrics = control.metrics();
    let class = metrics
        .classes
        .iter()
        .find(|class| class.samples == samples);
    class.map_or(0, |class| class.carved)
}

#[wasm_bindgen_test(unsupported = test)]
fn stale_limit_of_a_former_owner_does_not_shrink_the_next_half() {
    type Asked = fn(&mut PoolControl);
    let asked: [Asked; 5] = [
        |control| control.trim(256, 0).unwrap(),
        |control| control.shrink(256, 8).unwrap(),
        |control| control.replenish_below(256, 20).unwrap(),
        |control| {
            control.shrink(256, 3).unwrap();
            control.trim(256, 2).unwrap();
        },
        |control| {
            control.defragment();
        },
    ];
    for (number, asked) in asked.into_iter().enumerate() {
        for quanta in [0, 1, 3] {
            for (out, leaked) in [(false, false), (true, false), (false, true)] {
                let (mut control, mut half) = pool(1 << 14);
                let held = half.acquire(256).ok().filter(|_| out);
                drop(half.scratch(256));
                if leaked {
                    forget(half.scratch(256));
                }
                asked(&mut control);
                for frame in 0..quanta {
                    half.begin_quantum(frame);
                    control.step(64);
                }
                drop(half);
                let mut half = control.attach_with(&[(256, 8)]).unwrap();
                assert_eq!(settle(&mut control, &mut half), 0, "case {number}");
                let all: Vec<_> = core::iter::from_fn(|| half.acquire(256).ok()).collect();
                assert_eq!(all.len(), 8, "case {number} after {quanta} quanta");
                drop((all, held));
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn stale_frames_of_a_former_stream_are_not_reported() {
    let (mut control, mut half) = pool(1 << 14);
    half.begin_quantum(1 << 40);
    let held = half.acquire(256).unwrap();
    drop(half);
    let mut half = control.attach_with(&[(256, 2)]).unwrap();
    let own = half.acquire(256).unwrap();
    half.begin_quantum(128);
    let frames = |control: &PoolControl, slot| {
        let report = control.leak_report();
        let site = report.sites.iter().find(|site| site.slot == slot);
        site.map(|site| (site.first_frame, site.held_frames))
    };
    assert_eq!(frames(&control, held.slot_index()), Some((None, None)));
    assert_eq!(frames(&control, own.slot_index()), Some((None, None)));
}

#[wasm_bindgen_test(unsupported = test)]
fn trim_and_replenish_do_not_move_buffers_to_and_fro() {
    for (keep, idle) in [
        (1, 6),
        (0, 1),
        (6, 6),
        (5, 6),
        (0, u32::MAX),
        (u32::MAX, 3),
        (7, 3),
    ] {
        for trimmed_last in [true, false] {
            let (mut control, mut half) = pool(1 << 14);
            if trimmed_last {
                control.replenish_below(256, idle).unwrap();
                control.trim(256, keep).unwrap();
            } else {
                control.trim(256, keep).unwrap();
                control.replenish_below(256, idle).unwrap();
            }
            let moved = settle(&mut control, &mut half);
            assert_eq!(
                moved, 0,
                "keep {keep}, fill up to {idle}, trim last: {trimmed_last}"
            );
            let held = carved(&control, 256);
            assert!(!trimmed_last || held <= u64::from(keep));
            assert!(trimmed_last || held >= u64::from(idle.min(8)));
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn replenished_buffers_are_not_taken_back_by_shrinking() {
    let (mut control, mut half) = pool(1 << 14);
    control.replenish_below(256, 6).unwrap();
    for _ in 0..3 {
        control.shrink(256, 8).unwrap();
        assert_eq!(settle(&mut control, &mut half), 0);
        assert_eq!(carved(&control, 256), 6);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn replenishing_fills_up_as_far_as_the_limit_allows() {
    let (mut control, mut half) = pool(10 * 256 + 2 * 1024);
    control.replenish_below(256, 100).unwrap();
    assert_eq!(settle(&mut control, &mut half), 0);
    assert_eq!(carved(&control, 256), 10);
}

#[wasm_bindgen_test(unsupported = test)]
fn leaked_scratch_is_reported_also_one_from_the_cache() {
    let (mut control, mut half) = pool(1 << 14);
    let out = |control: &PoolControl| {
        let in_use = control.slots().filter(|slot| slot.requested_samples > 0);
        (in_use.count(), control.leak_report().leased)
    };
    forget(half.scratch(100));
    assert_eq!(out(&control), (1, 1));
    // The next released buffer is cached, and leaks from the cache.
    drop(half.scratch(100));
    forget(half.scratch(100));
    assert_eq!(out(&control), (2, 2));
    assert_eq!(control.report_leaks(|_| false), 2);
    assert_eq!(control.report_leaks(|_| false), 0);
    assert_eq!(control.metrics().buffers_leaked, 2);
    settle(&mut control, &mut half);
    assert_eq!(
        (out(&control), control.report_leaks(|_| false)),
        ((2, 2), 0)
    );
    // The cache serves requests again.
    drop(half.scratch(100));
    forget(half.scratch(100));
    drop(half);
    assert_eq!((out(&control), control.is_valid()), ((3, 3), true));
    let mut half = control.attach().unwrap();
    settle(&mut control, &mut half);
    assert_eq!(
        (out(&control), control.report_leaks(|_| false)),
        ((3, 3), 1)
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn scratch_that_is_not_leaked_stays_cached() {
    let (control, mut half) = pool(1 << 14);
    for quantum in 0..20 {
        half.begin_quantum(quantum * 128);
        let slot = |half: &RealtimePool| half.scratch(256).unwrap().as_ptr().addr();
        assert_eq!(slot(&half), slot(&half));
    }
    assert_eq!((control.leased(), control.is_valid()), (0, true));
}

/// Operations on the halves of a pool, in some order.
#[derive(Debug, Clone, Copy)]
enum Change {
    Attach,
    AttachWith,
    Drop,
    Use,
    Classes,
    Steps,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn counts_never_fall_when_halves_change_hands(
        changes in prop::collection::vec(
            prop::sample::select(vec![
                Change::Attach, Change::AttachWith, Change::Drop, Change::Use, Change::Use, Change::Classes, Change::Steps,
            ]),
            1..60,
        ),
    ) {
        let (mut control, half) = pool(1 << 16);
        let policy = SizingPolicy { window_ms: 20.0, ..SizingPolicy::default() };
        let mut maintenance = PoolMaintenance::new(AlertRules::default(), Some(policy)).unwrap();
        let (mut halves, mut now_ms, mut total, mut used) = (vec![half], 0.0, 0, 0);
        for change in changes {
            match change {
                Change::Attach => halves.extend(control.attach().ok()),
                Change::AttachWith => halves.extend(control.attach_with(&[(1024, 3)]).ok()),
                Change::Drop => drop(halves.pop()),
                Change::Classes => {
                    let is_small = control.classes().any(|class| class == 256);
                    let _ = control.set_classes(if is_small { &[1024] } else { &[256, 1024] });
                }
                Change::Use => {
                    for half in &mut halves {
                        half.begin_quantum(0);
                        let held: Vec<_> = (0..10).map(|_| half.acquire(200)).collect();
                        used += held.len() as u64;
                        drop(held);
                    }
                }
                Change::Steps => {
                    for _ in 0..8 {
                        now_ms += 5.0;
                        halves.iter_mut().for_each(|half| half.begin_quantum(0));
                        maintenance.step(now_ms, &mut control, None, |_| {});
                    }
                }
            }
            let metrics = control.metrics();
            prop_assert!(metrics.total_allocations >= total);
            prop_assert_eq!(metrics.total_allocations, used);
            total = metrics.total_allocations;
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn hit_rate_of_dropped_halves_is_not_measured() {
    let (mut control, mut half) = pool(1 << 16);
    let policy = SizingPolicy {
        window_ms: 50.0,
        ..SizingPolicy::default()
    };
    let mut maintenance = PoolMaintenance::new(AlertRules::default(), Some(policy)).unwrap();
    let mut now_ms = 0.0;
    let mut step = |control: &mut PoolControl| {
        now_ms += 5.0;
        maintenance.step(now_ms, control, None, |_| {});
        maintenance
            .engine()
            .and_then(|engine| engine.last_plan().cloned())
    };
    // Until a plan was applied.
    let planned = (0..20).any(|quantum| {
        half.begin_quantum(quantum * 128);
        drop((0..20).map(|_| half.acquire(256)).collect::<Vec<_>>());
        step(&mut control).is_some()
    });
    assert!(planned);
    let requests = control.metrics().total_allocations;
    drop(half);
    let _own = control.attach_with(&[(256, 1)]).unwrap();
    let last = (0..40).filter_map(|_| step(&mut control)).last().unwrap();
    let measured = last.measured.expect("a window has passed");
    assert!(measured.hit_rate_percentage.is_none(), "{measured:?}");
    assert_eq!(control.metrics().total_allocations, requests);
}

//! The pool against a naive twin: arbitrary sequences of operations, the accounts checked after each.
//!
//! Laws:
//! 1. What is written into a buffer is what is read from it and from every reference to it, whatever else happens.
//! 2. No two live buffers share memory; a buffer's address stays until its last handle is gone.
//! 3. Buffers in hands = handles in the twin, planar buffers once per channel.
//! 4. free + local + inbox + surplus + leased = carved, and carved + free arena = reserved (`PoolControl::is_valid`).
//! 5. Every acquire that succeeded was counted, and hits + misses = requests.
//! 6. A lease number answers exactly while the twin holds it; every other number, stale or forged, is refused.
//! 7. Memory stays within the limit.
//! 8. With everything given back, nothing is leased, and every half of the pool may go in any order.
//!
//! Each law is seen to trip: by a twin that errs in one thing, and by a pool that loses what it is given.
#![cfg(not(any(loom, target_arch = "wasm32")))]
#![allow(clippy::unwrap_used)] // A test fails by it.

mod operations;
mod twin;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use wavepool::modules::data_management::ExhaustionPolicy;

use operations::{Op, op};
use twin::{Bench, SLIPS, Slip};

/// Everything a run is made of.
#[derive(Debug, Clone)]
struct Run {
    ops: Vec<Op>,
    policy: ExhaustionPolicy,
    control_first: bool,
}

fn run() -> impl Strategy<Value = Run> {
    let policy = prop_oneof![
        Just(ExhaustionPolicy::Fail),
        Just(ExhaustionPolicy::BorrowNextLarger),
        (1u32..4).prop_map(ExhaustionPolicy::Reserve),
    ];
    (vec(op(), 1..160), policy, any::<bool>()).prop_map(|(ops, policy, control_first)| Run {
        ops,
        policy,
        control_first,
    })
}

fn obeys(run: &Run, slip: Option<Slip>) {
    let mut bench = Bench::new(run.policy, slip);
    for op in &run.ops {
        bench.run(op);
        bench.agree();
    }
    if bench.slips(Slip::Last) {
        std::mem::forget(bench.held.pop());
    }
    bench.held.clear();
    assert_eq!(bench.table.reclaim(), bench.leases.len());
    assert_eq!(bench.control.leased(), 0, "law 8: leased in the end");
    assert!(bench.control.is_valid(), "law 8: the accounts in the end");
    let Bench {
        control, halves, ..
    } = bench;
    if run.control_first {
        drop(control);
        drop(halves);
    } else {
        drop(halves);
        drop(control);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn the_pool_agrees_with_its_twin(run in run()) {
        obeys(&run, None);
    }
}

#[test]
fn each_law_trips_on_a_twin_or_a_pool_that_errs() {
    for (slip, law) in SLIPS {
        let config = ProptestConfig {
            cases: 192,
            max_shrink_iters: 0,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let outcome = runner.run(&run(), |run| {
            obeys(&run, Some(slip));
            Ok(())
        });
        match outcome {
            Err(TestError::Fail(reason, _)) => {
                assert!(reason.message().contains(law), "{slip:?}: {reason}");
            }
            other => panic!("{slip:?} was not noticed: {other:?}"),
        }
    }
}

//! The configured mix is a lower limit until demand has aged: sizing takes none of it away in the first seconds.

use wasm_bindgen_test::wasm_bindgen_test;

use crate::modules::data_management::control::pool_maintenance::PoolMaintenance;
use crate::modules::data_management::pool_monitor::AlertRules;
use crate::modules::data_management::sizing::histograms::WINDOWS;
use crate::modules::data_management::sizing::sizing_rules::SizingPolicy;
use crate::modules::data_management::{
    BufferPool, PoolBuilder, PoolControl, PoolFigures, RealtimePool,
};

const WINDOW_MS: f64 = if cfg!(miri) { 60.0 } else { 500.0 };
const STEP_MS: f64 = 2.5;

struct Host {
    control: PoolControl,
    halves: Vec<RealtimePool>,
    maintenance: PoolMaintenance,
    step: u32,
}

impl Host {
    fn new(pool: PoolBuilder) -> Self {
        let policy = SizingPolicy {
            window_ms: WINDOW_MS,
            ..SizingPolicy::default()
        };
        let (control, half) = pool.build().unwrap();
        Self {
            control,
            halves: vec![half],
            maintenance: PoolMaintenance::new(AlertRules::default(), Some(policy)).unwrap(),
            step: 0,
        }
    }

    /// Runs a quantum in which each half has so many buffers of 512 in use, and a control step.
    fn step(&mut self, in_use: usize) {
        self.step += 1;
        for half in &mut self.halves {
            half.begin_quantum(u64::from(self.step) * 128);
            let held: Vec<_> = (0..in_use).filter_map(|_| half.acquire(512).ok()).collect();
            held.into_iter().for_each(|buffer| half.release(buffer));
        }
        let now_ms = f64::from(self.step) * STEP_MS;
        self.maintenance
            .step(now_ms, &mut self.control, None, |_| {});
    }

    fn carved(&self, samples: usize) -> u64 {
        let metrics = self.control.metrics();
        let class = metrics
            .classes
            .iter()
            .find(|class| class.samples == samples);
        class.map_or(0, |class| class.carved - class.draining)
    }
}

fn pool() -> PoolBuilder {
    BufferPool::builder().class(512, 8).class(4096, 8)
}

/// Runs steps until just before demand has aged.
fn young() -> u32 {
    (WINDOW_MS / STEP_MS) as u32 * (WINDOWS as u32 - 1)
}

#[wasm_bindgen_test(unsupported = test)]
fn configured_mix_is_a_floor_until_demand_has_aged() {
    let pools = [
        pool().limit_samples(1 << 22),
        pool().limit_samples(1 << 17),
        pool().reserve_samples(1 << 17),
        // The pool cannot grow: its own mix fills the limit.
        pool(),
    ];
    let uses: [fn(u32) -> usize; 4] = [
        |_| 1,
        |_| 8,
        |step| step as usize % 7,
        |step| 8 * usize::from(step % 40 < 20),
    ];
    for pool in pools {
        for in_use in uses {
            let mut host = Host::new(pool.clone());
            for step in 0..young() {
                host.step(in_use(step));
                let kept = [512, 4096].map(|samples| host.carved(samples).min(8));
                assert_eq!(kept, [8, 8], "after {step} steps");
            }
            // After demand has aged, only use counts.
            (0..2 * young()).for_each(|_| host.step(1));
            assert!(host.carved(4096) < 8 && host.carved(512) < 8);
            assert!(host.control.is_valid());
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn configured_mix_stays_while_another_class_grows() {
    let mut host = Host::new(pool().limit_samples(1 << 22));
    for _ in 0..young() {
        host.step(40);
        assert_eq!(host.carved(4096), 8);
    }
    assert!(host.carved(512) >= 40);
}

#[wasm_bindgen_test(unsupported = test)]
fn configured_mix_of_a_half_attached_later_is_a_floor_too() {
    let mut host = Host::new(pool().limit_samples(1 << 22));
    (0..3 * young()).for_each(|_| host.step(1));
    let aged = host.carved(4096);
    assert!(aged < 8);
    host.halves.push(host.control.attach().unwrap());
    for step in 0..young() {
        host.step(1);
        assert!(host.carved(4096) >= 8, "after {step} steps");
    }
    (0..2 * young()).for_each(|_| host.step(1));
    assert!(host.carved(4096) < 8);
}

#[wasm_bindgen_test(unsupported = test)]
fn configured_mix_gives_way_where_the_limit_leaves_a_rising_class_no_room() {
    let mut host = Host::new(pool());
    (0..young()).for_each(|step| host.step((step / 4 + 1) as usize));
    assert!(host.carved(512) > 8);
}

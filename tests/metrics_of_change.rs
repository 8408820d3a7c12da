//! Figures that a long random run does not show, held against what was done: buffers asked back while in use, classes that
//! are gone, peaks between control steps, vectors the system had to make.

use std::collections::HashSet;

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::data_management::{
    BufferPool, BufferRecyclingPool, BufferRecyclingPoolImpl, DataManagementModule, PoolFigures,
};
use wavepool::registry::ModuleRegistry;

#[test]
fn figures_of_change_agree_with_what_was_done() {
    let (mut control, mut half) = BufferPool::builder()
        .class(256, 8)
        .class(1024, 4)
        .build()
        .unwrap();
    let held: Vec<_> = (0..8).map(|_| half.acquire(256).unwrap()).collect();
    control.shrink(256, 3).unwrap();
    assert_eq!(control.metrics().classes[0].draining, 3);
    drop(held);
    for frame in 1..8 {
        half.begin_quantum(frame * 128);
        control.step(100);
    }
    let left = control.slots().filter(|slot| slot.samples == 256).count();
    assert_eq!((left, control.metrics().classes[0].draining), (5, 0));

    let kept = half.acquire(256).unwrap();
    control.set_classes(&[512, 1024]).unwrap();
    half.begin_quantum(10_000);
    control.step(100);
    for class in control.metrics().classes {
        assert_eq!(
            class.retired,
            control.classes().all(|samples| samples != class.samples)
        );
    }
    drop(kept);

    let mut registry = ModuleRegistry::builder(TypedEventBus::default())
        .boot()
        .unwrap();
    let module = registry.get_mut::<DataManagementModule>().unwrap();
    let mut half = module.attach_realtime().unwrap();
    for (step, peak) in [3usize, 7, 0, 5].into_iter().enumerate() {
        half.begin_quantum(step as u64 * 128);
        let held: Vec<_> = (0..peak).map(|_| half.acquire(200).unwrap()).collect();
        drop(held);
        module.tick(step as f64 * 10.0);
        assert_eq!(
            module.observed().unwrap().classes[0].recent_high_water,
            peak as u64
        );
    }

    let mut vectors =
        BufferRecyclingPoolImpl::new(BufferPool::builder().class(256, 2).limit_samples(4096))
            .unwrap();
    let mut known = HashSet::new();
    let mut created = 0;
    for round in 0..10 {
        let out: Vec<_> = (0..round % 4)
            .map(|_| vectors.get_or_create(256).unwrap())
            .collect();
        created += out
            .iter()
            .filter(|vector| known.insert(vector.as_ptr().addr()))
            .count() as u64;
        for vector in out {
            vectors.recycle(vector).unwrap();
        }
    }
    let metrics = vectors.get_efficiency_metrics();
    assert_eq!(metrics.created, created);
    assert_eq!(metrics.classes[0].created, created);
}

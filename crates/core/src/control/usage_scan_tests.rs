use crate::BufferPool;

use super::*;

const SLOTS_PER_STEP: u32 = if cfg!(miri) { 64 } else { 2048 };

#[test]
fn usage_scan_in_parts_agrees_with_a_whole_scan() {
    let buffers = 2 * SLOTS_PER_STEP + 10;
    let (mut control, half) = BufferPool::builder().class(16, buffers).build().unwrap();
    let mut held: Vec<_> = (0..buffers).map(|_| half.acquire(10).unwrap()).collect();
    let requested = |control: &mut crate::PoolControl| {
        let before = control.counts.usage_scan.scanned();
        let counts = control.usage_of_step(SLOTS_PER_STEP);
        assert!(control.counts.usage_scan.scanned() - before <= u64::from(SLOTS_PER_STEP));
        counts.classes[0].requested_samples
    };
    let seen: Vec<_> = (0..3).map(|_| requested(&mut control)).collect();
    let all = u64::from(buffers) * 10;
    assert_eq!(seen, [0, 0, all]);
    // Some were released: the others count with the mean of all.
    held.drain(..100);
    assert_eq!(requested(&mut control), all - 1000);
    assert_eq!(control.usage().classes[0].requested_samples, all - 1000);
    drop(held);
    assert_eq!(requested(&mut control), 0);
}

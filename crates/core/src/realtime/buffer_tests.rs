use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::BufferPool;

#[test]
fn reference_count_overflow_panics_and_counts_nothing() {
    let (control, half) = BufferPool::builder().class(64, 1).build().unwrap();
    let shared = half.acquire(64).unwrap().freeze();
    let table = &shared.raw.size_class().pool().table;
    let refs = &table.slot(shared.raw.index).extent.refs;
    let most = u32::MAX / 2 + 1;
    refs.store(most, Ordering::Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| shared.clone())).is_err());
    assert_eq!(refs.load(Ordering::Relaxed), most);
    refs.store(1, Ordering::Relaxed);
    drop(shared);
    assert_eq!(control.leased(), 0);
}

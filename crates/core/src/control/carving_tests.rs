use super::*;
use crate::BufferPool;

/// Room for twice as many buffers of 16 samples; the interpreter, which is slow, has fewer.
const LIMIT: usize = if cfg!(miri) { 1 << 15 } else { 1 << 21 };

#[test]
fn too_many_buffers_at_once_are_refused_with_the_number() {
    let most = MAX_NEWLY_CARVED as u32;
    let refused = BufferPool::builder().class(16, most + 1).build().err();
    let (requested, most_at_once) = (most as usize + 1, most as usize);
    let too_many = PoolError::TooManyAtOnce {
        requested,
        most: most_at_once,
    };
    assert_eq!(refused, Some(too_many));
    let (mut control, _half) = BufferPool::builder()
        .class(16, most)
        .limit_samples(LIMIT)
        .build()
        .unwrap();
    let reserved = control.carver.arena.reserved_units;
    assert_eq!(control.grow(16, 1), Err(INBOX_FULL));
    assert_eq!(control.grow(16, most + 1), Err(too_many));
    assert_eq!(control.carver.arena.reserved_units, reserved);
    assert_eq!(control.leased(), 0);
}

#[test]
fn inbox_chain_put_back_is_never_lost() {
    let most = MAX_NEWLY_CARVED as u32;
    let (mut control, _half) = BufferPool::builder()
        .class(16, most)
        .limit_samples(LIMIT)
        .build()
        .unwrap();
    let Some(size_class) = control.pool.size_classes().next() else {
        return;
    };
    let chain = size_class.shared.inbox.front.take();
    control.carver.carve(&control.pool, size_class, 1).unwrap();
    put_back(&control.pool, size_class, chain, 0);
    assert_eq!(control.leased(), 0);
}

use super::*;
use crate::BufferPool;

#[test]
fn region_size_follows_the_need_not_the_limit() {
    // The table has a word for each 64 buffers that there may be; the interpreter is slow.
    let limits = if cfg!(miri) {
        [1 << 20; 2]
    } else {
        [1 << 30, usize::MAX]
    };
    for limit in limits {
        let (mut control, _half) = BufferPool::builder()
            .class(256, 4)
            .limit_samples(limit)
            .build()
            .unwrap();
        control.grow(256, 1).unwrap();
        assert!(control.reserved_units <= 2 * 4 * units(256));
        // Far below the limit, and the regions do not run out.
        for _ in 0..12 {
            control.grow(256, 64).unwrap();
        }
        assert!(control.usage().bytes_limit >= control.usage().bytes_reserved);
        assert!(control.is_valid());
    }
}

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
        .limit_samples(1 << 21)
        .build()
        .unwrap();
    let reserved = control.reserved_units;
    assert_eq!(control.grow(16, 1), Err(INBOX_FULL));
    assert_eq!(control.grow(16, most + 1), Err(too_many));
    assert_eq!(control.reserved_units, reserved);
    assert_eq!(control.leased(), 0);
}

#[test]
fn inbox_chain_put_back_is_never_lost() {
    let most = MAX_NEWLY_CARVED as u32;
    let (mut control, _half) = BufferPool::builder()
        .class(16, most)
        .limit_samples(1 << 21)
        .build()
        .unwrap();
    let Some(size_class) = control.pool.size_classes().next() else {
        return;
    };
    let chain = size_class.shared.inbox.front.take();
    control.carve(size_class, 1).unwrap();
    control.put_back(&size_class, chain, 0);
    assert_eq!(control.leased(), 0);
}

use super::*;
use crate::BufferPool;
use crate::realtime::pool_core::Core;

#[test]
fn region_size_follows_the_need_not_the_limit() {
    // The table has a word for each 64 buffers that there may be; the interpreter is slow.
    let (limits, buffers) = if cfg!(miri) {
        ([1 << 18; 2], 8)
    } else {
        ([1 << 30, usize::MAX], 64)
    };
    for limit in limits {
        let (mut control, _half) = BufferPool::builder()
            .class(256, 4)
            .limit_samples(limit)
            .build()
            .unwrap();
        control.grow(256, 1).unwrap();
        assert!(control.carver.arena.reserved_units <= 2 * 4 * units(256));
        // Far below the limit, and the regions do not run out.
        for _ in 0..12 {
            control.grow(256, buffers).unwrap();
        }
        assert!(control.usage().bytes_limit >= control.usage().bytes_reserved);
        assert!(control.is_valid());
    }
}

#[test]
fn held_and_padding_samples_follow_what_is_taken_and_given() {
    let pool = ControlRef::new(Core::new(64));
    let options = ArenaOptions {
        limit_samples: 1024,
        source: MemorySource::Heap,
        prefault: false,
    };
    let mut arena = Arena::new(options, 100);
    assert_eq!(arena.make_room(&pool, 100, 4), Ok(1));
    let mut fit = Fit::new(units(100) as u32, 1);
    let runs: Vec<_> = (0..4).map(|_| arena.take(100, &mut fit).unwrap()).collect();
    assert_eq!((arena.held_samples(), arena.padding_samples()), (400, 48));
    // Padding is not part of the limit.
    assert_eq!(arena.room_samples(), 1024 - 400);
    let refused = PoolError::LimitReached {
        requested: 700,
        available: 624,
        limit: 1024,
    };
    assert_eq!(arena.make_room(&pool, 700, 1), Err(refused));
    runs.into_iter().for_each(|run| arena.give(100, run));
    assert_eq!((arena.held_samples(), arena.padding_samples()), (0, 0));
    assert!(arena.free.is_valid());
}

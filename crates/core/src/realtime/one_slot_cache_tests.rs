use super::*;
use crate::realtime::slot_table::SlotTable;

const CAPACITY: u32 = 256;

/// Puts a buffer into the cache, as its release does.
fn put(cache: &OneSlotCache, table: &SlotTable, index: SlotIndex) -> bool {
    // SAFETY: each test drops the cache first.
    unsafe { cache.put(table.slot(index), index, NonNull::dangling(), CAPACITY) }
}

#[test]
fn one_slot_cache_keeps_the_buffer_released_last() {
    let (table, slots) = SlotTable::of_slots(2);
    let cache = OneSlotCache::new(CacheState::Vacant);
    assert!(put(&cache, &table, slots[0]));
    assert!(!put(&cache, &table, slots[1]));
    let scratch = cache.take(AcquireKind::Scratch, 1).unwrap();
    assert_eq!((scratch.index, cache.cached()), (slots[0], None));
    // In use, and expected back: no other buffer is cached.
    assert!(!put(&cache, &table, slots[1]));
    assert!(!cache.put_back_scratch(slots[1], CAPACITY));
    assert_eq!(cache.borrowed_scratch(), Some(slots[0]));
    assert!(cache.put_back_scratch(slots[0], CAPACITY));
    assert_eq!(cache.cached(), Some(slots[0]));
    // As an owned buffer it may or may not come back.
    assert!(cache.take(AcquireKind::Owned, 100).is_some());
    assert_eq!(table.slot(slots[0]).requested_samples(), 100);
    assert!(put(&cache, &table, slots[1]) && !cache.put_back(slots[0], CAPACITY));
    assert!(cache.take(AcquireKind::Owned, 100).is_some() && cache.put_back(slots[1], CAPACITY));
    assert_eq!((cache.scratches.get(), cache.acquires.get()), (1, 2));
}

#[test]
fn one_slot_cache_expects_nothing_after_it_was_cleared() {
    let (table, slots) = SlotTable::of_slots(1);
    let cache = OneSlotCache::new(CacheState::Vacant);
    assert!(put(&cache, &table, slots[0]));
    assert!(cache.take(AcquireKind::Owned, 100).is_some());
    cache.clear(CacheState::Vacant);
    assert!(!cache.put_back_scratch(slots[0], CAPACITY));
    assert!(!cache.put_back(slots[0], CAPACITY));
}

#[test]
fn one_slot_cache_serves_neither_zero_nor_too_many_samples() {
    let (table, slots) = SlotTable::of_slots(1);
    let cache = OneSlotCache::new(CacheState::Vacant);
    assert!(cache.take(AcquireKind::Scratch, 1).is_none());
    assert!(put(&cache, &table, slots[0]));
    for samples in [0, CAPACITY as usize + 1, usize::MAX] {
        assert!(
            cache.take(AcquireKind::Scratch, samples).is_none(),
            "{samples}"
        );
    }
    assert!(cache.take(AcquireKind::Scratch, 256).is_some());
}

#[test]
fn disabled_cache_accepts_no_buffer_until_it_is_enabled() {
    let (table, slots) = SlotTable::of_slots(1);
    let cache = OneSlotCache::new(CacheState::Disabled);
    assert!(!put(&cache, &table, slots[0]));
    assert_eq!(cache.reclaim(CacheState::Disabled), None);
    assert!(!put(&cache, &table, slots[0]));
    cache.clear(CacheState::Vacant);
    assert!(put(&cache, &table, slots[0]));
}

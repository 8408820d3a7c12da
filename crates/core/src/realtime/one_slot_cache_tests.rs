use super::*;
use crate::realtime::pool_core::SharedPtr;

#[test]
fn one_slot_cache_keeps_the_buffer_released_last() {
    let (table, slots) = SlotTable::of_slots(3);
    let size_class = SizeClass::for_test(3, 0);
    size_class.push(table.slot(slots[0]), slots[0]);
    let samples = NonNull::dangling();
    assert!(size_class.cache_released(table.slot(slots[1]), slots[1], samples));
    assert!(!size_class.cache_released(table.slot(slots[2]), slots[2], samples));
    assert_eq!((size_class.local(), size_class.returned_here()), (2, 2));
    let scratch = size_class.take(AcquireKind::Scratch, 1).unwrap();
    assert_eq!((scratch.index, size_class.local()), (slots[1], 1));
    // In use, and expected back: no other buffer is cached, and a flush changes nothing.
    assert!(!size_class.cache_released(table.slot(slots[2]), slots[2], samples));
    size_class.flush_cache(&table);
    assert!(!size_class.return_scratch_to_cache(slots[2]));
    assert_eq!(size_class.borrowed_scratch(), Some(slots[1]));
    assert!(size_class.return_scratch_to_cache(slots[1]));
    assert_eq!(
        (
            size_class.local(),
            size_class.returned_here(),
            size_class.hits()
        ),
        (2, 3, 1)
    );
    assert_eq!(size_class.take_unpublished(), (1, 3));
    // After a flush it is the first of the list.
    size_class.flush_cache(&table);
    assert_eq!((size_class.local(), size_class.returned_here()), (2, 3));
    assert_eq!(size_class.pop(&table, 1).unwrap().0, slots[1]);
}

#[test]
fn one_slot_cache_does_not_expect_a_buffer_from_the_list() {
    let (table, slots) = SlotTable::of_slots(1);
    let (slot, samples) = (table.slot(slots[0]), NonNull::dangling());
    let size_class = SizeClass::for_test(1, 0);
    assert!(size_class.cache_released(slot, slots[0], samples));
    assert!(size_class.take_cached(AcquireKind::Owned, 100).is_some());
    size_class.shared.inbox.push(slot.state, slots[0]).unwrap();
    assert_eq!(size_class.refill(&table), 1);
    assert!(size_class.pop(&table, 100).is_some());
    // It is in use, and returns as a buffer from the list.
    assert!(!size_class.return_scratch_to_cache(slots[0]));
    assert!(!size_class.return_to_cache(slots[0]));
}

#[test]
fn one_slot_cache_serves_neither_zero_nor_too_many_samples() {
    let (table, slots) = SlotTable::of_slots(1);
    let size_class = SizeClass::for_test(1, 0);
    assert!(size_class.take_cached(AcquireKind::Scratch, 1).is_none());
    assert!(size_class.cache_released(table.slot(slots[0]), slots[0], NonNull::dangling()));
    for samples in [0, size_class.samples as usize + 1, usize::MAX] {
        assert!(
            size_class
                .take_cached(AcquireKind::Scratch, samples)
                .is_none(),
            "{samples}"
        );
    }
    assert!(size_class.take_cached(AcquireKind::Scratch, 256).is_some());
}

#[test]
fn disabled_cache_accepts_no_buffer() {
    let (table, slots) = SlotTable::of_slots(1);
    let samples = NonNull::dangling();
    let core = SharedPtr::for_test();
    let scrubbed = SizeClass::new(core, OnRelease::Scrub, (0, 0), 256, 0);
    assert!(!scrubbed.cache_released(table.slot(slots[0]), slots[0], samples));
    let above_threshold = SizeClass::new(core, OnRelease::Leave, (0, 0), 256, 0);
    above_threshold.set_reclaim_threshold(0);
    above_threshold.flush_cache(&table);
    assert!(!above_threshold.cache_released(table.slot(slots[0]), slots[0], samples));
    above_threshold.set_reclaim_threshold(NO_THRESHOLD);
    above_threshold.flush_cache(&table);
    assert!(above_threshold.cache_released(table.slot(slots[0]), slots[0], samples));
}

#[test]
fn disabled_cache_stays_disabled_after_its_owner_died() {
    let (table, slots) = SlotTable::of_slots(1);
    let take = |size_class: &SizeClass| {
        assert_eq!(size_class.reclaim_cache(), None);
        size_class.cache_released(table.slot(slots[0]), slots[0], NonNull::dangling())
    };
    let scrubbed = SizeClass::new(SharedPtr::for_test(), OnRelease::Scrub, (0, 0), 256, 0);
    assert!(!take(&scrubbed) && !take(&SizeClass::for_test(1, 1)));
    assert!(take(&SizeClass::for_test(1, 0)));
}

#[test]
fn disabled_cache_of_a_class_with_a_reserve() {
    let (table, slots) = SlotTable::of_slots(1);
    let size_class = SizeClass::for_test(1, 1);
    assert!(!size_class.cache_released(table.slot(slots[0]), slots[0], NonNull::dangling()));
    size_class.flush_cache(&table);
    assert!(!size_class.cache_released(table.slot(slots[0]), slots[0], NonNull::dangling()));
}

use super::*;
use crate::realtime::pool_state::OnRelease;

#[test]
fn reserve_is_for_critical_acquires_and_survives_a_refill() {
    let (table, slots) = SlotTable::of_slots(4);
    let size_class = SizeClass::for_test(4, 2);
    for &slot in &slots[..3] {
        size_class.push(table.slot(slot), slot);
    }
    assert!(size_class.pop(&table, 1).is_some());
    assert!(size_class.pop(&table, 1).is_none());
    size_class
        .shared
        .inbox
        .push(table.slot(slots[3]).state, slots[3])
        .unwrap();
    assert_eq!(size_class.refill(&table), 1);
    assert_eq!(size_class.local(), 3);
    assert!(size_class.pop(&table, 1).is_some());
    assert!(size_class.pop_reserve(&table, 1).is_some());
    assert!(size_class.pop_reserve(&table, 1).is_some());
    assert!(size_class.pop_reserve(&table, 1).is_none());
    assert_eq!((size_class.leased(), size_class.peak()), (4, 4));
}

#[test]
fn pair_is_popped_only_within_the_credit() {
    let (table, slots) = SlotTable::of_slots(4);
    let size_class = SizeClass::for_test(4, 0);
    for &slot in &slots {
        size_class.push(table.slot(slot), slot);
    }
    // The first two make a new peak, one by one.
    assert!(size_class.pop_pair(&table, 1).is_none());
    let [last, first] = [0, 1].map(|_| size_class.pop(&table, 1).unwrap());
    // SAFETY: no handle was made of them: as for all below.
    unsafe { size_class.push_pair_returned([first, last]) };
    assert_eq!((size_class.local(), size_class.peak()), (4, 2));
    let pair = size_class.pop_pair(&table, 7).unwrap();
    let numbers = pair.map(|(index, slot)| (index.raw(), slot.requested_samples()));
    assert_eq!(numbers, [(2, 7), (3, 7)]);
    assert_eq!((size_class.local(), size_class.hits()), (2, 4));
    // A third and a fourth would make a new peak.
    assert!(size_class.pop_pair(&table, 1).is_none());
    assert_eq!(size_class.peak(), 2);
}

#[test]
fn peak_is_the_most_in_use_at_once() {
    let (table, slots) = SlotTable::of_slots(5);
    let size_class = SizeClass::for_test(5, 0);
    for &slot in &slots {
        size_class.push(table.slot(slot), slot);
    }
    let held: Vec<_> = (0..3)
        .map(|_| size_class.pop(&table, 1).unwrap().0)
        .collect();
    for slot in held {
        size_class.push(table.slot(slot), slot);
    }
    let (slot, _) = size_class.pop(&table, 1).unwrap();
    assert_eq!((size_class.peak(), size_class.window_peak()), (3, 3));
    size_class.restart_window_peak();
    size_class.push(table.slot(slot), slot);
    size_class.begin_window();
    let (slot, _) = size_class.pop(&table, 1).unwrap();
    assert_eq!((size_class.peak(), size_class.window_peak()), (3, 1));
    size_class.push(table.slot(slot), slot);
}

#[test]
fn one_slot_cache_is_flushed_to_the_front_of_the_list() {
    let (table, slots) = SlotTable::of_slots(2);
    let size_class = SizeClass::for_test(2, 0);
    size_class.push(table.slot(slots[0]), slots[0]);
    assert!(size_class.cache_accepts(&table, slots[1]));
    assert_eq!((size_class.local(), size_class.returned_here()), (2, 2));
    let scratch = size_class.take(AcquireKind::Scratch, 1).unwrap();
    assert_eq!((scratch.index, size_class.local()), (slots[1], 1));
    // A `Scratch` will return to the cache: a flush changes nothing.
    size_class.flush_cache(&table);
    assert_eq!(size_class.borrowed_scratch(), Some(slots[1]));
    // SAFETY: as above.
    assert!(unsafe { size_class.put_back_scratch(slots[1]) });
    let counts = |size_class: &SizeClass| (size_class.local(), size_class.returned_here());
    assert_eq!((counts(&size_class), size_class.hits()), ((2, 3), 1));
    assert_eq!(size_class.take_unpublished(), (1, 3));
    size_class.flush_cache(&table);
    assert_eq!(counts(&size_class), (2, 3));
    assert_eq!(size_class.pop(&table, 1).unwrap().0, slots[1]);
}

#[test]
fn one_slot_cache_does_not_expect_a_buffer_from_the_list() {
    let (table, slots) = SlotTable::of_slots(1);
    let size_class = SizeClass::for_test(1, 0);
    assert!(size_class.cache_accepts(&table, slots[0]));
    assert!(size_class.take(AcquireKind::Owned, 100).is_some());
    let state = table.slot(slots[0]).state;
    size_class.shared.inbox.push(state, slots[0]).unwrap();
    assert_eq!(size_class.refill(&table), 1);
    assert!(size_class.pop(&table, 100).is_some());
    // It is in use, and returns as a buffer from the list.
    // SAFETY: as above.
    assert!(!unsafe { size_class.put_back_scratch(slots[0]) });
    // SAFETY: as above.
    assert!(!unsafe { size_class.put_back(slots[0]) });
}

#[test]
fn disabled_cache_of_a_class_that_scrubs_has_a_reserve_or_is_reclaimed() {
    let (table, slots) = SlotTable::of_slots(1);
    let scrubbed = SizeClass::of_test(OnRelease::Scrub, 256, 0);
    for size_class in [&scrubbed, &SizeClass::for_test(1, 1)] {
        assert!(!size_class.cache_accepts(&table, slots[0]));
        size_class.flush_cache(&table);
        assert!(!size_class.cache_accepts(&table, slots[0]));
        assert_eq!(size_class.reclaim_cache(), None);
        assert!(!size_class.cache_accepts(&table, slots[0]));
    }
    let size_class = SizeClass::for_test(1, 0);
    size_class.request_drain(1, 0);
    size_class.flush_cache(&table);
    assert!(!size_class.cache_accepts(&table, slots[0]));
    size_class.end_drain();
    assert_eq!(size_class.reclaim_cache(), None);
    assert!(size_class.cache_accepts(&table, slots[0]));
}

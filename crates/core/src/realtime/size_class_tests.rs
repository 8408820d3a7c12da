use super::*;

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
    size_class.push_pair_returned([first, last]);
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

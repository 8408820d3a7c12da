use super::*;

#[test]
fn idle_class_is_served_only_for_a_reason() {
    let (table, slots) = SlotTable::of_slots(3);
    let size_class = SizeClass::for_test(3, 0);
    size_class.push(table.slot(slots[0]), slots[0]);
    assert!(size_class.cache_accepts(&table, slots[1]));
    let reasons: [fn(&SizeClass); 4] = [
        SizeClass::restart_window_peak,
        SizeClass::request_scan,
        |size_class| size_class.request_drain(1, 1000),
        |size_class| size_class.set_limit(1),
    ];
    size_class.serve(&table, 8);
    for (n, reason) in reasons.into_iter().enumerate() {
        assert!(
            !size_class.needs_service() && !size_class.may_need_service(),
            "before reason {n}"
        );
        reason(&size_class);
        assert!(size_class.needs_service(), "reason {n}");
        size_class.serve(&table, 8);
        size_class.end_drain();
        size_class.set_limit(3);
        size_class.serve(&table, 8);
    }
    let inbox = &size_class.shared.inbox;
    inbox.push(table.slot(slots[2]).state, slots[2]).unwrap();
    assert!(size_class.may_need_service() && !size_class.needs_service());
    assert_eq!(size_class.serve(&table, 8), 1);
    assert!(!size_class.may_need_service());
    // Releases may exceed the limit now, without a request.
    size_class.set_limit(2);
    assert!(size_class.may_need_service());
}

#[test]
fn scan_request_over_several_quanta_is_completed() {
    let (table, slots) = SlotTable::of_slots(6);
    let size_class = SizeClass::for_test(6, 0);
    for &slot in &slots {
        size_class.push(table.slot(slot), slot);
    }
    size_class.request_scan();
    for left in [4, 2, 0] {
        assert!(size_class.needs_service(), "more than {left} to look at");
        size_class.serve(&table, 2);
    }
    assert!(!size_class.needs_service());
    // Those that were kept are in its own inbox.
    size_class.serve(&table, 8);
    assert_eq!(size_class.local(), 6);
}

#[test]
fn shedding_stops_at_the_limit_and_includes_the_inbox() {
    let (table, slots) = SlotTable::of_slots(6);
    let size_class = SizeClass::for_test(6, 0);
    for &slot in &slots[..3] {
        size_class.push(table.slot(slot), slot);
    }
    for &slot in &slots[3..] {
        size_class
            .shared
            .inbox
            .push(table.slot(slot).state, slot)
            .unwrap();
    }
    size_class.set_limit(1);
    for _ in 0..4 {
        size_class.shed(&table, 2);
    }
    assert_eq!(
        (
            size_class.local() + size_class.shared.inbox.length(),
            size_class.shared.surplus.length()
        ),
        (1, 5)
    );
}

#[test]
fn inbox_buffers_returned_last_are_acquired_first() {
    let (table, slots) = SlotTable::of_slots(5);
    let size_class = SizeClass::for_test(5, 0);
    for &slot in &slots[..2] {
        size_class.push(table.slot(slot), slot);
    }
    let inbox = &size_class.shared.inbox;
    assert!(inbox.push_newly_carved(&table, slots[2]));
    for &slot in &slots[3..] {
        inbox.push(table.slot(slot).state, slot).unwrap();
    }
    assert_eq!(size_class.shed(&table, 8), 2);
    assert_eq!((size_class.local(), inbox.length()), (5, 0));
    let order = core::iter::from_fn(|| size_class.pop(&table, 1).map(|(index, _)| index.raw()));
    assert_eq!(order.collect::<Vec<_>>(), [4, 3, 2, 1, 0]);
    assert_eq!(
        (size_class.inbox_returns.get(), size_class.leased()),
        (2, 5)
    );
}

#[test]
fn inbox_too_long_for_a_quantum_is_not_joined() {
    let (table, slots) = SlotTable::of_slots(JOIN_AT_MOST + 2);
    let size_class = SizeClass::for_test(JOIN_AT_MOST + 2, 0);
    size_class.push(table.slot(slots[0]), slots[0]);
    for &slot in &slots[1..] {
        size_class
            .shared
            .inbox
            .push(table.slot(slot).state, slot)
            .unwrap();
    }
    assert_eq!(size_class.shed(&table, 8), 0);
    assert_eq!(size_class.local(), 1);
}

#[test]
fn inbox_of_two_lists_is_joined_up_to_one_bound() {
    let each = JOIN_AT_MOST / 2 + 1;
    let (table, slots) = SlotTable::of_slots(2 * each);
    let size_class = SizeClass::for_test(2 * each, 0);
    let lists = size_class.shared.inbox.lists();
    for (list, slots) in lists.into_iter().zip(slots.chunks(each as usize)) {
        for &slot in slots {
            list.push(table.slot(slot).state, slot).unwrap();
        }
    }
    assert_eq!(size_class.shed(&table, 8), each);
    assert_eq!(
        (size_class.local(), size_class.shared.inbox.length()),
        (each, each)
    );
}

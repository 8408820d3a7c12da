use super::*;

#[test]
fn slot_addresses_stay_while_the_table_grows_to_its_limit() {
    let table = SlotTable::new(130);
    let first = table.add().unwrap();
    let address = |slot: Slot<'_>| {
        (
            ptr::from_ref(slot.state).addr(),
            ptr::from_ref(slot.extent).addr(),
        )
    };
    let before = address(table.slot(first));
    let capacity = 3 * CHUNK;
    for _ in 1..capacity {
        table.add().unwrap();
    }
    assert_eq!(
        table.add(),
        Err(PoolError::TableFull {
            table: Table::Slots,
            capacity
        })
    );
    assert_eq!(address(table.slot(first)), before);
    assert_eq!(table.indices().count(), capacity);
    assert_eq!(table.heap_bytes(), 3 * size_of::<usize>() + capacity * 20);
}

#[test]
fn slot_state_marks_do_not_touch_the_length() {
    let table = SlotTable::new(1);
    let slot = table.slot(table.add().unwrap());
    slot.set_requested(100);
    slot.mark_sampled();
    let marks = || {
        (
            slot.requested_samples(),
            slot.is_sampled(),
            slot.is_frozen(),
        )
    };
    assert_eq!(marks(), (100, true, false));
    slot.set_requested(MAX_SAMPLES as u32);
    assert_eq!(marks(), (MAX_SAMPLES as u32, false, false));
    slot.mark_frozen();
    slot.mark_in_transit(true);
    assert_eq!((marks(), slot.is_idle()), ((0, false, true), false));
    slot.clear();
    assert_eq!((marks(), slot.is_idle()), ((0, false, false), true));
    slot.carve_for_test(3, 77, 900);
    assert_eq!(
        (slot.region(), slot.unit(), slot.size_class()),
        (3, 77, 900)
    );
}

#[test]
fn slot_of_another_table_is_refused() {
    let (table, _) = SlotTable::of_slots(1);
    let (_other, slots) = SlotTable::of_slots(2 * CHUNK as u32);
    let refused = |index| {
        let slot = std::panic::AssertUnwindSafe(|| table.slot(index).is_carved());
        std::panic::catch_unwind(slot).is_err()
    };
    assert!(!refused(slots[0]) && refused(slots[CHUNK]));
    assert!(refused(OptionalIndex::NONE.known()));
}

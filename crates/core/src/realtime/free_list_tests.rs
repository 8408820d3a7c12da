use super::*;

fn drain(mut chain: Chain, table: &SlotTable) -> Vec<u32> {
    core::iter::from_fn(|| chain.pop(table).map(SlotIndex::raw)).collect()
}

#[test]
fn list_head_counts_its_slots_and_the_newly_carved_ones() {
    let (table, slots) = SlotTable::of_slots(3);
    let list = SharedList::new();
    list.push(table.slot(slots[0]).state, slots[0]).unwrap();
    list.push_newly_carved(&table, slots[1]).unwrap();
    list.push_single(&table, slots[2]).unwrap();
    assert_eq!(list.length(), 3);
    let chain = list.take();
    assert_eq!((chain.length, chain.newly_carved), (3, 1));
    assert_eq!(drain(chain, &table), [2, 1, 0]);
    assert_eq!(list.length(), 0);
}

#[test]
fn inbox_push_while_the_owner_is_taking_goes_to_the_second_list() {
    let (table, slots) = SlotTable::of_slots(4);
    let inbox = Inbox::new();
    inbox.push(table.slot(slots[0]).state, slots[0]).unwrap();
    assert_eq!(inbox.front.begin_take().length, 1);
    assert_eq!(
        inbox.front.push(table.slot(slots[1]).state, slots[1]),
        Err(PushRefused::Taking)
    );
    inbox.push(table.slot(slots[1]).state, slots[1]).unwrap();
    assert!(inbox.push_newly_carved(&table, slots[2]));
    assert_eq!(inbox.front.take_unless_taking().length, 0);
    inbox.front.end_take();
    inbox.push(table.slot(slots[3]).state, slots[3]).unwrap();
    assert_eq!((inbox.length(), inbox.newly_carved()), (3, 1));
    assert_eq!(drain(inbox.front.take_unless_taking(), &table), [3]);
    assert_eq!(drain(inbox.side.take(), &table), [2, 1]);
}

#[test]
fn closed_list_refuses_every_push() {
    let (table, slots) = SlotTable::of_slots(1);
    let list = SharedList::new();
    assert_eq!(list.close().length, 0);
    assert_eq!(
        list.push(table.slot(slots[0]).state, slots[0]),
        Err(PushRefused::Closed)
    );
    assert_eq!(list.push_single(&table, slots[0]), Err(PushRefused::Closed));
    assert_eq!(
        list.push_newly_carved(&table, slots[0]),
        Err(PushRefused::Closed)
    );
    assert_eq!((list.length(), list.close().length), (0, 0));
}

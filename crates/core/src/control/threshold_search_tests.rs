use super::*;
use proptest::prelude::*;

const SIZE: u32 = 3;
const REGION_UNITS: u32 = 5000;

/// Slots of size class 1 at these addresses, with one of size class 2 after each.
fn table(places: &[(u8, u32)]) -> (SlotTable, Vec<SlotIndex>) {
    let (table, slots) = SlotTable::of_slots(places.len() as u32 * 2);
    for (pair, &(region, unit)) in slots.chunks(2).zip(places) {
        table.slot(pair[0]).carve_for_test(region, unit, 1);
        table.slot(pair[1]).carve_for_test(region, unit + 1, 2);
    }
    (table, slots)
}

fn search(searches: &mut ThresholdSearches, table: &SlotTable, looks_at_once: u32) -> Threshold {
    for _ in 0..10_000 {
        let mut budget = looks_at_once;
        if let Some(&[threshold]) = searches.advance(table, &mut budget).as_deref() {
            return threshold;
        }
    }
    panic!("no line was found");
}

proptest! {
    #[test]
    fn threshold_search_agrees_with_a_sorted_list(
        units in prop::collection::btree_set((0u8..3, 0..REGION_UNITS / SIZE), 1..150),
        goal in 0u32..170,
        budget in 1u32..400,
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut places: Vec<_> = units.into_iter().map(|(region, at)| (region, at * SIZE)).collect();
        let (table, slots) = table(&places);
        let mut searches = ThresholdSearches::default();
        searches.begin(1, Purpose::Drain, goal, SIZE, (3, REGION_UNITS));
        // Some return to the arena during the search.
        for at in gone {
            let mut budget = budget;
            if searches.advance(&table, &mut budget).is_some_and(|found| !found.is_empty()) {
                return Ok(());
            }
            let (index, slot) = {
                let index = slots[at.index(places.len()) * 2];
                (index, table.slot(index))
            };
            if slot.is_carved() {
                searches.forget(index, 1, slot.address_key(), false);
                places.retain(|&(region, unit)| (u64::from(region) << 32 | u64::from(unit)) != slot.address_key());
                slot.uncarve();
                if places.is_empty() {
                    return Ok(());
                }
            }
        }
        let threshold = search(&mut searches, &table, budget);
        let above = places.iter().filter(|&&(region, unit)| (u64::from(region) << 32 | u64::from(unit)) >= threshold.address_key);
        prop_assert_eq!(above.count() as u32, threshold.above);
        prop_assert_eq!(threshold.above, goal.min(places.len() as u32));
        prop_assert!(searches.is_empty());
    }
}

#[test]
fn threshold_search_scans_within_its_budget_and_continues() {
    let places: Vec<_> = (0..500).map(|at| (0, at * SIZE)).collect();
    let (table, _slots) = table(&places);
    let mut searches = ThresholdSearches::default();
    searches.begin(1, Purpose::Drain, 7, SIZE, (1, REGION_UNITS));
    let mut calls = 0;
    loop {
        let mut budget = 100;
        let found = searches.advance(&table, &mut budget);
        calls += 1;
        match found.as_deref() {
            Some(&[threshold]) => {
                break assert!(
                    (492 * 3 + 1..=493 * 3).contains(&threshold.address_key)
                        && threshold.above == 7
                );
            }
            Some(_) => {}
            None => assert_eq!(budget, 0),
        }
    }
    assert_eq!(calls, 2 * 10, "two passes over 1000 slots");
}

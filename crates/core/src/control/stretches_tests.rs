use super::*;
use proptest::prelude::*;

const REGION_UNITS: u32 = 5000;

fn key(region: u8, unit: u32) -> u64 {
    u64::from(region) << 32 | u64::from(unit)
}

proptest! {
    #[test]
    fn stretches_agree_with_a_sorted_list_of_addresses(
        places in prop::collection::btree_set((0u8..3, 0..REGION_UNITS), 1..150),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        grown in 0usize..4,
    ) {
        let mut keys: Vec<u64> = places.iter().map(|&(region, unit)| key(region, unit)).collect();
        let mut stretches = Stretches::default();
        stretches.cover(REGION_UNITS as usize);
        for &key in &keys {
            stretches.add(1, key);
            stretches.add(2, key + 1);
        }
        // Stretches become longer while buffers are counted.
        stretches.cover((3 * REGION_UNITS as usize) << grown);
        for at in gone {
            if keys.len() > 1 {
                stretches.remove(1, keys.remove(at.index(keys.len())));
            }
        }
        prop_assert!(stretches.agrees_with(keys.iter().map(|&key| (1, key)).chain(
            places.iter().map(|&(region, unit)| (2, key(region, unit) + 1))
        )));
        keys.sort_unstable_by(|a, b| b.cmp(a));
        let start = |key: &u64| key >> stretches.shift << stretches.shift;
        prop_assert!(stretches.starts_from_top(1).eq(keys.iter().map(start)));
    }
}

#[test]
fn stretches_of_a_large_arena_are_few() {
    // The interpreter is slow.
    const UNITS: usize = if cfg!(miri) { 1 << 18 } else { 1 << 24 };
    let mut stretches = Stretches::default();
    for unit in (0..UNITS).step_by(64) {
        stretches.cover(unit + 64);
        stretches.add(7, key(0, unit as u32));
    }
    assert!(stretches.occupied.len() <= MOST_STRETCHES);
    let before = stretches.looks();
    assert_eq!(stretches.starts_from_top(7).count(), UNITS / 64);
    assert!(stretches.looks() - before <= MOST_STRETCHES as u64);
}

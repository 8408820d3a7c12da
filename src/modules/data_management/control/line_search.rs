//! Finding the place from which on a class is asked back, a counted number of slots at a time.
//!
//! A search counts the class's buffers in 256 stretches of the arena, goes into the stretch in which the line must lie, and
//! counts again there: two passes over the slot table for 8 MB, three for 1 GB. All searches share a pass. A pass goes on
//! where the last control step left it; what goes back to the arena meanwhile is uncounted.

use crate::modules::data_management::realtime::slot_table::{SlotIndex, SlotTable};

/// Slots that one control step looks at for lines. A pool of more takes the interpreter hours.
pub(super) const SLOTS_PER_STEP: u32 = if cfg!(miri) { 32 } else { 4096 };

const STRETCHES_LOG2: u32 = 8;
const STRETCHES: usize = 1 << STRETCHES_LOG2;

/// What a line is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What lies beyond it goes back.
    Drain,
    /// The same, and no search to fill gaps takes its place: the last one did, and found no gap to fill.
    DrainFirst,
    /// Up to so many gaps below it are filled, and as many buffers beyond it go back instead.
    Fill(u32),
}

/// A line that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) shelf: u16,
    pub(super) purpose: Purpose,
    /// As [`Slot::place_key`](crate::modules::data_management::realtime::slot_table::Slot::place_key).
    pub(super) place: u64,
    /// Buffers at or beyond it.
    pub(super) beyond: u32,
}

/// The search for one shelf's line.
///
/// Places are packed: `region << region_bits | unit`, so that few bits tell them apart.
struct Search {
    shelf: u16,
    purpose: Purpose,
    /// Buffers that are to lie beyond the line, or all if there are fewer.
    goal: u32,
    region_bits: u32,
    /// The stretches lie between these, and are `1 << shift` units long; one of `1 << shortest` has no two buffers.
    low: u64,
    high: u64,
    shift: u32,
    longest: u32,
    shortest: u32,
    /// Buffers beyond the last stretch.
    beyond: u32,
    counts: Box<[u32; STRETCHES]>,
    /// A search that comes in the middle of a pass begins with the next.
    in_pass: bool,
}

impl Search {
    fn pack(&self, place: u64) -> u64 {
        (place >> 32) << self.region_bits | place & u64::from(u32::MAX)
    }

    /// The stretch a place lies in; none below them, `STRETCHES` beyond the last.
    fn stretch(&self, place: u64) -> Option<usize> {
        let packed = self.pack(place);
        let above = packed.checked_sub(self.low)?;
        Some(if packed < self.high {
            (above >> self.shift) as usize
        } else {
            STRETCHES
        })
    }

    fn begin_pass(&mut self) {
        self.counts.fill(0);
        self.in_pass = true;
    }

    /// Goes into the stretch with the line; the line, once it is known.
    fn end_pass(&mut self) -> Option<Line> {
        let mut beyond = self.beyond;
        for stretch in (0..STRETCHES).rev() {
            let with_stretch = beyond + self.counts[stretch];
            if with_stretch <= self.goal {
                beyond = with_stretch;
                continue;
            }
            if beyond >= self.goal || self.shift == self.shortest {
                let end = self.low + ((stretch as u64 + 1) << self.shift);
                return Some(self.found(end, beyond));
            }
            self.low += (stretch as u64) << self.shift;
            self.high = self.low + (1 << self.shift);
            self.shift = self.shift.saturating_sub(STRETCHES_LOG2).max(self.shortest);
            self.beyond = beyond;
            return None;
        }
        if self.low == 0 || beyond == self.goal {
            return Some(self.found(self.low, beyond));
        }
        // Some went back while it looked closer: the line lies further down.
        (self.low, self.high, self.shift, self.beyond) = (0, u64::MAX, self.longest, 0);
        None
    }

    fn found(&self, packed: u64, beyond: u32) -> Line {
        let unit = packed & ((1 << self.region_bits) - 1);
        Line {
            shelf: self.shelf,
            purpose: self.purpose,
            place: (packed >> self.region_bits) << 32 | unit,
            beyond,
        }
    }
}

/// The searches under way, and how far their pass over the slot table has come.
#[derive(Default)]
pub(super) struct LineSearches {
    active: Vec<Search>,
    cursor: u32,
    /// Slots looked at so far.
    looks: u64,
}

impl LineSearches {
    /// Looks for the line of a shelf with buffers of `size` units, instead of any other for that shelf. The regions have at
    /// most `region_units` units each.
    pub(super) fn begin(
        &mut self,
        shelf: u16,
        purpose: Purpose,
        goal: u32,
        size: u32,
        (regions, region_units): (u8, u32),
    ) {
        self.cancel(shelf);
        let region_bits = u32::BITS - region_units.leading_zeros();
        let bits = region_bits + (u8::BITS - regions.leading_zeros());
        let shortest = size.max(1).ilog2();
        let longest = bits.saturating_sub(STRETCHES_LOG2).max(shortest);
        self.active.push(Search {
            shelf,
            purpose,
            goal,
            region_bits,
            low: 0,
            high: u64::MAX,
            shift: longest,
            longest,
            shortest,
            beyond: 0,
            counts: Box::new([0; STRETCHES]),
            in_pass: false,
        });
    }

    pub(super) fn cancel(&mut self, shelf: u16) {
        self.active.retain(|search| search.shelf != shelf);
        self.rest();
    }

    /// Without a search nothing is kept, and the next pass begins at the first slot.
    fn rest(&mut self) {
        if self.active.is_empty() {
            self.active = Vec::new();
            self.cursor = 0;
        }
    }

    /// Whether a shelf's line is looked for, and what for.
    pub(super) fn purpose(&self, shelf: u16) -> Option<Purpose> {
        let mut active = self.active.iter();
        active
            .find(|search| search.shelf == shelf)
            .map(|search| search.purpose)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// A buffer goes back to the arena that may have been counted; `asked_back` if it is one of those that the goal counts.
    pub(super) fn forget(&mut self, index: SlotIndex, shelf: u16, place: u64, asked_back: bool) {
        let cursor = self.cursor;
        for search in self
            .active
            .iter_mut()
            .filter(|search| search.shelf == shelf)
        {
            search.goal -= u32::from(asked_back).min(search.goal);
            match search.stretch(place) {
                Some(STRETCHES) => search.beyond -= 1,
                Some(stretch) if search.in_pass && index.raw() < cursor => {
                    search.counts[stretch] -= 1
                }
                _ => {}
            }
        }
    }

    /// Looks at slots until a pass ends or `looks` are used up; answers whether a pass ended, with the lines found.
    pub(super) fn advance(&mut self, table: &SlotTable, looks: &mut u32) -> Option<Vec<Line>> {
        if self.active.is_empty() || *looks == 0 {
            return None;
        }
        if self.cursor == 0 {
            self.active.iter_mut().for_each(Search::begin_pass);
        }
        let slots = table.indices_from(self.cursor);
        for index in slots.take(*looks as usize) {
            self.cursor += 1;
            self.looks += 1;
            *looks -= 1;
            let slot = table.slot(index);
            let of_slot = |search: &&mut Search| search.shelf == slot.shelf() && search.in_pass;
            if let Some(search) = self.active.iter_mut().find(of_slot)
                && let Some(stretch) = search.stretch(slot.place_key())
                && let Some(count) = search.counts.get_mut(stretch)
            {
                *count += 1;
            }
        }
        if table.indices_from(self.cursor).next().is_some() {
            return None;
        }
        self.cursor = 0;
        let mut found = Vec::new();
        self.active.retain_mut(|search| {
            let line = if search.in_pass {
                search.end_pass()
            } else {
                None
            };
            found.extend(line);
            line.is_none()
        });
        self.rest();
        Some(found)
    }

    pub(super) const fn looks(&self) -> u64 {
        self.looks
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.active.capacity() * size_of::<Search>()
            + self.active.len() * STRETCHES * size_of::<u32>()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: u32 = 3;
    const REGION_UNITS: u32 = 5000;

    /// Slots of shelf 1 at these places, with one of shelf 2 after each.
    fn table(places: &[(u8, u32)]) -> (SlotTable, Vec<SlotIndex>) {
        let (table, slots) = SlotTable::of_slots(places.len() as u32 * 2);
        for (pair, &(region, unit)) in slots.chunks(2).zip(places) {
            table.slot(pair[0]).carve(region, unit, 1);
            table.slot(pair[1]).carve(region, unit + 1, 2);
        }
        (table, slots)
    }

    fn search(searches: &mut LineSearches, table: &SlotTable, looks_at_once: u32) -> Line {
        for _ in 0..10_000 {
            let mut looks = looks_at_once;
            if let Some(&[line]) = searches.advance(table, &mut looks).as_deref() {
                return line;
            }
        }
        panic!("no line was found");
    }

    proptest! {
        #[test]
        fn a_line_has_as_many_beyond_as_a_sorted_list_says(
            units in prop::collection::btree_set((0u8..3, 0..REGION_UNITS / SIZE), 1..150),
            goal in 0u32..170,
            looks in 1u32..400,
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut places: Vec<_> = units.into_iter().map(|(region, at)| (region, at * SIZE)).collect();
            let (table, slots) = table(&places);
            let mut searches = LineSearches::default();
            searches.begin(1, Purpose::Drain, goal, SIZE, (3, REGION_UNITS));
            // Some go back to the arena while it looks.
            for at in gone {
                let mut looks = looks;
                if searches.advance(&table, &mut looks).is_some_and(|found| !found.is_empty()) {
                    return Ok(());
                }
                let (index, slot) = {
                    let index = slots[at.index(places.len()) * 2];
                    (index, table.slot(index))
                };
                if slot.is_carved() {
                    searches.forget(index, 1, slot.place_key(), false);
                    places.retain(|&(region, unit)| (u64::from(region) << 32 | u64::from(unit)) != slot.place_key());
                    slot.uncarve();
                    if places.is_empty() {
                        return Ok(());
                    }
                }
            }
            let line = search(&mut searches, &table, looks);
            let beyond = places.iter().filter(|&&(region, unit)| (u64::from(region) << 32 | u64::from(unit)) >= line.place);
            prop_assert_eq!(beyond.count() as u32, line.beyond);
            prop_assert_eq!(line.beyond, goal.min(places.len() as u32));
            prop_assert!(searches.is_empty());
        }
    }

    #[test]
    fn a_pass_looks_at_no_more_slots_than_it_may_and_goes_on_where_it_was() {
        let places: Vec<_> = (0..500).map(|at| (0, at * SIZE)).collect();
        let (table, _slots) = table(&places);
        let mut searches = LineSearches::default();
        searches.begin(1, Purpose::Drain, 7, SIZE, (1, REGION_UNITS));
        let mut calls = 0;
        loop {
            let mut looks = 100;
            let found = searches.advance(&table, &mut looks);
            calls += 1;
            match found.as_deref() {
                Some(&[line]) => {
                    break assert!(
                        (492 * 3 + 1..=493 * 3).contains(&line.place) && line.beyond == 7
                    );
                }
                Some(_) => {}
                None => assert_eq!(looks, 0),
            }
        }
        assert_eq!(calls, 2 * 10, "two passes over 1000 slots");
    }
}

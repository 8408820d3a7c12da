use super::*;

#[test]
fn leak_records_of_buffers_in_use_stay_and_others_are_replaced() {
    let table = SlotTable::new(RECORDS + 1);
    let slots: Vec<_> = (0..=RECORDS).map(|_| table.add().unwrap()).collect();
    let ring = LeakRing::new();
    let record = |place: usize, frame: u64| {
        table.slot(slots[place]).set_requested(1);
        ring.record(&table, slots[place], Some(frame), Location::caller());
    };
    let frame_of = |place: usize| {
        let mut sampled = ring.iter();
        let found = sampled.find(|entry| entry.slot == slots[place].raw());
        found.map(|entry| entry.frame)
    };
    assert_eq!(ring.iter().count(), 0);
    // However often other buffers are acquired and released, the first one's site stays.
    (0..1000).for_each(|frame| record((frame as usize).min(RECORDS - 1), frame));
    assert_eq!(
        (frame_of(0), frame_of(RECORDS - 1)),
        (Some(Some(0)), Some(Some(999)))
    );
    record(RECORDS, 1000);
    assert_eq!((frame_of(RECORDS), ring.unrecorded.get()), (None, 1));
    assert!(!table.slot(slots[RECORDS]).is_sampled());
    table.slot(slots[3]).clear();
    // A few at a time, every record is looked at.
    let attempts = RECORDS as u64 / u64::from(RECORDS_SCANNED);
    (0..attempts).for_each(|_| record(RECORDS, 1001));
    assert_eq!((frame_of(RECORDS), frame_of(3)), (Some(Some(1001)), None));
    assert!(ring.unrecorded.get() <= attempts);
}

#[test]
fn leak_record_sequence_wraps() {
    let table = SlotTable::new(1);
    let slot = table.add().unwrap();
    let ring = LeakRing::new();
    for start in [u32::MAX - 1, u32::MAX] {
        ring.entries[0].sequence.store(start, Ordering::Relaxed);
        ring.record(&table, slot, None, Location::caller());
        let sampled: Vec<_> = ring.iter().collect();
        assert_eq!((sampled.len(), sampled[0].frame), (1, None));
        assert!(sampled[0].site.file().ends_with("leak_ring_tests.rs"));
    }
}

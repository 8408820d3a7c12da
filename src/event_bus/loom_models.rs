//! Loom models of a lane, checked over every interleaving and every value that an atomic load may return (`--cfg loom`).
//!
//! Laws:
//! 1. Popped events are the pushed ones: whole, in order, each once.
//! 2. A cell is not written again before it was popped, also after the positions have gone round the ring many times.
//! 3. Pushes = popped + dropped, and a push fails only while the lane is full.
//! 4. All events that a writer pushed before it was dropped are popped, and a lane is reported as abandoned only after that
//!    drop.
//! 5. The models check access to the cells: a reader that does not load the tail fails.

use loom::thread;

use super::event::{Event, Priority};
use super::lane::{LaneReader, LaneWriter, lane};

#[derive(Clone, Copy, serde::Serialize)]
struct Numbered(u64);

impl Event for Numbered {
    const NAME: &'static str = "Numbered";
    const PRIORITY: Priority = Priority::Critical;
}

fn push(writer: &LaneWriter, number: u64) -> bool {
    writer.push(0, number, Numbered(number))
}

fn pop(reader: &mut LaneReader) -> Option<u64> {
    let cell = reader.pop()?;
    // SAFETY: `push` above writes all cells of this lane.
    #[allow(unsafe_code, reason = "reads back the type that `push` wrote")]
    let Numbered(number) = *unsafe { cell.event::<Numbered>() };
    assert_eq!(
        number,
        cell.timestamp_ns(),
        "header and payload belong together"
    );
    Some(number)
}

/// Pushes `pushes` events on another thread. Returns the popped ones, the count of dropped ones, and those whose push failed.
fn race(capacity: usize, pushes: u64, polls: usize) -> (Vec<u64>, u64, Vec<u64>) {
    let (writer, mut reader) = lane(capacity);
    let writing = thread::spawn(move || {
        let refused: Vec<u64> = (0..pushes)
            .filter(|&number| !push(&writer, number))
            .collect();
        (writer, refused)
    });
    let mut popped: Vec<u64> = (0..polls).filter_map(|_| pop(&mut reader)).collect();
    let (writer, refused) = writing.join().unwrap();
    popped.extend(core::iter::from_fn(|| pop(&mut reader)));
    drop(writer);
    (popped, reader.dropped(), refused)
}

#[test]
fn lane_events_are_popped_whole_in_order_once() {
    loom::model(|| {
        let (popped, dropped, _) = race(4, 3, 4);
        assert_eq!((popped, dropped), (vec![0, 1, 2], 0));
    });
}

#[test]
fn lane_cell_is_not_overwritten_before_it_was_popped() {
    loom::model(|| {
        let (popped, _, refused) = race(1, 4, 5);
        assert!(popped.is_sorted());
        assert!(popped.iter().all(|number| !refused.contains(number)));
    });
}

#[test]
fn lane_pushes_are_popped_or_counted_as_dropped() {
    loom::model(|| {
        let (popped, dropped, refused) = race(2, 5, 4);
        assert_eq!(dropped, refused.len() as u64);
        assert_eq!(popped.len() as u64 + dropped, 5);
        assert!(
            popped.starts_with(&[0, 1]),
            "two cells hold two events, whatever the reader does"
        );
    });
}

#[test]
fn lane_events_of_a_dropped_writer_are_popped() {
    loom::model(|| {
        let (writer, mut reader) = lane(2);
        let writing = thread::spawn(move || {
            push(&writer, 0);
            push(&writer, 1);
            push(&writer, 2);
        });
        let mut popped = Vec::new();
        // In the order of the dispatching side: abandoned first, empty second.
        let abandoned = reader.is_abandoned();
        popped.extend(core::iter::from_fn(|| pop(&mut reader)));
        if abandoned {
            assert_eq!(
                (popped.len(), reader.dropped()),
                (2, 1),
                "nothing comes after abandonment"
            );
        }
        writing.join().unwrap();
        assert!(reader.is_abandoned());
        popped.extend(core::iter::from_fn(|| pop(&mut reader)));
        assert_eq!(popped.len() as u64 + reader.dropped(), 3);
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn lane_reader_without_a_tail_load_is_a_data_race() {
    loom::model(|| {
        let (writer, mut reader) = lane(2);
        let writing = thread::spawn(move || push(&writer, 0));
        reader.read_without_tail();
        writing.join().unwrap();
    });
}

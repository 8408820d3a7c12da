//! Models of a lane, checked over every interleaving and every value an atomic may give (`--cfg loom`).
//!
//! Laws:
//! 1. What is taken is what was pushed, whole, in order, each once.
//! 2. A cell is not written again before it was taken (the ring turning over many times its size).
//! 3. Attempts = taken + dropped, and a push is refused only when as many cells as the lane has were untaken.
//! 4. What a writer pushed before it went away is taken; its lane is seen abandoned once, and never before it is.
//! 5. The model sees the cells: a reader that does not look at the tail is caught.

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

fn take(reader: &mut LaneReader) -> Option<u64> {
    let cell = reader.take()?;
    // SAFETY: `push` above is the only source of cells here.
    #[allow(unsafe_code, reason = "reads back the type that `push` wrote")]
    let Numbered(number) = *unsafe { cell.event::<Numbered>() };
    assert_eq!(
        number,
        cell.stamp_ns(),
        "header and payload belong together"
    );
    Some(number)
}

/// Pushes `attempts` on another thread; returns what the reader took and what the writer saw dropped.
fn race(capacity: usize, attempts: u64, looks: usize) -> (Vec<u64>, u64, Vec<u64>) {
    let (writer, mut reader) = lane(capacity);
    let writing = thread::spawn(move || {
        let refused: Vec<u64> = (0..attempts)
            .filter(|&number| !push(&writer, number))
            .collect();
        (writer, refused)
    });
    let mut taken: Vec<u64> = (0..looks).filter_map(|_| take(&mut reader)).collect();
    let (writer, refused) = writing.join().unwrap();
    taken.extend(core::iter::from_fn(|| take(&mut reader)));
    drop(writer);
    (taken, reader.dropped(), refused)
}

#[test]
fn law_1_taken_whole_in_order_once() {
    loom::model(|| {
        let (taken, dropped, _) = race(4, 3, 4);
        assert_eq!((taken, dropped), (vec![0, 1, 2], 0));
    });
}

#[test]
fn law_2_a_cell_is_not_overwritten_before_it_was_taken() {
    loom::model(|| {
        let (taken, _, refused) = race(1, 4, 5);
        assert!(taken.is_sorted());
        assert!(taken.iter().all(|number| !refused.contains(number)));
    });
}

#[test]
fn law_3_attempts_are_taken_or_dropped() {
    loom::model(|| {
        let (taken, dropped, refused) = race(2, 5, 4);
        assert_eq!(dropped, refused.len() as u64);
        assert_eq!(taken.len() as u64 + dropped, 5);
        assert!(
            taken.starts_with(&[0, 1]),
            "two cells take two events, whatever the reader does"
        );
    });
}

#[test]
fn law_4_the_last_events_of_a_dropped_writer_are_taken() {
    loom::model(|| {
        let (writer, mut reader) = lane(2);
        let writing = thread::spawn(move || {
            push(&writer, 0);
            push(&writer, 1);
            push(&writer, 2);
        });
        let mut taken = Vec::new();
        // As the dispatching side does: abandoned first, empty second.
        let spent = reader.is_abandoned();
        taken.extend(core::iter::from_fn(|| take(&mut reader)));
        if spent {
            assert_eq!(
                (taken.len(), reader.dropped()),
                (2, 1),
                "nothing comes after abandonment"
            );
        }
        writing.join().unwrap();
        assert!(reader.is_abandoned());
        taken.extend(core::iter::from_fn(|| take(&mut reader)));
        assert_eq!(taken.len() as u64 + reader.dropped(), 3);
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn law_5_a_reader_that_does_not_look_is_caught() {
    loom::model(|| {
        let (writer, mut reader) = lane(2);
        let writing = thread::spawn(move || push(&writer, 0));
        reader.take_blind();
        writing.join().unwrap();
    });
}

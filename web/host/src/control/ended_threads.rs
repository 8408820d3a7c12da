//! Tests of threads that leave or die, of false reports of that, and of invalid numbers.
//!
//! One thread plays all parts. Everything is in one memory, so that shared mode works as in a browser.
#![allow(unsafe_code)] // Reports the end of threads that do not exist.

use wasm_bindgen_test::wasm_bindgen_test;

use super::host::Host;
use crate::consumer::participant::{
    participant_acquire, participant_leave, participant_live, participant_release,
};
use crate::consumer::reader::{reader_leave, reader_take};
use crate::shared::platform::memory_pages;
use crate::worklet::tap::{tap_begin, tap_commit, tap_leave, tap_silence};

const RUNNING: u8 = 0;
const LEFT: u8 = 1;
const TERMINATED: u8 = 2;
const CLOSED: u32 = 10;
/// Numbers that no object has: their generation is 0, or has not been reached. The first number that a table gives is 64.
const LIMITS: [u32; 7] = [0, 1, 63, 1 << 29, (1 << 30) - 1, 1 << 30, u32::MAX];

fn host(mode: &str) -> Host {
    let options = format!(r#"{{"mode":"{mode}","mode_reason":"test","profile":null,"seed":1}}"#);
    Host::new(&options).expect("a host")
}

fn open(host: &mut Host) -> (u32, u32) {
    let participant = host.open_participant().expect("a participant");
    (participant, host.participant_number(participant))
}

fn open_tap(host: &mut Host, consumer: &str) -> (u32, u32, u32) {
    let options = format!(
        r#"{{"sample_rate":48000,"channels":2,"window":1024,"hop":256,"consumer":"{consumer}"}}"#
    );
    let stream = host.open_stream(&options).expect("a stream");
    (stream, host.tap_number(stream), host.reader_number(stream))
}

fn close(host: &mut Host, participant: u32, end: u8) -> usize {
    // SAFETY: there is no other thread, and this one is not inside a call of the object.
    unsafe { host.close_participant(participant, end) }
}

fn close_tap(host: &mut Host, stream: u32, worklet: u8, consumer: u8) {
    // SAFETY: as above.
    unsafe { host.close_stream(stream, worklet, consumer) }
}

fn leased(host: &Host) -> u64 {
    host.instance
        .control()
        .map_or(u64::MAX, |control| control.leased())
}

fn publishers(host: &mut Host) -> usize {
    host.pump();
    host.pump();
    host.instance.bus().stats().publishers
}

#[wasm_bindgen_test(unsupported = test)]
fn stale_participant_number_does_not_close_the_next_participant() {
    let mut host = host("shared");
    let (first, number) = open(&mut host);
    assert_ne!(participant_acquire(number, 100), 0);
    assert_eq!(close(&mut host, first, TERMINATED), 1);
    let (second, living) = open(&mut host);
    assert_eq!(
        host.participant_holder(second),
        0,
        "the holder's number is reused"
    );
    let lease = participant_acquire(living, 100);
    for end in [RUNNING, LEFT, TERMINATED] {
        assert_eq!(close(&mut host, first, end), 0);
    }
    assert_eq!(participant_acquire(number, 100), 0);
    assert_eq!(participant_release(number, lease), CLOSED);
    assert_eq!(
        (participant_live(living), participant_release(living, lease)),
        (1, 0)
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn false_report_of_a_threads_end_frees_nothing() {
    let mut host = host("shared");
    let (participant, number) = open(&mut host);
    let lease = participant_acquire(number, 100);
    for report in [RUNNING, LEFT, 3, u8::MAX] {
        assert_eq!(close(&mut host, participant, report), 0);
        assert_eq!(participant_live(number), 1, "reported {report}");
    }
    assert_eq!(participant_release(number, lease), 0);
    participant_leave(number);
    assert_eq!(participant_acquire(number, 100), 0, "it has left");
    assert_eq!(close(&mut host, participant, LEFT), 0);

    let (stream, tap, reader) = open_tap(&mut host, "reader");
    for report in [RUNNING, LEFT, 3] {
        close_tap(&mut host, stream, report, report);
        assert_ne!(tap_silence(tap, 4096), u32::MAX, "reported {report}");
        assert_ne!(reader_take(reader), 0, "reported {report}");
    }
    tap_leave(tap);
    close_tap(&mut host, stream, LEFT, RUNNING);
    assert_eq!(tap_begin(tap, 128, 0), u32::MAX);
    assert_ne!(reader_take(reader), 0);
    reader_leave(reader);
    close_tap(&mut host, stream, LEFT, LEFT);
    assert_eq!((reader_take(reader), leased(&host)), (0, 0));
}

#[wasm_bindgen_test(unsupported = test)]
fn dead_participants_leak_nothing_in_a_thousand_rounds() {
    let mut host = host("shared");
    let before = (publishers(&mut host), leased(&host), memory_pages());
    for round in 0..1000 {
        let (participant, number) = open(&mut host);
        let leases = round % 5;
        for _ in 0..leases {
            assert_ne!(participant_acquire(number, 300), 0);
        }
        assert_eq!(close(&mut host, participant, TERMINATED), leases);
        host.pump();
    }
    let after = (publishers(&mut host), leased(&host), memory_pages());
    assert_eq!(after, before);
}

#[wasm_bindgen_test(unsupported = test)]
fn dead_taps_leak_nothing_whichever_thread_ends_first() {
    let mut host = host("shared");
    let before = (publishers(&mut host), leased(&host));
    for round in 0..200 {
        let consumer = if round % 3 == 0 { "tuner" } else { "reader" };
        let (stream, tap, reader) = open_tap(&mut host, consumer);
        for _ in 0..round % 40 {
            tap_silence(tap, 128);
        }
        tap_begin(tap, 128, 0);
        for _ in 0..round % 4 {
            reader_take(reader);
        }
        let [worklet, reader] = [
            [TERMINATED, TERMINATED],
            [TERMINATED, RUNNING],
            [RUNNING, TERMINATED],
        ][round % 3];
        close_tap(&mut host, stream, worklet, reader);
        close_tap(&mut host, stream, TERMINATED, TERMINATED);
        assert_eq!(tap_commit(tap), u32::MAX);
        assert_eq!(leased(&host), 0, "round {round}");
        host.pump();
    }
    assert_eq!((publishers(&mut host), leased(&host)), before);
}

#[wasm_bindgen_test(unsupported = test)]
fn invalid_object_numbers_are_refused() {
    for mode in ["shared", "transfer"] {
        let mut host = host(mode);
        let before = leased(&host);
        for number in LIMITS {
            for end in [0, 1, 2, 3, u8::MAX] {
                close_tap(&mut host, number, end, end);
                assert_eq!(close(&mut host, number, end), 0);
            }
            assert_eq!(host.reclaim_reader(number), 0);
            assert_eq!((host.tap_number(number), host.tap_thread(number)), (0, 0));
            assert_eq!(
                (host.reader_number(number), host.reader_thread(number)),
                (0, 0)
            );
            assert_eq!(
                (
                    host.participant_number(number),
                    host.participant_thread(number)
                ),
                (0, 0)
            );
            assert_eq!(host.participant_header_address(number), 0);
            assert_eq!(host.header_address(number), 0);
            assert!(host.receive_participant(number).is_ok());
            for wall_ms in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX] {
                assert!(host.receive_header(number, wall_ms).is_ok());
            }
            assert!(!host.begin_receive(number));
            assert_eq!(host.receive_address(number, number as usize), 0);
            host.end_receive(number);
            host.remove_feed(number);
            host.count_objects(number, number, number);
            host.count_buffers(number, number);
            host.count_buffers(u32::MAX, u32::MAX);
            for rate in [0.0, f32::NAN, f32::INFINITY, f32::MAX] {
                let late = f64::from(rate);
                host.set_feed(number, rate, number, number, number, true, number, late);
            }
            assert!(host.snapshot().is_ok());
            // The exports for other threads.
            assert_eq!(participant_acquire(number, number), 0);
            assert_eq!(participant_release(number, number), CLOSED);
            assert_eq!(
                (tap_begin(number, number, number), tap_commit(number)),
                (u32::MAX, u32::MAX)
            );
            assert_eq!(reader_take(number), 0);
            participant_leave(number);
            tap_leave(number);
            reader_leave(number);
        }
        assert_eq!((leased(&host), host.shutdown()), (before, 0));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn block_header_times_of_any_value_are_accepted() {
    let mut host = host("transfer");
    let (stream, ..) = open_tap(&mut host, "reader");
    assert_ne!(host.header_address(stream), 0);
    for wall_ms in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX, 1e16] {
        assert!(host.receive_header(stream, wall_ms).is_ok(), "{wall_ms}");
    }
    for channel in [0, 1, 2, usize::MAX] {
        assert_eq!(
            host.receive_address(stream, channel),
            0,
            "no window is being received"
        );
    }
}

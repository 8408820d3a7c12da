//! Captures: windows of any quantum, gaps, full queues, exhausted pools, and threads that died.
#![allow(unsafe_code)] // Takes over from a thread that a test has stopped.

use super::super::test_rig::{MONO, Rig, play};
use super::*;
#[cfg(debug_assertions)]
use crate::sync::atomic::stop_after;
use std::collections::HashMap;

fn ramp(from: u64, frames: usize) -> Vec<f32> {
    (from..).take(frames).map(|frame| frame as f32).collect()
}

#[test]
#[cfg(debug_assertions)] // Elsewhere no thread can be stopped before a store.
fn abandoned_capture_leaks_no_buffer_no_publisher_and_no_half_wherever_it_died() {
    let mut rig = Rig::boot();
    let before = (rig.publishers(), rig.leased());
    for stores in (0..).step_by(if cfg!(miri) { 97 } else { 1 }) {
        let (mut capture, mut windows) = rig.open_windows(MONO);
        play(&mut capture, &[0.5; 2000], 0);
        let window = windows.next_window();
        let done = stop_after(stores, || {
            play(&mut capture, &[0.5; 700], 2000);
        });
        let half = capture.abandon();
        // The queued windows are reclaimed with the one that the reader has.
        core::mem::forget((window, windows));
        // SAFETY: neither the capture nor the reader accesses a window any more.
        let reclaimed = unsafe { rig.control().reclaim_all(half) };
        assert!(reclaimed.count >= 1, "stopped after {stores}");
        assert_eq!(
            (rig.publishers(), rig.leased()),
            before,
            "stopped after {stores}"
        );
        if done < stores {
            break;
        }
    }
}

#[test]
fn closed_captures_half_is_reused_only_after_it_was_dropped() {
    let mut rig = Rig::boot();
    let (mut capture, windows) = rig.open_windows(MONO);
    play(&mut capture, &[0.5; 4096], 0);
    let half = capture.half();
    let kept = capture.close().unwrap();
    assert_eq!(kept.id(), half);
    let (next, _next_windows) = rig.open_windows(MONO);
    assert_ne!(next.half(), half);
    drop((kept, windows, next));
    let (again, _again_windows) = rig.open_windows(MONO);
    assert_eq!((again.half(), rig.leased()), (half, 0));
}

#[test]
fn windows_contain_their_frames_of_every_channel() {
    let stereo = StreamConfig {
        channels: 2,
        ..MONO
    };
    let mut rig = Rig::boot();
    let (mut capture, mut analysis) = rig.open(stereo);
    let mut at = 1000;
    for frames in [128, 1, 127, 441, 1024, 5000, 63]
        .into_iter()
        .cycle()
        .take(20)
    {
        let left = ramp(at, frames);
        let right: Vec<f32> = left.iter().map(|x| -x).collect();
        capture.process(&[&left, &right], at);
        at += frames as u64;
        while let Some(window) = analysis.next_window() {
            let metadata = *window.metadata();
            assert_eq!((metadata.first_frame - 1000) % 256, 0);
            assert_eq!((metadata.channels, metadata.sample_rate_hz), (2, 48_000.0));
            let expected = ramp(metadata.first_frame, 1024);
            assert_eq!(window.channel(0), expected);
            assert!(
                window
                    .channel(1)
                    .iter()
                    .zip(&expected)
                    .all(|(a, b)| *a == -b)
            );
        }
    }
    let counters = *capture.counters();
    assert_eq!(counters.frames, at - 1000);
    assert_eq!(counters.windows, (counters.frames - 1024) / 256 + 1);
    assert_eq!(
        (counters.skipped_windows, counters.interrupted_windows),
        (0, 0)
    );
    assert_eq!(counters.bytes_copied, counters.windows * 1024 * 2 * 4);
    drop((capture, analysis));
    assert_eq!(rig.leased(), 0);
}

#[test]
fn copy_plan_executed_by_the_caller_gives_the_same_windows() {
    let mut rig = Rig::boot();
    let (mut here, mut here_windows) = rig.open(MONO);
    let (mut planned, mut planned_windows) = rig.open(MONO);
    // The samples that JavaScript would write into the pool's memory, by buffer number.
    let mut memory: HashMap<u32, Vec<f32>> = HashMap::new();
    let mut at = 0;
    for frames in [128, 96, 333, 1024, 1].into_iter().cycle().take(60) {
        let quantum = ramp(at, frames);
        here.process(&[&quantum], at);
        for span in planned.begin(frames, at) {
            assert_eq!(span.channel, 0);
            let slot = memory.entry(span.slot).or_insert_with(|| vec![0.0; 1024]);
            let (dst, src, count) = (span.dst as usize, span.src as usize, span.count as usize);
            slot[dst..dst + count].copy_from_slice(&quantum[src..src + count]);
        }
        planned.commit();
        at += frames as u64;
        while let Some(window) = here_windows.next_window() {
            let planned = planned_windows.next_window().unwrap();
            assert_eq!(planned.metadata(), window.metadata());
            assert_eq!(memory[&planned.slot_index(0)], window.channel(0));
        }
        assert!(planned_windows.next_window().is_none());
    }
    assert_eq!(planned.counters(), here.counters());
}

#[test]
fn quantum_of_any_length_in_parts_gives_every_window() {
    for frames in [1, 128, 4095, 4096, 4097, 8192, 10_000, 16_384] {
        let mut rig = Rig::boot();
        let (mut capture, mut windows) = rig.open(MONO);
        let mut memory: HashMap<u32, Vec<f32>> = HashMap::new();
        let (quanta, mut delivered) = (40_000_usize.div_ceil(frames), 0);
        for quantum in 0..quanta {
            let at = (quantum * frames) as u64;
            let input = ramp(at, frames);
            for from in (0..frames).step_by(MAX_QUANTUM_FRAMES) {
                for span in capture.begin_part(frames, from, at) {
                    let slot = memory.entry(span.slot).or_insert_with(|| vec![0.0; 1024]);
                    let (dst, src) = (span.dst as usize, span.src as usize);
                    let count = span.count as usize;
                    slot[dst..dst + count].copy_from_slice(&input[src..src + count]);
                }
                capture.commit();
                while let Some(window) = windows.next_window() {
                    let first = window.metadata().first_frame;
                    assert_eq!(first, delivered * 256, "quanta of {frames}");
                    assert_eq!(memory[&window.slot_index(0)], ramp(first, 1024));
                    delivered += 1;
                }
            }
        }
        let counters = *capture.counters();
        assert_eq!(counters.quanta, quanta as u64);
        assert_eq!(counters.frames, (quanta * frames) as u64);
        assert_eq!(delivered, (counters.frames - 1024) / 256 + 1);
        assert_eq!((counters.skipped_windows, counters.lost_frames), (0, 0));
    }
}

#[test]
fn lost_frames_are_counted_where_no_window_was_open() {
    let mut rig = Rig::boot();
    let (mut capture, _windows) = rig.open(StreamConfig { hop: 1024, ..MONO });
    // Each window ends where the planned part ends: the frames that are left out interrupt no window.
    for quantum in 0..3 {
        capture.begin(8192, quantum * 8192);
        capture.commit();
    }
    let counters = *capture.counters();
    assert_eq!(counters.interrupted_windows, 0);
    assert_eq!(
        (counters.frames, counters.lost_frames),
        (3 * 4096, 2 * 4096)
    );
    // A frame number below the last one is a restart.
    capture.process(&[&[0.0; 128]], 0);
    assert_eq!(capture.counters().lost_frames, 2 * 4096);
}

#[test]
fn push_silence_is_bounded_for_any_length() {
    let mut rig = Rig::boot();
    let (mut capture, _windows) = rig.open(MONO);
    capture.push_silence(usize::MAX, 0);
    assert_eq!(capture.counters().frames, MAX_SILENCE_FRAMES as u64);
    capture.push_silence(1, u64::MAX);
    let lost = u64::MAX - MAX_SILENCE_FRAMES as u64;
    assert_eq!(capture.counters().lost_frames, lost);
}

#[test]
fn flush_delivers_the_last_partial_window() {
    for frames in [1_u64, 255, 1023, 1024, 1025, 1280, 3000, 4096] {
        let mut rig = Rig::boot();
        let (mut capture, mut windows) = rig.open(MONO);
        // Samples that an earlier window left in the buffer must not be in the last one.
        play(&mut capture, &vec![9.0; 2048], 0);
        while windows.next_window().is_some() {}
        let begin = 1_000_000;
        play(&mut capture, &ramp(begin, frames as usize), begin);
        let complete = std::iter::from_fn(|| windows.next_window()).count() as u64;
        assert_eq!(complete, (frames + 256).saturating_sub(1024) / 256);
        let (first, filled) = capture.partial().unwrap();
        assert_eq!(
            (first, first + filled as u64),
            (begin + complete * 256, begin + frames)
        );
        assert!(capture.flush());
        let last = windows.next_window().unwrap();
        assert_eq!(last.metadata().first_frame, first);
        assert_eq!(last.channel(0)[..filled], ramp(first, filled));
        assert!(
            last.channel(0)[filled..]
                .iter()
                .all(|sample| *sample == 0.0)
        );
        assert!(windows.next_window().is_none() && !capture.flush());
        drop((capture, windows, last));
        assert_eq!(rig.leased(), 0);
    }
}

#[test]
fn missing_channels_and_silence_are_zero() {
    let stereo = StreamConfig {
        channels: 2,
        ..MONO
    };
    let mut rig = Rig::boot();
    let (mut capture, mut analysis) = rig.open(stereo);
    capture.process(&[&[0.5; 512], &[0.25; 100]], 0);
    capture.push_silence(512, 512);
    let window = analysis.next_window().unwrap();
    assert!(window.channel(0)[..512].iter().all(|x| *x == 0.5));
    assert!(window.channel(1)[..100].iter().all(|x| *x == 0.25));
    assert!(window.channel(0)[512..].iter().all(|x| *x == 0.0));
    assert!(window.channel(1)[100..].iter().all(|x| *x == 0.0));
    assert_eq!(capture.process(&[], 1024), 0);
    assert_eq!(capture.counters().frames, 1024);
}

#[test]
fn full_queue_skips_windows_and_capturing_continues() {
    let mut rig = Rig::boot();
    let (mut capture, mut analysis) = rig.open(MONO);
    let frames = 100 * 256;
    play(&mut capture, &ramp(0, frames), 0);
    let counters = *capture.counters();
    assert_eq!(counters.frames, frames as u64);
    assert_eq!(counters.windows + counters.skipped_windows, 97);
    // The queue has half a second of hops of 256, limited to 64.
    assert_eq!(counters.windows, 64);
    let skipped = rig.events("WindowSkipped");
    assert_eq!(skipped.len(), 33);
    assert_eq!(skipped[0]["first_frame"], 64 * 256);
    assert_eq!(skipped[0]["reason"], "queue-full");
    while analysis.next_window().is_some() {}
    play(&mut capture, &ramp(frames as u64, 1024), frames as u64);
    assert_eq!(capture.counters().windows, 64 + 4);
}

#[test]
fn exhausted_pool_skips_windows_and_recovers() {
    let mut rig = Rig::boot();
    let (mut capture, mut analysis) = rig.open(MONO);
    // A consumer that keeps its windows.
    let mut kept = Vec::new();
    let mut at = 0;
    while capture.counters().skipped_windows == 0 {
        play(&mut capture, &ramp(at, 256), at);
        at += 256;
        kept.extend(std::iter::from_fn(|| analysis.next_window()));
        assert!(at < 1_000_000, "never exhausted");
    }
    let skipped = rig.events("WindowSkipped");
    assert_eq!(skipped[0]["reason"], "pool-exhausted");
    for window in &kept {
        assert_eq!(window.channel(0), ramp(window.metadata().first_frame, 1024));
    }
    kept.clear();
    let before = *capture.counters();
    play(&mut capture, &ramp(at, 4096), at);
    assert_eq!(capture.counters().skipped_windows, before.skipped_windows);
    assert!(capture.counters().windows >= before.windows + 12);
    let last = std::iter::from_fn(|| analysis.next_window())
        .last()
        .unwrap();
    assert_eq!(last.channel(0), ramp(last.metadata().first_frame, 1024));
}

#[test]
fn gap_interrupts_the_open_windows() {
    let mut rig = Rig::boot();
    let (mut capture, mut analysis) = rig.open(MONO);
    play(&mut capture, &ramp(0, 1000), 0);
    play(&mut capture, &ramp(5000, 1024), 5000);
    let window = analysis.next_window().unwrap();
    assert_eq!(window.channel(0), ramp(5000, 1024));
    assert!(analysis.next_window().is_none());
    assert_eq!(capture.counters().interrupted_windows, 4);
    // 1000, 744, 488 and 232 samples of interrupted windows, and one whole window.
    assert_eq!(
        capture.counters().bytes_copied,
        4 * (1000 + 744 + 488 + 232 + 1024)
    );
    let skipped = rig.events("WindowSkipped");
    let starts: Vec<_> = skipped
        .iter()
        .map(|e| e["first_frame"].as_u64().unwrap())
        .collect();
    assert_eq!(starts, [0, 256, 512, 768]);
    assert!(skipped.iter().all(|e| e["reason"] == "interrupted"));
}

#[test]
fn stream_events_are_published_with_their_frames() {
    let mut rig = Rig::boot();
    let (mut capture, analysis) = rig.open(MONO);
    play(&mut capture, &ramp(300, 2048), 300);
    let opened = rig.events("StreamOpened");
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0]["first_frame"], 300);
    assert_eq!(opened[0]["window"], 1024);
    drop(capture);
    let closed = rig.events("StreamClosed");
    assert_eq!(closed[0]["first_frame"], 2348);
    assert_eq!(
        (&closed[0]["frames"], &closed[0]["windows"]),
        (&2048.into(), &5.into())
    );
    assert!(!analysis.is_finished());
}

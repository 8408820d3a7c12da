//! The example `tuner_wav` on a float file of 500 MB: resident memory stays flat, as the kernel counts it for the process with
//! the pages of mapped files (`VmHWM`, the most there ever was).
#![cfg(all(target_os = "linux", not(loom)))]
#![allow(clippy::unwrap_used)] // A test fails by it.
#![allow(unsafe_code)] // Maps a file.

#[path = "../examples/tuner_wav.rs"]
#[allow(dead_code, reason = "the example's main is not called")]
mod tuner_wav;

use std::f64::consts::TAU;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use wavepool_tools::MappedWav;

const CHANNELS: usize = 16;
const RATE: u32 = 48_000;
const FILE_BYTES: u64 = 500_000_000;
const FRAME_BYTES: u64 = 4 * CHANNELS as u64;
const HEADER_BYTES: u64 = 44;
/// What the run may need beside the file: the pool, and the blocks under way.
const MOST_BYTES: u64 = 32 << 20;

/// The most resident memory of this process so far.
fn most_resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: u64 = { line.unwrap().split_whitespace() }
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib * 1024
}

/// A sparse file: a tone of half a second at its beginning and at its end, and a hole between.
fn write_file(path: &Path) {
    let frames = (FILE_BYTES - HEADER_BYTES) / FRAME_BYTES;
    let data = frames * FRAME_BYTES;
    let mut header = Vec::new();
    header.extend_from_slice(b"RIFF");
    header.extend_from_slice(&((36 + data) as u32).to_le_bytes());
    header.extend_from_slice(b"WAVEfmt \x10\0\0\0\x03\0");
    header.extend_from_slice(&(CHANNELS as u16).to_le_bytes());
    header.extend_from_slice(&RATE.to_le_bytes());
    header.extend_from_slice(&(RATE * FRAME_BYTES as u32).to_le_bytes());
    header.extend_from_slice(&(FRAME_BYTES as u16).to_le_bytes());
    header.extend_from_slice(b"\x20\0data");
    header.extend_from_slice(&(data as u32).to_le_bytes());
    let file = File::create(path).unwrap();
    file.write_all_at(&header, 0).unwrap();
    file.set_len(HEADER_BYTES + data).unwrap();
    let length = u64::from(RATE / 2);
    for (first, hz) in [(0, 440.0), (frames - length, 880.0)] {
        let sample = |n: u64| (0.5 * (TAU * hz * n as f64 / f64::from(RATE)).sin()) as f32;
        let tone: Vec<u8> = (0..length)
            .flat_map(|n| [sample(n); CHANNELS])
            .flat_map(f32::to_le_bytes)
            .collect();
        file.write_all_at(&tone, HEADER_BYTES + first * FRAME_BYTES)
            .unwrap();
    }
}

#[test]
fn resident_memory_stays_flat_for_a_float_file_of_500_mb() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("500-mb.wav");
    write_file(&path);
    let before = most_resident();
    let mut out = Vec::new();
    tuner_wav::run(Some(path.clone().into()), &mut out).unwrap();
    let grown = most_resident() - before;
    let notes = String::from_utf8(out).unwrap();
    assert!(notes.contains("A4") && notes.contains("A5"), "{notes}");
    println!("resident memory grew by {grown} bytes");
    assert!(grown < MOST_BYTES, "{grown} bytes");

    // The measurement sees mapped pages: without eviction they all stay.
    // SAFETY: a file of this test alone.
    let wav = unsafe { MappedWav::open(&path, 1) }.unwrap();
    let whole = wav.window(0, wav.frames()).unwrap();
    let sum: f32 = whole.iter().step_by(1024).sum();
    assert!(sum.is_finite());
    let grown = most_resident() - before;
    assert!(grown > FILE_BYTES / 2, "{grown} bytes");
    fs::remove_file(path).unwrap();
}

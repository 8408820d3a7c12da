//! The example `tuner_wav` on files of every kind: it names the notes of a sound, or says in one sentence what is wrong with
//! the file, and returns in either case.
#![cfg(not(any(loom, target_arch = "wasm32")))]
#![allow(clippy::unwrap_used)] // A test fails by it.

#[path = "../examples/tuner_wav.rs"]
#[allow(dead_code, reason = "the example's main is not called")]
mod tuner_wav;

use std::f64::consts::TAU;
use std::fs;
use std::path::PathBuf;

const FLOAT: u16 = 3;
const INTEGER: u16 = 1;

/// The fields of a WAV file's header that a test may want to be wrong.
#[derive(Clone, Copy)]
struct Header {
    tag: u16,
    channels: u16,
    rate: u32,
    bits: u16,
}

const MONO: Header = Header {
    tag: FLOAT,
    channels: 1,
    rate: 48_000,
    bits: 32,
};

fn file(header: Header, data: &[u8]) -> Vec<u8> {
    let frame_bytes = header.channels.wrapping_mul(header.bits / 8);
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16_u32.to_le_bytes());
    bytes.extend_from_slice(&header.tag.to_le_bytes());
    bytes.extend_from_slice(&header.channels.to_le_bytes());
    bytes.extend_from_slice(&header.rate.to_le_bytes());
    let byte_rate = header.rate.wrapping_mul(u32::from(frame_bytes));
    bytes.extend_from_slice(&byte_rate.to_le_bytes());
    bytes.extend_from_slice(&frame_bytes.to_le_bytes());
    bytes.extend_from_slice(&header.bits.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn floats(samples: impl IntoIterator<Item = f32>) -> Vec<u8> {
    samples.into_iter().flat_map(f32::to_le_bytes).collect()
}

fn sine(hz: f64, amplitude: f64) -> impl Iterator<Item = f32> {
    (0..24_000).map(move |n| (amplitude * (TAU * hz * f64::from(n) / 48_000.0).sin()) as f32)
}

/// What the program prints for a file with these bytes.
fn notes(name: &str, bytes: &[u8]) -> Result<String, String> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.wav"));
    fs::write(&path, bytes).unwrap();
    let mut out = Vec::new();
    let result = tuner_wav::run(Some(path.into()), &mut out);
    result.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn loud_sound_is_named_and_ends() {
    let mut named = Vec::new();
    for (name, amplitude) in [("usual", 0.5), ("loud", 1e16), ("louder", 3.4e38)] {
        let found = notes(name, &file(MONO, &floats(sine(100.0, amplitude)))).unwrap();
        assert!(found.contains("G2"), "{name}: {found}");
        named.push(found);
    }
    assert_eq!(named[0].lines().count(), 22);
    let spike = (0..24_000).map(|n| if n == 9000 { 1e19 } else { 0.0 });
    let alternating = (0..24_000).map(|n| if n % 2 == 0 { 1e17 } else { -1e17 });
    let broken = (0..24_000).map(|n| [f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX][n % 4]);
    for (name, data) in [
        ("spike", floats(spike)),
        ("alternating", floats(alternating)),
        ("broken", floats(broken)),
    ] {
        let found = notes(name, &file(MONO, &data)).unwrap();
        assert!(
            found.contains("0 of 20 windows have a pitch"),
            "{name}: {found}"
        );
    }
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let tone = floats(sine(440.0, 0.5));
    let header = |change: fn(&mut Header)| {
        let mut header = MONO;
        change(&mut header);
        // Whole frames of 17 channels, and of one.
        file(header, &tone[..tone.len() / 68 * 68])
    };
    let whole = file(MONO, &tone);
    for (name, bytes, reason) in [
        (
            "no-rate",
            header(|h| h.rate = 0),
            "the sample rate must be 1 to 10000000 Hz (got 0.0)",
        ),
        (
            "huge-rate",
            header(|h| h.rate = 1_000_000_000),
            "the sample rate must be 1 to 10000000 Hz (got ",
        ),
        ("no-channels", header(|h| h.channels = 0), "channels"),
        (
            "many-channels",
            header(|h| h.channels = 17),
            "the number of channels must be 1 to 16 (got 17)",
        ),
        ("most-channels", header(|h| h.channels = u16::MAX), ""),
        ("no-bits", header(|h| h.bits = 0), "bits"),
        ("double", header(|h| h.bits = 64), "bits"),
        (
            "no-integer-bits",
            header(|h| (h.tag, h.bits) = (INTEGER, 0)),
            "bits",
        ),
        (
            "many-bits",
            header(|h| (h.tag, h.bits) = (INTEGER, u16::MAX)),
            "bits",
        ),
        ("no-frames", file(MONO, &[]), "the file has no samples"),
        ("cut-off", whole[..whole.len() - 10].to_vec(), "cut off"),
        ("header-only", whole[..44].to_vec(), "cut off"),
        ("half-a-header", whole[..20].to_vec(), ""),
        ("empty", Vec::new(), ""),
        (
            "no-wav",
            b"Not a WAV file at all, and long enough for a header.".to_vec(),
            "RIFF",
        ),
    ] {
        let said = notes(name, &bytes).expect_err(name);
        let file = format!("{name}.wav: ");
        assert!(said.contains(&file), "{name}: {said}");
        assert!(said.contains(reason), "{name}: {said}");
    }
    let said = tuner_wav::run(None, &mut Vec::new())
        .unwrap_err()
        .to_string();
    assert_eq!(said, "usage: tuner_wav FILE.wav");
}

#[test]
fn a_file_shorter_than_a_window_has_no_notes() {
    let found = notes("short", &file(MONO, &floats(sine(440.0, 0.5).take(100)))).unwrap();
    assert!(found.contains("0 of 0 windows have a pitch"));
}

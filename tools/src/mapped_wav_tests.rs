use super::*;

const FRAMES: usize = 1000;

/// A stereo file in the form that `spec` says, in a directory of its own.
fn file(name: &str, bits: u16, format: hound::SampleFormat) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("wavepool-{}-{name}.wav", std::process::id()));
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 48_000,
        bits_per_sample: bits,
        sample_format: format,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    for frame in 0..FRAMES {
        match format {
            hound::SampleFormat::Float => {
                writer.write_sample(frame as f32).unwrap();
                writer.write_sample(-(frame as f32)).unwrap();
            }
            hound::SampleFormat::Int => (0..2).for_each(|_| writer.write_sample(0i16).unwrap()),
        }
    }
    writer.finalize().unwrap();
    path
}

fn open(path: &Path, windows: usize) -> Result<MappedWav, WavError> {
    // SAFETY: a file of this test alone.
    unsafe { MappedWav::open(path, windows) }
}

#[test]
fn mapped_windows_show_the_samples_in_place_and_outlive_the_file_value() {
    let path = file("float", 32, hound::SampleFormat::Float);
    let wav = open(&path, 2).unwrap();
    assert_eq!(
        (wav.frames(), wav.channels(), wav.sample_rate_hz()),
        (FRAMES, 2, 48_000.0)
    );
    let first = wav.window(10, 100).unwrap();
    let second = wav.window(60, 940).unwrap();
    assert_eq!((first.len(), first[0], first[1]), (200, 10.0, -10.0));
    assert_eq!(second.address() - first.address(), 50 * 8);
    assert_eq!(
        (first.metadata().channels, first.metadata().first_frame),
        (2, 10)
    );
    assert!(matches!(
        wav.window(0, 1).err(),
        Some(PoolError::Exhausted { carved: 2, .. })
    ));
    drop(first.clone());
    drop(first);
    assert_eq!(wav.window(999, 1).unwrap()[..], [999.0, -999.0]);
    drop(wav);
    let last = std::thread::spawn(move || second[second.len() - 1])
        .join()
        .unwrap();
    assert_eq!(last, -999.0);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn mapped_windows_beyond_the_end_are_refused() {
    let path = file("end", 32, hound::SampleFormat::Float);
    let wav = open(&path, 2).unwrap();
    assert_eq!(wav.window(0, 0).err(), Some(PoolError::ZeroLength));
    let too_large = |requested, largest| Some(PoolError::TooLarge { requested, largest });
    assert_eq!(wav.window(990, 11).err(), too_large(11, 10));
    assert_eq!(wav.window(usize::MAX, 1).err(), too_large(1, 0));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn mapped_windows_stay_valid_when_their_pages_are_evicted() {
    let path = file("evicted", 32, hound::SampleFormat::Float);
    let wav = open(&path, 2).unwrap();
    let window = wav.window(0, FRAMES).unwrap();
    let before = window.to_vec();
    for (first, frames) in [
        (0, FRAMES),
        (999, 1),
        (0, 0),
        (5, usize::MAX),
        (usize::MAX, 1),
    ] {
        wav.evict(first, frames);
        assert_eq!(window[..], before, "{first} + {frames}");
    }
    std::fs::remove_file(path).unwrap();
}

/// A copy of `file` with `bytes` at `at`.
fn set(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut copy = file.to_vec();
    copy[at..at + bytes.len()].copy_from_slice(bytes);
    copy
}

#[test]
fn mapped_window_capacity_is_its_length_and_never_beyond_the_mapping() {
    let path = file("capacity", 32, hound::SampleFormat::Float);
    let bytes = std::fs::metadata(&path).unwrap().len() as usize;
    let wav = open(&path, 4).unwrap();
    let first = wav.window(0, 1).unwrap();
    let start = first.address();
    for (first_frame, frames) in [(0, 1), (0, FRAMES), (10, 100), (FRAMES - 1, 1)] {
        let window = wav.window(first_frame, frames).unwrap();
        assert_eq!(window.capacity(), window.len());
        let end = window.address() + window.capacity() * SAMPLE_BYTES;
        assert!(end - start <= bytes, "{first_frame} + {frames}");
        let again = window.clone();
        assert_eq!((again.capacity(), again.len()), (2 * frames, 2 * frames));
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn hostile_wav_headers_are_refused_or_read_within_the_file() {
    let path = file("hostile", 32, hound::SampleFormat::Float);
    let good = std::fs::read(&path).unwrap();
    let data = good.windows(4).position(|word| word == b"data").unwrap();
    let opened = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        open(&path, 1)
    };
    let zero = |bytes: &[u8]| match opened(bytes) {
        Err(WavError::Zero { what, value: 0 }) => what,
        other => panic!("{:?}", other.err()),
    };
    assert_eq!(zero(&set(&good, 22, &[0; 2])), "the number of channels");
    assert_eq!(zero(&set(&good, 24, &[0; 4])), "the sample rate");
    // Every 16- and 32-bit field of the headers, one after the other and in pairs of extremes.
    let extremes = [0, 1, 2, 15, 16, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff_u32];
    let fields = (0..data + 8).step_by(2);
    for (at, value) in fields.flat_map(|at| extremes.map(|value| (at, value))) {
        for width in [2, 4] {
            let bytes = set(&good, at, &value.to_le_bytes()[..width]);
            match opened(&bytes) {
                Ok(wav) => {
                    assert!(wav.channels() > 0 && wav.sample_rate_hz() >= 1.0);
                    let samples = wav.frames() * usize::from(wav.channels());
                    assert!(wav.frames() > 0 && samples * SAMPLE_BYTES <= bytes.len());
                    let window = wav.window(0, wav.frames()).unwrap();
                    assert_eq!(window.capacity(), samples);
                    std::hint::black_box(window[samples - 1]);
                }
                Err(error) => assert!(
                    !matches!(error, WavError::Pool(_)),
                    "byte {at}, {value:#x}: {error}"
                ),
            }
        }
    }
    // Cut off anywhere.
    for length in (0..data + 16).chain([good.len() - 1]) {
        assert!(opened(&good[..length]).is_err(), "{length} bytes");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn wav_files_that_cannot_be_mapped_are_refused_with_their_reason() {
    let path = file("int", 16, hound::SampleFormat::Int);
    assert!(matches!(
        open(&path, 1).err(),
        Some(WavError::NotFloat {
            format: 1,
            bits: 16,
            channels: 2
        })
    ));
    let good = std::fs::read(file("whole", 32, hound::SampleFormat::Float)).unwrap();
    let data = good.windows(4).position(|word| word == b"data").unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        open(&path, 1).err().unwrap()
    };
    assert!(matches!(
        refused(b"RIFF"),
        WavError::NotWav {
            missing: "RIFF/WAVE header",
            bytes: 4
        }
    ));
    assert!(matches!(
        refused(&good[..data]),
        WavError::NotWav {
            missing: "data chunk",
            ..
        }
    ));
    assert!(matches!(
        refused(&good[..24]),
        WavError::NotWav {
            missing: "whole format chunk",
            ..
        }
    ));
    assert!(matches!(
        refused(&good[..good.len() - 4]),
        WavError::Truncated {
            promised: 8000,
            found: 7996
        }
    ));
    let mut odd = good[..data].to_vec();
    odd.extend_from_slice(b"note\x02\0\0\0hi");
    odd.extend_from_slice(&good[data..]);
    assert!(matches!(refused(&odd), WavError::Misaligned { .. }));
    let headless = [&good[..12], &good[data..]].concat();
    assert!(matches!(
        refused(&headless),
        WavError::NotWav {
            missing: "format chunk before the data",
            ..
        }
    ));
    assert!(matches!(
        refused(&set(&good, 4 + 8 + 4, &0u32.to_le_bytes())),
        WavError::ShortChunk {
            chunk: "format",
            bytes: 0,
            least: FORMAT_BYTES
        }
    ));
    assert!(matches!(
        refused(b""),
        WavError::NotWav { .. } | WavError::Io(_)
    ));
    std::fs::remove_file(path).unwrap();
}

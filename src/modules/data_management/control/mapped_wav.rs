//! Windows of a WAV file as buffers, without loading it: the samples stay in the file's pages, which the system reads
//! when they are looked at.
#![allow(unsafe_code)] // Maps a file, and hands out its samples.

use std::fs::File;
use std::io;
use std::path::Path;

use super::arena::Region;
use super::carving::too_many;
use crate::modules::data_management::error::PoolError;
use crate::modules::data_management::realtime::buffer::{AudioMetadata, BufferRef, RawHandle};
use crate::modules::data_management::realtime::free_list::MAX_NEWLY_CARVED;
use crate::modules::data_management::realtime::pool_core::{
    ControlRef, Core, OnRelease, SharedPtr,
};
use crate::modules::data_management::realtime::size_class::SizeClass;
use crate::modules::data_management::realtime::slot_table::MAX_SAMPLES;

/// The one layout that can be handed out as it is stored.
const FORMAT_IEEE_FLOAT: u16 = 3;
const FORMAT_EXTENSIBLE: u16 = 0xfffe;
/// Bytes of a format chunk that are read, in either form.
const FORMAT_BYTES: usize = 16;
const EXTENSIBLE_BYTES: usize = 26;
const SAMPLE_BYTES: usize = size_of::<f32>();

/// Why a file cannot be mapped as samples.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// The system could not open or map it.
    #[error("the file cannot be mapped: {0}")]
    Io(#[from] io::Error),
    /// No RIFF/WAVE file, or one without format and data.
    #[error("not a WAV file: no {missing} in {bytes} bytes")]
    NotWav {
        /// What was looked for.
        missing: &'static str,
        /// Length of the file.
        bytes: usize,
    },
    /// Samples in another form. Convert the file to 32-bit float to map it.
    #[error(
        "format {format} with {bits} bits and {channels} channels: only 32-bit float (format 3) can be mapped as stored"
    )]
    NotFloat {
        /// The format number in the file.
        format: u16,
        /// Bits per sample.
        bits: u16,
        /// Channels.
        channels: u16,
    },
    /// No channels, or no time: a file that cannot be played.
    #[error("the format chunk says {what} is {value}: it must be 1 or more")]
    Zero {
        /// Which of its numbers.
        what: &'static str,
        /// The number in the file.
        value: u32,
    },
    /// A chunk too short for what it has to say.
    #[error("the {chunk} chunk has {bytes} bytes, at least {least} are needed")]
    ShortChunk {
        /// Which chunk.
        chunk: &'static str,
        /// Its length by its own header.
        bytes: usize,
        /// The length it needs.
        least: usize,
    },
    /// The samples do not start on a multiple of four bytes.
    #[error("the samples start at byte {offset}, which is not a multiple of 4")]
    Misaligned {
        /// Where they start.
        offset: usize,
    },
    /// The samples are fewer than the header says.
    #[error("the header promises {promised} bytes of samples, the file has {found}")]
    Truncated {
        /// What the header says.
        promised: usize,
        /// What is there.
        found: usize,
    },
    /// The pool's tables refused.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// A 32-bit float WAV file in memory pages of its own. Samples are interleaved, as stored.
///
/// Windows may overlap and outlive this value; the mapping ends with the last of them.
///
/// # Real-time
/// [`window`](Self::window) is wait-free, but the first look at a page may read the disk: not for the audio thread,
/// unless the pages were touched before.
///
/// # Examples
/// ```no_run
/// use wavepool::modules::data_management::MappedWav;
///
/// // SAFETY: nobody writes to this file while it is mapped.
/// let wav = unsafe { MappedWav::open("impulse.wav", 16)? };
/// let window = wav.window(0, 4096.min(wav.frames()))?;
/// println!("{} Hz, first sample {}", window.metadata().sample_rate_hz, window[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MappedWav {
    pool: ControlRef,
    size_class: SharedPtr<SizeClass>,
    first_sample: usize,
    samples: usize,
    channels: u16,
    sample_rate_hz: f32,
    /// The size class has one owner.
    not_sync: core::marker::PhantomData<core::cell::Cell<()>>,
}

/// What the header says.
struct Header {
    channels: u16,
    sample_rate_hz: f32,
    offset: usize,
    bytes: usize,
}

impl MappedWav {
    /// Maps a file, for up to `windows` windows at once.
    ///
    /// # Errors
    /// [`WavError`]: each kind of file that cannot be mapped has its own.
    ///
    /// # Safety
    /// The file is not changed or shortened by anybody while the mapping or a window of it lives.
    pub unsafe fn open(path: impl AsRef<Path>, windows: usize) -> Result<Self, WavError> {
        if windows as u64 > MAX_NEWLY_CARVED {
            return Err(too_many(windows).into());
        }
        let file = File::open(path)?;
        // SAFETY: the file stays as it is, says the caller.
        let pages = unsafe { memmap2::Mmap::map(&file)? };
        let header = read_header(&pages)?;
        let not_mapped = PoolError::OutOfMemory { bytes: pages.len() };
        let region = Region::from_file(pages).ok_or(not_mapped)?;
        let samples = header.bytes / SAMPLE_BYTES;

        let mut pool = ControlRef::new(Core::new(windows));
        pool.add_region(region)?;
        let core = pool.core();
        let size_class = pool.add_size_class(|id| {
            SizeClass::new(
                core,
                OnRelease::ReadOnly,
                (0, id),
                u32::try_from(samples).unwrap_or(u32::MAX),
                0,
            )
        })?;
        for _ in 0..windows {
            let index = pool.table.add()?;
            pool.table.slot(index).carve(0, 0, size_class.id);
            size_class.add_carved(1);
            size_class
                .shared
                .inbox
                .push_newly_carved(&pool.table, index);
        }
        Ok(Self {
            pool,
            size_class,
            first_sample: header.offset / SAMPLE_BYTES,
            samples,
            channels: header.channels,
            sample_rate_hz: header.sample_rate_hz,
            not_sync: core::marker::PhantomData,
        })
    }

    /// Samples per channel.
    #[must_use]
    pub const fn frames(&self) -> usize {
        self.samples / self.channels as usize
    }

    /// Channels, interleaved in each window.
    #[must_use]
    pub const fn channels(&self) -> u16 {
        self.channels
    }

    /// Sample rate.
    #[must_use]
    pub const fn sample_rate_hz(&self) -> f32 {
        self.sample_rate_hz
    }

    /// `frames` frames from `first_frame` on: `frames × channels` interleaved samples, in place.
    ///
    /// # Errors
    /// [`ZeroLength`](PoolError::ZeroLength); [`TooLarge`](PoolError::TooLarge) beyond the end, in frames;
    /// [`Exhausted`](PoolError::Exhausted) with as many windows out as `open` allowed.
    pub fn window(&self, first_frame: usize, frames: usize) -> Result<BufferRef, PoolError> {
        let largest = self.frames().saturating_sub(first_frame);
        if frames == 0 {
            return Err(PoolError::ZeroLength);
        }
        if frames > largest {
            return Err(PoolError::TooLarge {
                requested: frames,
                largest,
            });
        }
        let channels = usize::from(self.channels);
        // Below 2^30: the header counts bytes in 32 bits, and the window ends within the data.
        let length = (frames * channels) as u32;
        let slots = &self.pool.table;
        // Only for reports: the handle has the length.
        let requested = length.min(MAX_SAMPLES as u32);
        let taken = self.size_class.pop(slots, requested).or_else(|| {
            self.size_class.refill(slots);
            self.size_class.pop(slots, requested)
        });
        let (index, slot) = taken.ok_or(PoolError::Exhausted {
            requested: length,
            class_samples: self.size_class.samples,
            carved: self.size_class.carved(),
        })?;
        let start = self.first_sample + first_frame * channels;
        // SAFETY: the slot's place is the start of the region, and the window ends within the data that `read_header`
        // found in it; the header is a whole number of samples long.
        let samples = unsafe { self.pool.samples_at(slot).add(start) };
        // SAFETY: within the mapping, which the core owns; mapped read only, and `OnRelease::ReadOnly` keeps the release
        // from writing.
        let held = unsafe { RawHandle::from_parts(self.size_class, samples, index, length) };
        Ok(BufferRef::of_file(
            held,
            AudioMetadata {
                sample_rate_hz: self.sample_rate_hz,
                channels: self.channels,
                channel: 0,
                first_frame: first_frame as u64,
            },
        ))
    }
}

/// Walks the chunks of a RIFF file.
fn read_header(bytes: &[u8]) -> Result<Header, WavError> {
    let missing = |missing| WavError::NotWav {
        missing,
        bytes: bytes.len(),
    };
    if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
        return Err(missing("RIFF/WAVE header"));
    }
    let mut format = None;
    let mut at = 12;
    while let Some(length) = word32(bytes, at + 4) {
        let (length, body) = (length as usize, at + 8);
        match &bytes[at..at + 4] {
            b"fmt " => {
                let body = bytes.get(body..).unwrap_or(&[]);
                let format_chunk = body
                    .get(..length)
                    .ok_or_else(|| missing("whole format chunk"))?;
                format = Some(read_format(format_chunk)?);
            }
            b"data" => {
                let (channels, sample_rate_hz) =
                    format.ok_or_else(|| missing("format chunk before the data"))?;
                let found = bytes.len() - body;
                if length > found {
                    return Err(WavError::Truncated {
                        promised: length,
                        found,
                    });
                }
                let least = SAMPLE_BYTES * usize::from(channels);
                if length < least {
                    return Err(WavError::ShortChunk {
                        chunk: "data",
                        bytes: length,
                        least,
                    });
                }
                if !body.is_multiple_of(SAMPLE_BYTES) {
                    return Err(WavError::Misaligned { offset: body });
                }
                return Ok(Header {
                    channels,
                    sample_rate_hz,
                    offset: body,
                    bytes: length,
                });
            }
            _ => {}
        }
        // Chunks are padded to an even length.
        at = body.saturating_add(length).saturating_add(length % 2);
    }
    Err(missing("data chunk"))
}

/// Channels and rate, if the samples can be mapped.
fn read_format(chunk: &[u8]) -> Result<(u16, f32), WavError> {
    let short = |least| WavError::ShortChunk {
        chunk: "format",
        bytes: chunk.len(),
        least,
    };
    let word = |at| word16(chunk, at).ok_or_else(|| short(FORMAT_BYTES));
    let (tag, channels, bits) = (word(0)?, word(2)?, word(14)?);
    let rate = word32(chunk, 4).ok_or_else(|| short(FORMAT_BYTES))?;
    // The extensible form has the real format at the start of its GUID.
    let format = if tag == FORMAT_EXTENSIBLE {
        word16(chunk, 24).ok_or_else(|| short(EXTENSIBLE_BYTES))?
    } else {
        tag
    };
    for (what, value) in [
        ("the number of channels", channels.into()),
        ("the sample rate", rate),
    ] {
        if value == 0 {
            return Err(WavError::Zero { what, value });
        }
    }
    if format != FORMAT_IEEE_FLOAT || bits != 32 {
        return Err(WavError::NotFloat {
            format,
            bits,
            channels,
        });
    }
    Ok((channels, rate as f32))
}

fn word16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(
        bytes.get(at..at.checked_add(2)?)?.try_into().ok()?,
    ))
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
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
}

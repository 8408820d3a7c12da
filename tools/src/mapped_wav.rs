//! Windows of a WAV file as buffers, without loading it: the samples stay in the file's pages, which the system reads
//! when they are looked at.
#![allow(unsafe_code)] // Maps a file, and hands out its samples.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use wavepool::modules::data_management::{AudioMetadata, BufferRef, PoolError};
use wavepool_core::internal::ForeignBuffers;

/// The one layout that can be handed out as it is stored.
const FORMAT_IEEE_FLOAT: u16 = 3;
const FORMAT_EXTENSIBLE: u16 = 0xfffe;
/// Bytes of a format chunk that are read, in either form.
const FORMAT_BYTES: usize = 16;
const EXTENSIBLE_BYTES: usize = 26;
const SAMPLE_BYTES: usize = size_of::<f32>();

/// Why a file cannot be mapped as samples.
#[derive(Debug)]
pub enum WavError {
    /// The system could not open or map it.
    Io(io::Error),
    /// No RIFF/WAVE file, or one without format and data.
    NotWav {
        /// What was looked for.
        missing: &'static str,
        /// Length of the file.
        bytes: usize,
    },
    /// Samples in another form. Convert the file to 32-bit float to map it.
    NotFloat {
        /// The format number in the file.
        format: u16,
        /// Bits per sample.
        bits: u16,
        /// Channels.
        channels: u16,
    },
    /// No channels, or no time: a file that cannot be played.
    Zero {
        /// Which of its numbers.
        what: &'static str,
        /// The number in the file.
        value: u32,
    },
    /// A chunk too short for what it has to say.
    ShortChunk {
        /// Which chunk.
        chunk: &'static str,
        /// Its length by its own header.
        bytes: usize,
        /// The length it needs.
        least: usize,
    },
    /// The samples do not start on a multiple of four bytes.
    Misaligned {
        /// Where they start.
        offset: usize,
    },
    /// The samples are fewer than the header says.
    Truncated {
        /// What the header says.
        promised: usize,
        /// What is there.
        found: usize,
    },
    /// The pool's tables refused.
    Pool(PoolError),
}

impl fmt::Display for WavError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(out, "the file cannot be mapped: {error}"),
            Self::NotWav { missing, bytes } => {
                write!(out, "not a WAV file: no {missing} in {bytes} bytes")
            }
            Self::NotFloat {
                format,
                bits,
                channels,
            } => write!(
                out,
                "format {format} with {bits} bits and {channels} channels: only 32-bit float (format 3) can be mapped as stored"
            ),
            Self::Zero { what, value } => write!(
                out,
                "the format chunk says {what} is {value}: it must be 1 or more"
            ),
            Self::ShortChunk {
                chunk,
                bytes,
                least,
            } => write!(
                out,
                "the {chunk} chunk has {bytes} bytes, at least {least} are needed"
            ),
            Self::Misaligned { offset } => write!(
                out,
                "the samples start at byte {offset}, which is not a multiple of 4"
            ),
            Self::Truncated { promised, found } => write!(
                out,
                "the header promises {promised} bytes of samples, the file has {found}"
            ),
            Self::Pool(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for WavError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for WavError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<PoolError> for WavError {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
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
/// use wavepool_tools::MappedWav;
///
/// // SAFETY: nobody writes to this file while it is mapped.
/// let wav = unsafe { MappedWav::open("impulse.wav", 16)? };
/// let window = wav.window(0, 4096.min(wav.frames()))?;
/// println!("{} Hz, first sample {}", window.metadata().sample_rate_hz, window[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MappedWav {
    buffers: ForeignBuffers,
    pages: Arc<memmap2::Mmap>,
    /// Where the samples start, in bytes.
    offset: usize,
    samples: usize,
    channels: u16,
    sample_rate_hz: f32,
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
        let file = File::open(path)?;
        // SAFETY: the file stays as it is, says the caller.
        let pages = Arc::new(unsafe { memmap2::Mmap::map(&file)? });
        let header = read_header(&pages)?;
        let samples = header.bytes / SAMPLE_BYTES;
        let base = NonNull::from(&pages[header.offset..]).cast();
        // SAFETY: `read_header` found so many samples there, aligned, since a mapping begins on a page. The pages stay
        // mapped, read only, as long as they exist, and the file as it is.
        let buffers =
            unsafe { ForeignBuffers::new(Box::new(pages.clone()), base, samples, windows)? };
        Ok(Self {
            buffers,
            pages,
            offset: header.offset,
            samples,
            channels: header.channels,
            sample_rate_hz: header.sample_rate_hz,
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
        let metadata = AudioMetadata {
            sample_rate_hz: self.sample_rate_hz,
            channels: self.channels,
            channel: 0,
            first_frame: first_frame as u64,
        };
        // Below 2^30: the header counts bytes in 32 bits, and the window ends within the data.
        let length = (frames * channels) as u32;
        self.buffers.share(first_frame * channels, length, metadata)
    }

    /// Takes the pages of `frames` frames from `first_frame` on out of resident memory, as far as they are in the file: for one
    /// pass over a file that is larger than the memory that it should occupy. Windows stay valid: the system reads a page again
    /// when somebody looks at it. Without effect where the system has no such call.
    pub fn evict(&self, first_frame: usize, frames: usize) {
        let frame = SAMPLE_BYTES * usize::from(self.channels);
        let first = first_frame.min(self.frames());
        let frames = frames.min(self.frames() - first);
        #[cfg(unix)]
        if frames > 0 {
            // SAFETY: the pages are a read-only view of the file, which stays as it is by the contract of `open`: what is read
            // again is what was there.
            let evicted = unsafe {
                self.pages.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    self.offset + first * frame,
                    frames * frame,
                )
            };
            // A refusal leaves the pages resident, which is no fault.
            drop(evicted);
        }
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
#[path = "mapped_wav_tests.rs"]
mod tests;

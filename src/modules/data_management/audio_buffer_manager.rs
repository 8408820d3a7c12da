//! The source of audio buffers: pool halves for streams, with an account each, and named buffers with a format and a position.

use core::fmt;
use std::collections::BTreeMap;

use super::half_accounts::{HalfAccount, HalfAccounts};
use wavepool_core::PoolControl;
use wavepool_core::PoolError;
use wavepool_core::RealtimePool;
use wavepool_core::internal::OwnClass;
use wavepool_core::{AudioMetadata, BufferRef, PooledBuffer};
use wavepool_core::{PlanarBuffer, PlanarRef};

/// The format of the samples of an audio buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioFormat {
    /// Sample rate.
    pub sample_rate_hz: f32,
    /// Channels, with one pooled buffer each.
    pub channels: usize,
    /// Frames of one block.
    pub frames: usize,
}

/// The counts of one stream of blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct StreamAccount {
    /// Pooled buffers acquired, one per channel and block.
    pub buffers_drawn: u64,
    /// Blocks shared.
    pub blocks_shared: u64,
    /// Written frames.
    pub frames_written: u64,
    /// Blocks that could not be acquired, because the pool had no idle buffer.
    pub refused: u64,
}

/// The beginning of a name, as part of an error: an error made on an audio thread must not allocate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortName {
    bytes: [u8; Self::MAX_BYTES],
    len: u8,
    is_whole: bool,
}

impl ShortName {
    /// Bytes of the name that are kept.
    pub const MAX_BYTES: usize = 30;

    fn new(name: &str) -> Self {
        let len = name.floor_char_boundary(Self::MAX_BYTES);
        let mut bytes = [0; Self::MAX_BYTES];
        bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
        Self {
            bytes,
            len: len as u8,
            is_whole: len == name.len(),
        }
    }

    /// The kept part of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // `new` cuts at the boundary of a character.
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for ShortName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.is_whole { "" } else { "…" };
        write!(out, "{}{rest}", self.as_str())
    }
}

impl fmt::Debug for ShortName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{self}\"")
    }
}

/// Why an operation on a named buffer was refused.
///
/// # Real-time
/// The error is `Copy`: making, returning and dropping it never allocates.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum AudioBufferError {
    /// The name is in use.
    #[error("audio buffer `{name}` exists already; remove it first")]
    NameTaken {
        /// The name.
        name: ShortName,
    },
    /// No buffer has this name.
    #[error("there is no audio buffer `{name}`; create it first")]
    Unknown {
        /// The name.
        name: ShortName,
    },
    /// The sample rate is not finite and positive.
    #[error("sample_rate_hz must be finite and above 0 (got {sample_rate_hz})")]
    SampleRate {
        /// The rate given.
        sample_rate_hz: f32,
    },
    /// The error of the pool.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// A named stream of blocks: the block that is being written, and its position in the stream.
pub struct AudioBuffer {
    format: AudioFormat,
    /// Frames of the stream before the current block.
    position: u64,
    written: usize,
    block: PlanarBuffer,
    account: StreamAccount,
}

impl AudioBuffer {
    /// The format of its samples.
    #[must_use]
    pub const fn format(&self) -> AudioFormat {
        self.format
    }

    /// Frames of the stream before the next written one.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position + self.written as u64
    }

    /// Whether the block is full: no more frames can be written until it is shared.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.written == self.format.frames
    }

    /// The frames written so far of one channel of the block.
    ///
    /// # Panics
    /// If the format does not have the channel.
    #[must_use]
    pub fn channel(&self, channel: usize) -> &[f32] {
        &self.block.channel(channel)[..self.written]
    }

    /// The counts of the stream.
    #[must_use]
    pub const fn account(&self) -> StreamAccount {
        self.account
    }

    /// Copies as many frames as fit; returns their number. Missing channels are silent, further ones are ignored; the length
    /// of the shortest given channel is the number of frames.
    ///
    /// # Real-time
    /// Wait-free: one copy.
    pub fn write(&mut self, input: &[&[f32]]) -> usize {
        let given = input.iter().map(|channel| channel.len()).min().unwrap_or(0);
        let frames = given.min(self.format.frames - self.written);
        let new = self.written..self.written + frames;
        let mut input = input.iter();
        for channel in self.block.iter_mut() {
            match input.next() {
                Some(samples) => channel[new.clone()].copy_from_slice(&samples[..frames]),
                None => channel[new.clone()].fill(0.0),
            }
        }
        self.written = new.end;
        self.account.frames_written += frames as u64;
        frames
    }

    /// Replaces the block by a new one and returns it, its unwritten rest silent.
    fn exchange(&mut self, next: PlanarBuffer) -> PlanarBuffer {
        for channel in self.block.iter_mut() {
            channel[self.written..].fill(0.0);
        }
        self.position = self.position();
        self.written = 0;
        self.account.buffers_drawn += self.format.channels as u64;
        self.account.blocks_shared += 1;
        core::mem::replace(&mut self.block, next)
    }
}

/// The source of audio buffers in place of the allocator: streams get a half of the pool each, with the buffers they need and an
/// account; named buffers are on a half of the manager's own.
///
/// # Real-time
/// [`create`](Self::create) and [`remove`](Self::remove) allocate for the name. [`AudioBuffer::write`] and
/// [`share`](Self::share) do not.
///
/// # Drop
/// Every block is released.
///
/// # Examples
/// ```
/// use wavepool::modules::data_management::{AudioBufferManagerImpl, AudioFormat, BufferPool};
///
/// let (control, half) = BufferPool::builder().class(256, 8).build()?;
/// let mut buffers = AudioBufferManagerImpl::new(half);
/// let format = AudioFormat { sample_rate_hz: 48_000.0, channels: 2, frames: 256 };
/// buffers.create("microphone", format)?.write(&[&[0.5; 256], &[0.25; 256]]);
/// let block = buffers.share("microphone")?;
/// assert_eq!((block.channel(1)[0], block.metadata().first_frame), (0.25, 0));
/// assert_eq!(buffers.get("microphone")?.position(), 256);
/// drop((block, buffers));
/// assert_eq!(control.leased(), 0);
/// # Ok::<(), wavepool::modules::data_management::AudioBufferError>(())
/// ```
#[derive(Default)]
pub struct AudioBufferManagerImpl {
    /// Named buffers are acquired from it. A manager that only serves streams has none.
    half: Option<RealtimePool>,
    buffers: BTreeMap<String, AudioBuffer>,
    accounts: HalfAccounts,
}

impl AudioBufferManagerImpl {
    /// A manager that acquires named buffers from this half.
    #[must_use]
    pub fn new(half: RealtimePool) -> Self {
        Self {
            half: Some(half),
            ..Self::default()
        }
    }

    /// A pool half with these buffers, `(class samples, buffers)`, and an account under this name. The buffers are there from
    /// the first request on; later the optimizer keeps as many as the half uses.
    ///
    /// # Errors
    /// Those of [`PoolControl::attach_with`].
    pub fn attach(
        &mut self,
        control: &mut PoolControl,
        name: &str,
        need: &[(usize, u32)],
    ) -> Result<RealtimePool, PoolError> {
        let half = control.attach_with(need)?;
        self.accounts.open(name.to_owned(), half.id(), need);
        Ok(half)
    }

    /// The accounts of the halves that are attached, in the order in which they were opened.
    pub fn accounts(&self) -> impl Iterator<Item = &HalfAccount> {
        self.accounts.iter()
    }

    /// Updates the accounts by what a control step counted.
    pub(super) fn observe(&mut self, classes: &[OwnClass]) {
        self.accounts.observe(classes);
    }

    /// Whether named buffers can be created.
    pub(super) const fn has_half(&self) -> bool {
        self.half.is_some()
    }

    /// Sets the half that named buffers are acquired from.
    pub(super) fn set_half(&mut self, half: RealtimePool) {
        self.half = Some(half);
    }

    /// Creates a buffer, empty, at position 0.
    ///
    /// # Errors
    /// [`NameTaken`](AudioBufferError::NameTaken), [`SampleRate`](AudioBufferError::SampleRate), and the pool's: a block
    /// is at most as long as the largest class.
    pub fn create(
        &mut self,
        name: &str,
        format: AudioFormat,
    ) -> Result<&mut AudioBuffer, AudioBufferError> {
        if !(format.sample_rate_hz.is_finite() && format.sample_rate_hz > 0.0) {
            return Err(AudioBufferError::SampleRate {
                sample_rate_hz: format.sample_rate_hz,
            });
        }
        if self.buffers.contains_key(name) {
            return Err(AudioBufferError::NameTaken {
                name: ShortName::new(name),
            });
        }
        let buffer = AudioBuffer {
            format,
            position: 0,
            written: 0,
            block: acquire_block(self.half.as_ref(), format, 0)?,
            account: StreamAccount {
                buffers_drawn: format.channels as u64,
                ..StreamAccount::default()
            },
        };
        Ok(self.buffers.entry(name.to_owned()).or_insert(buffer))
    }

    /// The buffer of this name.
    ///
    /// # Errors
    /// [`Unknown`](AudioBufferError::Unknown).
    pub fn get(&self, name: &str) -> Result<&AudioBuffer, AudioBufferError> {
        self.buffers.get(name).ok_or_else(|| unknown(name))
    }

    /// The buffer of this name, to write.
    ///
    /// # Errors
    /// [`Unknown`](AudioBufferError::Unknown).
    pub fn get_mut(&mut self, name: &str) -> Result<&mut AudioBuffer, AudioBufferError> {
        self.buffers.get_mut(name).ok_or_else(|| unknown(name))
    }

    /// Shares the block, frozen, and acquires a new one in its place; nothing is copied. What was not written is
    /// silent. The position advances by what was written. All channels in one handle; see
    /// [`share_channels`](Self::share_channels).
    ///
    /// # Real-time
    /// Wait-free; clears the frames that were not written.
    ///
    /// # Errors
    /// [`Unknown`](AudioBufferError::Unknown); the pool's error, and the block is kept then.
    pub fn share(&mut self, name: &str) -> Result<PlanarRef, AudioBufferError> {
        Ok(self.share_block(name)?.freeze())
    }

    /// [`share`](Self::share), but with one [`BufferRef`] per channel, each of which is released separately: for readers of
    /// single channels, or for a single channel.
    ///
    /// # Real-time
    /// As for [`share`](Self::share).
    ///
    /// # Errors
    /// As for [`share`](Self::share).
    pub fn share_channels(
        &mut self,
        name: &str,
    ) -> Result<impl Iterator<Item = BufferRef> + use<>, AudioBufferError> {
        let channels = self.share_block(name)?.into_channels();
        Ok(channels.map(PooledBuffer::freeze))
    }

    fn share_block(&mut self, name: &str) -> Result<PlanarBuffer, AudioBufferError> {
        let buffer = self.buffers.get_mut(name).ok_or_else(|| unknown(name))?;
        let position = buffer.position();
        let next = match acquire_block(self.half.as_ref(), buffer.format, position) {
            Ok(next) => next,
            Err(error) => {
                buffer.account.refused += 1;
                return Err(error.into());
            }
        };
        Ok(buffer.exchange(next))
    }

    /// Ends a stream and releases its block. Returns its counts.
    ///
    /// # Errors
    /// [`Unknown`](AudioBufferError::Unknown).
    pub fn remove(&mut self, name: &str) -> Result<StreamAccount, AudioBufferError> {
        let buffer = self.buffers.remove(name).ok_or_else(|| unknown(name))?;
        Ok(buffer.account)
    }

    /// The names and buffers, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &AudioBuffer)> {
        self.buffers
            .iter()
            .map(|(name, buffer)| (name.as_str(), buffer))
    }

    /// Whether the pool's buffer with this number belongs to a block that is being written.
    #[must_use]
    pub fn holds(&self, slot: u32) -> bool {
        let mut blocks = self.buffers.values().map(|buffer| &buffer.block);
        blocks.any(|block| (0..block.channels()).any(|channel| block.slot_index(channel) == slot))
    }

    /// The half that the samples of named buffers come from, if there is one.
    pub const fn half_mut(&mut self) -> Option<&mut RealtimePool> {
        self.half.as_mut()
    }
}

fn acquire_block(
    half: Option<&RealtimePool>,
    format: AudioFormat,
    first_frame: u64,
) -> Result<PlanarBuffer, PoolError> {
    let half = half.ok_or(PoolError::NoHalf {
        class_samples: u32::try_from(format.frames).unwrap_or(u32::MAX),
    })?;
    let mut block = half.acquire_planar(format.channels, format.frames)?;
    block.set_metadata(AudioMetadata {
        sample_rate_hz: format.sample_rate_hz,
        channels: format.channels as u16,
        channel: 0,
        first_frame,
    });
    Ok(block)
}

fn unknown(name: &str) -> AudioBufferError {
    AudioBufferError::Unknown {
        name: ShortName::new(name),
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "audio_buffer_manager_tests.rs"]
mod tests;

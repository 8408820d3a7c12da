//! The options of the host and of streams, as JSON from the page.

use serde::{Deserialize, Serialize};

use wavepool::modules::audio_foundations::StreamConfig;

/// How the threads of the page share data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Page, worker and worklet have one memory.
    Shared,
    /// Each has a memory of its own.
    Transfer,
}

/// The options of [`Host::new`](super::host::Host::new).
#[derive(Debug, Deserialize)]
pub(crate) struct HostOptions {
    pub(crate) mode: Mode,
    /// Why this mode was chosen, as a sentence.
    pub(crate) mode_reason: String,
    /// The sizing profile of an earlier run, if the page stored one.
    pub(crate) profile: Option<String>,
    /// Where the generations of this instance's leases begin, so that those of two pools differ: see
    /// [`LeaseTable::seed`](wavepool::modules::data_management::LeaseTable::seed).
    #[serde(default)]
    pub(crate) seed: u32,
}

/// The options of a stream.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamOptions {
    /// In Hz.
    pub(crate) sample_rate: f32,
    pub(crate) channels: usize,
    /// Frames per window.
    pub(crate) window: usize,
    /// Frames between the beginnings of two windows.
    pub(crate) hop: usize,
    pub(crate) consumer: Consumer,
}

impl StreamOptions {
    pub(crate) const fn config(&self) -> StreamConfig {
        StreamConfig {
            sample_rate_hz: self.sample_rate,
            channels: self.channels,
            window: self.window,
            hop: self.hop,
        }
    }
}

/// The reader of a stream's windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Consumer {
    /// The host, which measures level and pitch.
    Tuner,
    /// JavaScript: the page, or a worker.
    Reader,
}

/// The limits of [`StreamOptions`].
#[derive(Debug, Serialize)]
pub(crate) struct StreamLimits {
    /// The smallest and the largest `window`.
    pub(crate) window: [usize; 2],
    pub(crate) most_channels: usize,
    /// The most windows that one sample can be in; it limits how small `hop` can be.
    pub(crate) most_overlap: usize,
}

//! The options of the host and of streams, as JSON from the page.

use serde::{Deserialize, Serialize};

use super::stream::Consumer;

/// How the threads of the page share data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    /// Page, worker and worklet have one memory.
    Shared,
    /// Each has a memory of its own.
    Transfer,
}

/// The options of [`Host::new`](super::host::Host::new).
#[derive(Debug, Deserialize)]
pub(super) struct HostOptions {
    pub(super) mode: Mode,
    /// Why this mode was chosen, as a sentence.
    pub(super) mode_reason: String,
    /// The sizing profile of an earlier run, if the page stored one.
    pub(super) profile: Option<String>,
    /// Where the generations of this instance's leases begin, so that those of two pools differ: see
    /// [`LeaseTable::seed`](crate::modules::data_management::LeaseTable::seed).
    #[serde(default)]
    pub(super) seed: u32,
}

/// The options of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct StreamOptions {
    /// In Hz.
    pub(super) sample_rate: f32,
    pub(super) channels: usize,
    /// Frames per window.
    pub(super) window: usize,
    /// Frames between the beginnings of two windows.
    pub(super) hop: usize,
    pub(super) consumer: Consumer,
}

/// The limits of [`StreamOptions`].
#[derive(Debug, Serialize)]
pub(super) struct StreamLimits {
    /// The smallest and the largest `window`.
    pub(super) window: [usize; 2],
    pub(super) most_channels: usize,
    /// The most windows that one sample can be in; it limits how small `hop` can be.
    pub(super) most_overlap: usize,
}

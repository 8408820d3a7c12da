//! Audio processing on pooled buffers: windows of a stream, their level and pitch, chains of processors.
//!
//! This module depends on the pool, never the reverse. [`AudioFoundationsModule`] opens:
//!
//! | what | real-time end | other end |
//! |---|---|---|
//! | a stream | [`Capture`]: quanta of any size → windows, each in its own pooled buffer | [`Analysis`]: level and pitch, as events |
//! | a stream without analysis | [`Capture`] | [`Windows`]: the windows themselves |
//! | an analyser | | [`Analyser`]: level and pitch of windows that were copied from another instance |
//! | a sound that is there already | | [`SoundAnalysis`]: level and notes of all of it, in vectors of the story's trait |
//! | an engine | [`Engine`]: a chain of [`Processor`]s between input and output | |

mod analysis;
mod audio_events;
#[cfg(test)]
#[cfg(not(loom))]
mod bounded_tests;
mod capture;
mod capture_counters;
mod capture_output;
mod chain;
mod engine;
mod level;
mod module;
mod note;
mod peaks;
mod pitch;
mod processor;
mod reblocker;
mod sound_analysis;
mod steps;
mod stream;
#[cfg(test)]
#[cfg(not(loom))]
mod stream_sizing_tests;
#[cfg(test)]
#[cfg(not(loom))]
pub(crate) mod test_rig;
mod windows;

pub use analysis::{Analyser, Analysis, AnalysisCounters, Reading};
pub use audio_events::{
    LevelMeasured, PitchDetected, SkipReason, StreamClosed, StreamOpened, WindowSkipped,
};
pub use capture::{Capture, CopySpan, MAX_SILENCE_FRAMES};
pub use capture_counters::CaptureCounters;
pub(crate) use chain::Chain;
pub use engine::{Engine, EngineCounters};
pub use level::{CEILING_DBFS, FLOOR_DBFS, Level};
pub use module::AudioFoundationsModule;
pub use note::{A4_HZ, Note, NoteError};
pub use pitch::{HIGHEST_HZ, LOWEST_HZ, Pitch, PitchDetector, PitchWork};
pub use processor::{DcBlocker, Gain, Meter, ProcessContext, Processor};
pub use reblocker::MAX_QUANTUM_FRAMES;
pub use sound_analysis::{NoteCount, SoundAnalysis, SoundSummary};
pub(crate) use stream::check_format;
pub use stream::{
    AudioError, MAX_OVERLAP, MAX_SAMPLE_RATE_HZ, MAX_WINDOW, MIN_SAMPLE_RATE_HZ, MIN_WINDOW,
    StreamConfig,
};
pub use windows::Windows;

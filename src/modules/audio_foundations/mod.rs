//! Sound on pooled buffers: windows cut from a stream, their level and pitch, chains of processors.
//!
//! Depends on the pool, never the reverse. [`AudioFoundationsModule`] opens four things on it:
//!
//! | what | real-time end | other end |
//! |---|---|---|
//! | a stream | [`Capture`]: quanta of any size → windows, each in its own pooled buffer | [`Analysis`]: level and pitch, as events |
//! | a stream for others to read | [`Capture`] | [`Windows`]: the windows themselves |
//! | an analyser | | [`Analyser`]: the same for windows carried here from elsewhere |
//! | an engine | [`Engine`]: a chain of [`Processor`]s between input and output | |

mod analysis;
mod audio_events;
#[cfg(test)]
#[cfg(not(loom))]
mod bounded_tests;
mod capture;
mod engine;
mod level;
mod module;
mod note;
mod peaks;
mod pitch;
mod processor;
mod reblocker;
mod steps;
mod stream;
#[cfg(test)]
#[cfg(not(loom))]
mod test_rig;
mod windows;

pub use analysis::{Analyser, Analysis, AnalysisCounters, Reading};
pub use audio_events::{
    LevelMeasured, PitchDetected, SkipReason, StreamClosed, StreamOpened, WindowSkipped,
};
#[cfg(all(target_arch = "wasm32", feature = "page"))]
pub(crate) use capture::CAPTURE_FIELDS;
pub use capture::{Capture, CaptureCounters, CopySpan, MAX_SILENCE_FRAMES};
pub(crate) use engine::ends_broken;
pub use engine::{Engine, EngineCounters};
pub use level::{CEILING_DBFS, FLOOR_DBFS, Level};
pub use module::AudioFoundationsModule;
pub use note::{A4_HZ, Note, NoteError};
pub use pitch::{HIGHEST_HZ, LOWEST_HZ, Pitch, PitchDetector, PitchWork};
pub use processor::{DcBlocker, Gain, Meter, ProcessContext, Processor};
pub use reblocker::MAX_QUANTUM_FRAMES;
pub(crate) use stream::check_format;
pub use stream::{
    AudioError, MAX_OVERLAP, MAX_SAMPLE_RATE_HZ, MAX_WINDOW, MIN_SAMPLE_RATE_HZ, MIN_WINDOW,
    StreamConfig,
};
pub use windows::Windows;

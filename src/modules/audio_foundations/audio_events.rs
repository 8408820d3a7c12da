//! What the audio side tells the bus. Every event carries the frame it is about, so that audio and pool events of the
//! same frame can be set side by side.

use serde::Serialize;

use super::note::Note;
use crate::event_bus::{BusError, Event, Priority, TypedEventBus};

/// The first quantum of a stream has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StreamOpened {
    /// First frame of the stream.
    pub first_frame: u64,
    /// Number of the stream, from 1.
    pub stream: u32,
    /// Sample rate.
    pub sample_rate_hz: f32,
    /// Samples per window and channel.
    pub window: u32,
    /// Frames from one window to the next.
    pub hop: u32,
    /// Channels.
    pub channels: u16,
}

/// The capture of a stream was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StreamClosed {
    /// The frame after the last one captured.
    pub first_frame: u64,
    /// Number of the stream.
    pub stream: u32,
    /// Frames captured.
    pub frames: u64,
    /// Windows delivered.
    pub windows: u64,
    /// Windows skipped.
    pub skipped_windows: u64,
}

/// Why a window was not delivered or not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// The pool had no buffer for it when it began.
    PoolExhausted,
    /// The analysis had not read as many windows as the queue holds.
    QueueFull,
    /// The quantum after its beginning did not follow, so it would have had a hole.
    Interrupted,
    /// The analysis found no working memory for it.
    NoScratch,
}

/// A window is missing from the sequence; audio goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WindowSkipped {
    /// First frame of the window.
    pub first_frame: u64,
    /// Number of the stream.
    pub stream: u32,
    /// Why.
    pub reason: SkipReason,
}

/// Level of one window or block. It has none, and both figures are absent, if a sample is infinite or not a number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LevelMeasured {
    /// First frame of the window.
    pub first_frame: u64,
    /// Number of the stream.
    pub stream: u32,
    /// RMS over all channels, in dBFS.
    pub rms_dbfs: Option<f32>,
    /// Largest sample of all channels, in dBFS.
    pub peak_dbfs: Option<f32>,
}

/// What one window's pitch is, also when it has none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PitchDetected {
    /// First frame of the window.
    pub first_frame: u64,
    /// Number of the stream.
    pub stream: u32,
    /// Fundamental frequency.
    pub hz: Option<f32>,
    /// The nearest note.
    pub note: Option<Note>,
    /// How far above the note.
    pub cents: Option<f32>,
    /// How exactly the window repeats itself, 0 to 1.
    pub clarity: f32,
}

macro_rules! events {
    ($($Name:ident: $priority:ident,)*) => {
        $(impl Event for $Name {
            const NAME: &'static str = stringify!($Name);
            const PRIORITY: Priority = Priority::$priority;
        })*

        /// Makes every audio event known to a bus, so that dashboards see its type before the first one comes.
        pub(super) fn declare_all(bus: &TypedEventBus) -> Result<(), BusError> {
            $(bus.declare::<$Name>()?;)*
            Ok(())
        }
    };
}

events! {
    // The control side answers a skipped window (grow the pool, slow the analysis); the rest is for people.
    WindowSkipped: High,
    StreamOpened: Normal,
    StreamClosed: Normal,
    LevelMeasured: Normal,
    PitchDetected: Normal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pitch_reads_as_people_write_it() {
        let event = PitchDetected {
            first_frame: 1024,
            stream: 1,
            hz: Some(440.0),
            note: Some("A4".parse().unwrap()),
            cents: Some(0.0),
            clarity: 1.0,
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"first_frame":1024,"stream":1,"hz":440.0,"note":"A4","cents":0.0,"clarity":1.0}"#
        );
        let skipped = serde_json::to_value(SkipReason::PoolExhausted).unwrap();
        assert_eq!(skipped, "pool-exhausted");
    }

    #[test]
    fn all_can_be_declared_on_one_bus() {
        declare_all(&TypedEventBus::default()).unwrap();
    }
}

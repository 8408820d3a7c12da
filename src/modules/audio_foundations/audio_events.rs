//! The events of the audio side. Every event has the frame to which it belongs, so that audio and pool events of the same frame
//! can be compared.

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
    /// The pool had no buffer for the window when it began.
    PoolExhausted,
    /// The queue was full of unread windows.
    QueueFull,
    /// A quantum did not follow the one before it, so that the window would have had a gap.
    Interrupted,
    /// The pool had no scratch for the analysis.
    NoScratch,
}

/// A window is missing from the sequence. Capturing continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WindowSkipped {
    /// First frame of the window.
    pub first_frame: u64,
    /// Number of the stream.
    pub stream: u32,
    /// The reason.
    pub reason: SkipReason,
}

/// The level of one window or block. Both figures are `None` if a sample is infinite or NaN.
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

/// The pitch of one window; also published for a window without one.
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
    /// Distance above the note.
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

        /// Declares every audio event on a bus, so that dashboards see the types before the first event.
        pub(super) fn declare_all(bus: &TypedEventBus) -> Result<(), BusError> {
            $(bus.declare::<$Name>()?;)*
            Ok(())
        }
    };
}

events! {
    // The control side can react to a skipped window (grow the pool, slow the analysis down); the other events are for people.
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
    fn audio_events_have_readable_json() {
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
    fn audio_events_can_all_be_declared_on_one_bus() {
        declare_all(&TypedEventBus::default()).unwrap();
    }
}

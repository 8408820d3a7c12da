//! One event type per lane, for the unit tests.

use serde::Serialize;

use super::event::{Event, Priority};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Beat(pub(crate) u64);
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Note(pub(crate) u64);
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Meter(pub(crate) u64);

impl Event for Beat {
    const NAME: &'static str = "Beat";
    const PRIORITY: Priority = Priority::Critical;
}

impl Event for Note {
    const NAME: &'static str = "Note";
    const PRIORITY: Priority = Priority::High;
}

impl Event for Meter {
    const NAME: &'static str = "Meter";
    const PRIORITY: Priority = Priority::Normal;
}

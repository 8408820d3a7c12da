//! Events: small `Copy` values with a name and a priority.

use core::time::Duration;

use serde::Serialize;

/// The largest size of an event in bytes: a cell is one cache line, and its first word belongs to the bus.
pub const MAX_EVENT_BYTES: usize = 56;

/// How soon an event must reach its subscribers. A lane is drained only while all higher ones are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Within 0.5 ms: events that the audio path must react to.
    Critical,
    /// Within 5 ms: events that the control side must react to.
    High,
    /// Within 100 ms: events that people and dashboards read.
    Normal,
}

impl Priority {
    /// Every priority, in the order in which the lanes are drained.
    pub const ALL: [Self; 3] = [Self::Critical, Self::High, Self::Normal];

    /// The time from publishing to delivery above which an event counts as late.
    #[must_use]
    pub const fn deadline(self) -> Duration {
        match self {
            Self::Critical => Duration::from_micros(500),
            Self::High => Duration::from_millis(5),
            Self::Normal => Duration::from_millis(100),
        }
    }

    /// The lane's index: 0, 1, 2.
    pub(crate) const fn lane(self) -> usize {
        self as usize
    }
}

/// A message on the bus: at most [`MAX_EVENT_BYTES`] bytes, aligned to at most 8 (both checked when it is first
/// published, at compile time), copied into a lane byte by byte.
///
/// `Serialize` makes the JSON form that dashboards read; it runs on the dispatching side only.
///
/// # Examples
/// ```
/// use wavepool::event_bus::{Event, Priority};
///
/// #[derive(Debug, Clone, Copy, serde::Serialize)]
/// struct Clipped { first_frame: u64, channel: u16 }
///
/// impl Event for Clipped {
///     const NAME: &'static str = "Clipped";
///     const PRIORITY: Priority = Priority::High;
/// }
/// ```
///
/// One byte too many does not compile:
/// ```compile_fail,E0080
/// use wavepool::event_bus::{Event, Priority, TypedEventBus};
///
/// #[derive(Clone, Copy, serde::Serialize)]
/// struct Big { samples: [u8; 32], more: [u8; 25] }
/// impl Event for Big {
///     const NAME: &'static str = "Big";
///     const PRIORITY: Priority = Priority::Normal;
/// }
/// let bus = TypedEventBus::default();
/// bus.publisher().unwrap().publish(Big { samples: [0; 32], more: [0; 25] });
/// ```
pub trait Event: Copy + Send + Serialize + 'static {
    /// The name that people and dashboards see; unique on a bus.
    const NAME: &'static str;
    /// The lane that its events are pushed to.
    const PRIORITY: Priority;
    /// The name as a number: the same in every instance of a build, and never 0.
    const ID: u32 = fnv1a(Self::NAME);
}

/// The 32-bit FNV-1a hash of a name, with 0 moved to 1.
#[must_use]
pub(crate) const fn fnv1a(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let mut hash = 0x811c_9dc5_u32;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    if hash == 0 { 1 } else { hash }
}

/// A publisher's lane was full and events were lost. Published by the dispatching side, at most once per lane and pump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EventsDropped {
    /// The publisher: its number in [`EventRecord::publisher`].
    pub publisher: u32,
    /// Which lane was full.
    pub lane: Priority,
    /// Events lost since the last announcement for this publisher and lane.
    pub dropped: u64,
    /// Events lost in this lane since the publisher was made.
    pub total: u64,
}

impl Event for EventsDropped {
    const NAME: &'static str = "EventsDropped";
    const PRIORITY: Priority = Priority::High;
}

/// The JSON form of one delivered event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventRecord {
    /// The version of this format: [`EventRecord::VERSION`].
    pub version: u32,
    /// The event's name: [`Event::NAME`].
    pub name: &'static str,
    /// The event's priority: [`Event::PRIORITY`].
    pub priority: Priority,
    /// The event's number among those of its publisher and lane, from 0. It has no gaps, unless events were forwarded from
    /// another instance and some were lost on the way.
    pub seq: u64,
    /// The publisher's number; the highest bit is set if the event was forwarded from another instance.
    pub publisher: u32,
    /// The event's fields.
    pub data: serde_json::Value,
}

impl EventRecord {
    /// Incremented when a field changes its meaning or is removed.
    pub const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_matches_the_published_vectors() {
        assert_eq!(fnv1a(""), 0x811c_9dc5);
        assert_eq!(fnv1a("a"), 0xe40c_292c);
        assert_eq!(fnv1a("foobar"), 0xbf9c_f968);
    }

    #[test]
    fn priority_deadlines_and_names_are_those_of_the_story() {
        assert_eq!(
            Priority::ALL.map(|p| p.deadline().as_micros()),
            [500, 5_000, 100_000]
        );
        assert_eq!(
            serde_json::to_string(&Priority::ALL).unwrap(),
            r#"["critical","high","normal"]"#
        );
    }
}

//! The figures of feeds, for snapshots. Feeds play without the host; the page reports their figures.

use std::collections::BTreeMap;

use serde::Serialize;
/// The figures of an open feed.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct FeedFigures {
    /// The page's number of the feed.
    pub(super) feed: u32,
    pub(super) sample_rate: f32,
    pub(super) channels: u32,
    /// Frames per block.
    pub(super) frames: u32,
    /// The latency that the feed keeps, in frames.
    pub(super) latency_frames: u32,
    /// Whether the source sets the pace, and not the feed.
    pub(super) live: bool,
    /// How often the writer was late.
    pub(super) underruns: u32,
    /// Live feeds: frames that were dropped because they arrived after the latency. A double, which is exact up to 2^53; a 32-bit
    /// count of frames would wrap within a day.
    pub(super) late_frames: f64,
}

/// The open feeds by number.
#[derive(Debug, Default)]
pub(super) struct Feeds(pub(super) BTreeMap<u32, FeedFigures>);

impl Feeds {
    pub(super) fn figures(&self) -> Vec<FeedFigures> {
        self.0.values().copied().collect()
    }
}

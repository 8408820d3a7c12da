//! The figures of feeds, for snapshots. Feeds play without the host; the page reports their figures.

use std::collections::BTreeMap;

use serde::Serialize;
/// The figures of an open feed.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct FeedFigures {
    /// The page's number of the feed.
    pub(crate) feed: u32,
    pub(crate) sample_rate: f32,
    pub(crate) channels: u32,
    /// Frames per block.
    pub(crate) frames: u32,
    /// The latency that the feed keeps, in frames.
    pub(crate) latency_frames: u32,
    /// Whether the source sets the pace, and not the feed.
    pub(crate) live: bool,
    /// How often the writer was late.
    pub(crate) underruns: u32,
    /// Live feeds: frames that were dropped because they arrived after the latency. A double, which is exact up to 2^53; a 32-bit
    /// count of frames would wrap within a day.
    pub(crate) late_frames: f64,
}

/// The open feeds by number.
#[derive(Debug, Default)]
pub(crate) struct Feeds(BTreeMap<u32, FeedFigures>);

impl Feeds {
    /// Sets the figures of a feed.
    pub(crate) fn set(&mut self, figures: FeedFigures) {
        self.0.insert(figures.feed, figures);
    }

    /// Removes a closed feed.
    pub(crate) fn remove(&mut self, feed: u32) {
        self.0.remove(&feed);
    }

    pub(crate) fn figures(&self) -> Vec<FeedFigures> {
        self.0.values().copied().collect()
    }
}

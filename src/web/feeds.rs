//! What the page tells of its feeds: they play without the host, but their figures stand in the snapshot.

use std::collections::BTreeMap;

use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::host::Host;

/// A feed that is open.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct FeedFigures {
    /// Its number with the page.
    feed: u32,
    sample_rate: f32,
    channels: u32,
    /// Frames per block.
    frames: u32,
    /// The latency that the feed keeps, in frames.
    latency_frames: u32,
    /// Whether the source sets the pace, and not the feed.
    live: bool,
    /// Times that the writer was late.
    underruns: u32,
    /// Live feeds: frames that were dropped because they came later than the latency. A double, which is exact up to 2^53:
    /// a 32-bit count of frames wraps around within a day.
    late_frames: f64,
}

/// By number.
#[derive(Debug, Default)]
pub(super) struct Feeds(BTreeMap<u32, FeedFigures>);

impl Feeds {
    pub(super) fn figures(&self) -> Vec<FeedFigures> {
        self.0.values().copied().collect()
    }
}

#[wasm_bindgen]
impl Host {
    /// A feed's format, and how often and by how much its writer was late so far.
    #[wasm_bindgen(js_name = tellFeed)]
    #[allow(clippy::too_many_arguments)] // Numbers cross this boundary one by one.
    pub fn tell_feed(
        &mut self,
        feed: u32,
        sample_rate: f32,
        channels: u32,
        frames: u32,
        latency_frames: u32,
        live: bool,
        underruns: u32,
        late_frames: f64,
    ) {
        let figures = FeedFigures {
            feed,
            sample_rate,
            channels,
            frames,
            latency_frames,
            live,
            underruns,
            late_frames,
        };
        self.feeds.0.insert(feed, figures);
    }

    /// The feed was closed.
    #[wasm_bindgen(js_name = forgetFeed)]
    pub fn forget_feed(&mut self, feed: u32) {
        self.feeds.0.remove(&feed);
    }
}

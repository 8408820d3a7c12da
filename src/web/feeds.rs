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
    /// Times that the writer was late.
    underruns: u32,
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
    /// A feed's format, and how often its writer was late so far.
    #[wasm_bindgen(js_name = tellFeed)]
    pub fn tell_feed(
        &mut self,
        feed: u32,
        sample_rate: f32,
        channels: u32,
        frames: u32,
        underruns: u32,
    ) {
        let figures = FeedFigures {
            feed,
            sample_rate,
            channels,
            frames,
            underruns,
        };
        self.feeds.0.insert(feed, figures);
    }

    /// The feed was closed.
    #[wasm_bindgen(js_name = forgetFeed)]
    pub fn forget_feed(&mut self, feed: u32) {
        self.feeds.0.remove(&feed);
    }
}

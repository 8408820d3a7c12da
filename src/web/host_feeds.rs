//! The figures of feeds, as the page reports them.

use wasm_bindgen::prelude::*;

use super::feeds::FeedFigures;
use super::host::Host;

#[wasm_bindgen]
impl Host {
    /// Sets the figures of a feed: its format, and how often and by how much its writer was late so far.
    #[wasm_bindgen(js_name = reportFeed)]
    #[allow(clippy::too_many_arguments)] // JavaScript passes numbers one by one.
    pub fn set_feed(
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

    /// Removes the figures of a closed feed.
    #[wasm_bindgen(js_name = forgetFeed)]
    pub fn remove_feed(&mut self, feed: u32) {
        self.feeds.0.remove(&feed);
    }
}

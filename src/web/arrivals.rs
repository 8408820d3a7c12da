//! Transfer mode, control side: what JavaScript calls for each block that arrives.

use wasm_bindgen::prelude::*;

use super::block_header::HEADER_BYTES;
use super::host::Host;
use super::receiver::Receiver;
use super::stream::{Stream, StreamEnd};
use super::stream_counts::StreamCounts;

#[wasm_bindgen]
impl Host {
    /// Bytes of a block's header.
    #[wasm_bindgen(js_name = headerBytes)]
    pub fn header_bytes(&self) -> usize {
        HEADER_BYTES
    }

    /// Where JavaScript puts a block's header.
    #[wasm_bindgen(js_name = headerAddress)]
    pub fn header_address(&mut self, stream: u32) -> usize {
        self.receiver(stream)
            .map_or(0, |(receiver, _)| receiver.header_address())
    }

    /// Takes the counts and events of the header that was put there; `wall_ms` is now by `Date.now`.
    ///
    /// # Errors
    /// A header that another build wrote.
    #[wasm_bindgen(js_name = receiveHeader)]
    pub fn receive_header(&mut self, stream: u32, wall_ms: f64) -> Result<(), JsError> {
        let bus = self.registry.bus().clone();
        let Some((receiver, counts)) = self.receiver(stream) else {
            return Ok(());
        };
        receiver
            .read_header(&bus, counts, wall_ms as u64)
            .map_err(|error| JsError::new(&error.to_string()))
    }

    /// Makes room for the block's window; false if there is none, which counts as a skipped window.
    #[wasm_bindgen(js_name = beginReceive)]
    pub fn begin_receive(&mut self, stream: u32) -> bool {
        self.receiver(stream)
            .is_some_and(|(receiver, _)| receiver.begin())
    }

    /// Where JavaScript puts a channel's samples.
    #[wasm_bindgen(js_name = receiveAddress)]
    pub fn receive_address(&mut self, stream: u32, channel: usize) -> usize {
        self.receiver(stream)
            .map_or(0, |(receiver, _)| receiver.address(channel))
    }

    /// The samples are there; reads the window and gives it back.
    #[wasm_bindgen(js_name = endReceive)]
    pub fn end_receive(&mut self, stream: u32) {
        if let Some((receiver, counts)) = self.receiver(stream) {
            receiver.end(counts);
        }
    }

    fn receiver(&mut self, stream: u32) -> Option<(&mut Receiver, &StreamCounts)> {
        match self.streams.get_mut(&stream) {
            Some(Stream {
                end: StreamEnd::Received(receiver),
                counts,
                ..
            }) => Some((receiver, counts)),
            _ => None,
        }
    }
}

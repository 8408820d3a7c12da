//! Transfer mode, control side: the calls for each block that arrives.

use wasm_bindgen::prelude::*;

use super::block_header::HEADER_BYTES;
use super::host::Host;
use super::receiver::Receiver;
use super::stream::{Stream, StreamEnds};
use super::stream_counts::StreamCounts;

#[wasm_bindgen]
impl Host {
    /// Bytes of a block's header.
    #[wasm_bindgen(js_name = headerBytes)]
    pub fn header_bytes(&self) -> usize {
        HEADER_BYTES
    }

    /// The address to which JavaScript copies the header of a block.
    #[wasm_bindgen(js_name = headerAddress)]
    pub fn header_address(&mut self, stream: u32) -> usize {
        self.receiver(stream)
            .map_or(0, |(receiver, _)| receiver.header_address())
    }

    /// Reads the counts and events of the header that was copied there; `wall_ms` is the current `Date.now`.
    ///
    /// # Errors
    /// If the header is damaged: another build wrote it.
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

    /// Acquires a buffer for the block's window. Returns false if the pool has none; the window then counts as skipped.
    #[wasm_bindgen(js_name = beginReceive)]
    pub fn begin_receive(&mut self, stream: u32) -> bool {
        self.receiver(stream)
            .is_some_and(|(receiver, _)| receiver.begin())
    }

    /// The address to which JavaScript copies the samples of a channel.
    #[wasm_bindgen(js_name = receiveAddress)]
    pub fn receive_address(&mut self, stream: u32, channel: usize) -> usize {
        self.receiver(stream)
            .map_or(0, |(receiver, _)| receiver.address(channel))
    }

    /// Analyses the window, whose samples have been copied, and releases it.
    #[wasm_bindgen(js_name = endReceive)]
    pub fn end_receive(&mut self, stream: u32) {
        if let Some((receiver, counts)) = self.receiver(stream) {
            receiver.end(counts);
        }
    }

    fn receiver(&mut self, stream: u32) -> Option<(&mut Receiver, &StreamCounts)> {
        match self.streams.get_mut(&stream) {
            Some(Stream {
                ends: StreamEnds::Received(receiver),
                counts,
                ..
            }) => Some((receiver, counts)),
            _ => None,
        }
    }
}

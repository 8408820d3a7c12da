//! What the page calls to have a sound analysed offline.

use wasm_bindgen::prelude::*;

use super::activity::{self, Activity};
use super::host::{Host, js_error};
use super::sounds::SOUND_WINDOW;
use wavepool::modules::data_management::{DataManagementModule, ObjectCounts};

/// Sounds that are there already, such as a decoded file.
#[wasm_bindgen]
impl Host {
    /// Frames of a window of a sound.
    #[wasm_bindgen(js_name = soundWindow)]
    pub fn sound_window(&self) -> usize {
        SOUND_WINDOW
    }

    /// Begins the analysis of a sound; returns its number.
    ///
    /// # Errors
    /// For a sample rate or a number of channels outside the limits.
    #[wasm_bindgen(js_name = openSound)]
    pub fn open_sound(&mut self, sample_rate: f32, channels: usize) -> Result<u32, JsError> {
        self.sounds.open(sample_rate, channels).map_err(js_error)
    }

    /// Gets memory for the next window of a sound, for [`soundAddress`](Self::sound_address).
    ///
    /// # Errors
    /// If there is no such sound, or no memory.
    #[wasm_bindgen(js_name = beginSound)]
    pub fn begin_sound(&mut self, sound: u32, frames: usize) -> Result<(), JsError> {
        let data = self.instance.data_mut();
        match data.is_some_and(|data| self.sounds.begin(sound, frames, data)) {
            true => Ok(()),
            false => Err(js_error(format!(
                "sound {sound} was closed, or there is no memory for {frames} frames of it"
            ))),
        }
    }

    /// The address to which JavaScript copies the samples of a channel; 0 without a window.
    #[wasm_bindgen(js_name = soundAddress)]
    pub fn sound_address(&mut self, sound: u32, channel: usize) -> usize {
        self.sounds.address(sound, channel)
    }

    /// Analyses the window, whose samples have been copied. Events are delivered before and after it.
    ///
    /// # Errors
    /// If there is no memory to work with.
    #[wasm_bindgen(js_name = endSound)]
    pub fn end_sound(&mut self, sound: u32) -> Result<(), JsError> {
        self.instance.dispatch();
        activity::begin(Activity::Request, 0);
        let Some(data) = self.instance.data_mut() else {
            return Ok(());
        };
        let analysed = self.sounds.end(sound, data);
        self.instance.dispatch();
        let channels = analysed.map_err(js_error)? as u64;
        // Of the posted samples and of this memory.
        self.totals.other_objects.views += 2 * channels;
        Ok(())
    }

    /// Counts a message with samples of so many channels, `bytes` in all.
    #[wasm_bindgen(js_name = countSamples)]
    pub fn count_samples(&mut self, channels: u32, bytes: u32) {
        self.totals.other_objects += ObjectCounts {
            views: channels.into(),
            messages: 1,
            buffers: channels.into(),
            content_bytes: bytes.into(),
        };
    }

    /// Ends the analysis; returns `SoundSummary` in the web library as JSON.
    ///
    /// # Errors
    /// If there is no such sound.
    #[wasm_bindgen(js_name = closeSound)]
    pub fn close_sound(&mut self, sound: u32) -> Result<String, JsError> {
        let data = self.instance.data_mut();
        let close = |data: &mut DataManagementModule| self.sounds.close(sound, data);
        let summary = data.and_then(close);
        let summary = summary.ok_or_else(|| js_error(format!("there is no sound {sound}")))?;
        Ok(serde_json::to_string(&summary)?)
    }
}

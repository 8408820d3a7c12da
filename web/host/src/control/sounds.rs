//! The sounds that are analysed offline: a file that the page has decoded. Their samples, and the working memory of the
//! analysis, are vectors of the story's trait.

use std::collections::BTreeMap;

use wavepool::modules::audio_foundations::{AudioError, SoundAnalysis, SoundSummary};
use wavepool::modules::data_management::{BufferRecyclingPool, DataManagementModule, MAX_CHANNELS};
use wavepool::registry::ModuleError;

/// Frames of a window: the vectors have the largest class of the default mix.
pub(crate) const SOUND_WINDOW: usize = 4096;

/// A sound under way.
struct Sound {
    analysis: SoundAnalysis,
    channels: usize,
    /// The window that JavaScript copies samples to: a vector per channel.
    window: Vec<Vec<f32>>,
}

/// The sounds by number.
#[derive(Default)]
pub(crate) struct Sounds {
    open: BTreeMap<u32, Sound>,
    opened: u32,
}

impl Sounds {
    /// Begins a sound; returns its number, which no other one gets.
    pub(crate) fn open(
        &mut self,
        sample_rate_hz: f32,
        channels: usize,
    ) -> Result<u32, ModuleError> {
        if !(1..=MAX_CHANNELS).contains(&channels) {
            let refused =
                format!("the number of channels must be 1 to {MAX_CHANNELS} (got {channels})");
            return Err(refused.into());
        }
        let sound = Sound {
            analysis: SoundAnalysis::new(sample_rate_hz, SOUND_WINDOW)?,
            channels,
            window: Vec::with_capacity(channels),
        };
        self.opened = self.opened.wrapping_add(1);
        self.open.insert(self.opened, sound);
        Ok(self.opened)
    }

    /// Gets the vectors of a window of so many frames, at most [`SOUND_WINDOW`]. Returns false if there is no such sound, for more
    /// frames, or if there is no memory.
    pub(crate) fn begin(
        &mut self,
        sound: u32,
        frames: usize,
        data: &mut DataManagementModule,
    ) -> bool {
        let Some((sound, pool)) = self.open.get_mut(&sound).zip(data.recycling_pool().ok()) else {
            return false;
        };
        sound.window.clear();
        if frames > SOUND_WINDOW {
            return false;
        }
        let vectors = (0..sound.channels).map_while(|_| {
            // The short last window is a vector of the same class: a smaller one would have to be created.
            let mut vector = pool.get_or_create(SOUND_WINDOW).ok()?;
            vector.truncate(frames);
            Some(vector)
        });
        sound.window.extend(vectors);
        if sound.window.len() == sound.channels {
            return true;
        }
        recycle(&mut sound.window, pool);
        false
    }

    /// The address of a channel of the window; 0 without a window.
    pub(crate) fn address(&mut self, sound: u32, channel: usize) -> usize {
        let sound = self.open.get_mut(&sound);
        let samples = sound.and_then(|sound| sound.window.get_mut(channel));
        samples.map_or(0, |samples| samples.as_mut_ptr() as usize)
    }

    /// Analyses the window, and recycles its vectors. Returns the number of channels.
    pub(crate) fn end(
        &mut self,
        sound: u32,
        data: &mut DataManagementModule,
    ) -> Result<usize, AudioError> {
        let Some((sound, pool)) = self.open.get_mut(&sound).zip(data.recycling_pool().ok()) else {
            return Ok(0);
        };
        let analysed = sound.analysis.add(pool, &sound.window);
        recycle(&mut sound.window, pool);
        analysed.map(|()| sound.channels)
    }

    /// Ends a sound; returns what it is.
    pub(crate) fn close(
        &mut self,
        sound: u32,
        data: &mut DataManagementModule,
    ) -> Option<SoundSummary> {
        let mut sound = self.open.remove(&sound)?;
        let pool = data.recycling_pool().ok()?;
        recycle(&mut sound.window, pool);
        Some(sound.analysis.finish(pool))
    }
}

fn recycle(window: &mut Vec<Vec<f32>>, pool: &mut impl BufferRecyclingPool) {
    for vector in window.drain(..) {
        // A vector for which the limit has no room was freed.
        let _ = pool.recycle(vector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;
    use wavepool::event_bus::TypedEventBus;
    use wavepool::registry::ModuleRegistry;

    #[wasm_bindgen_test(unsupported = test)]
    fn sound_uses_its_vectors_again_and_leaves_none_in_use() {
        let mut registry = ModuleRegistry::builder(TypedEventBus::default())
            .boot()
            .unwrap();
        let data = registry.get_mut::<DataManagementModule>().unwrap();
        let mut sounds = Sounds::default();
        assert!(sounds.open(48_000.0, 0).is_err() && sounds.open(0.0, 1).is_err());
        let sound = sounds.open(48_000.0, 2).unwrap();
        for frames in [SOUND_WINDOW, SOUND_WINDOW, SOUND_WINDOW, 100] {
            assert!(sounds.begin(sound, frames, data));
            let [left, right, none] = [0, 1, 2].map(|channel| sounds.address(sound, channel));
            assert!(left != 0 && right != 0 && left != right && none == 0);
            assert_eq!(sounds.end(sound, data).unwrap(), 2);
        }
        assert!(!sounds.begin(sound, SOUND_WINDOW + 1, data));
        // A window that was begun and not ended.
        assert!(sounds.begin(sound, SOUND_WINDOW, data));
        let summary = sounds.close(sound, data).unwrap();
        assert_eq!(
            (summary.windows, summary.frames),
            (3, 3 * SOUND_WINDOW as u64 + 100)
        );
        assert!(sounds.close(sound, data).is_none() && !sounds.begin(sound, 1, data));
        assert_eq!(data.vectors().unwrap().bytes_leased, 0);
        // Two for the samples and four to work on.
        assert_eq!(data.metrics().unwrap().created, 2 + 4);
    }
}

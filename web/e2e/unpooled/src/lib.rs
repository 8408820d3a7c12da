//! The tuner as it is written without a pool, with wasm-bindgen's `Vec<f32>` wherever samples cross: the audio thread's part, which makes
//! windows of quanta, and the worker's, which finds their notes. The pitch detector is that of the product.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "exports for two scripts")]

use wasm_bindgen::prelude::*;
use wavepool::modules::audio_foundations::{Note, PitchDetector, PitchWork};

#[wasm_bindgen]
pub struct Windows {
    window: usize,
    hop: usize,
    samples: Vec<f32>,
}

#[wasm_bindgen]
impl Windows {
    #[wasm_bindgen(constructor)]
    pub fn new(window: usize, hop: usize) -> Self {
        Self {
            window,
            hop,
            samples: Vec::new(),
        }
    }

    /// Takes a quantum, and returns a window whenever there is one.
    pub fn push(&mut self, quantum: Vec<f32>) -> Option<Vec<f32>> {
        self.samples.extend(quantum);
        if self.samples.len() < self.window {
            return None;
        }
        let window = self.samples[..self.window].to_vec();
        self.samples.drain(..self.hop);
        Some(window)
    }
}

#[wasm_bindgen]
pub struct Notes {
    detector: PitchDetector,
    work: [Vec<f32>; PitchWork::BUFFERS as usize],
}

#[wasm_bindgen]
impl Notes {
    #[wasm_bindgen(constructor)]
    pub fn new(sample_rate_hz: f32, window: usize) -> Result<Self, JsError> {
        let detector = PitchDetector::new(sample_rate_hz, window)?;
        let samples = detector.work_samples();
        Ok(Self {
            work: core::array::from_fn(|_| vec![0.0; samples]),
            detector,
        })
    }

    /// The name of the note, its distance in cents, and how clear it is; `undefined` without a pitch.
    pub fn of(&mut self, window: Vec<f32>) -> Option<NoteFound> {
        let [lags, near, far, fft] = &mut self.work;
        let work = PitchWork {
            lags,
            near,
            far,
            fft,
        };
        let pitch = self.detector.detect(&window, work).ok()?;
        let (note, cents) = Note::nearest(pitch.hz?)?;
        Some(NoteFound {
            note: note.to_string(),
            cents,
            clarity: pitch.clarity,
        })
    }
}

#[wasm_bindgen(getter_with_clone)]
pub struct NoteFound {
    pub note: String,
    pub cents: f32,
    pub clarity: f32,
}

//! Prints the notes of a WAV file: `cargo run --release --example tuner_wav -- FILE`.
//!
//! 8- to 32-bit integer or 32-bit float, any rate and up to 16 channels. The file goes through the same stream as live
//! sound does: quanta of 128 frames, pooled windows of 4096, pitch events on the bus.
//!
//! Memory does not grow with the file. A float file is mapped: its samples are read where they are, and pages that were played
//! leave the memory. Other samples are decoded block by block into a vector of the pool.
#![allow(clippy::print_stderr, reason = "an error is printed")]
#![allow(unsafe_code, reason = "a file is mapped")]

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::audio_foundations::{
    AudioFoundationsModule, Capture, PitchDetected, StreamConfig,
};
use wavepool::modules::data_management::{BufferRecyclingPool, DataManagementModule};
use wavepool::registry::ModuleRegistry;
use wavepool_tools::MappedWav;

const QUANTUM: usize = 128;
const WINDOW: usize = 4096;
/// Frames that are read from the file at a time.
const BLOCK: usize = 64 * QUANTUM;
/// Frames between two control steps of the pool: about ten milliseconds.
const STEP: usize = 4 * QUANTUM;

fn main() -> ExitCode {
    match run(std::env::args_os().nth(1), &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What `main` does with its argument: writes the notes of the file.
pub(crate) fn run(argument: Option<OsString>, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let path = argument.ok_or("usage: tuner_wav FILE.wav")?;
    let path = Path::new(&path);
    print_notes(path, out).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// The samples of a file, interleaved.
enum Samples {
    /// As they are in the file.
    Mapped(MappedWav),
    /// Scaled to a full scale of 1, in a vector of the pool.
    Decoded(hound::WavReader<BufReader<File>>, Vec<f32>),
}

impl Samples {
    fn open(path: &Path, data: &mut DataManagementModule) -> Result<Self, Box<dyn Error>> {
        let wav = hound::WavReader::open(path)?;
        let format = wav.spec();
        if format.channels == 0 {
            return Err("the file has no channels".into());
        }
        if !(1..=32).contains(&format.bits_per_sample) {
            let bits = format.bits_per_sample;
            return Err(format!("{bits} bits per sample, 1 to 32 are possible").into());
        }
        if format.sample_format == hound::SampleFormat::Float {
            // SAFETY: the file is the user's, who must not change it while it is played.
            if let Ok(mapped) = unsafe { MappedWav::open(path, 1) } {
                return Ok(Self::Mapped(mapped));
            }
        }
        let length = BLOCK * usize::from(format.channels);
        let block = data.recycling_pool()?.get_or_create(length)?;
        Ok(Self::Decoded(wav, block))
    }

    /// Passes a block of at most [`BLOCK`] frames from `first_frame` on to `play`; the blocks come in order. Returns false at
    /// the end of the file.
    fn next_block(
        &mut self,
        first_frame: usize,
        play: impl FnOnce(&[f32]),
    ) -> Result<bool, Box<dyn Error>> {
        match self {
            Self::Mapped(wav) => {
                let frames = BLOCK.min(wav.frames() - first_frame);
                if frames > 0 {
                    play(&wav.window(first_frame, frames)?);
                    wav.evict(first_frame, frames);
                }
                Ok(frames > 0)
            }
            Self::Decoded(wav, block) => {
                let samples = decode(wav, block).map_err(|error| {
                    format!("the samples cannot be read, the file may be cut off: {error}")
                })?;
                play(&block[..samples]);
                Ok(samples > 0)
            }
        }
    }
}

/// Decodes as many samples as there are and fit; returns their number.
fn decode(
    wav: &mut hound::WavReader<BufReader<File>>,
    block: &mut [f32],
) -> Result<usize, hound::Error> {
    let format = wav.spec();
    match format.sample_format {
        hound::SampleFormat::Float => fill(block, wav.samples()),
        hound::SampleFormat::Int => {
            let scale = 1.0 / (1_i64 << (format.bits_per_sample - 1)) as f32;
            let samples = wav.samples::<i32>();
            fill(block, samples.map(|sample| Ok(sample? as f32 * scale)))
        }
    }
}

fn fill(
    block: &mut [f32],
    samples: impl Iterator<Item = Result<f32, hound::Error>>,
) -> Result<usize, hound::Error> {
    let mut filled = 0;
    for (place, sample) in block.iter_mut().zip(samples) {
        *place = sample?;
        filled += 1;
    }
    Ok(filled)
}

/// Splits interleaved samples into channels, and gives them to the capture.
fn capture_quantum(
    capture: &mut Capture,
    planes: &mut [[f32; QUANTUM]],
    interleaved: &[f32],
    first_frame: usize,
) {
    let channels = planes.len();
    for (frame, values) in interleaved.chunks_exact(channels).enumerate() {
        for (plane, value) in planes.iter_mut().zip(values) {
            plane[frame] = *value;
        }
    }
    let frames = interleaved.len() / channels;
    let inputs: Vec<&[f32]> = planes.iter().map(|plane| &plane[..frames]).collect();
    capture.process(&inputs, first_frame as u64);
}

fn print_notes(path: &Path, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let bus = TypedEventBus::default();
    let found = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&found);
    let _pitches = bus.subscribe(move |pitch: &PitchDetected| {
        if let (Some(note), Ok(mut found)) = (pitch.note, sink.lock()) {
            found.push((note, *pitch));
        }
    })?;

    let mut registry = ModuleRegistry::builder(bus).boot()?;
    let (audio, data) = registry
        .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
        .ok_or("both modules are linked in")?;
    let format = hound::WavReader::open(path)?.spec();
    let mut samples = Samples::open(path, data)?;
    let channels = usize::from(format.channels);
    let (mut capture, mut analysis) = audio.open_stream(
        data,
        StreamConfig {
            sample_rate_hz: format.sample_rate as f32,
            channels,
            window: WINDOW,
            hop: WINDOW / 4,
        },
    )?;

    let mut planes = vec![[0.0_f32; QUANTUM]; channels];
    let mut played = 0;
    while samples.next_block(played, |block| {
        for interleaved in block.chunks(QUANTUM * channels) {
            capture_quantum(&mut capture, &mut planes, interleaved, played);
            analysis.poll(usize::MAX);
            if played.is_multiple_of(STEP) {
                // In the time of the sound, so that the pool is sized as it would be beside live sound.
                let played_s = played as f64 / f64::from(format.sample_rate);
                let data = registry.get_mut::<DataManagementModule>();
                data.and_then(|data| data.tick(played_s * 1000.0));
            }
            registry.bus().pump(usize::MAX);
            played += interleaved.len() / channels;
        }
    })? {}
    if played == 0 {
        return Err("the file has no samples".into());
    }
    if let (Samples::Decoded(_, block), Some(data)) =
        (samples, registry.get_mut::<DataManagementModule>())
    {
        data.recycling_pool()?.recycle(block)?;
    }

    writeln!(out, "{:>8}  note  {:>9}  cents  clarity", "seconds", "hz")?;
    let found = found.lock().map_err(|_| "a handler panicked")?;
    for (note, pitch) in found.iter() {
        writeln!(
            out,
            "{:8.3}  {:<4}  {:9.2}  {:+5.1}  {:.3}",
            pitch.first_frame as f64 / f64::from(format.sample_rate),
            note.to_string(),
            pitch.hz.unwrap_or(0.0),
            pitch.cents.unwrap_or(0.0),
            pitch.clarity,
        )?;
    }
    let windows = capture.counters().windows;
    writeln!(out, "{} of {windows} windows have a pitch", found.len())?;
    Ok(())
}

//! Prints the notes of a WAV file: `cargo run --release --example tuner_wav -- FILE`.
//!
//! 8- to 32-bit integer or 32-bit float, any rate and up to 16 channels. The file goes through the same stream as live
//! sound does: quanta of 128 frames, pooled windows of 4096, pitch events on the bus.
#![allow(clippy::print_stderr, reason = "an error is printed")]

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::audio_foundations::{AudioFoundationsModule, PitchDetected, StreamConfig};
use wavepool::modules::data_management::DataManagementModule;
use wavepool::registry::ModuleRegistry;

const QUANTUM: usize = 128;
const WINDOW: usize = 4096;
/// Quanta between two control steps of the pool: about ten milliseconds.
const QUANTA_PER_STEP: usize = 4;

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

/// Every sample, interleaved, as a float with full scale 1.
fn read_samples<R: Read>(wav: &mut hound::WavReader<R>) -> Result<Vec<f32>, Box<dyn Error>> {
    let format = wav.spec();
    if !(1..=32).contains(&format.bits_per_sample) {
        return Err(format!(
            "{} bits per sample, 1 to 32 are possible",
            format.bits_per_sample
        )
        .into());
    }
    let samples: Result<Vec<f32>, hound::Error> = match format.sample_format {
        hound::SampleFormat::Float => wav.samples().collect(),
        hound::SampleFormat::Int => {
            let scale = 1.0 / (1_i64 << (format.bits_per_sample - 1)) as f32;
            let scaled = wav.samples::<i32>().map(|s| s.map(|s| s as f32 * scale));
            scaled.collect()
        }
    };
    let samples = samples
        .map_err(|error| format!("the samples cannot be read, the file may be cut off: {error}"))?;
    if samples.is_empty() {
        return Err("the file has no samples".into());
    }
    Ok(samples)
}

fn print_notes(path: &Path, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut wav = hound::WavReader::open(path)?;
    let format = wav.spec();
    if format.channels == 0 {
        return Err("the file has no channels".into());
    }
    let samples = read_samples(&mut wav)?;

    let bus = TypedEventBus::default();
    let found = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&found);
    let _pitches = bus.subscribe(move |pitch: &PitchDetected| {
        if let (Some(note), Ok(mut found)) = (pitch.note, sink.lock()) {
            found.push((note, *pitch));
        }
    })?;

    let mut registry = ModuleRegistry::builder(bus).boot()?;
    let channels = usize::from(format.channels);
    let (audio, data) = registry
        .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
        .ok_or("both modules are linked in")?;
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
    for (quantum, interleaved) in samples.chunks(QUANTUM * channels).enumerate() {
        let frames = interleaved.len() / channels;
        for (frame, values) in interleaved.chunks_exact(channels).enumerate() {
            for (plane, value) in planes.iter_mut().zip(values) {
                plane[frame] = *value;
            }
        }
        let inputs: Vec<&[f32]> = planes.iter().map(|plane| &plane[..frames]).collect();
        capture.process(&inputs, (quantum * QUANTUM) as u64);
        analysis.poll(usize::MAX);
        if quantum.is_multiple_of(QUANTA_PER_STEP) {
            // In the time of the sound, so that the pool is sized as it would be beside live sound.
            let played_s = (quantum * QUANTUM) as f64 / f64::from(format.sample_rate);
            let data = registry.get_mut::<DataManagementModule>();
            data.and_then(|data| data.tick(played_s * 1000.0));
        }
        registry.bus().pump(usize::MAX);
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

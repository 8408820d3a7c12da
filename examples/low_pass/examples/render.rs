//! What the filter makes of noise, natively: the browser has to make the same of it.
//! `cargo run -p low_pass --example render -- FILE` writes both channels, one after the other, as 32-bit floats.

use std::error::Error;

use low_pass::LowPass;
use wavepool::worklet::Worklet;

/// As in `web/lib/package/processor.test.mjs`.
const SAMPLE_RATE_HZ: f32 = 48_000.0;
const QUANTA: usize = 200;
const QUANTUM: usize = 128;
/// From here on the frequency is another.
const TURNED_AT: usize = 100;
const TURNED_TO_HZ: f32 = 250.0;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("render FILE")?;
    let mut worklet = Worklet::<LowPass>::open(SAMPLE_RATE_HZ, 2)?;
    let mut seed = 1_u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut heard = [Vec::new(), Vec::new()];
    for quantum in 0..QUANTA {
        if quantum == TURNED_AT {
            worklet.set(0, TURNED_TO_HZ);
        }
        let block = worklet.block().ok_or("no block")?;
        for frame in 0..QUANTUM {
            block.channel_mut(0)[frame] = noise();
            block.channel_mut(1)[frame] = noise();
        }
        if !worklet.process() {
            return Err("no scratch".into());
        }
        let block = worklet.block().ok_or("no block")?;
        for (channel, heard) in heard.iter_mut().enumerate() {
            heard.extend_from_slice(block.channel(channel));
        }
    }
    let bytes: Vec<u8> = heard
        .iter()
        .flatten()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    std::fs::write(path, bytes)?;
    Ok(())
}

//! Worklets, natively: parameters, blocks, and numbers of every size.

use super::*;
use crate::modules::audio_foundations::ProcessContext;
use crate::modules::audio_foundations::test_rig::RecursiveFilter;

/// Adds `offset`, which it first writes to `scratch` samples of scratch.
#[derive(Default)]
struct Offset {
    offset: f32,
    scratch: usize,
}

impl Processor for Offset {
    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        ctx: &ProcessContext<'_>,
    ) -> Result<(), PoolError> {
        let mut scratch = ctx.scratch(self.scratch.max(1))?;
        scratch.fill(self.offset);
        for channel in 0..block.channels() {
            for sample in block.channel_mut(channel) {
                *sample += scratch[0];
            }
        }
        Ok(())
    }
}

impl WorkletProcessor for Offset {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "offset",
            minimum: -1.0,
            maximum: 1.0,
            default: 0.5,
        },
        Parameter {
            name: "scratch",
            minimum: 0.0,
            maximum: 1e6,
            default: 64.0,
        },
    ];

    fn set(&mut self, parameter: usize, value: f32) {
        match parameter {
            0 => self.offset = value,
            _ => self.scratch = value as usize,
        }
    }
}

crate::export_processor!(Offset);

/// Processes a block of zeros; returns its first sample, which equals the last one of the second channel.
fn process_zeros(worklet: &mut Worklet<Offset>) -> f32 {
    let block = worklet.block().unwrap();
    for channel in 0..block.channels() {
        block.channel_mut(channel).fill(0.0);
    }
    worklet.process();
    let block = worklet.block().unwrap();
    let (first, last) = (block.channel(0)[0], *block.channel(1).last().unwrap());
    assert_eq!(first, last);
    first
}

#[test]
fn parameters_start_at_their_defaults_and_are_limited_to_their_range() {
    let mut worklet = Worklet::<Offset>::open(48_000.0, 2).unwrap();
    assert_eq!(process_zeros(&mut worklet), 0.5);
    worklet.set(0, 0.25);
    assert_eq!(process_zeros(&mut worklet), 0.25);
    worklet.set(0, 7.0);
    worklet.set(9, 7.0);
    worklet.set(0, f32::NAN);
    assert_eq!(process_zeros(&mut worklet), 1.0);
}

#[test]
fn missing_scratch_leaves_the_block_unchanged() {
    let mut worklet = Worklet::<Offset>::open(48_000.0, 2).unwrap();
    worklet.set(1, 1e6);
    assert_eq!(process_zeros(&mut worklet), 0.0);
    worklet.set(1, 4096.0);
    assert_eq!(process_zeros(&mut worklet), 0.5);
}

#[test]
fn resize_replaces_the_block() {
    let mut worklet = Worklet::<Offset>::open(48_000.0, 2).unwrap();
    worklet.resize(1000).unwrap();
    assert_eq!(worklet.block().unwrap().frames(), 1000);
    assert_eq!(process_zeros(&mut worklet), 0.5);
    assert!(worklet.resize(10_000).is_err());
    assert!(worklet.block().is_none() && !worklet.process());
    worklet.resize(128).unwrap();
    assert_eq!(process_zeros(&mut worklet), 0.5);
}

#[test]
fn sample_rate_channels_and_frames_outside_the_limits_are_refused() {
    for channels in [0, 17, 255, u32::MAX as usize, usize::MAX] {
        let refused = Worklet::<Offset>::open(48_000.0, channels).err().unwrap();
        assert_eq!(
            refused.to_string(),
            format!("the number of channels must be 1 to 16 (got {channels})")
        );
    }
    for rate in [f32::NAN, f32::INFINITY, -48_000.0, 0.0, 1e-40, f32::MAX] {
        let refused = Worklet::<Offset>::open(rate, 2).err().unwrap();
        assert_eq!(
            refused.to_string(),
            format!("the sample rate must be 1 to 10000000 Hz (got {rate:?})")
        );
    }
    for (rate, channels) in [(1.0, 1), (1e7, 16)] {
        assert!(Worklet::<Offset>::open(rate, channels).is_ok());
    }
    let mut worklet = Worklet::<Offset>::open(48_000.0, 2).unwrap();
    for frames in [0, 4097, u32::MAX as usize, usize::MAX] {
        assert!(worklet.resize(frames).is_err());
        assert!(!worklet.process());
    }
    for frames in [1, 4096, 128] {
        worklet.resize(frames).unwrap();
        assert_eq!(process_zeros(&mut worklet), 0.5);
    }
}

#[test]
fn parameter_values_are_limited_to_their_range() {
    let mut worklet = Worklet::<Offset>::open(48_000.0, 2).unwrap();
    for (value, kept) in [
        (f32::NAN, 0.5),
        (f32::INFINITY, 1.0),
        (-f32::NAN, 1.0),
        (f32::NEG_INFINITY, -1.0),
        (f32::MAX, 1.0),
        (f32::MIN, -1.0),
        (1e-40, 1e-40),
    ] {
        worklet.set(0, value);
        worklet.set(usize::MAX, value);
        assert_eq!(process_zeros(&mut worklet), kept, "{value}");
    }
}

const fn parameter(minimum: f32, maximum: f32, default: f32) -> Parameter {
    Parameter {
        name: "gain",
        minimum,
        maximum,
        default,
    }
}

#[test]
fn parameters_with_contradicting_numbers_fail_the_compile_time_check() {
    let refusal = |parameters: &[Parameter]| {
        let checked = std::panic::catch_unwind(|| check_parameters(parameters));
        checked
            .err()
            .map(|panic| *panic.downcast::<&str>().unwrap())
    };
    let broken = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for parameter in broken.into_iter().flat_map(|x| {
        [(x, 1.0, 0.5), (0.0, x, 0.5), (0.0, 1.0, x)].map(|(a, b, c)| parameter(a, b, c))
    }) {
        let text = refusal(&[parameter]).unwrap();
        assert!(text.contains("infinite or NaN"), "{parameter:?}: {text}");
    }
    let text = refusal(&[parameter(0.0, 1.0, 1.0), parameter(2.0, 1.0, 1.5)]).unwrap();
    assert!(text.contains("minimum is above its maximum"), "{text}");
    for default in [-0.1, 1.1] {
        let text = refusal(&[parameter(0.0, 1.0, default)]).unwrap();
        assert!(text.contains("default is below"), "{text}");
    }
    let most = [parameter(f32::MIN, f32::MAX, 0.0); MAX_PARAMETERS];
    assert_eq!(refusal(&most), None);
    let more = [parameter(0.0, 0.0, 0.0); MAX_PARAMETERS + 1];
    assert!(refusal(&more).unwrap().contains("MAX_PARAMETERS"));
    assert_eq!(refusal(&[]), None);
}

impl WorkletProcessor for RecursiveFilter {}

#[test]
fn nan_in_a_processors_state_is_silence_for_one_block() {
    let mut worklet = Worklet::<RecursiveFilter>::open(48_000.0, 1).unwrap();
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let block = worklet.block().unwrap().channel_mut(0);
        block.fill(1.0);
        block[3] = broken;
        assert!(!worklet.process());
        let block = worklet.block().unwrap().channel_mut(0);
        assert_eq!(block, [0.0; 128]);
        block.fill(1.0);
        assert!(worklet.process());
        assert_eq!(worklet.block().unwrap().channel(0)[127], 1.0);
    }
}

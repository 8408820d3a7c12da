//! A worklet natively: parameters, blocks, and numbers of every size.

use super::*;

/// Adds `offset`, by way of scratch as long as `scratch` says.
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

export_processor!(Offset);

fn heard(worklet: &mut Worklet<Offset>) -> f32 {
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
fn parameters_start_at_their_defaults_and_keep_their_limits() {
    let mut worklet = Worklet::<Offset>::open(48_000.0, 2).unwrap();
    assert_eq!(heard(&mut worklet), 0.5);
    worklet.set(0, 0.25);
    assert_eq!(heard(&mut worklet), 0.25);
    worklet.set(0, 7.0);
    worklet.set(9, 7.0);
    worklet.set(0, f32::NAN);
    assert_eq!(heard(&mut worklet), 1.0);
}

#[test]
fn without_scratch_the_block_goes_on_as_it_is() {
    let mut worklet = Worklet::<Offset>::open(48_000.0, 2).unwrap();
    worklet.set(1, 1e6);
    assert_eq!(heard(&mut worklet), 0.0);
    worklet.set(1, 4096.0);
    assert_eq!(heard(&mut worklet), 0.5);
}

#[test]
fn a_quantum_of_another_length_gets_another_block() {
    let mut worklet = Worklet::<Offset>::open(48_000.0, 2).unwrap();
    worklet.resize(1000).unwrap();
    assert_eq!(worklet.block().unwrap().frames(), 1000);
    assert_eq!(heard(&mut worklet), 0.5);
    assert!(worklet.resize(10_000).is_err());
    assert!(worklet.block().is_none() && !worklet.process());
    worklet.resize(128).unwrap();
    assert_eq!(heard(&mut worklet), 0.5);
}

#[test]
fn rates_and_channels_are_checked_from_zero_to_the_types_maximum() {
    for channels in [0, 17, 255, u32::MAX as usize, usize::MAX] {
        let refused = Worklet::<Offset>::open(48_000.0, channels).err().unwrap();
        assert_eq!(
            refused.to_string(),
            format!("{channels} channels given, 1 to 16 are possible")
        );
    }
    for rate in [f32::NAN, f32::INFINITY, -48_000.0, 0.0, 1e-40, f32::MAX] {
        let refused = Worklet::<Offset>::open(rate, 2).err().unwrap();
        assert_eq!(
            refused.to_string(),
            format!("a sample rate of {rate:?} Hz given, 1 to 10000000 Hz are possible")
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
        assert_eq!(heard(&mut worklet), 0.5);
    }
}

#[test]
fn parameters_of_every_value_stay_within_their_limits() {
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
        assert_eq!(heard(&mut worklet), kept, "{value}");
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
fn parameters_that_no_value_could_satisfy_do_not_pass_the_compilers_check() {
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

/// A recursive filter without any check of its own.
#[derive(Default)]
struct Recursive(f32);

impl Processor for Recursive {
    fn process(
        &mut self,
        block: &mut PlanarBuffer,
        _: &ProcessContext<'_>,
    ) -> Result<(), PoolError> {
        for sample in block.channel_mut(0) {
            self.0 = 0.5 * self.0 + *sample;
            *sample = self.0;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.0 = 0.0;
    }
}

impl WorkletProcessor for Recursive {}

#[test]
fn nan_in_a_processors_memory_is_silence_for_one_block() {
    let mut worklet = Worklet::<Recursive>::open(48_000.0, 1).unwrap();
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let block = worklet.block().unwrap().channel_mut(0);
        block.fill(0.5);
        block[3] = broken;
        assert!(!worklet.process());
        let block = worklet.block().unwrap().channel_mut(0);
        assert_eq!(block, [0.0; 128]);
        block.fill(0.5);
        assert!(worklet.process());
        assert_eq!(worklet.block().unwrap().channel(0)[127], 1.0);
    }
}

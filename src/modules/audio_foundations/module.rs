//! The module that the registry boots: opens streams, analysers and engines.

use super::analysis::{Analyser, Analysis};
use super::audio_events::declare_all;
use super::capture::Capture;
use super::chain::Chain;
use super::engine::Engine;
use super::pitch::{PitchDetector, PitchWork};
use super::processor::Processor;
use super::stream::{AudioError, StreamConfig, check_format};
use super::windows::Windows;
use crate::event_bus::TypedEventBus;
use crate::modules::data_management::{DataManagementModule, PoolControl, PoolError, RealtimePool};
use crate::registry::{
    Dependency, InitContext, Module, ModuleDescriptor, ModuleError, ModuleRegistration, Version,
};

/// The longest quantum for which a stream reserves buffers; longer ones may skip windows.
/// See `docs/decisions/0030-each-end-of-a-stream-has-its-own-half.md`.
const TYPICAL_QUANTUM: usize = 1024;
/// Blocks of each class and channel that an engine starts with: one for the quantum, and one as scratch of the processor that
/// runs.
const ENGINE_BLOCKS: usize = 2;

inventory::submit! {
    ModuleRegistration {
        descriptor: AudioFoundationsModule::DESCRIPTOR,
        construct: || Box::new(AudioFoundationsModule::default()),
    }
}

/// Opens streams and engines on the pool. It is an ordinary module, which can be left out or replaced.
#[derive(Default)]
pub struct AudioFoundationsModule {
    bus: Option<TypedEventBus>,
    streams: u32,
}

impl AudioFoundationsModule {
    /// The module's description for the registry.
    pub const DESCRIPTOR: ModuleDescriptor = ModuleDescriptor {
        name: "audio_foundations",
        version: Version(0, 1, 0),
        dependencies: &[Dependency {
            name: "data_management",
            minimum: Version(0, 1, 0),
        }],
    };

    /// Opens a stream: the capture is for the real-time thread, the analysis for another.
    ///
    /// Each end gets a pool half of its own, which starts with as many buffers as it can need at a time: windows that are
    /// read within half a second are not skipped.
    ///
    /// To restart a stream, or to change its rate or windows, open another one and drop the ends of this one, in any order and on
    /// any thread; dropping them releases their buffers. No window contains samples of two streams or of both sides of a gap.
    ///
    /// # Real-time
    /// No: it allocates. It is for the control side.
    ///
    /// # Errors
    /// [`AudioError`] for a configuration outside the limits, and for errors of the pool and the bus.
    pub fn open_stream(
        &mut self,
        data: &mut DataManagementModule,
        config: StreamConfig,
    ) -> Result<(Capture, Analysis), AudioError> {
        let before = self.streams;
        let (capture, windows) = self.open_windows(data, config)?;
        let analyser = self
            .analyser(data, config, self.streams)
            .inspect_err(|_| self.streams = before)?;
        Ok((capture, Analysis::new(windows, analyser)))
    }

    /// Opens a stream without analysis: the windows are popped, one by one, from [`Windows`].
    ///
    /// # Errors
    /// As for [`open_stream`](Self::open_stream).
    pub fn open_windows(
        &mut self,
        data: &mut DataManagementModule,
        config: StreamConfig,
    ) -> Result<(Capture, Windows), AudioError> {
        config.check()?;
        let class = class_for(data, config.window)?;
        let queued = config.queue_windows();
        let open = (TYPICAL_QUANTUM + config.window - 2) / config.hop + 1;
        // One more window is being read.
        let buffers = config.channels * (open + queued + 1);
        let name = format!("stream {} capture", self.streams.wrapping_add(1));
        let pool = attach(data, &name, &[(class, buffers as u32)])?;
        let (queue, windows) = rtrb::RingBuffer::new(queued);
        let publisher = self.bus()?.publisher()?;
        let capture = Capture::new(self.next_stream(), config, pool, publisher, queue);
        Ok((capture, Windows::new(windows)))
    }

    /// The number of a new stream of which both ends are in another instance.
    ///
    /// # Errors
    /// As for [`open_stream`](Self::open_stream), for a configuration that this instance could not open.
    pub fn number_remote_stream(
        &mut self,
        data: &DataManagementModule,
        config: StreamConfig,
    ) -> Result<u32, AudioError> {
        config.check()?;
        class_for(data, config.window)?;
        Ok(self.next_stream())
    }

    /// The number of a new stream. Called after everything that can fail, so that a refused stream uses no number up.
    const fn next_stream(&mut self) -> u32 {
        self.streams = self.streams.wrapping_add(1);
        self.streams
    }

    /// Sets the number of the next stream, for an instance whose events are delivered together with those of others.
    pub const fn set_next_number(&mut self, stream: u32) {
        self.streams = stream.saturating_sub(1);
    }

    /// Opens an analyser alone, for windows that are copied from another instance.
    ///
    /// # Errors
    /// As for [`open_stream`](Self::open_stream).
    pub fn open_analyser(
        &mut self,
        data: &mut DataManagementModule,
        config: StreamConfig,
    ) -> Result<Analyser, AudioError> {
        config.check()?;
        let analyser = self.analyser(data, config, self.streams.wrapping_add(1))?;
        self.next_stream();
        Ok(analyser)
    }

    fn analyser(
        &self,
        data: &mut DataManagementModule,
        config: StreamConfig,
        stream: u32,
    ) -> Result<Analyser, AudioError> {
        config.check()?;
        // Checked before the transforms are planned, since planning takes long for windows that the pool cannot hold.
        class_for(data, config.window)?;
        let detector = PitchDetector::new(config.sample_rate_hz, config.window)?;
        let class = class_for(data, detector.work_samples())?;
        let name = format!("stream {stream} analysis");
        let pool = attach(data, &name, &[(class, PitchWork::BUFFERS)])?;
        let publisher = self.bus()?.publisher()?;
        Ok(Analyser::new(stream, config, detector, pool, publisher))
    }

    /// Opens an engine: a chain of processors between an input and an output.
    ///
    /// # Errors
    /// [`AudioError`] for a rate or a number of channels outside the limits, and for errors of the pool and the bus.
    pub fn open_engine(
        &mut self,
        data: &mut DataManagementModule,
        sample_rate_hz: f32,
        channels: usize,
        chain: Vec<Box<dyn Processor>>,
    ) -> Result<Engine, AudioError> {
        check_format(sample_rate_hz, channels)?;
        let blocks = (ENGINE_BLOCKS * channels) as u32;
        let mix: Vec<_> = control(data)?
            .classes()
            .map(|class| (class, blocks))
            .collect();
        let name = format!("engine {}", self.streams.wrapping_add(1));
        let pool = attach(data, &name, &mix)?;
        let publisher = self.bus()?.publisher()?;
        let stream = self.next_stream();
        let ends = Chain {
            pool,
            publisher,
            stream,
            sample_rate_hz,
        };
        Ok(Engine::new(channels, chain, ends))
    }

    /// A pool half with buffers for so many windows of the stream with this number, for a caller that copies windows itself. It
    /// keeps their number when the size classes change.
    ///
    /// # Errors
    /// As for [`open_stream`](Self::open_stream).
    pub fn attach_windows(
        &self,
        data: &mut DataManagementModule,
        config: StreamConfig,
        stream: u32,
        windows: u32,
    ) -> Result<RealtimePool, AudioError> {
        config.check()?;
        let class = class_for(data, config.window)?;
        let buffers = (config.channels as u32).saturating_mul(windows);
        let name = format!("stream {stream} received windows");
        attach(data, &name, &[(class, buffers)])
    }

    fn bus(&self) -> Result<&TypedEventBus, AudioError> {
        self.bus.as_ref().ok_or(AudioError::NotInitialised)
    }
}

/// A pool half with these buffers, under this name in the accounts.
fn attach(
    data: &mut DataManagementModule,
    name: &str,
    need: &[(usize, u32)],
) -> Result<RealtimePool, AudioError> {
    Ok(data.attach_stream(name, need)?)
}

/// The pool's smallest class with at least `samples` samples.
fn class_for(data: &DataManagementModule, samples: usize) -> Result<usize, AudioError> {
    let classes = control(data)?.classes();
    let (mut fitting, mut largest) = (None::<usize>, 0);
    for class in classes {
        largest = largest.max(class);
        if class >= samples && fitting.is_none_or(|fitting| class < fitting) {
            fitting = Some(class);
        }
    }
    fitting.ok_or(AudioError::Pool(PoolError::TooLarge {
        requested: samples,
        largest,
    }))
}

fn control(data: &DataManagementModule) -> Result<&PoolControl, AudioError> {
    data.control().ok_or(AudioError::NotInitialised)
}

impl Module for AudioFoundationsModule {
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
        declare_all(ctx.bus())?;
        self.bus = Some(ctx.bus().clone());
        Ok(())
    }

    fn stop(&mut self) {
        self.bus = None;
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::super::stream::{MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ};
    use super::super::test_rig::{MONO, Rig, play};
    use super::*;
    use crate::modules::data_management::PoolFigures;

    #[test]
    fn stream_config_of_any_numbers_is_opened_or_refused() {
        let mut rig = Rig::boot();
        let rates = [
            0.0,
            -1.0,
            0.5,
            1.0,
            8000.0,
            1e7,
            f32::MAX,
            f32::INFINITY,
            f32::NAN,
        ];
        let sizes = [0, 1, 255, 256, 257, 4096, 4097, 1 << 31, usize::MAX];
        let channels = [0, 1, 16, 17, usize::MAX];
        let (mut opened, mut refused) = (0, 0);
        for sample_rate_hz in rates {
            for window in sizes {
                for hop in sizes {
                    for channels in channels {
                        let config = StreamConfig {
                            sample_rate_hz,
                            channels,
                            window,
                            hop,
                        };
                        let possible = (MIN_SAMPLE_RATE_HZ..=MAX_SAMPLE_RATE_HZ)
                            .contains(&sample_rate_hz)
                            && (256..=4096).contains(&window)
                            && (window.div_ceil(64)..=window).contains(&hop)
                            && (1..=16).contains(&channels);
                        match rig.try_open(config) {
                            Ok((mut capture, analysis)) => {
                                assert!(possible, "{config:?}");
                                opened += 1;
                                // Refused streams have used no number up.
                                assert_eq!(capture.stream(), opened);
                                play(&mut capture, &[0.5; 256], 0);
                                drop((capture, analysis));
                                // The bus frees dropped publishers once their events were delivered.
                                assert_eq!(rig.events("StreamClosed").len(), 1);
                            }
                            Err(error) => {
                                // Without control steps, other classes use all of the pool's memory at some point.
                                let full = matches!(
                                    error,
                                    AudioError::Pool(PoolError::LimitReached { .. })
                                );
                                assert!(!possible || full, "{config:?}: {error}");
                                refused += 1;
                            }
                        }
                    }
                }
            }
        }
        assert!(
            opened > 20 && refused > 1000,
            "{opened} opened, {refused} refused"
        );
        assert_eq!(rig.leased(), 0);
    }

    #[test]
    fn attached_windows_keep_their_buffers_when_size_classes_change() {
        let mut rig = Rig::boot();
        let modules = rig
            .registry
            .get_two_mut::<AudioFoundationsModule, DataManagementModule>();
        let (audio, data) = modules.unwrap();
        let control = data.control_mut().unwrap();
        control.set_classes(&[608, 4096]).unwrap();
        let pool = audio.attach_windows(data, MONO, 1, 2).unwrap();
        let windows = [(); 2].map(|()| pool.acquire_planar(1, MONO.window).unwrap());
        assert!(pool.acquire_planar(1, MONO.window).is_err());
        drop(windows);
    }

    #[test]
    fn leak_free_when_streams_are_reopened_with_other_rates_and_windows() {
        let mut rig = Rig::boot();
        let mut reserved = None;
        for round in 0..if cfg!(miri) { 2 } else { 10 } {
            for (rate, window, hop, channels) in [
                (48_000.0, 4096, 1024, 1),
                (44_100.0, 2048, 2048, 2),
                (96_000.0, 512, 100, 1),
                (8_000.0, 3000, 1500, 6),
            ] {
                let config = StreamConfig {
                    sample_rate_hz: rate,
                    channels,
                    window,
                    hop,
                };
                let (mut capture, mut analysis) = rig.open(config);
                let value = (round + 1) as f32 / 16.0;
                play(&mut capture, &vec![value; window + 3 * hop], 0);
                // No window contains samples of an earlier stream.
                while let Some(window) = analysis.next_window() {
                    assert!(window.channel(0).iter().all(|x| *x == value));
                }
            }
            assert_eq!(rig.leased(), 0);
            // Frees the lanes of dropped publishers.
            rig.registry.bus().pump(usize::MAX);
            let data = rig.registry.get_mut::<DataManagementModule>().unwrap();
            let control = data.control_mut().unwrap();
            while !control.step(64).complete {}
            let now = control.metrics().bytes_reserved;
            let first = *reserved.get_or_insert(now);
            assert_eq!(now, first, "memory grew in round {round}");
        }
    }

    #[test]
    fn refused_streams_have_a_reason_and_acquire_nothing() {
        let mut rig = Rig::boot();
        let window = StreamConfig {
            window: 8192,
            ..MONO
        };
        let error = rig.try_open(window).err().unwrap();
        assert_eq!(
            error.to_string(),
            "the pool cannot serve the stream: 8192 samples asked for, at most 4096 can be had: ask for less, or build the \
             pool with a larger class"
        );
        let hop = StreamConfig { hop: 2000, ..MONO };
        assert!(matches!(
            rig.try_open(hop),
            Err(AudioError::Hop { given: 2000, .. })
        ));
        let mut unbooted = AudioFoundationsModule::default();
        let data = rig.registry.get_mut::<DataManagementModule>().unwrap();
        let error = unbooted.open_stream(data, MONO).err().unwrap();
        assert_eq!(error, AudioError::NotInitialised);
        assert_eq!(rig.leased(), 0);
    }

    #[test]
    fn stream_numbers_are_distinct() {
        let mut rig = Rig::boot();
        let (mut first, _a) = rig.open(MONO);
        let (mut second, _b) = rig.open(MONO);
        play(&mut first, &[0.0; 128], 0);
        play(&mut second, &[0.0; 128], 0);
        let opened = rig.events("StreamOpened");
        assert_ne!(opened[0]["stream"], opened[1]["stream"]);
    }

    #[test]
    fn attached_windows_of_any_number_are_reserved_or_refused() {
        let mut rig = Rig::boot();
        let stereo = StreamConfig {
            channels: 2,
            ..MONO
        };
        let modules = rig
            .registry
            .get_two_mut::<AudioFoundationsModule, DataManagementModule>();
        let (audio, data) = modules.unwrap();
        assert!(audio.attach_windows(data, stereo, 1, 0).is_ok());
        for windows in [1_000_000, u32::MAX / 2, u32::MAX / 2 + 1, u32::MAX] {
            let refused = audio
                .attach_windows(data, stereo, 1, windows)
                .err()
                .unwrap();
            assert!(matches!(refused, AudioError::Pool(_)), "{refused}");
        }
    }
}

//! Every public size, count, index and time, from 0 to the maximum of its type: it is used exactly, or refused with a typed
//! error before anything changes.

use crate::event_bus::TypedEventBus;
use crate::modules::data_management::metrics::pool_metrics::BoundaryCounts;
use crate::modules::data_management::sizing::sizing_plan::SizingStep;
use crate::modules::data_management::sizing::sizing_profile::ClassBuffers;
use crate::modules::data_management::{
    AudioBufferError, AudioBufferManagerImpl, AudioFormat, AudioMetadata, BufferPool,
    BufferRecyclingPool, BufferRecyclingPoolImpl, DataManagementConfig, DataManagementModule,
    ExhaustionPolicy, JSBufferRef, MAX_CHANNELS, ObjectCosts, PoolControl, PoolError, PoolFigures,
    PoolMetrics, RealtimePool, WasmJsBridge,
};
use crate::registry::ModuleRegistry;
use wavepool_core::internal::MAX_SAMPLES;

const SIZES: [usize; 18] = [
    0,
    1,
    15,
    16,
    17,
    64,
    255,
    256,
    257,
    4096,
    1 << 20,
    (1 << 29) - 1,
    1 << 29,
    u32::MAX as usize - 1,
    u32::MAX as usize,
    usize::MAX / 2,
    usize::MAX - 1,
    usize::MAX,
];
const COUNTS: [u32; 11] = [
    0,
    1,
    2,
    7,
    64,
    1000,
    32_766,
    32_767,
    i32::MAX as u32,
    u32::MAX - 1,
    u32::MAX,
];
const TIMES_MS: [f64; 11] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e300,
    -1e300,
    f64::MAX,
    f64::MIN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// An impossible amount of memory is refused; an accepted one is small enough for the machine that runs the test.
fn is_no_burden(samples: usize) -> bool {
    !(1 << 22..1 << 38).contains(&(samples as u64))
}

fn pool() -> (PoolControl, RealtimePool) {
    let pool = BufferPool::builder().class(64, 4).class(256, 4);
    pool.limit_samples(1 << 14).build().unwrap()
}

/// The error of a refused build contains the numbers, and an accepted one has the requested buffers.
#[test]
fn numbers_of_a_builder_are_right_or_refused() {
    for samples in SIZES {
        for buffers in COUNTS {
            if !is_no_burden(samples.saturating_mul(buffers as usize)) {
                continue;
            }
            let pool = BufferPool::builder().class(samples, buffers);
            match pool.build() {
                Ok((control, half)) => {
                    let classes = &control.metrics().classes;
                    assert_eq!(
                        (classes[0].samples, classes[0].carved),
                        (samples, buffers.into())
                    );
                    assert!(control.is_valid());
                    assert_eq!(half.acquire(samples).is_ok(), buffers > 0);
                }
                Err(error) => assert!(
                    matches!(
                        error,
                        PoolError::BadClasses { .. }
                            | PoolError::TooLarge { .. }
                            | PoolError::TooManyAtOnce { .. }
                            | PoolError::TableFull { .. }
                            | PoolError::OutOfMemory { .. }
                    ) && (samples == 0 || samples > 1 << 16 || buffers > 1000),
                    "{samples} x {buffers}: {error}"
                ),
            }
        }
        let twice = BufferPool::builder()
            .class(samples, 1)
            .class(samples, 2)
            .build();
        assert!(matches!(
            twice.err(),
            Some(PoolError::BadClasses { .. } | PoolError::TooLarge { .. })
        ));
        // Limits and reserves of any size: a limit allocates nothing.
        let pool = BufferPool::builder().class(256, 2);
        let (mut control, _half) = pool.clone().limit_samples(samples).build().unwrap();
        assert!(control.is_valid() && control.metrics().bytes_reserved == 2048);
        assert_eq!(control.grow(256, 2).is_ok(), samples >= 1024);
        if !is_no_burden(samples) {
            continue;
        }
        match pool.reserve_samples(samples).build() {
            Ok((control, _half)) => {
                assert!(control.metrics().bytes_reserved >= samples.saturating_mul(4));
            }
            Err(error) => assert!(matches!(error, PoolError::OutOfMemory { .. }), "{error}"),
        }
    }
    for number in COUNTS {
        let pool = BufferPool::builder().class(64, 100).leak_sampling(number);
        let (_control, half) = pool
            .exhaustion(ExhaustionPolicy::Reserve(number))
            .build()
            .unwrap();
        let reserve = number.min(ExhaustionPolicy::MAX_RESERVE) as usize;
        let held: Vec<_> = core::iter::from_fn(|| half.acquire(64).ok()).collect();
        assert_eq!(held.len(), 100 - reserve);
    }
}

#[test]
fn numbers_of_the_control_half_are_right_or_refused() {
    let class = |samples, buffers| ClassBuffers { samples, buffers };
    for samples in SIZES {
        let is_known = samples == 64 || samples == 256;
        for count in COUNTS {
            let (mut control, mut half) = pool();
            let before = control.metrics();
            let unknown = |answer: &Result<(), PoolError>| match answer {
                Err(PoolError::UnknownClass { .. }) => !is_known,
                _ => is_known,
            };
            let grown = control.grow(samples, count);
            assert!(unknown(&grown));
            let grown_to = |control: &PoolControl| control.metrics().bytes_held;
            if grown.is_ok() {
                assert_eq!(
                    grown_to(&control),
                    before.bytes_held + samples * count as usize * 4
                );
            } else {
                assert_eq!(control.metrics(), before);
            }
            let mix = [(samples, count)];
            let attached = control.attach_with(&mix);
            assert_eq!(
                matches!(attached, Err(PoolError::UnknownClass { .. })),
                !is_known
            );
            assert!(unknown(&control.trim(samples, count)));
            assert!(unknown(&control.shrink(samples, count)));
            assert!(unknown(&control.replenish_below(samples, count)));
            let steps = [
                SizingStep::Grow {
                    class_samples: samples,
                    buffers: count,
                },
                SizingStep::Shrink {
                    class_samples: samples,
                    buffers: count,
                },
                SizingStep::SetClasses {
                    classes: vec![class(samples, count)],
                },
                SizingStep::SetClasses {
                    classes: vec![class(64, count), class(256, count)],
                },
            ];
            for step in steps {
                let _ = control.apply(&step);
                assert!(control.is_valid(), "{step:?}");
            }
            half.begin_quantum(0);
            let report = control.step(count);
            assert!(report.collected <= count);
            let metrics = control.metrics();
            assert!(
                metrics.bytes_held <= metrics.bytes_limit,
                "{samples} x {count}"
            );
        }
        let (mut control, _half) = pool();
        let changed = control.set_classes(&[samples]);
        assert_eq!(changed.is_ok(), (1..=256).contains(&samples), "{changed:?}");
        let map = control.arena_map(samples);
        assert!(map.spans.len() <= samples);
    }
}

#[test]
fn numbers_of_a_real_time_half_are_right_or_refused() {
    for samples in SIZES {
        let (control, half) = pool();
        let fits = (1..=256).contains(&samples);
        let expected = |error: Option<PoolError>| match error {
            None => fits,
            Some(PoolError::ZeroLength) => samples == 0,
            Some(PoolError::TooLarge { requested, largest }) => {
                requested == samples && largest == 256 && samples > 256
            }
            Some(_) => false,
        };
        assert!(expected(half.scratch(samples).err()));
        assert!(expected(half.acquire(samples).err()));
        assert!(expected(half.acquire_silent(samples).err()));
        assert!(expected(half.acquire_critical(samples).err()));
        assert!(expected(half.acquire_planar(2, samples).err()));
        let before = control.metrics();
        for channels in SIZES {
            let refused = half.acquire_planar(channels, samples).err();
            match refused {
                Some(PoolError::ChannelCount { requested, most }) => {
                    assert!(requested == channels && most == MAX_CHANNELS);
                    assert!(channels == 0 || channels > MAX_CHANNELS);
                }
                Some(PoolError::Exhausted { .. }) => assert!(fits && channels > 4),
                other => assert!(expected(other)),
            }
        }
        assert_eq!((control.leased(), control.is_valid()), (0, true));
        assert!(
            control
                .metrics()
                .classes
                .iter()
                .zip(&before.classes)
                .all(|(a, b)| a.carved == b.carved)
        );
    }
}

#[test]
fn frame_numbers_near_their_maximum_are_published() {
    let (control, mut half) = pool();
    for frame in [
        0,
        1,
        u64::from(u32::MAX),
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
        0,
        u64::MAX,
    ] {
        half.begin_quantum(frame);
        let metadata = AudioMetadata {
            sample_rate_hz: f32::NAN,
            channels: u16::MAX,
            channel: u16::MAX,
            first_frame: frame,
        };
        let mut buffer = half.acquire(64).unwrap();
        buffer.set_metadata(metadata);
        assert_eq!(buffer.freeze().clone().metadata().first_frame, frame);
        let mut planar = half.acquire_planar(2, 64).unwrap();
        planar.set_metadata(metadata);
        assert_eq!(planar.into_channels().count(), 2);
    }
    let pool = BufferPool::builder().class(64, 1).leak_sampling(1);
    let (sampled, mut half) = pool.build().unwrap();
    half.begin_quantum(u64::MAX);
    let _held = half.acquire(64).unwrap();
    half.begin_quantum(0);
    let site = sampled.leak_report().sites[0];
    assert_eq!(
        (site.first_frame, site.held_frames),
        (Some(u64::MAX - 1), Some(0))
    );
    assert!(control.is_valid());
}

#[test]
fn numbers_of_a_named_buffer_s_format_are_right_or_refused() {
    let rates = [
        0.0,
        -0.0,
        -1.0,
        1.0,
        f32::MIN_POSITIVE,
        1e-45,
        192_000.0,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
    ];
    let (control, half) = pool();
    let mut buffers = AudioBufferManagerImpl::new(half);
    for sample_rate_hz in rates {
        for channels in SIZES {
            for frames in SIZES {
                let format = AudioFormat {
                    sample_rate_hz,
                    channels,
                    frames,
                };
                match buffers.create("in", format) {
                    Ok(buffer) => {
                        assert!(sample_rate_hz > 0.0 && sample_rate_hz.is_finite());
                        assert!(channels <= MAX_CHANNELS && (1..=256).contains(&frames));
                        assert_eq!(buffer.write(&[&[0.0; 300]]), frames);
                        buffers.remove("in").unwrap();
                    }
                    Err(AudioBufferError::SampleRate {
                        sample_rate_hz: given,
                    }) => {
                        assert_eq!(given.to_bits(), sample_rate_hz.to_bits());
                        assert!(!(sample_rate_hz > 0.0 && sample_rate_hz.is_finite()));
                    }
                    Err(AudioBufferError::Pool(_)) => {
                        assert!(channels == 0 || channels > 4 || frames == 0 || frames > 256);
                    }
                    Err(other) => panic!("{other}"),
                }
                assert_eq!(control.leased(), 0);
            }
        }
    }
    let refused = AudioFormat {
        sample_rate_hz: f32::NAN,
        channels: 1,
        frames: 64,
    };
    let error = buffers
        .create("in", refused)
        .err()
        .map(|error| error.to_string());
    assert_eq!(
        error.as_deref(),
        Some("sample_rate_hz must be finite and above 0 (got NaN)")
    );
    let long = "é".repeat(40);
    let error = buffers.share(&long).err().map(|error| error.to_string());
    let kept = "é".repeat(15);
    assert_eq!(
        error,
        Some(format!(
            "there is no audio buffer `{kept}…`; create it first"
        ))
    );
}

#[test]
fn numbers_of_the_story_s_trait_are_right_or_refused() {
    let builder = || {
        BufferPool::builder()
            .class(64, 2)
            .class(256, 2)
            .limit_samples(4096)
    };
    let mut pool = BufferRecyclingPoolImpl::new(builder()).unwrap();
    for size in SIZES {
        // The largest vector has 2 GiB.
        if size != MAX_SAMPLES {
            let vector = pool.get_or_create(size).ok();
            let created = (1..MAX_SAMPLES).contains(&size).then_some(size);
            assert_eq!(vector.as_ref().map(Vec::len), created);
            let recycled = vector.map(|vector| pool.recycle(vector));
            assert!(recycled.is_none_or(|recycled| recycled.is_ok()), "{size}");
        }
        let fits = (1..=256).contains(&size);
        let reference = pool.get_js_buffer_ref(size);
        assert_eq!(reference.is_ok(), fits);
        if let Ok(reference) = reference {
            pool.recycle_js_buffer_ref(reference).unwrap();
        }
        assert!(
            pool.recycle_js_buffer_ref(JSBufferRef::from_raw(size as u32))
                .is_err()
        );
        if size <= 1 << 20 {
            assert_eq!(
                pool.recycle(Vec::with_capacity(size)).is_ok(),
                (64..=512).contains(&size)
            );
        }
    }
    assert!(pool.control().is_valid());
    for limit in SIZES {
        let builder = BufferPool::builder().class(64, 2).limit_samples(limit);
        assert!(BufferRecyclingPoolImpl::new(builder).is_ok());
    }
}

#[test]
fn numbers_of_the_bridge_are_right_or_refused() {
    let (_control, half) = pool();
    for leases in SIZES {
        for slots in SIZES {
            let mut bridge = WasmJsBridge::new(0, leases, slots);
            let most = u32::MAX;
            bridge.calibrate(ObjectCosts {
                view_bytes: most,
                message_bytes: most,
                array_bytes: most,
            });
            let buffer = bridge.acquire(&half, 64).unwrap();
            assert!(bridge.view(buffer).unwrap().make);
            bridge.release(buffer).unwrap();
            for _ in 0..2 {
                bridge.count_message(u64::MAX);
                bridge.count_buffer(u64::MAX);
            }
            let counts = bridge.counts();
            assert_eq!((counts.objects, counts.bytes_allocated), (5, u64::MAX));
        }
    }
}

#[test]
fn numbers_of_the_module_are_right_or_refused() {
    let registry = |config: DataManagementConfig| {
        let builder = ModuleRegistry::builder(TypedEventBus::default());
        builder.configure(config).boot().unwrap()
    };
    let mut running = registry(DataManagementConfig::default());
    let module = running.get_mut::<DataManagementModule>().unwrap();
    let mut half = module.attach_realtime().unwrap();
    for now_ms in TIMES_MS.into_iter().chain(TIMES_MS.into_iter().rev()) {
        for most in [0, u64::MAX] {
            module.observe_boundary(BoundaryCounts {
                objects: most,
                bytes_allocated: most,
                bytes_unpooled: most,
            });
            half.begin_quantum(most);
            drop(half.acquire(600).unwrap());
            assert!(module.tick(now_ms).is_some(), "{now_ms}");
            let finite = |metrics: &PoolMetrics| {
                metrics
                    .figures()
                    .all(|(_, value)| value.is_none_or(f64::is_finite))
            };
            assert!(finite(&module.metrics().unwrap()));
        }
    }
    for samples in SIZES {
        for buffers in COUNTS {
            let config = DataManagementConfig {
                audio_buffers: vec![(samples, buffers)],
                ..Default::default()
            };
            let mut running = registry(config);
            let module = running.get_mut::<DataManagementModule>().unwrap();
            let held = module.metrics().unwrap().bytes_held;
            if module.audio_buffers_mut().is_err() {
                assert_eq!(module.metrics().unwrap().bytes_held, held);
            } else {
                assert!(samples == 256 || samples == 4096);
            }
        }
    }
}

use super::*;
use crate::modules::data_management::{BufferPool, PoolControl};

const FORMAT: AudioFormat = AudioFormat {
    sample_rate_hz: 44_100.0,
    channels: 2,
    frames: 64,
};

fn manager(buffers: u32) -> (PoolControl, AudioBufferManagerImpl) {
    let (control, half) = BufferPool::builder().class(64, buffers).build().unwrap();
    (control, AudioBufferManagerImpl::new(half))
}

#[test]
fn audio_buffer_blocks_are_contiguous() {
    let (control, mut manager) = manager(8);
    let buffer = manager.create("in", FORMAT).unwrap();
    assert_eq!(buffer.write(&[&[1.0; 40], &[2.0; 50]]), 40);
    assert!(!buffer.is_full());
    assert_eq!(buffer.write(&[&[3.0; 40], &[4.0; 40]]), 24);
    assert!(buffer.is_full());
    assert_eq!(buffer.write(&[&[3.0; 40], &[4.0; 40]]), 0);
    let first = manager.share("in").unwrap();
    assert_eq!(
        (
            first.channel(0)[39],
            first.channel(0)[40],
            first.channel(1)[63]
        ),
        (1.0, 3.0, 4.0)
    );
    let buffer = manager.get_mut("in").unwrap();
    buffer.write(&[&[5.0; 10], &[5.0; 10]]);
    assert_eq!((buffer.position(), buffer.channel(0).len()), (74, 10));
    let second = manager.share("in").unwrap();
    assert_eq!(second.metadata().first_frame, 64);
    for channel in 0..2 {
        assert_eq!(second.channel(channel)[10..], [0.0; 54], "not written");
    }
    assert_eq!(
        manager.remove("in").unwrap(),
        StreamAccount {
            buffers_drawn: 6,
            blocks_shared: 2,
            frames_written: 74,
            refused: 0
        }
    );
    drop((first, second));
    assert_eq!(control.leased(), 0);
}

#[test]
fn audio_buffer_channels_are_released_separately() {
    let (control, mut manager) = manager(8);
    let buffer = manager.create("in", FORMAT).unwrap();
    buffer.write(&[&[1.0; 64], &[2.0; 64]]);
    let refs: Vec<BufferRef> = manager.share_channels("in").unwrap().collect();
    let [left, right] = refs.try_into().ok().unwrap();
    assert_eq!((left[63], right[63]), (1.0, 2.0));
    let of = right.metadata();
    assert_eq!(
        (of.channel, of.channels, of.sample_rate_hz),
        (1, 2, 44_100.0)
    );
    drop(left);
    assert_eq!(control.leased(), 3);
    drop((right, manager.share_channels("in").unwrap(), manager));
    assert_eq!(control.leased(), 0);
}

#[test]
fn audio_buffer_names_and_formats_are_checked() {
    let (_control, mut manager) = manager(8);
    manager.create("in", FORMAT).unwrap();
    assert!(matches!(
        manager.create("in", FORMAT).err(),
        Some(AudioBufferError::NameTaken { .. })
    ));
    assert!(matches!(
        manager.get("out").err(),
        Some(AudioBufferError::Unknown { .. })
    ));
    assert!(matches!(
        manager.share("out").err(),
        Some(AudioBufferError::Unknown { .. })
    ));
    let silent = AudioFormat {
        sample_rate_hz: 0.0,
        ..FORMAT
    };
    assert_eq!(
        manager.create("x", silent).err(),
        Some(AudioBufferError::SampleRate {
            sample_rate_hz: 0.0
        })
    );
    let long = AudioFormat {
        frames: 65,
        ..FORMAT
    };
    assert!(matches!(
        manager.create("x", long).err(),
        Some(AudioBufferError::Pool(PoolError::TooLarge {
            largest: 64,
            ..
        }))
    ));
    assert_eq!(
        manager.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["in"]
    );
}

#[test]
fn audio_buffer_keeps_its_block_if_the_pool_is_exhausted() {
    let (control, mut manager) = manager(2);
    manager
        .create("in", FORMAT)
        .unwrap()
        .write(&[&[1.0; 64], &[1.0; 64]]);
    assert!(matches!(
        manager.share("in").err(),
        Some(AudioBufferError::Pool(PoolError::Exhausted { .. }))
    ));
    let buffer = manager.get("in").unwrap();
    assert_eq!((buffer.channel(0)[63], buffer.account().refused), (1.0, 1));
    drop(manager);
    assert_eq!(control.leased(), 0);
}

#[test]
fn audio_buffer_missing_channels_are_silent() {
    let (_control, mut manager) = manager(8);
    let buffer = manager.create("mono", FORMAT).unwrap();
    assert_eq!(buffer.write(&[&[1.0; 64]]), 64);
    assert_eq!((buffer.channel(0)[63], buffer.channel(1)[63]), (1.0, 0.0));
    assert_eq!(buffer.write(&[]), 0);
}

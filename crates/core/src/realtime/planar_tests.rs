use super::MAX_CHANNELS;
use crate::BufferPool;

#[test]
fn planar_channel_from_the_cache_returns_to_it() {
    let (control, half) = BufferPool::builder().class(64, 4).build().unwrap();
    drop(half.scratch(64));
    // The first pair makes a new peak and is taken one by one: the first buffer of it from the cache.
    half.release_planar(half.acquire_planar(2, 64).unwrap());
    assert!(control.is_valid());
    drop(half.scratch(64));
    assert!(control.is_valid());
    let all: Vec<_> = core::iter::from_fn(|| half.acquire(64).ok()).collect();
    assert_eq!((all.len(), control.is_valid()), (4, true));
}

#[test]
fn planar_channels_are_the_same_by_number_in_turn_and_one_by_one() {
    let (control, half) = BufferPool::builder().class(64, 20).build().unwrap();
    for channels in 1..=MAX_CHANNELS {
        let mut block = half.acquire_planar(channels, 40).unwrap();
        for (number, samples) in block.iter_mut().enumerate() {
            samples.fill(number as f32);
        }
        let numbers: Vec<f32> = (0..channels).map(|channel| channel as f32).collect();
        let by_number = |channel| block.channel(channel)[39];
        assert_eq!((0..channels).map(by_number).collect::<Vec<_>>(), numbers);
        let shared = block.freeze();
        let in_turn: Vec<f32> = shared.iter().map(|samples| samples[0]).collect();
        assert_eq!(in_turn, numbers);
        drop(shared);

        let split = half.acquire_planar(channels, 40).unwrap();
        let own: Vec<u32> = (0..channels).map(|c| split.slot_index(c)).collect();
        let singles: Vec<u32> = split.into_channels().map(|one| one.slot_index()).collect();
        assert_eq!(singles, own);
        assert_eq!(control.leased(), 0);
    }
}

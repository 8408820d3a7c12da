use super::*;
use crate::BufferPool;

#[test]
fn arena_map_has_every_sample_in_one_span() {
    let (mut control, mut half) = BufferPool::builder()
        .class(100, 4)
        .class(256, 4)
        .reserve_samples(4096)
        .build()
        .unwrap();
    half.begin_quantum(0);
    let held = [half.acquire(200).unwrap(), half.acquire(80).unwrap()];
    let map = control.arena_map(usize::MAX);
    // Memory for 4096 samples in buffers of 100, each of which takes 112.
    let reserved = (4096usize * 112).div_ceil(100).next_multiple_of(16);
    assert_eq!((map.regions.as_slice(), map.left_off), (&[reserved][..], 0));
    let mut end = 0;
    for span in &map.spans {
        assert_eq!(span.first_sample, end, "{map:?}");
        end = span.end();
    }
    assert_eq!(end, reserved);
    let buffers = |state, samples| -> u32 {
        let spans = map.spans.iter();
        let spans = spans.filter(|span| (span.state, span.samples) == (state, samples));
        spans.map(|span| span.count).sum()
    };
    assert_eq!(
        (
            buffers(SpanState::Leased, 256),
            buffers(SpanState::Idle, 256)
        ),
        (1, 3)
    );
    assert_eq!(
        (
            buffers(SpanState::Leased, 100),
            buffers(SpanState::Idle, 100)
        ),
        (1, 3)
    );
    // Buffers in use stay where they are on the map.
    let base = control.slots().map(|slot| slot.address).min().unwrap();
    let leased = map
        .spans
        .iter()
        .filter(|span| span.state == SpanState::Leased);
    let drawn: Vec<_> = leased.map(|span| base + span.first_sample * 4).collect();
    assert!(
        held.iter()
            .all(|buffer| drawn.contains(&buffer.as_ptr().addr()))
    );

    drop(held);
    control.trim(256, 0).unwrap();
    for frame in 1..8 {
        half.begin_quantum(frame * 128);
        control.step(100);
    }
    let spans = control.arena_map(usize::MAX).spans;
    let carved = spans.iter().filter(|span| span.state != SpanState::Free);
    assert!(carved.map(|span| span.samples).eq([100]));
}

#[test]
fn arena_map_counts_the_spans_left_off() {
    let (control, half) = BufferPool::builder().class(256, 8).build().unwrap();
    let mut held: Vec<_> = (0..8).map(|_| half.acquire(256).unwrap()).collect();
    held.sort_unstable_by_key(|buffer| buffer.as_ptr().addr());
    let mut kept = [false, true].into_iter().cycle();
    held.retain(|_| kept.next() == Some(true));
    let map = control.arena_map(3);
    assert_eq!((map.spans.len(), map.left_off), (3, 5));
    #[cfg(feature = "serde")]
    {
        let json = serde_json::to_value(&map).unwrap();
        assert_eq!(json["spans"][0], serde_json::json!([0, 0, 256, 1, "idle"]));
    }
}

use super::*;
use crate::limits::UNIT_SAMPLES;

#[test]
fn region_is_zeroed_and_aligned_from_every_source() {
    let sources = [
        MemorySource::Heap,
        #[cfg(feature = "mapped")]
        MemorySource::Mapped,
    ];
    for source in sources {
        let mut region = Region::new(130, source).unwrap();
        region.prefault(130);
        assert_eq!(region.base().as_ptr().align_offset(UNIT_BYTES), 0);
        // SAFETY: 130 units were allocated above, zeroed, and nobody else uses them.
        let samples =
            unsafe { core::slice::from_raw_parts(region.base().as_ptr(), 130 * UNIT_SAMPLES) };
        assert!(samples.iter().all(|&sample| sample == 0.0));
    }
    let error = Region::new(usize::MAX / 2, MemorySource::Heap).err();
    assert!(matches!(error, Some(PoolError::OutOfMemory { .. })));
}

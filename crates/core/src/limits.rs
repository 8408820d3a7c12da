//! The unit of sample memory, and the largest region.

/// Everything in the arena starts and ends on a multiple of this: a cache line, and the widest SIMD register.
pub(crate) const UNIT_BYTES: usize = 64;
/// Samples in one unit.
pub(crate) const UNIT_SAMPLES: usize = UNIT_BYTES / size_of::<f32>();
/// The largest region: what a run's units can count, and what Rust allows.
pub const MOST_BYTES: usize = {
    let counted = (u32::MAX as usize).saturating_mul(UNIT_BYTES);
    let allowed = isize::MAX as usize;
    if counted < allowed { counted } else { allowed }
};

/// Units that hold `samples`.
pub(crate) const fn units(samples: usize) -> usize {
    samples.div_ceil(UNIT_SAMPLES)
}

/// Where a buffer of so many units should begin: at multiples of the largest power of two that divides its size. Buffers
/// of sizes that are powers of two then never straddle, and a larger one fits wherever its smaller ones have gone.
pub(crate) const fn natural_alignment(units: u32) -> u32 {
    1 << units.trailing_zeros()
}

/// Bytes of so many units.
pub(crate) const fn bytes(units: usize) -> usize {
    units * UNIT_BYTES
}

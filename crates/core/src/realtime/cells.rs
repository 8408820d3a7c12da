//! Words with one writer at a time, which uses plain loads and stores. Other threads read them as racing figures. They
//! order nothing, so that every access is relaxed.

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

macro_rules! word {
    ($(#[$doc:meta])* $Name:ident, $Atomic:ident, $Value:ty) => {
        $(#[$doc])*
        pub(crate) struct $Name($Atomic);

        impl $Name {
            pub(super) fn new(value: $Value) -> Self {
                Self($Atomic::new(value))
            }

            #[inline(always)]
            pub(crate) fn get(&self) -> $Value {
                self.0.load(Ordering::Relaxed)
            }

            #[inline(always)]
            pub(crate) fn set(&self, value: $Value) {
                self.0.store(value, Ordering::Relaxed);
            }
        }
    };
}

word! {
    /// A word.
    Word, AtomicU32, u32
}
word! {
    /// A word of 64 bits.
    LongWord, AtomicU64, u64
}

/// A count.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Only for the one writer.
    #[inline]
    pub(crate) fn add(&self, more: u64) -> u64 {
        let now = self.0.load(Ordering::Relaxed) + more;
        self.0.store(now, Ordering::Relaxed);
        now
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// No frame.
const NONE: u64 = u64::MAX;

/// A frame of a stream, or none.
pub(crate) struct FrameCell(AtomicU64);

impl FrameCell {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(NONE))
    }

    /// Only for the one writer. The very last frame counts as the one before.
    pub(super) fn set(&self, frame: Option<u64>) {
        let frame = frame.map_or(NONE, |frame| frame.min(NONE - 1));
        self.0.store(frame, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<u64> {
        let frame = self.0.load(Ordering::Relaxed);
        (frame != NONE).then_some(frame)
    }
}

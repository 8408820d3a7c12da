//! The changes that a sizing plan is made of.

use alloc::vec::Vec;

/// A class and a number of its buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClassBuffers {
    /// Capacity of the class.
    pub samples: usize,
    /// Number of buffers.
    pub buffers: u32,
}

impl ClassBuffers {
    /// Capacity of them all.
    #[must_use]
    pub fn bytes(self) -> usize {
        let buffers = self.buffers as usize;
        self.samples
            .saturating_mul(buffers)
            .saturating_mul(size_of::<f32>())
    }
}

/// One change the control half can apply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum SizingStep {
    /// Carve more buffers of a class and pass them to the real-time half.
    Grow {
        /// Capacity of the class.
        class_samples: usize,
        /// How many buffers.
        buffers: u32,
    },
    /// Return idle buffers of a class to the arena.
    Shrink {
        /// Capacity of the class.
        class_samples: usize,
        /// How many buffers.
        buffers: u32,
    },
    /// Change to other size classes; classes that are not in the list drain.
    SetClasses {
        /// Capacities, ascending, and how many buffers a class that is new begins with.
        classes: Vec<ClassBuffers>,
    },
}

/// A number of buffers with the idle ones that are kept beside them: 6 %, at least one.
#[must_use]
pub fn with_margin(buffers: u64) -> u64 {
    let margin = buffers / 100 * 6 + (buffers % 100 * 6).div_ceil(100);
    buffers.saturating_add(margin.max(1))
}

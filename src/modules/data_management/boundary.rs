//! What JavaScript's memory paid for passing samples, and what it would have paid without a pool: the one formula of the pressure
//! reduction.

use super::metrics::pool_metrics::BoundaryCounts;

/// Sizes of JavaScript objects on its heap, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectCosts {
    /// A typed array over existing memory.
    pub view_bytes: u32,
    /// A message between threads, without its contents.
    pub message_bytes: u32,
    /// A typed array with its own memory, without its samples.
    pub array_bytes: u32,
}

/// JavaScript objects that were made to pass data, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct ObjectCounts {
    /// Typed arrays over existing memory.
    pub views: u64,
    /// Messages.
    pub messages: u64,
    /// Buffers for transfers: each counts when it is made and whenever it arrives.
    pub buffers: u64,
    /// Bytes of the contents of messages and buffers, each counted when it is made.
    pub content_bytes: u64,
}

impl ObjectCounts {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.views + self.messages + self.buffers
    }
}

impl core::ops::AddAssign for ObjectCounts {
    fn add_assign(&mut self, other: Self) {
        self.views += other.views;
        self.messages += other.messages;
        self.buffers += other.buffers;
        self.content_bytes = self.content_bytes.saturating_add(other.content_bytes);
    }
}

/// Samples that reached JavaScript, and the objects that were made for it. Without a pool the same samples would have cost a typed array
/// with memory of its own for each channel, and a message for each window that came from another thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crossings {
    /// Objects that were made to pass these samples.
    pub made: ObjectCounts,
    /// Windows from another thread.
    pub windows: u64,
    /// Buffers or channels of windows.
    pub arrays: u64,
    /// Bytes of their samples.
    pub sample_bytes: u64,
}

impl Crossings {
    /// Adds `windows` of so many samples per channel, from another thread.
    pub fn add_windows(&mut self, windows: u64, channels: usize, samples: usize) {
        self.windows += windows;
        self.add_arrays(windows * channels as u64, samples);
    }

    /// Adds `arrays` of so many samples, on one thread.
    pub fn add_arrays(&mut self, arrays: u64, samples: usize) {
        self.arrays += arrays;
        let bytes = arrays.saturating_mul((samples * size_of::<f32>()) as u64);
        self.sample_bytes = self.sample_bytes.saturating_add(bytes);
    }

    /// The boundary's part of the pool's metrics, with `objects` made in all: also those that passed no samples. Without `costs`
    /// objects are counted, but bytes are not, and the pressure reduction reads "not measured".
    #[must_use]
    pub fn counts(&self, objects: u64, costs: Option<ObjectCosts>) -> BoundaryCounts {
        let Some(costs) = costs else {
            return BoundaryCounts {
                objects,
                ..BoundaryCounts::default()
            };
        };
        let bytes = |count: u64, object: u32| count.saturating_mul(object.into());
        let sum = |parts: [u64; 4]| parts.into_iter().fold(0, u64::saturating_add);
        BoundaryCounts {
            objects,
            bytes_allocated: sum([
                bytes(self.made.views, costs.view_bytes),
                bytes(self.made.messages, costs.message_bytes),
                bytes(self.made.buffers, costs.array_bytes),
                self.made.content_bytes,
            ]),
            bytes_unpooled: sum([
                bytes(self.windows, costs.message_bytes),
                bytes(self.arrays, costs.array_bytes),
                self.sample_bytes,
                0,
            ]),
        }
    }
}

impl core::ops::AddAssign for Crossings {
    fn add_assign(&mut self, other: Self) {
        self.made += other.made;
        self.windows += other.windows;
        self.arrays += other.arrays;
        self.sample_bytes = self.sample_bytes.saturating_add(other.sample_bytes);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::modules::data_management::PoolMetrics;
    use crate::modules::data_management::pool_metrics::PoolCounts;

    fn reduction(boundary: BoundaryCounts) -> Option<f32> {
        let counts = PoolCounts {
            boundary,
            ..Default::default()
        };
        PoolMetrics::from_counts(&counts).js_gc_pressure_reduction
    }

    #[test]
    fn crossings_weigh_their_objects_against_those_of_the_unpooled_way() {
        let made = ObjectCounts {
            views: 10,
            messages: 4,
            buffers: 2,
            content_bytes: 5000,
        };
        let mut crossings = Crossings::default();
        crossings.add_windows(3, 2, 1000);
        crossings.add_arrays(1, 50);
        crossings.made += made;
        let elsewhere = made.total() + 90;
        let unmeasured = crossings.counts(elsewhere, None);
        assert_eq!((unmeasured.objects, reduction(unmeasured)), (106, None));
        let costs = ObjectCosts {
            view_bytes: 100,
            message_bytes: 200,
            array_bytes: 300,
        };
        // Objects that passed no samples are counted, and weigh nothing.
        let none = Crossings::default().counts(elsewhere, Some(costs));
        assert_eq!((none.objects, reduction(none)), (106, None));
        let measured = crossings.counts(elsewhere, Some(costs));
        assert_eq!(measured.bytes_allocated, 1000 + 800 + 600 + 5000);
        assert_eq!(measured.bytes_unpooled, 600 + 7 * 300 + 24_000 + 200);
        let expected = (1.0 - 7400.0 / 26_900.0) * 100.0;
        assert!((reduction(measured).unwrap() - expected).abs() < 0.01);
    }
}

//! The memory that JavaScript objects cost for passing windows, and what they would have cost without a pool.

use wavepool::modules::data_management::ObjectCosts;
use wavepool::modules::data_management::pool_metrics::BoundaryCounts;

/// Bytes of JavaScript objects in a browser, as `cargo xtask bench browser` measured them (`unit_bytes`; `cargo xtask test
/// garbage` checks them). The page's pressure reduction is computed from these numbers only. `None` until they were measured;
/// the figure is then shown as "not measured". A message is measured without the buffer that it transfers, which counts as a
/// buffer made on the receiving side.
pub(crate) const MEASURED: Option<UnitCosts> = Some(UnitCosts {
    costs: ObjectCosts {
        view_bytes: 60,
        message_bytes: 100,
        array_bytes: 112,
    },
    source: "cargo xtask bench browser, unit_bytes, Chromium 156",
});

/// Unit costs with their source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnitCosts {
    pub(crate) costs: ObjectCosts,
    /// The command that measured them, and the browser.
    pub(crate) source: &'static str,
}

/// JavaScript objects that were made so far, in every thread, to pass data; `wasm_js_boundary_allocations` is their sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ObjectCounts {
    /// Typed arrays over existing memory.
    pub(crate) views: u64,
    pub(crate) messages: u64,
    /// Buffers for transfers: each counts when it is made and whenever it arrives.
    pub(crate) buffers: u64,
    /// Bytes of the buffers, each counted when it is made.
    #[serde(skip)]
    pub(crate) buffer_bytes: u64,
}

impl core::ops::AddAssign for ObjectCounts {
    fn add_assign(&mut self, other: Self) {
        self.views += other.views;
        self.messages += other.messages;
        self.buffers += other.buffers;
        self.buffer_bytes = self.buffer_bytes.saturating_add(other.buffer_bytes);
    }
}

/// The windows that reached JavaScript, and the objects made to pass them. Without a pool, each window would have cost a message, and
/// a typed array with its own memory per channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Crossings {
    windows: u64,
    arrays: u64,
    sample_bytes: u64,
    made: ObjectCounts,
}

impl Crossings {
    /// Adds objects that were made to pass windows.
    pub(crate) fn add_objects(&mut self, made: ObjectCounts) {
        self.made += made;
    }

    pub(crate) fn add(&mut self, windows: u64, channels: usize, samples: usize) {
        let arrays = windows * channels as u64;
        self.windows += windows;
        self.arrays += arrays;
        self.sample_bytes += arrays * (samples * size_of::<f32>()) as u64;
    }
}

/// The boundary's part of the pool's metrics: all objects that were made, and the bytes of those for crossings beside the bytes of the
/// unpooled way for the same crossings. Without bytes if the costs were not measured.
pub(crate) fn boundary_counts(
    made: ObjectCounts,
    crossings: Crossings,
    costs: Option<ObjectCosts>,
) -> BoundaryCounts {
    let objects = made.views + made.messages + made.buffers;
    let Some(costs) = costs else {
        return BoundaryCounts {
            objects,
            ..BoundaryCounts::default()
        };
    };
    let [view, message, array] =
        [costs.view_bytes, costs.message_bytes, costs.array_bytes].map(u64::from);
    BoundaryCounts {
        objects,
        bytes_allocated: (crossings.made.views * view
            + crossings.made.messages * message
            + crossings.made.buffers * array)
            .saturating_add(crossings.made.buffer_bytes),
        bytes_unpooled: crossings.windows * message
            + crossings.arrays * array
            + crossings.sample_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;
    use wavepool::modules::data_management::PoolMetrics;
    use wavepool::modules::data_management::pool_metrics::PoolCounts;

    fn reduction(boundary: BoundaryCounts) -> Option<f32> {
        let counts = PoolCounts {
            boundary,
            ..Default::default()
        };
        PoolMetrics::from_counts(&counts).js_gc_pressure_reduction
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn objects_are_counted_and_their_bytes_if_costs_are_known() {
        let made = ObjectCounts {
            views: 10,
            messages: 4,
            buffers: 2,
            buffer_bytes: 5000,
        };
        let mut crossings = Crossings::default();
        crossings.add(3, 2, 1000);
        crossings.add_objects(made);
        let elsewhere = ObjectCounts {
            views: made.views + 90,
            ..made
        };
        let unmeasured = boundary_counts(elsewhere, crossings, None);
        assert_eq!((unmeasured.objects, reduction(unmeasured)), (106, None));
        let costs = ObjectCosts {
            view_bytes: 100,
            message_bytes: 200,
            array_bytes: 300,
        };
        // Objects that passed no window are counted, and weigh nothing.
        let none = boundary_counts(elsewhere, Crossings::default(), Some(costs));
        assert_eq!((none.objects, reduction(none)), (106, None));
        let measured = boundary_counts(elsewhere, crossings, Some(costs));
        assert_eq!(measured.bytes_allocated, 1000 + 800 + 600 + 5000);
        assert_eq!(measured.bytes_unpooled, 600 + 1800 + 24_000);
        let expected = (1.0 - 7400.0 / 26_400.0) * 100.0;
        assert!((reduction(measured).unwrap() - expected).abs() < 0.01);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn unit_costs_have_a_source() {
        assert!(MEASURED.is_none_or(|measured| !measured.source.is_empty()));
    }
}

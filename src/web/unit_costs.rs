//! What carrying windows to JavaScript weighs, and what it would have weighed without a pool.

use crate::modules::data_management::ObjectCosts;
use crate::modules::data_management::pool_metrics::BoundaryCounts;

/// What JavaScript objects weigh in a browser, as `cargo xtask bench browser` measured it (`unit_bytes`; `cargo xtask test
/// garbage` holds them to that). The one place for it: from here the page's pressure reduction is computed. None until it
/// was measured; the figure then reads "not measured". A message is weighed without the buffer that it brings: that is a
/// buffer made where it arrives.
pub(super) const MEASURED: Option<UnitCosts> = Some(UnitCosts {
    costs: ObjectCosts {
        view_bytes: 60,
        message_bytes: 100,
        array_bytes: 112,
    },
    source: "cargo xtask bench browser, unit_bytes, Chromium 156",
});

/// Unit costs with their source.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnitCosts {
    pub(super) costs: ObjectCosts,
    /// The record that has them, and the browser it was made with.
    pub(super) source: &'static str,
}

/// JavaScript objects that carrying windows made necessary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Made {
    /// Typed arrays over memory that exists.
    pub(crate) views: u64,
    pub(crate) messages: u64,
    /// Buffers made for transfers, once more wherever one arrives, and the contents of those that were new.
    pub(crate) buffers: u64,
    #[serde(skip)]
    pub(crate) buffer_bytes: u64,
}

impl core::ops::AddAssign for Made {
    fn add_assign(&mut self, other: Self) {
        self.views += other.views;
        self.messages += other.messages;
        self.buffers += other.buffers;
        self.buffer_bytes = self.buffer_bytes.saturating_add(other.buffer_bytes);
    }
}

/// Windows as the unpooled path would have carried them: a message each, and for each channel a typed array with memory of
/// its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Crossings {
    windows: u64,
    arrays: u64,
    sample_bytes: u64,
}

impl Crossings {
    pub(super) fn add(&mut self, windows: u64, channels: usize, samples: usize) {
        let arrays = windows * channels as u64;
        self.windows += windows;
        self.arrays += arrays;
        self.sample_bytes += arrays * (samples * size_of::<f32>()) as u64;
    }
}

/// What the pool's metrics say of the boundary; bytes only where objects were weighed.
pub(super) fn weigh(made: Made, crossed: Crossings, costs: Option<ObjectCosts>) -> BoundaryCounts {
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
        bytes_allocated: (made.views * view + made.messages * message + made.buffers * array)
            .saturating_add(made.buffer_bytes),
        bytes_unpooled: crossed.windows * message + crossed.arrays * array + crossed.sample_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::data_management::PoolMetrics;
    use crate::modules::data_management::pool_metrics::PoolCounts;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn reduction(boundary: BoundaryCounts) -> Option<f32> {
        let counts = PoolCounts {
            boundary,
            ..Default::default()
        };
        PoolMetrics::from_counts(&counts).js_gc_pressure_reduction
    }

    #[wasm_bindgen_test]
    fn objects_are_counted_and_weighed_where_weights_are_known() {
        let made = Made {
            views: 10,
            messages: 4,
            buffers: 2,
            buffer_bytes: 5000,
        };
        let mut crossed = Crossings::default();
        crossed.add(3, 2, 1000);
        let unweighed = weigh(made, crossed, None);
        assert_eq!((unweighed.objects, reduction(unweighed)), (16, None));
        let costs = ObjectCosts {
            view_bytes: 100,
            message_bytes: 200,
            array_bytes: 300,
        };
        let weighed = weigh(made, crossed, Some(costs));
        assert_eq!(weighed.bytes_allocated, 1000 + 800 + 600 + 5000);
        assert_eq!(weighed.bytes_unpooled, 600 + 1800 + 24_000);
        let expected = (1.0 - 7400.0 / 26_400.0) * 100.0;
        assert!((reduction(weighed).unwrap() - expected).abs() < 0.01);
    }

    #[wasm_bindgen_test]
    fn costs_have_a_source() {
        assert!(MEASURED.is_none_or(|measured| !measured.source.is_empty()));
    }
}

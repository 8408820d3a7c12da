//! What WebAssembly and the page provide, and what stands in for it in native tests.

use wavepool::event_bus::TypedEventBus;

#[cfg(target_arch = "wasm32")]
mod page {
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        /// Milliseconds since the worker began.
        #[wasm_bindgen(js_namespace = performance)]
        pub(super) fn now() -> f64;
    }
}

/// Milliseconds since the worker began.
pub(crate) fn now_ms() -> f64 {
    #[cfg(target_arch = "wasm32")]
    {
        page::now()
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        use std::{cell::LazyCell, time::Instant};
        thread_local!(static BEGIN: LazyCell<Instant> = LazyCell::new(Instant::now));
        BEGIN.with(|begin| begin.elapsed().as_secs_f64() * 1000.0)
    }
}

/// Sets the bus's time. A native bus has a clock.
pub(crate) fn set_bus_time(bus: &TypedEventBus, now_ns: u64) {
    #[cfg(target_arch = "wasm32")]
    bus.set_now_ns(now_ns);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (bus, now_ns);
}

/// Pages of this memory, of 64 KiB each. A native process has none.
pub(crate) fn memory_pages() -> usize {
    #[cfg(target_arch = "wasm32")]
    {
        core::arch::wasm32::memory_size::<0>()
    }
    #[cfg(not(target_arch = "wasm32"))]
    0
}

/// Makes panics leave their message where JavaScript can read it after the trap. A native panic says it itself.
pub(crate) fn install_panic_note() {
    #[cfg(target_arch = "wasm32")]
    wavepool::internal::install_panic_note();
}

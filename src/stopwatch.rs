//! How long a call has been running.

use core::time::Duration;
use std::time::Instant;

/// Started when it is made. On WebAssembly, where the standard library has no clock, it stands at zero.
pub(crate) struct Stopwatch(Option<Instant>);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self((!cfg!(target_arch = "wasm32")).then(Instant::now))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.map_or(Duration::ZERO, |started| started.elapsed())
    }
}

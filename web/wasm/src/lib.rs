//! Links the exports of `wavepool` into one WebAssembly module.
#[cfg(target_arch = "wasm32")]
pub use wavepool::web::*;

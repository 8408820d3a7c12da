//! Links the exports of `wavepool` into one WebAssembly module, over an allocator that counts.
#[cfg(target_arch = "wasm32")]
pub use wavepool::web::*;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: wavepool::web::CountingAllocator = wavepool::web::CountingAllocator;

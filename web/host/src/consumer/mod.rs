//! Runs on any thread that reads a tap or uses buffers: a worker, or the page.

pub(crate) mod participant;
pub(crate) mod reader;
mod refusal;
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))] // `xtask` uses the rest.
mod refusal_codes;

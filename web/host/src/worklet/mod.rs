//! Runs on the audio thread.

mod sender;
pub(crate) mod tap;

//! The modules that ship with the application core.

pub mod audio_foundations;
pub mod data_management;

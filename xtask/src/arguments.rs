//! Arguments that several commands take.

use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// Which transport the page uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Auto,
    Shared,
    Transfer,
}

impl Mode {
    /// The word in options and in the page's address.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Shared => "shared",
            Self::Transfer => "transfer",
        }
    }
}

/// A whole number of seconds.
pub(crate) fn seconds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=600)
}

/// The file as its user named it, whatever the working directory is later.
pub(crate) fn absolute(file: &str) -> io::Result<PathBuf> {
    std::path::absolute(Path::new(file))
}

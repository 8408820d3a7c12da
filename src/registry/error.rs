//! What can go wrong at boot, in words that name the culprit.

use super::module::{ModuleError, Version};

/// Why the modules did not boot. Whatever had been initialised was stopped again, in reverse order.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Two registrations have one name.
    #[error(
        "module `{name}` is registered twice (versions {first} and {second}); link or register only one"
    )]
    Duplicate {
        /// The name both have.
        name: &'static str,
        /// One's version.
        first: Version,
        /// The other's.
        second: Version,
    },
    /// A dependency is not there.
    #[error(
        "module `{module}` needs `{dependency}`, which is not registered; link its crate or register it by hand"
    )]
    MissingDependency {
        /// Who needs it.
        module: &'static str,
        /// What is missing.
        dependency: &'static str,
    },
    /// A dependency is there but older than asked for.
    #[error("module `{module}` needs `{dependency}` {minimum} or newer, but {found} is registered")]
    DependencyTooOld {
        /// Who needs it.
        module: &'static str,
        /// What is too old.
        dependency: &'static str,
        /// The version asked for.
        minimum: Version,
        /// The version found.
        found: Version,
    },
    /// Modules depend on each other in a circle.
    #[error("modules depend on each other in a circle: {}", path.join(" -> "))]
    Cycle {
        /// The circle; its first name is also its last.
        path: Vec<&'static str>,
    },
    /// A module's `init` failed.
    #[error("module `{module}` could not be initialised: {cause}")]
    InitFailed {
        /// Whose.
        module: &'static str,
        /// What it said.
        cause: ModuleError,
    },
    /// A module's `start` failed.
    #[error("module `{module}` could not be started: {cause}")]
    StartFailed {
        /// Whose.
        module: &'static str,
        /// What it said.
        cause: ModuleError,
    },
}

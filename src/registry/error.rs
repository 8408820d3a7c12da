//! What can go wrong at boot, in words that name the culprit.

use super::module::{ModuleError, Version};

/// Code of a module panicked. The panic was caught.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("module `{module}` panicked in `{call}`: {message}")]
pub struct ModulePanic {
    /// Whose code.
    pub module: &'static str,
    /// Where: `construct`, `init`, `start`, `health`, `stop` or `drop`.
    pub call: &'static str,
    /// What it panicked with.
    pub message: String,
}

/// Why the modules did not boot, or did not stop well. Whatever had been initialised was stopped, in reverse order.
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
    /// A registration has no name.
    #[error("a module of version {version} is registered without a name; give its descriptor one")]
    Unnamed {
        /// Its version.
        version: Version,
    },
    /// A dependency is there but older than asked for.
    #[error(
        "module `{module}` needs `{dependency}` {minimum} or newer{}, but {found} is registered",
        below(*minimum)
    )]
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
    /// A dependency is there but so much newer that it may have changed: see [`Version::satisfies`].
    #[error(
        "module `{module}` needs `{dependency}` {minimum} or newer{}, but {found} is registered",
        below(*minimum)
    )]
    DependencyTooNew {
        /// Who needs it.
        module: &'static str,
        /// What is too new.
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
    /// A module panicked while the modules booted.
    #[error(transparent)]
    Panicked(#[from] ModulePanic),
    /// Modules panicked while they were stopped. All of them were stopped and dropped all the same.
    #[error("{}", panics.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    ShutdownPanicked {
        /// Every panic, in the order in which they came.
        panics: Vec<ModulePanic>,
    },
}

fn below(minimum: Version) -> String {
    let below = minimum.first_incompatible();
    below.map_or_else(String::new, |below| format!(" and older than {below}"))
}

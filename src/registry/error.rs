//! The errors of the registry; each names the module at fault.

use super::module::{ModuleError, Version};

/// Code of a module panicked. The panic was caught.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("module `{module}` panicked in `{call}`: {message}")]
pub struct ModulePanic {
    /// The module's name.
    pub module: &'static str,
    /// The call: `construct`, `init`, `start`, `health`, `stop` or `drop`.
    pub call: &'static str,
    /// The text of the panic.
    pub message: String,
}

/// Why the modules did not boot, or panicked while they were stopped. All modules that had been initialised were stopped, in
/// reverse order.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Two registrations have the same name.
    #[error(
        "module `{name}` is registered twice (versions {first} and {second}); link or register only one"
    )]
    Duplicate {
        /// The name of both.
        name: &'static str,
        /// The version of one.
        first: Version,
        /// The version of the other.
        second: Version,
    },
    /// A dependency is not registered.
    #[error(
        "module `{module}` needs `{dependency}`, which is not registered; link its crate or add it with `RegistryBuilder::register`"
    )]
    MissingDependency {
        /// The module that needs it.
        module: &'static str,
        /// The missing module.
        dependency: &'static str,
    },
    /// A registration has no name.
    #[error("a module of version {version} is registered without a name; give its descriptor one")]
    Unnamed {
        /// The module's version.
        version: Version,
    },
    /// A dependency is older than the module needs.
    #[error(
        "module `{module}` needs `{dependency}` {minimum} or newer{}, but {found} is registered",
        below(*minimum)
    )]
    DependencyTooOld {
        /// The module that needs it.
        module: &'static str,
        /// The module that is too old.
        dependency: &'static str,
        /// The oldest version that the module accepts.
        minimum: Version,
        /// The registered version.
        found: Version,
    },
    /// A dependency is so much newer that it may be incompatible: see [`Version::satisfies`].
    #[error(
        "module `{module}` needs `{dependency}` {minimum} or newer{}, but {found} is registered",
        below(*minimum)
    )]
    DependencyTooNew {
        /// The module that needs it.
        module: &'static str,
        /// The module that is too new.
        dependency: &'static str,
        /// The oldest version that the module accepts.
        minimum: Version,
        /// The registered version.
        found: Version,
    },
    /// Modules depend on each other in a cycle.
    #[error("modules depend on each other in a cycle: {}", path.join(" -> "))]
    Cycle {
        /// The names along the cycle; the first is also the last.
        path: Vec<&'static str>,
    },
    /// A module's `init` failed.
    #[error("module `{module}` could not be initialised: {cause}")]
    InitFailed {
        /// The module's name.
        module: &'static str,
        /// The error that it returned.
        cause: ModuleError,
    },
    /// A module's `start` failed.
    #[error("module `{module}` could not be started: {cause}")]
    StartFailed {
        /// The module's name.
        module: &'static str,
        /// The error that it returned.
        cause: ModuleError,
    },
    /// A module panicked while the modules booted.
    #[error(transparent)]
    Panicked(#[from] ModulePanic),
    /// Modules panicked while they were stopped. All modules were stopped and dropped nevertheless.
    #[error("{}", panics.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    ShutdownPanicked {
        /// The panics, in the order in which they occurred.
        panics: Vec<ModulePanic>,
    },
}

fn below(minimum: Version) -> String {
    let below = minimum.first_incompatible();
    below.map_or_else(String::new, |below| format!(" and older than {below}"))
}

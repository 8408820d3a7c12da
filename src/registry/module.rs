//! Modules, and the context that they are initialised with.

use core::any::{Any, TypeId};
use core::fmt;
use std::collections::HashMap;

use serde::Serialize;

use super::watchdog::{CallTracker, Watchdog};
use crate::contain::count_panics;
use crate::event_bus::TypedEventBus;

/// A part of the application. The registry makes it, initialises it after its dependencies, starts it when all modules are
/// initialised, and stops it in reverse order.
///
/// A panic in one of these methods, or in the module's drop, is caught natively and becomes an error with the module's name;
/// the other modules keep working.
pub trait Module: Any + Send {
    /// Initialises the module from the context. Its dependencies have been initialised before.
    ///
    /// # Errors
    /// Any error; the boot then fails, and the modules that were initialised before are stopped.
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError>;

    /// Starts the module's work. All modules have been initialised.
    ///
    /// # Errors
    /// Any error; the boot then fails, and all modules are stopped.
    fn start(&mut self) -> Result<(), ModuleError> {
        Ok(())
    }

    /// Stops the module's work and releases its resources. Called once, if `init` succeeded; then the module is dropped.
    fn stop(&mut self) {}

    /// The module's health.
    fn health(&self) -> Health {
        Health::Healthy
    }
}

/// Any error; `?` and `into()` convert strings to it.
pub type ModuleError = Box<dyn std::error::Error + Send + Sync>;

/// The health of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "detail", rename_all = "lowercase")]
pub enum Health {
    /// The module works as intended.
    Healthy,
    /// The module works with restrictions, which the text names.
    Degraded(String),
    /// The module does not work, for the reason in the text.
    Failed(String),
}

/// A module's health under its name. Serialises flat: `{name, version, state, detail?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleHealth {
    /// The module's name: [`ModuleDescriptor::name`].
    pub name: &'static str,
    /// The module's version: [`ModuleDescriptor::version`].
    pub version: Version,
    /// [`Module::health`].
    #[serde(flatten)]
    pub health: Health,
}

/// Major, minor and patch version; compared in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16, pub u16, pub u16);

impl Version {
    /// Whether a module of this version satisfies a dependency on `minimum`, by the rule of semantic versioning that Cargo
    /// applies: not older, and equal in the first of the three numbers that is not 0 in `minimum`. See
    /// `docs/decisions/0007-module-dependencies-name-a-version-range.md`.
    ///
    /// | needed | satisfied by |
    /// |---|---|
    /// | 1.2.3 | 1.2.3 up to, but not including, 2.0.0 |
    /// | 0.2.3 | 0.2.3 up to, but not including, 0.3.0 |
    /// | 0.0.3 | 0.0.3 |
    /// | 0.0.0 | any version |
    #[must_use]
    pub fn satisfies(self, minimum: Self) -> bool {
        self >= minimum
            && minimum
                .first_incompatible()
                .is_none_or(|below| self < below)
    }

    /// The first version that is too new for a dependency on `self`. `None`: no version is too new.
    pub(super) fn first_incompatible(self) -> Option<Self> {
        match self {
            Self(0, 0, 0) => None,
            // After the largest patch number comes the next minor version.
            Self(0, 0, patch) => Some(
                patch
                    .checked_add(1)
                    .map_or(Self(0, 1, 0), |next| Self(0, 0, next)),
            ),
            Self(0, minor, _) => Some(
                minor
                    .checked_add(1)
                    .map_or(Self(1, 0, 0), |next| Self(0, next, 0)),
            ),
            Self(major, ..) => major.checked_add(1).map(|next| Self(next, 0, 0)),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Another module that has to be registered, and is initialised first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// The other module's name.
    pub name: &'static str,
    /// The oldest accepted version. [`Version::satisfies`] defines which newer ones are accepted.
    pub minimum: Version,
}

/// The registry's description of a module, before the module is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleDescriptor {
    /// Unique among the registered modules.
    pub name: &'static str,
    /// The module's version.
    pub version: Version,
    /// The modules that are initialised before it.
    pub dependencies: &'static [Dependency],
}

/// A descriptor and a constructor: the argument of `inventory::submit!`.
#[derive(Clone, Copy)]
pub struct ModuleRegistration {
    /// The module's description.
    pub descriptor: ModuleDescriptor,
    /// Makes the module. It should be cheap and without side effects, which belong in `init`.
    pub construct: fn() -> Box<dyn Module>,
}

inventory::collect!(ModuleRegistration);

impl fmt::Debug for ModuleRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.descriptor.fmt(f)
    }
}

/// The host's configuration values, one per type.
#[derive(Default)]
pub(crate) struct Configs(HashMap<TypeId, Box<dyn Any + Send>>);

impl Configs {
    pub(crate) fn insert<C: Any + Send>(&mut self, config: C) {
        self.0.insert(TypeId::of::<C>(), Box::new(config));
    }

    fn get<C: Any + Send>(&self) -> Option<&C> {
        self.0.get(&TypeId::of::<C>())?.downcast_ref()
    }
}

impl Drop for Configs {
    fn drop(&mut self) {
        // Catches a panic in the drop of a value, which would otherwise leave `boot`.
        for (_, config) in self.0.drain() {
            count_panics(|| drop(config));
        }
    }
}

/// A module that was made and initialised.
pub(crate) struct Booted {
    pub(crate) descriptor: ModuleDescriptor,
    pub(crate) module: Box<dyn Module>,
}

impl Booted {
    pub(crate) fn downcast_ref<M: Module>(&self) -> Option<&M> {
        (&*self.module as &dyn Any).downcast_ref()
    }

    pub(crate) fn downcast_mut<M: Module>(&mut self) -> Option<&mut M> {
        (&mut *self.module as &mut dyn Any).downcast_mut()
    }
}

/// What a module may use while it is initialised.
pub struct InitContext<'a> {
    pub(crate) bus: &'a TypedEventBus,
    pub(crate) configs: &'a Configs,
    pub(crate) earlier: &'a mut [Booted],
    pub(crate) descriptor: ModuleDescriptor,
    pub(crate) watchdog: &'a Watchdog,
}

impl InitContext<'_> {
    /// The event bus. A module that uses it after `init` keeps a clone.
    #[must_use]
    pub fn bus(&self) -> &TypedEventBus {
        self.bus
    }

    /// Records calls of this module for the [`Watchdog`]. The module keeps it, and calls [`enter`](CallTracker::enter) for each
    /// call.
    #[must_use]
    pub fn call_tracker(&self) -> CallTracker {
        self.watchdog.tracker(self.descriptor.name)
    }

    /// The host's configuration value of type `C`, if there is one.
    #[must_use]
    pub fn config<C: Any + Send>(&self) -> Option<&C> {
        self.configs.get()
    }

    /// The module of type `M`, if it is a declared dependency. Dependencies have been initialised.
    #[must_use]
    pub fn get_mut<M: Module>(&mut self) -> Option<&mut M> {
        let dependencies = self.descriptor.dependencies;
        let mut declared = self
            .earlier
            .iter_mut()
            .filter(|m| dependencies.iter().any(|d| d.name == m.descriptor.name));
        declared.find_map(|m| m.downcast_mut::<M>())
    }
}

impl fmt::Debug for InitContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitContext")
            .field("module", &self.descriptor)
            .finish_non_exhaustive()
    }
}

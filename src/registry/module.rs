//! What a module is, and what it is given when it starts.

use core::any::{Any, TypeId};
use core::fmt;
use std::collections::HashMap;

use serde::Serialize;

use super::boot::Booted;
use super::watchdog::{CallTracker, Watchdog};
use crate::contain::count_panics;
use crate::event_bus::TypedEventBus;

/// A part of the application with a life of its own: made, initialised after what it depends on, started when all
/// are initialised, stopped in reverse order.
///
/// A panic in any of these methods, or in the module's drop, is caught natively and becomes an error with the module's name;
/// the other modules are not harmed by it.
pub trait Module: Any + Send {
    /// Takes what it needs from the context. Everything it depends on has been initialised.
    ///
    /// # Errors
    /// Any error; the boot then fails, and what was initialised before is stopped.
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError>;

    /// Begins to work. All modules have been initialised.
    ///
    /// # Errors
    /// Any error; the boot then fails, and all modules are stopped.
    fn start(&mut self) -> Result<(), ModuleError> {
        Ok(())
    }

    /// Ends its work and gives back what it took. Called once, if `init` was called and succeeded; then the module is dropped.
    fn stop(&mut self) {}

    /// How it is doing.
    fn health(&self) -> Health {
        Health::Healthy
    }
}

/// Any error; strings become one with `?` or `into()`.
pub type ModuleError = Box<dyn std::error::Error + Send + Sync>;

/// How a module is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "detail", rename_all = "lowercase")]
pub enum Health {
    /// As intended.
    Healthy,
    /// It works, with less than intended: what is missing.
    Degraded(String),
    /// It does not work: why.
    Failed(String),
}

/// A module's health under its name. Serialises flat: `{name, version, state, detail?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleHealth {
    /// [`ModuleDescriptor::name`].
    pub name: &'static str,
    /// [`ModuleDescriptor::version`].
    pub version: Version,
    /// What it says.
    #[serde(flatten)]
    pub health: Health,
}

/// Major, minor, patch; compared in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16, pub u16, pub u16);

impl Version {
    /// Whether a module of this version serves one that needs `minimum`, by the rule of semantic versioning that Cargo
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

    /// The first version that is too new for one who needs `self`. None: there is none.
    pub(super) fn first_incompatible(self) -> Option<Self> {
        match self {
            Self(0, 0, 0) => None,
            // The largest number is followed by the next one before it.
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

/// Another module that must be there, initialised first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// Its name.
    pub name: &'static str,
    /// The oldest version that will do. Which newer ones do, [`Version::satisfies`] says.
    pub minimum: Version,
}

/// What the registry knows about a module before it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleDescriptor {
    /// Unique among the registered modules.
    pub name: &'static str,
    /// Its version.
    pub version: Version,
    /// What must be initialised before it.
    pub dependencies: &'static [Dependency],
}

/// A descriptor and a way to make the module: what `inventory::submit!` takes.
#[derive(Clone, Copy)]
pub struct ModuleRegistration {
    /// Who.
    pub descriptor: ModuleDescriptor,
    /// Makes it; cheap and without effects, these belong in `init`.
    pub construct: fn() -> Box<dyn Module>,
}

inventory::collect!(ModuleRegistration);

impl fmt::Debug for ModuleRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.descriptor.fmt(f)
    }
}

/// Values the host configured, one per type.
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
        // A panic in the drop of a value must not leave `boot`.
        for (_, config) in self.0.drain() {
            count_panics(|| drop(config));
        }
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
    /// The bus. Keep a clone to use it later.
    #[must_use]
    pub fn bus(&self) -> &TypedEventBus {
        self.bus
    }

    /// Lets the [`Watchdog`] see calls of this module that do not return. Keep it, and
    /// [`enter`](CallTracker::enter) each call.
    #[must_use]
    pub fn call_tracker(&self) -> CallTracker {
        self.watchdog.tracker(self.descriptor.name)
    }

    /// The value of type `C` that the host configured, if it did.
    #[must_use]
    pub fn config<C: Any + Send>(&self) -> Option<&C> {
        self.configs.get()
    }

    /// The module of type `M`, if it is a declared dependency: those are there, and initialised.
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

//! What a module is, and what it is given when it starts.

use core::any::{Any, TypeId};
use core::fmt;
use std::collections::HashMap;

use serde::Serialize;

use super::boot::Booted;
use crate::event_bus::TypedEventBus;

/// A part of the application with a life of its own: made, initialised after what it depends on, started when all
/// are initialised, stopped in reverse order.
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

    /// Ends its work and gives back what it took. Called once, if `init` was called and succeeded.
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
    /// The oldest version that will do.
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
pub(crate) type Configs = HashMap<TypeId, Box<dyn Any + Send>>;

/// What a module may use while it is initialised.
pub struct InitContext<'a> {
    pub(crate) bus: &'a TypedEventBus,
    pub(crate) configs: &'a Configs,
    pub(crate) earlier: &'a mut [Booted],
    pub(crate) dependencies: &'static [Dependency],
}

impl InitContext<'_> {
    /// The bus. Keep a clone to use it later.
    #[must_use]
    pub fn bus(&self) -> &TypedEventBus {
        self.bus
    }

    /// The value of type `C` that the host configured, if it did.
    #[must_use]
    pub fn config<C: Any + Send>(&self) -> Option<&C> {
        self.configs.get(&TypeId::of::<C>())?.downcast_ref()
    }

    /// The module of type `M`, if it is a declared dependency: those are there, and initialised.
    #[must_use]
    pub fn get_mut<M: Module>(&mut self) -> Option<&mut M> {
        let dependencies = self.dependencies;
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
            .field("dependencies", &self.dependencies)
            .finish_non_exhaustive()
    }
}

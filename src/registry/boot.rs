//! Boots modules, keeps them, stops them.

use core::any::{Any, TypeId};
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use super::error::RegistryError;
use super::module::{
    Configs, InitContext, Module, ModuleDescriptor, ModuleHealth, ModuleRegistration,
};
use super::order::boot_order;
use crate::event_bus::TypedEventBus;

/// A module that exists.
pub(crate) struct Booted {
    pub(crate) descriptor: ModuleDescriptor,
    module: Box<dyn Module>,
}

impl Booted {
    fn downcast_ref<M: Module>(&self) -> Option<&M> {
        (&*self.module as &dyn Any).downcast_ref()
    }

    pub(crate) fn downcast_mut<M: Module>(&mut self) -> Option<&mut M> {
        (&mut *self.module as &mut dyn Any).downcast_mut()
    }
}

/// Gathers what a boot needs.
pub struct RegistryBuilder {
    bus: TypedEventBus,
    configs: Configs,
    registrations: Vec<ModuleRegistration>,
}

impl RegistryBuilder {
    /// Gives modules a value; one per type, the last one counts.
    #[must_use]
    pub fn configure<C: Any + Send>(mut self, config: C) -> Self {
        self.configs.insert(TypeId::of::<C>(), Box::new(config));
        self
    }

    /// Adds a module by hand.
    #[must_use]
    pub fn register(mut self, registration: ModuleRegistration) -> Self {
        self.registrations.push(registration);
        self
    }

    /// Makes, initialises and starts the modules, each after those it depends on.
    ///
    /// # Errors
    /// [`RegistryError`]. What was initialised has then been stopped, in reverse order.
    pub fn boot(self) -> Result<ModuleRegistry, RegistryError> {
        let order = boot_order(&self.registrations)?;
        // Dropped on an error (or a panic) below, it stops what it holds: that is the roll-back.
        let mut registry = ModuleRegistry {
            bus: self.bus,
            modules: Vec::with_capacity(order.len()),
        };
        for ModuleRegistration {
            descriptor,
            construct,
        } in order
        {
            let mut module = construct();
            let mut ctx = InitContext {
                bus: &registry.bus,
                configs: &self.configs,
                earlier: &mut registry.modules,
                dependencies: descriptor.dependencies,
            };
            module
                .init(&mut ctx)
                .map_err(|cause| RegistryError::InitFailed {
                    module: descriptor.name,
                    cause,
                })?;
            registry.modules.push(Booted { descriptor, module });
        }
        for Booted { descriptor, module } in &mut registry.modules {
            module.start().map_err(|cause| RegistryError::StartFailed {
                module: descriptor.name,
                cause,
            })?;
        }
        Ok(registry)
    }
}

impl core::fmt::Debug for RegistryBuilder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RegistryBuilder")
            .field("registrations", &self.registrations)
            .finish_non_exhaustive()
    }
}

/// The modules of an application, running. Dropping it stops them in reverse order of boot.
///
/// # Real-time
/// No: boot, access and shutdown belong to the control side.
pub struct ModuleRegistry {
    bus: TypedEventBus,
    /// In order of boot.
    modules: Vec<Booted>,
}

impl ModuleRegistry {
    /// Starts with every module that registered itself in a linked crate.
    #[must_use]
    pub fn builder(bus: TypedEventBus) -> RegistryBuilder {
        #[cfg(target_arch = "wasm32")]
        super::run_constructors();
        let registrations = inventory::iter::<ModuleRegistration>().copied().collect();
        RegistryBuilder {
            registrations,
            ..Self::by_hand(bus)
        }
    }

    /// Starts with no module: only those registered by hand will boot.
    #[must_use]
    pub fn by_hand(bus: TypedEventBus) -> RegistryBuilder {
        RegistryBuilder {
            bus,
            configs: Configs::new(),
            registrations: Vec::new(),
        }
    }

    /// The bus that the modules were given.
    #[must_use]
    pub fn bus(&self) -> &TypedEventBus {
        &self.bus
    }

    /// The module of type `M`.
    #[must_use]
    pub fn get<M: Module>(&self) -> Option<&M> {
        self.modules.iter().find_map(Booted::downcast_ref)
    }

    /// The module of type `M`, to be changed.
    #[must_use]
    pub fn get_mut<M: Module>(&mut self) -> Option<&mut M> {
        self.modules.iter_mut().find_map(Booted::downcast_mut)
    }

    /// Two modules at once, since one often needs the other. `None` when either is missing or both are the same.
    #[must_use]
    pub fn get_two_mut<A: Module, B: Module>(&mut self) -> Option<(&mut A, &mut B)> {
        let (mut a, mut b) = (None, None);
        for booted in &mut self.modules {
            let module: &mut dyn Any = &mut *booted.module;
            if module.is::<A>() {
                a = module.downcast_mut();
            } else if module.is::<B>() {
                b = module.downcast_mut();
            }
        }
        a.zip(b)
    }

    /// The descriptors, in order of boot.
    pub fn modules(&self) -> impl ExactSizeIterator<Item = &ModuleDescriptor> {
        self.modules.iter().map(|booted| &booted.descriptor)
    }

    /// How each module is doing, in order of boot.
    #[must_use]
    pub fn health(&self) -> Vec<ModuleHealth> {
        let health = |booted: &Booted| ModuleHealth {
            name: booted.descriptor.name,
            version: booted.descriptor.version,
            health: booted.module.health(),
        };
        self.modules.iter().map(health).collect()
    }

    /// Stops the modules in reverse order of boot, as dropping does.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for ModuleRegistry {
    fn drop(&mut self) {
        while let Some(mut booted) = self.modules.pop() {
            // One module's panic must not keep the others from stopping; the panic hook has reported it.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                booted.module.stop();
                drop(booted);
            }));
        }
    }
}

impl core::fmt::Debug for ModuleRegistry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.modules()).finish()
    }
}

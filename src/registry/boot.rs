//! The registry: boots modules, owns them, and stops them.

use core::any::Any;

use super::error::{ModulePanic, RegistryError};
use super::module::{
    Booted, Configs, Health, InitContext, Module, ModuleDescriptor, ModuleHealth,
    ModuleRegistration,
};
use super::order::boot_order;
use super::watchdog::Watchdog;
use crate::contain::contain;
use crate::event_bus::{STUCK_AFTER, TypedEventBus};

/// Collects the bus, the configuration and the modules of a registry.
pub struct RegistryBuilder {
    bus: TypedEventBus,
    configs: Configs,
    registrations: Vec<ModuleRegistration>,
    watchdog: Watchdog,
}

impl RegistryBuilder {
    /// Sets a configuration value for the modules. There is one value per type; a later one replaces it.
    #[must_use]
    pub fn configure<C: Any + Send>(mut self, config: C) -> Self {
        self.configs.insert(config);
        self
    }

    /// Adds a module.
    #[must_use]
    pub fn register(mut self, registration: ModuleRegistration) -> Self {
        self.registrations.push(registration);
        self
    }

    /// Reports to other threads the calls that do not return, including those of the boot.
    #[must_use]
    pub fn watchdog(&self) -> Watchdog {
        self.watchdog.clone()
    }

    /// Makes, initialises and starts the modules, each after its dependencies.
    ///
    /// # Errors
    /// [`RegistryError`]. The modules that were initialised have then been stopped, in reverse order.
    pub fn boot(self) -> Result<ModuleRegistry, RegistryError> {
        let order = boot_order(&self.registrations)?;
        // An error below drops the registry, which stops the modules that it owns so far.
        let mut registry = ModuleRegistry {
            bus: self.bus,
            modules: Vec::with_capacity(order.len()),
            watchdog: self.watchdog,
        };
        for registration in order {
            registry.add(registration, &self.configs)?;
        }
        for Booted { descriptor, module } in &mut registry.modules {
            guard(&registry.watchdog, descriptor.name, "start", || {
                module.start()
            })?
            .map_err(|cause| RegistryError::StartFailed {
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

/// The running modules of an application. Dropping the registry stops them in reverse order of boot.
///
/// # Real-time
/// No: boot, access and shutdown belong to the control side.
pub struct ModuleRegistry {
    bus: TypedEventBus,
    /// In order of boot.
    modules: Vec<Booted>,
    watchdog: Watchdog,
}

/// Runs code of a module: a panic becomes an error, and the watchdog reports the call if it does not return.
fn guard<R>(
    watchdog: &Watchdog,
    module: &'static str,
    call: &'static str,
    code: impl FnOnce() -> R,
) -> Result<R, ModulePanic> {
    let _call = watchdog.tracker(module).enter(call);
    contain(code).map_err(|caught| ModulePanic {
        module,
        call,
        message: caught.into_message(),
    })
}

impl ModuleRegistry {
    /// A builder with all modules that registered themselves in linked crates.
    #[must_use]
    pub fn builder(bus: TypedEventBus) -> RegistryBuilder {
        #[cfg(target_arch = "wasm32")]
        super::constructors::run_constructors();
        let registrations = inventory::iter::<ModuleRegistration>().copied().collect();
        RegistryBuilder {
            registrations,
            ..Self::empty_builder(bus)
        }
    }

    /// A builder without modules: only those added with [`RegistryBuilder::register`] are booted.
    #[must_use]
    pub fn empty_builder(bus: TypedEventBus) -> RegistryBuilder {
        RegistryBuilder {
            watchdog: Watchdog::new(bus.clone()),
            bus,
            configs: Configs::default(),
            registrations: Vec::new(),
        }
    }

    /// The earlier name of [`empty_builder`](Self::empty_builder).
    #[doc(hidden)]
    #[must_use]
    pub fn by_hand(bus: TypedEventBus) -> RegistryBuilder {
        Self::empty_builder(bus)
    }

    /// The event bus of the modules.
    #[must_use]
    pub fn bus(&self) -> &TypedEventBus {
        &self.bus
    }

    /// The module of type `M`.
    #[must_use]
    pub fn get<M: Module>(&self) -> Option<&M> {
        self.modules.iter().find_map(Booted::downcast_ref)
    }

    /// The module of type `M`, mutably.
    #[must_use]
    pub fn get_mut<M: Module>(&mut self) -> Option<&mut M> {
        self.modules.iter_mut().find_map(Booted::downcast_mut)
    }

    /// Two modules at once, for calls of one that take the other. `None` if one is missing or both are the same.
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

    /// The health of each module, in order of boot. A module whose `health` panics has failed. So has a module with a call
    /// that does not return ([`CallTracker`](super::CallTracker)); its `health` is not called, since that might not return either.
    ///
    /// While this thread is inside a module, other threads use the [`watchdog`](Self::watchdog).
    #[must_use]
    pub fn health(&self) -> Vec<ModuleHealth> {
        let stuck = self.watchdog.running_for(STUCK_AFTER);
        let health = |booted: &Booted| {
            let ModuleDescriptor { name, version, .. } = booted.descriptor;
            let health = match stuck.iter().find(|call| call.module == name) {
                Some(call) => Health::Failed(format!(
                    "has not returned from `{}` for {:.1?}",
                    call.call, call.running_for
                )),
                None => guard(&self.watchdog, name, "health", || booted.module.health())
                    .unwrap_or_else(|panic| {
                        Health::Failed(format!("panicked in `health`: {}", panic.message))
                    }),
            };
            ModuleHealth {
                name,
                version,
                health,
            }
        };
        self.modules.iter().map(health).collect()
    }

    /// Reports to other threads the calls that do not return.
    #[must_use]
    pub fn watchdog(&self) -> Watchdog {
        self.watchdog.clone()
    }

    /// Stops the modules in reverse order of boot, as dropping the registry does.
    ///
    /// # Errors
    /// [`RegistryError::ShutdownPanicked`]. All modules have been stopped nevertheless.
    pub fn shutdown(mut self) -> Result<(), RegistryError> {
        let panics = self.stop_all();
        if panics.is_empty() {
            Ok(())
        } else {
            Err(RegistryError::ShutdownPanicked { panics })
        }
    }

    /// Makes and initialises a module.
    fn add(
        &mut self,
        ModuleRegistration {
            descriptor,
            construct,
        }: ModuleRegistration,
        configs: &Configs,
    ) -> Result<(), RegistryError> {
        let name = descriptor.name;
        let mut module = guard(&self.watchdog, name, "construct", construct)?;
        let mut ctx = InitContext {
            bus: &self.bus,
            configs,
            earlier: &mut self.modules,
            descriptor,
            watchdog: &self.watchdog,
        };
        let failure = match guard(&self.watchdog, name, "init", || module.init(&mut ctx)) {
            Ok(Ok(())) => {
                self.modules.push(Booted { descriptor, module });
                return Ok(());
            }
            Ok(Err(cause)) => RegistryError::InitFailed {
                module: name,
                cause,
            },
            Err(panic) => panic.into(),
        };
        // The first failure is the one to return; a panic in the drop was printed by the panic hook.
        let _ = guard(&self.watchdog, name, "drop", || drop(module));
        Err(failure)
    }

    /// Stops and drops every module in reverse order of boot. A panic of one does not keep the others from stopping.
    fn stop_all(&mut self) -> Vec<ModulePanic> {
        let mut panics = Vec::new();
        while let Some(Booted {
            descriptor,
            mut module,
        }) = self.modules.pop()
        {
            let name = descriptor.name;
            panics.extend(guard(&self.watchdog, name, "stop", || module.stop()).err());
            panics.extend(guard(&self.watchdog, name, "drop", || drop(module)).err());
        }
        panics
    }
}

impl Drop for ModuleRegistry {
    fn drop(&mut self) {
        // A drop cannot return the panics; the panic hook has printed them.
        self.stop_all();
    }
}

impl core::fmt::Debug for ModuleRegistry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.modules()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use mockall::mock;

    use super::*;
    use crate::lock::lock;
    use crate::registry::{Dependency, Health, ModuleError, Version};

    /// The calls of the modules, in order.
    #[derive(Clone, Default)]
    struct CallLog(Arc<Mutex<Vec<String>>>);

    impl CallLog {
        fn push(&self, call: String) {
            lock(&self.0).push(call);
        }

        fn read(&self) -> Vec<String> {
            core::mem::take(&mut lock(&self.0))
        }
    }

    /// The module whose `init` fails.
    struct FailingInit(&'static str);

    struct LoggingModule<const LETTER: char> {
        log: CallLog,
        sees_a: bool,
    }

    const NAMES: [(char, &str); 3] = [('A', "a"), ('B', "b"), ('C', "c")];

    impl<const LETTER: char> LoggingModule<LETTER> {
        fn name() -> &'static str {
            NAMES
                .iter()
                .find(|(letter, _)| *letter == LETTER)
                .unwrap()
                .1
        }

        fn registration(dependencies: &'static [Dependency]) -> ModuleRegistration {
            ModuleRegistration {
                descriptor: ModuleDescriptor {
                    name: Self::name(),
                    version: Version(0, 1, 0),
                    dependencies,
                },
                construct: || {
                    Box::new(Self {
                        log: CallLog::default(),
                        sees_a: false,
                    })
                },
            }
        }
    }

    impl<const LETTER: char> Module for LoggingModule<LETTER> {
        fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
            self.log = ctx
                .config::<CallLog>()
                .ok_or("no log is configured")?
                .clone();
            self.log.push(format!("init {}", Self::name()));
            self.sees_a = ctx.get_mut::<LoggingModule<'A'>>().is_some();
            match ctx.config() {
                Some(&FailingInit(name)) if name == Self::name() => Err("the disk is full".into()),
                _ => Ok(()),
            }
        }

        fn start(&mut self) -> Result<(), ModuleError> {
            self.log.push(format!("start {}", Self::name()));
            Ok(())
        }

        fn stop(&mut self) {
            self.log.push(format!("stop {}", Self::name()));
        }

        fn health(&self) -> Health {
            if self.sees_a {
                Health::Degraded("sees a".into())
            } else {
                Health::Healthy
            }
        }
    }

    const A: Dependency = Dependency {
        name: "a",
        minimum: Version(0, 0, 0),
    };
    const B: Dependency = Dependency {
        name: "b",
        minimum: Version(0, 0, 0),
    };

    /// `c` depends on `b`, which depends on `a`; registered in the reverse order.
    fn three(log: &CallLog) -> RegistryBuilder {
        ModuleRegistry::empty_builder(TypedEventBus::default())
            .configure(log.clone())
            .register(LoggingModule::<'C'>::registration(&[B]))
            .register(LoggingModule::<'B'>::registration(&[A]))
            .register(LoggingModule::<'A'>::registration(&[]))
    }

    #[test]
    fn registry_boots_in_order_and_stops_in_reverse() {
        let log = CallLog::default();
        let registry = three(&log).boot().unwrap();
        assert_eq!(
            log.read(),
            [
                "init a", "init b", "init c", "start a", "start b", "start c"
            ]
        );
        assert_eq!(
            registry.modules().map(|m| m.name).collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        registry.shutdown().unwrap();
        assert_eq!(log.read(), ["stop c", "stop b", "stop a"]);
    }

    #[test]
    fn failed_init_stops_the_initialised_modules_in_reverse() {
        let log = CallLog::default();
        let error = three(&log).configure(FailingInit("c")).boot().unwrap_err();
        assert_eq!(
            error.to_string(),
            "module `c` could not be initialised: the disk is full"
        );
        assert_eq!(
            log.read(),
            ["init a", "init b", "init c", "stop b", "stop a"]
        );
    }

    #[test]
    fn missing_configuration_is_the_cause_of_a_failed_init() {
        let builder = ModuleRegistry::empty_builder(TypedEventBus::default());
        let error = builder
            .register(LoggingModule::<'A'>::registration(&[]))
            .boot()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "module `a` could not be initialised: no log is configured"
        );
    }

    #[test]
    fn modules_are_found_by_type_and_during_init_only_if_declared() {
        let mut registry = three(&CallLog::default()).boot().unwrap();
        assert!(
            registry.get::<LoggingModule<'B'>>().unwrap().sees_a,
            "declared"
        );
        assert!(
            !registry.get::<LoggingModule<'C'>>().unwrap().sees_a,
            "registered, but not declared"
        );
        assert!(registry.get::<Mock>().is_none());
        registry.get_mut::<LoggingModule<'C'>>().unwrap().sees_a = true;
        let (c, a) = registry
            .get_two_mut::<LoggingModule<'C'>, LoggingModule<'A'>>()
            .unwrap();
        assert!(c.sees_a && !a.sees_a);
        assert!(
            registry
                .get_two_mut::<LoggingModule<'A'>, LoggingModule<'A'>>()
                .is_none()
        );
    }

    #[test]
    fn health_is_flat_json_in_order_of_boot() {
        let registry = three(&CallLog::default()).boot().unwrap();
        let json = serde_json::to_value(registry.health()).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                { "name": "a", "version": "0.1.0", "state": "healthy" },
                { "name": "b", "version": "0.1.0", "state": "degraded", "detail": "sees a" },
                { "name": "c", "version": "0.1.0", "state": "healthy" },
            ])
        );
    }

    mock! {
        Collaborator {}
        impl Module for Collaborator {
            fn init<'a>(&mut self, ctx: &mut InitContext<'a>) -> Result<(), ModuleError>;
            fn start(&mut self) -> Result<(), ModuleError>;
            fn stop(&mut self);
            fn health(&self) -> Health;
        }
    }
    use MockCollaborator as Mock;

    /// A mock that boots after the three modules.
    fn last(construct: fn() -> Box<dyn Module>) -> ModuleRegistration {
        const C: Dependency = Dependency {
            name: "c",
            minimum: Version(0, 0, 0),
        };
        let descriptor = ModuleDescriptor {
            name: "mock",
            version: Version(1, 0, 0),
            dependencies: &[C],
        };
        ModuleRegistration {
            descriptor,
            construct,
        }
    }

    const ROLLED_BACK: [&str; 3] = ["stop c", "stop b", "stop a"];

    #[test]
    fn failed_start_stops_all_modules_in_reverse_itself_included() {
        static STOPPED: Mutex<bool> = Mutex::new(false);
        let log = CallLog::default();
        let mock = last(|| {
            let mut mock = Mock::new();
            mock.expect_init().return_once(|_| Ok(()));
            mock.expect_start()
                .return_once(|| Err("there is no sound card".into()));
            mock.expect_stop()
                .return_once(|| *STOPPED.lock().unwrap() = true);
            Box::new(mock)
        });
        let error = three(&log).register(mock).boot().unwrap_err();
        assert_eq!(
            error.to_string(),
            "module `mock` could not be started: there is no sound card"
        );
        assert!(*STOPPED.lock().unwrap());
        assert!(log.read().ends_with(&ROLLED_BACK.map(String::from)));
    }

    #[test]
    fn panic_in_init_stops_the_initialised_modules() {
        let log = CallLog::default();
        let mock = last(|| {
            let mut mock = Mock::new();
            mock.expect_init().return_once(|_| panic!("on purpose"));
            Box::new(mock)
        });
        let error = three(&log).register(mock).boot().unwrap_err();
        assert_eq!(
            error.to_string(),
            "module `mock` panicked in `init`: on purpose"
        );
        assert!(log.read().ends_with(&ROLLED_BACK.map(String::from)));
    }

    #[test]
    fn panic_in_stop_does_not_keep_the_others_from_stopping() {
        let log = CallLog::default();
        let mock = last(|| {
            let mut mock = Mock::new();
            mock.expect_init().return_once(|_| Ok(()));
            mock.expect_start().return_once(|| Ok(()));
            mock.expect_stop().return_once(|| panic!("on purpose"));
            Box::new(mock)
        });
        let error = three(&log).register(mock).boot().unwrap().shutdown();
        assert_eq!(
            error.unwrap_err().to_string(),
            "module `mock` panicked in `stop`: on purpose"
        );
        assert!(log.read().ends_with(&ROLLED_BACK.map(String::from)));
    }
}

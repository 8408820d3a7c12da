//! Boots modules, keeps them, stops them.

use core::any::Any;

use super::error::{ModulePanic, RegistryError};
use super::module::{
    Configs, Health, InitContext, Module, ModuleDescriptor, ModuleHealth, ModuleRegistration,
};
use super::order::boot_order;
use super::watchdog::Watchdog;
use crate::contain::contain;
use crate::event_bus::{STUCK_AFTER, TypedEventBus};

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
    watchdog: Watchdog,
}

impl RegistryBuilder {
    /// Gives modules a value; one per type, the last one counts.
    #[must_use]
    pub fn configure<C: Any + Send>(mut self, config: C) -> Self {
        self.configs.insert(config);
        self
    }

    /// Adds a module by hand.
    #[must_use]
    pub fn register(mut self, registration: ModuleRegistration) -> Self {
        self.registrations.push(registration);
        self
    }

    /// Tells other threads of calls that do not return, those of the boot itself included.
    #[must_use]
    pub fn watchdog(&self) -> Watchdog {
        self.watchdog.clone()
    }

    /// Makes, initialises and starts the modules, each after those it depends on.
    ///
    /// # Errors
    /// [`RegistryError`]. What was initialised has then been stopped, in reverse order.
    pub fn boot(self) -> Result<ModuleRegistry, RegistryError> {
        let order = boot_order(&self.registrations)?;
        // Dropped on an error below, it stops what it holds: that is the roll-back.
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

/// The modules of an application, running. Dropping it stops them in reverse order of boot.
///
/// # Real-time
/// No: boot, access and shutdown belong to the control side.
pub struct ModuleRegistry {
    bus: TypedEventBus,
    /// In order of boot.
    modules: Vec<Booted>,
    watchdog: Watchdog,
}

/// Runs code of a module: a panic becomes an error, and a call that does not return is seen by the watchdog.
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
            watchdog: Watchdog::new(bus.clone()),
            bus,
            configs: Configs::default(),
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

    /// How each module is doing, in order of boot. A module that panics when it is asked has failed, and so has one with a
    /// call that does not return ([`CallTracker`](super::CallTracker)): that one is not asked, since it might not answer.
    ///
    /// While this thread is inside a module, other threads ask the [`watchdog`](Self::watchdog).
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

    /// Tells other threads of calls that do not return.
    #[must_use]
    pub fn watchdog(&self) -> Watchdog {
        self.watchdog.clone()
    }

    /// Stops the modules in reverse order of boot, as dropping does.
    ///
    /// # Errors
    /// [`RegistryError::ShutdownPanicked`]. All modules have been stopped all the same.
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
        // What it failed with is what the host has to know: a panic of its drop was printed by the panic hook.
        let _ = guard(&self.watchdog, name, "drop", || drop(module));
        Err(failure)
    }

    /// Stops and drops every module, the last one first. No module's panic keeps the others from stopping.
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
        // Nobody is there to be told; the panic hook has printed them.
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
    use std::sync::{Arc, Mutex, PoisonError};

    use mockall::mock;

    use super::*;
    use crate::registry::{Dependency, Health, ModuleError, Version};

    /// What happened, in order.
    #[derive(Clone, Default)]
    struct Diary(Arc<Mutex<Vec<String>>>);

    impl Diary {
        fn note(&self, what: String) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(what);
        }

        fn read(&self) -> Vec<String> {
            core::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    /// Whose `init` is to fail.
    struct Fault(&'static str);

    struct Diarist<const LETTER: char> {
        diary: Diary,
        sees: bool,
    }

    const NAMES: [(char, &str); 3] = [('A', "a"), ('B', "b"), ('C', "c")];

    impl<const LETTER: char> Diarist<LETTER> {
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
                        diary: Diary::default(),
                        sees: false,
                    })
                },
            }
        }
    }

    impl<const LETTER: char> Module for Diarist<LETTER> {
        fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
            self.diary = ctx
                .config::<Diary>()
                .ok_or("no diary is configured")?
                .clone();
            self.diary.note(format!("init {}", Self::name()));
            self.sees = ctx.get_mut::<Diarist<'A'>>().is_some();
            match ctx.config() {
                Some(&Fault(name)) if name == Self::name() => Err("the disk is full".into()),
                _ => Ok(()),
            }
        }

        fn start(&mut self) -> Result<(), ModuleError> {
            self.diary.note(format!("start {}", Self::name()));
            Ok(())
        }

        fn stop(&mut self) {
            self.diary.note(format!("stop {}", Self::name()));
        }

        fn health(&self) -> Health {
            if self.sees {
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

    /// `c` needs `b` needs `a`, registered backwards.
    fn three(diary: &Diary) -> RegistryBuilder {
        ModuleRegistry::by_hand(TypedEventBus::default())
            .configure(diary.clone())
            .register(Diarist::<'C'>::registration(&[B]))
            .register(Diarist::<'B'>::registration(&[A]))
            .register(Diarist::<'A'>::registration(&[]))
    }

    #[test]
    fn boots_in_order_and_stops_in_reverse() {
        let diary = Diary::default();
        let registry = three(&diary).boot().unwrap();
        assert_eq!(
            diary.read(),
            [
                "init a", "init b", "init c", "start a", "start b", "start c"
            ]
        );
        assert_eq!(
            registry.modules().map(|m| m.name).collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        registry.shutdown().unwrap();
        assert_eq!(diary.read(), ["stop c", "stop b", "stop a"]);
    }

    #[test]
    fn a_failed_init_stops_what_was_initialised_in_reverse() {
        let diary = Diary::default();
        let error = three(&diary).configure(Fault("c")).boot().unwrap_err();
        assert_eq!(
            error.to_string(),
            "module `c` could not be initialised: the disk is full"
        );
        assert_eq!(
            diary.read(),
            ["init a", "init b", "init c", "stop b", "stop a"]
        );
    }

    #[test]
    fn a_module_without_its_config_says_so() {
        let builder = ModuleRegistry::by_hand(TypedEventBus::default());
        let error = builder
            .register(Diarist::<'A'>::registration(&[]))
            .boot()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "module `a` could not be initialised: no diary is configured"
        );
    }

    #[test]
    fn modules_are_had_by_type_and_only_declared_dependencies_during_init() {
        let mut registry = three(&Diary::default()).boot().unwrap();
        assert!(registry.get::<Diarist<'B'>>().unwrap().sees, "declared");
        assert!(
            !registry.get::<Diarist<'C'>>().unwrap().sees,
            "there, but not declared"
        );
        assert!(registry.get::<Mock>().is_none());
        registry.get_mut::<Diarist<'C'>>().unwrap().sees = true;
        let (c, a) = registry
            .get_two_mut::<Diarist<'C'>, Diarist<'A'>>()
            .unwrap();
        assert!(c.sees && !a.sees);
        assert!(
            registry
                .get_two_mut::<Diarist<'A'>, Diarist<'A'>>()
                .is_none()
        );
    }

    #[test]
    fn health_is_flat_json_in_order_of_boot() {
        let registry = three(&Diary::default()).boot().unwrap();
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

    /// A stand-in for a module that comes after the three, with the given expectations.
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
    fn a_failed_start_stops_everything_in_reverse_itself_included() {
        static STOPPED: Mutex<bool> = Mutex::new(false);
        let diary = Diary::default();
        let mock = last(|| {
            let mut mock = Mock::new();
            mock.expect_init().return_once(|_| Ok(()));
            mock.expect_start()
                .return_once(|| Err("there is no sound card".into()));
            mock.expect_stop()
                .return_once(|| *STOPPED.lock().unwrap() = true);
            Box::new(mock)
        });
        let error = three(&diary).register(mock).boot().unwrap_err();
        assert_eq!(
            error.to_string(),
            "module `mock` could not be started: there is no sound card"
        );
        assert!(*STOPPED.lock().unwrap());
        assert!(diary.read().ends_with(&ROLLED_BACK.map(String::from)));
    }

    #[test]
    fn a_panicking_init_rolls_back_too() {
        let diary = Diary::default();
        let mock = last(|| {
            let mut mock = Mock::new();
            mock.expect_init().return_once(|_| panic!("on purpose"));
            Box::new(mock)
        });
        let error = three(&diary).register(mock).boot().unwrap_err();
        assert_eq!(
            error.to_string(),
            "module `mock` panicked in `init`: on purpose"
        );
        assert!(diary.read().ends_with(&ROLLED_BACK.map(String::from)));
    }

    #[test]
    fn a_panicking_stop_does_not_keep_the_others_from_stopping() {
        let diary = Diary::default();
        let mock = last(|| {
            let mut mock = Mock::new();
            mock.expect_init().return_once(|_| Ok(()));
            mock.expect_start().return_once(|| Ok(()));
            mock.expect_stop().return_once(|| panic!("on purpose"));
            Box::new(mock)
        });
        let error = three(&diary).register(mock).boot().unwrap().shutdown();
        assert_eq!(
            error.unwrap_err().to_string(),
            "module `mock` panicked in `stop`: on purpose"
        );
        assert!(diary.read().ends_with(&ROLLED_BACK.map(String::from)));
    }
}

//! Modules that panic, versions with extreme numbers, long chains of dependencies.

use std::panic::panic_any;
use std::sync::{Arc, Mutex};

use wavepool::event_bus::TypedEventBus;
use wavepool::registry::{
    Dependency, Health, InitContext, Module, ModuleDescriptor, ModuleError, ModuleRegistration,
    ModuleRegistry, RegistryError, Version,
};

use super::OnDrop;

/// The calls of the modules, in order.
type CallLog = Arc<Mutex<Vec<String>>>;

/// The calls in which the module `faulty` panics.
#[derive(Clone)]
struct Faults(&'static [&'static str]);

/// A panic's payload whose drop panics.
struct PanicsWhenDropped;
impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("a payload's drop");
    }
}

/// Logs its calls, and panics in the configured ones.
struct LoggingModule {
    name: &'static str,
    log: CallLog,
    faults: &'static [&'static str],
}

impl LoggingModule {
    fn registration(name: &'static str, dependencies: &'static [Dependency]) -> ModuleRegistration {
        ModuleRegistration {
            descriptor: ModuleDescriptor {
                name,
                version: Version(1, 0, 0),
                dependencies,
            },
            construct: match name {
                "before" => || LoggingModule::boxed("before"),
                "faulty" => || LoggingModule::boxed("faulty"),
                _ => || LoggingModule::boxed("after"),
            },
        }
    }

    fn boxed(name: &'static str) -> Box<dyn Module> {
        Box::new(Self {
            name,
            log: CallLog::default(),
            faults: &[],
        })
    }

    fn log_call(&self, call: &str) {
        self.log
            .lock()
            .unwrap()
            .push(format!("{call} {}", self.name));
        if self.faults.contains(&call) {
            panic!("{call} went wrong");
        }
    }
}

impl Module for LoggingModule {
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
        self.log = ctx.config::<CallLog>().unwrap().clone();
        if self.name == "faulty" {
            self.faults = ctx.config::<Faults>().unwrap().0;
        }
        self.log_call("init");
        Ok(())
    }

    fn start(&mut self) -> Result<(), ModuleError> {
        self.log_call("start");
        Ok(())
    }

    fn stop(&mut self) {
        self.log_call("stop");
    }

    fn health(&self) -> Health {
        if self.faults.contains(&"health") {
            panic_any(PanicsWhenDropped);
        }
        Health::Healthy
    }
}

impl Drop for LoggingModule {
    fn drop(&mut self) {
        self.log_call("drop");
    }
}

const fn needs(name: &'static str) -> Dependency {
    Dependency {
        name,
        minimum: Version(1, 0, 0),
    }
}

fn boot(faults: &'static [&'static str]) -> (Result<ModuleRegistry, RegistryError>, CallLog) {
    let log = CallLog::default();
    let registry = ModuleRegistry::empty_builder(TypedEventBus::default())
        .configure(log.clone())
        .configure(Faults(faults))
        .register(LoggingModule::registration(
            "after",
            const { &[needs("faulty")] },
        ))
        .register(LoggingModule::registration(
            "faulty",
            const { &[needs("before")] },
        ))
        .register(LoggingModule::registration("before", &[]))
        .boot();
    (registry, log)
}

fn read(log: &CallLog) -> String {
    std::mem::take(&mut *log.lock().unwrap()).join(", ")
}

#[test]
fn module_panic_fails_the_boot_with_the_modules_name() {
    let rolled_back = "stop after, drop after, stop faulty, drop faulty, stop before, drop before";
    for (faults, call, log) in [
        (
            &["init"][..],
            "init",
            "init before, init faulty, drop faulty, stop before, drop before".to_owned(),
        ),
        (
            &["init", "drop"],
            "init",
            "init before, init faulty, drop faulty, stop before, drop before".to_owned(),
        ),
        (
            &["start"],
            "start",
            format!(
                "init before, init faulty, init after, start before, start faulty, {rolled_back}"
            ),
        ),
        (
            &["start", "stop", "drop"],
            "start",
            format!(
                "init before, init faulty, init after, start before, start faulty, {rolled_back}"
            ),
        ),
    ] {
        let (registry, seen) = boot(faults);
        let error = registry.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("module `faulty` panicked in `{call}`: {call} went wrong")
        );
        assert!(matches!(error, RegistryError::Panicked(panic) if panic.module == "faulty"));
        assert_eq!(read(&seen), log);
    }
}

#[test]
fn module_panic_in_health_is_reported_as_failed() {
    let (registry, _) = boot(&["health"]);
    let registry = registry.unwrap();
    let health = |name| {
        let all = registry.health();
        all.into_iter()
            .find(|module| module.name == name)
            .unwrap()
            .health
    };
    assert_eq!(health("before"), Health::Healthy);
    assert_eq!(
        health("faulty"),
        Health::Failed("panicked in `health`: a value that is not text".into())
    );
    assert_eq!(health("after"), Health::Healthy);
}

#[test]
fn module_panic_in_stop_or_drop_is_returned_and_the_others_stop() {
    for (faults, text) in [
        (&[][..], None),
        (
            &["stop"],
            Some("module `faulty` panicked in `stop`: stop went wrong"),
        ),
        (
            &["drop"],
            Some("module `faulty` panicked in `drop`: drop went wrong"),
        ),
        (
            &["stop", "drop"],
            Some(
                "module `faulty` panicked in `stop`: stop went wrong; \
                 module `faulty` panicked in `drop`: drop went wrong",
            ),
        ),
    ] {
        let everything =
            "stop after, drop after, stop faulty, drop faulty, stop before, drop before";
        let (registry, log) = boot(faults);
        let registry = registry.unwrap();
        read(&log);
        let error = registry.shutdown().err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), text);
        assert_eq!(read(&log), everything);
        let (registry, log) = boot(faults);
        let registry = registry.unwrap();
        read(&log);
        drop(registry);
        assert_eq!(read(&log), everything, "dropped");
    }
}

#[test]
fn module_panic_in_construct_or_in_a_configs_drop_is_caught() {
    let faulty = ModuleRegistration {
        construct: || panic!("cannot be made"),
        ..LoggingModule::registration("faulty", const { &[needs("before")] })
    };
    let log = CallLog::default();
    let error = ModuleRegistry::empty_builder(TypedEventBus::default())
        .configure(log.clone())
        .configure(OnDrop(|| panic!("a config's drop")))
        .register(faulty)
        .register(LoggingModule::registration("before", &[]))
        .boot()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "module `faulty` panicked in `construct`: cannot be made"
    );
    assert_eq!(read(&log), "init before, stop before, drop before");
}

/// A module that does nothing.
struct NoOp;
impl Module for NoOp {
    fn init(&mut self, _: &mut InitContext<'_>) -> Result<(), ModuleError> {
        Ok(())
    }
}

fn no_op(
    name: &'static str,
    version: Version,
    dependencies: &'static [Dependency],
) -> ModuleRegistration {
    ModuleRegistration {
        descriptor: ModuleDescriptor {
            name,
            version,
            dependencies,
        },
        construct: || Box::new(NoOp),
    }
}

#[test]
fn versions_follow_semver_from_zero_to_the_largest() {
    let edges = [0, 1, 2, 7, 0x7fff, 0x8000, u16::MAX - 1, u16::MAX];
    let all = || {
        let pairs = edges.iter().flat_map(|&a| edges.map(|b| (a, b)));
        pairs.flat_map(|(a, b)| edges.map(|c| Version(a, b, c)))
    };
    let mut satisfied = 0;
    for minimum in all() {
        for found in all() {
            // A second formulation of the rule: the numbers up to the first one that is not 0 are equal.
            let same = match (minimum.0, minimum.1, minimum.2) {
                (0, 0, 0) => true,
                (0, 0, _) => found == minimum,
                (0, minor, _) => (found.0, found.1) == (0, minor),
                (major, ..) => found.0 == major,
            };
            let want = same && found >= minimum;
            assert_eq!(found.satisfies(minimum), want, "{found} for {minimum}");
            satisfied += u32::from(want);
        }
    }
    assert!(satisfied > 10_000, "{satisfied}");
}

#[test]
fn version_errors_contain_both_versions_and_the_range() {
    let boot = |minimum, found| {
        let needed: &'static [Dependency] = Box::leak(Box::new([Dependency {
            name: "pool",
            minimum,
        }]));
        ModuleRegistry::empty_builder(TypedEventBus::default())
            .register(no_op("audio", Version(1, 0, 0), needed))
            .register(no_op("pool", found, &[]))
            .boot()
    };
    for (minimum, found, range) in [
        ([1, 0, 0], [7, 0, 0], "1.0.0 or newer and older than 2.0.0"),
        ([1, 2, 3], [1, 2, 2], "1.2.3 or newer and older than 2.0.0"),
        ([0, 1, 0], [0, 2, 0], "0.1.0 or newer and older than 0.2.0"),
        ([0, 1, 0], [1, 0, 0], "0.1.0 or newer and older than 0.2.0"),
        ([0, 0, 4], [0, 0, 5], "0.0.4 or newer and older than 0.0.5"),
        (
            [0, u16::MAX, 1],
            [1, 0, 0],
            "0.65535.1 or newer and older than 1.0.0",
        ),
        (
            [0, 0, u16::MAX],
            [0, 1, 0],
            "0.0.65535 or newer and older than 0.1.0",
        ),
        ([u16::MAX, 0, 1], [u16::MAX, 0, 0], "65535.0.1 or newer"),
    ] {
        let [minimum, found] =
            [minimum, found].map(|[major, minor, patch]| Version(major, minor, patch));
        assert_eq!(
            boot(minimum, found).unwrap_err().to_string(),
            format!("module `audio` needs `pool` {range}, but {found} is registered")
        );
    }
    let too_new = boot(Version(1, 0, 0), Version(7, 0, 0)).unwrap_err();
    assert!(matches!(too_new, RegistryError::DependencyTooNew { .. }));
    assert!(boot(Version(1, 0, 0), Version(1, u16::MAX, u16::MAX)).is_ok());
    assert!(boot(Version(0, 0, 0), Version(u16::MAX, 0, 0)).is_ok());
}

#[test]
fn module_registration_without_a_name_is_refused() {
    let error = ModuleRegistry::empty_builder(TypedEventBus::default())
        .register(no_op("", Version(3, 2, 1), &[]))
        .boot()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a module of version 3.2.1 is registered without a name; give its descriptor one"
    );
}

#[test]
fn dependency_chain_of_many_modules_boots() {
    // Deeper than recursion could go: a stack frame for each would overflow the stack.
    const MODULES: usize = 50_000;
    let mut builder = ModuleRegistry::empty_builder(TypedEventBus::default());
    let name = |n: usize| -> &'static str { format!("module {n:06}").leak() };
    for n in 0..MODULES {
        let next = Dependency {
            name: name(n + 1),
            minimum: Version(1, 0, 0),
        };
        let needed: &'static [Dependency] = match n + 1 {
            MODULES => &[],
            _ => Box::leak(Box::new([next])),
        };
        builder = builder.register(no_op(name(n), Version(1, 0, 0), needed));
    }
    let registry = builder.boot().unwrap();
    assert_eq!(registry.modules().len(), MODULES);
    assert_eq!(registry.modules().next().unwrap().name, name(MODULES - 1));
    registry.shutdown().unwrap();
}

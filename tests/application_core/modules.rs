//! Modules that panic, versions of every number, long chains.

use std::panic::panic_any;
use std::sync::{Arc, Mutex};

use wavepool::event_bus::TypedEventBus;
use wavepool::registry::{
    Dependency, Health, InitContext, Module, ModuleDescriptor, ModuleError, ModuleRegistration,
    ModuleRegistry, RegistryError, Version,
};

use super::OnDrop;

type Diary = Arc<Mutex<Vec<String>>>;

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

/// Notes its calls, and panics in those it is told to.
struct Actor {
    name: &'static str,
    diary: Diary,
    faults: &'static [&'static str],
}

impl Actor {
    fn registration(name: &'static str, dependencies: &'static [Dependency]) -> ModuleRegistration {
        ModuleRegistration {
            descriptor: ModuleDescriptor {
                name,
                version: Version(1, 0, 0),
                dependencies,
            },
            construct: match name {
                "before" => || Actor::boxed("before"),
                "faulty" => || Actor::boxed("faulty"),
                _ => || Actor::boxed("after"),
            },
        }
    }

    fn boxed(name: &'static str) -> Box<dyn Module> {
        Box::new(Self {
            name,
            diary: Diary::default(),
            faults: &[],
        })
    }

    fn does(&self, call: &str) {
        self.diary
            .lock()
            .unwrap()
            .push(format!("{call} {}", self.name));
        if self.faults.contains(&call) {
            panic!("{call} went wrong");
        }
    }
}

impl Module for Actor {
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
        self.diary = ctx.config::<Diary>().unwrap().clone();
        if self.name == "faulty" {
            self.faults = ctx.config::<Faults>().unwrap().0;
        }
        self.does("init");
        Ok(())
    }

    fn start(&mut self) -> Result<(), ModuleError> {
        self.does("start");
        Ok(())
    }

    fn stop(&mut self) {
        self.does("stop");
    }

    fn health(&self) -> Health {
        if self.faults.contains(&"health") {
            panic_any(PanicsWhenDropped);
        }
        Health::Healthy
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.does("drop");
    }
}

const fn needs(name: &'static str) -> Dependency {
    Dependency {
        name,
        minimum: Version(1, 0, 0),
    }
}

fn boot(faults: &'static [&'static str]) -> (Result<ModuleRegistry, RegistryError>, Diary) {
    let diary = Diary::default();
    let registry = ModuleRegistry::by_hand(TypedEventBus::default())
        .configure(diary.clone())
        .configure(Faults(faults))
        .register(Actor::registration("after", const { &[needs("faulty")] }))
        .register(Actor::registration("faulty", const { &[needs("before")] }))
        .register(Actor::registration("before", &[]))
        .boot();
    (registry, diary)
}

fn read(diary: &Diary) -> String {
    std::mem::take(&mut *diary.lock().unwrap()).join(", ")
}

#[test]
fn module_panics_fail_the_boot_with_the_modules_name() {
    let rolled_back = "stop after, drop after, stop faulty, drop faulty, stop before, drop before";
    for (faults, call, diary) in [
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
        assert_eq!(read(&seen), diary);
    }
}

#[test]
fn module_panics_in_health_are_its_health() {
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
fn module_panics_in_stop_and_drop_are_told_and_the_others_stop() {
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
        let (registry, diary) = boot(faults);
        let registry = registry.unwrap();
        read(&diary);
        let error = registry.shutdown().err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), text);
        assert_eq!(read(&diary), everything);
        let (registry, diary) = boot(faults);
        let registry = registry.unwrap();
        read(&diary);
        drop(registry);
        assert_eq!(read(&diary), everything, "dropped");
    }
}

#[test]
fn module_panics_in_construct_and_in_a_configs_drop_do_not_escape() {
    let faulty = ModuleRegistration {
        construct: || panic!("cannot be made"),
        ..Actor::registration("faulty", const { &[needs("before")] })
    };
    let diary = Diary::default();
    let error = ModuleRegistry::by_hand(TypedEventBus::default())
        .configure(diary.clone())
        .configure(OnDrop(|| panic!("a config's drop")))
        .register(faulty)
        .register(Actor::registration("before", &[]))
        .boot()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "module `faulty` panicked in `construct`: cannot be made"
    );
    assert_eq!(read(&diary), "init before, stop before, drop before");
}

struct Quiet;
impl Module for Quiet {
    fn init(&mut self, _: &mut InitContext<'_>) -> Result<(), ModuleError> {
        Ok(())
    }
}

fn quiet(
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
        construct: || Box::new(Quiet),
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
            // Said another way than in the library: the numbers up to the first that is not 0 are equal.
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
fn version_errors_tell_both_versions_and_the_range() {
    let boot = |minimum, found| {
        let needed: &'static [Dependency] = Box::leak(Box::new([Dependency {
            name: "pool",
            minimum,
        }]));
        ModuleRegistry::by_hand(TypedEventBus::default())
            .register(quiet("audio", Version(1, 0, 0), needed))
            .register(quiet("pool", found, &[]))
            .boot()
    };
    for (minimum, found, range) in [
        (
            Version(1, 0, 0),
            Version(7, 0, 0),
            "1.0.0 or newer and older than 2.0.0",
        ),
        (
            Version(1, 2, 3),
            Version(1, 2, 2),
            "1.2.3 or newer and older than 2.0.0",
        ),
        (
            Version(0, 1, 0),
            Version(0, 2, 0),
            "0.1.0 or newer and older than 0.2.0",
        ),
        (
            Version(0, 1, 0),
            Version(1, 0, 0),
            "0.1.0 or newer and older than 0.2.0",
        ),
        (
            Version(0, 0, 4),
            Version(0, 0, 5),
            "0.0.4 or newer and older than 0.0.5",
        ),
        (
            Version(0, u16::MAX, 1),
            Version(1, 0, 0),
            "0.65535.1 or newer and older than 1.0.0",
        ),
        (
            Version(0, 0, u16::MAX),
            Version(0, 1, 0),
            "0.0.65535 or newer and older than 0.1.0",
        ),
        (
            Version(u16::MAX, 0, 1),
            Version(u16::MAX, 0, 0),
            "65535.0.1 or newer",
        ),
    ] {
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
fn registrations_without_a_name_are_refused() {
    let error = ModuleRegistry::by_hand(TypedEventBus::default())
        .register(quiet("", Version(3, 2, 1), &[]))
        .boot()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a module of version 3.2.1 is registered without a name; give its descriptor one"
    );
}

#[test]
fn a_chain_of_many_modules_boots() {
    // Deeper than a stack frame for each would allow.
    const MODULES: usize = 50_000;
    let mut builder = ModuleRegistry::by_hand(TypedEventBus::default());
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
        builder = builder.register(quiet(name(n), Version(1, 0, 0), needed));
    }
    let registry = builder.boot().unwrap();
    assert_eq!(registry.modules().len(), MODULES);
    assert_eq!(registry.modules().next().unwrap().name, name(MODULES - 1));
    registry.shutdown().unwrap();
}

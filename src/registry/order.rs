//! The order of boot: dependencies first, names second, so that it is the same on every run.

use std::collections::BTreeMap;

use super::error::RegistryError;
use super::module::ModuleRegistration;

type ByName<'a> = BTreeMap<&'static str, &'a ModuleRegistration>;

/// Checks names, dependencies and versions, and sorts.
pub(crate) fn boot_order(
    registrations: &[ModuleRegistration],
) -> Result<Vec<ModuleRegistration>, RegistryError> {
    let mut by_name = ByName::new();
    for registration in registrations {
        let name = registration.descriptor.name;
        if let Some(first) = by_name.insert(name, registration) {
            let (first, second) = (first.descriptor.version, registration.descriptor.version);
            return Err(RegistryError::Duplicate {
                name,
                first,
                second,
            });
        }
    }
    let mut order = Vec::with_capacity(by_name.len());
    let mut path = Vec::new();
    for registration in by_name.values() {
        visit(registration, &by_name, &mut path, &mut order)?;
    }
    Ok(order)
}

/// Depth first: appends what `registration` needs, then itself. `path` is the way down to it.
fn visit(
    registration: &ModuleRegistration,
    by_name: &ByName<'_>,
    path: &mut Vec<&'static str>,
    order: &mut Vec<ModuleRegistration>,
) -> Result<(), RegistryError> {
    let module = registration.descriptor.name;
    if order.iter().any(|done| done.descriptor.name == module) {
        return Ok(());
    }
    if let Some(start) = path.iter().position(|name| *name == module) {
        let path = path[start..].iter().copied().chain([module]).collect();
        return Err(RegistryError::Cycle { path });
    }
    path.push(module);
    for dependency in registration.descriptor.dependencies {
        let Some(found) = by_name.get(dependency.name) else {
            return Err(RegistryError::MissingDependency {
                module,
                dependency: dependency.name,
            });
        };
        if found.descriptor.version < dependency.minimum {
            return Err(RegistryError::DependencyTooOld {
                module,
                dependency: dependency.name,
                minimum: dependency.minimum,
                found: found.descriptor.version,
            });
        }
        visit(found, by_name, path, order)?;
    }
    path.pop();
    order.push(*registration);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{
        Dependency, InitContext, Module, ModuleDescriptor, ModuleError, Version,
    };

    struct Nothing;
    impl Module for Nothing {
        fn init(&mut self, _: &mut InitContext<'_>) -> Result<(), ModuleError> {
            Ok(())
        }
    }

    const fn needs(name: &'static str) -> Dependency {
        Dependency {
            name,
            minimum: Version(1, 2, 3),
        }
    }

    fn module(
        name: &'static str,
        version: Version,
        dependencies: &'static [Dependency],
    ) -> ModuleRegistration {
        let descriptor = ModuleDescriptor {
            name,
            version,
            dependencies,
        };
        ModuleRegistration {
            descriptor,
            construct: || Box::new(Nothing),
        }
    }

    const V: Version = Version(1, 2, 3);

    fn order(registrations: &[ModuleRegistration]) -> Vec<&'static str> {
        boot_order(registrations)
            .unwrap()
            .iter()
            .map(|r| r.descriptor.name)
            .collect()
    }

    fn refusal(registrations: &[ModuleRegistration]) -> String {
        boot_order(registrations).unwrap_err().to_string()
    }

    #[test]
    fn dependencies_come_first_and_names_decide_the_rest_in_any_order_of_registration() {
        let modules = [
            module("tuner", V, const { &[needs("audio"), needs("pool")] }),
            module("audio", V, const { &[needs("pool")] }),
            module("pool", V, &[]),
            module("clock", V, &[]),
        ];
        for rotation in 0..modules.len() {
            let mut rotated = modules;
            rotated.rotate_left(rotation);
            assert_eq!(order(&rotated), ["pool", "audio", "clock", "tuner"]);
        }
    }

    #[test]
    fn a_missing_dependency_is_named() {
        assert_eq!(
            refusal(&[module("audio", V, const { &[needs("pool")] })]),
            "module `audio` needs `pool`, which is not registered; link its crate or register it by hand"
        );
    }

    #[test]
    fn a_dependency_may_be_newer_but_not_older() {
        let audio = module("audio", V, const { &[needs("pool")] });
        assert_eq!(
            refusal(&[audio, module("pool", Version(1, 1, 9), &[])]),
            "module `audio` needs `pool` 1.2.3 or newer, but 1.1.9 is registered"
        );
        assert_eq!(
            order(&[audio, module("pool", Version(2, 0, 0), &[])]),
            ["pool", "audio"]
        );
    }

    #[test]
    fn a_circle_is_told_with_its_path_and_without_the_way_to_it() {
        let modules = [
            module("a", V, const { &[needs("b")] }),
            module("b", V, const { &[needs("c")] }),
            module("c", V, const { &[needs("d")] }),
            module("d", V, const { &[needs("b")] }),
        ];
        assert_eq!(
            refusal(&modules),
            "modules depend on each other in a circle: b -> c -> d -> b"
        );
        let selfish = [module("a", V, const { &[needs("a")] })];
        assert_eq!(
            refusal(&selfish),
            "modules depend on each other in a circle: a -> a"
        );
    }

    #[test]
    fn a_name_registered_twice_is_refused() {
        assert_eq!(
            refusal(&[
                module("pool", V, &[]),
                module("pool", Version(1, 3, 0), &[])
            ]),
            "module `pool` is registered twice (versions 1.2.3 and 1.3.0); link or register only one"
        );
    }
}

//! The order of boot: a topological sort by dependencies, with ties broken by name, so that every run has the same order.

use std::collections::BTreeMap;

use super::error::RegistryError;
use super::module::{Dependency, ModuleDescriptor, ModuleRegistration};

type ByName<'a> = BTreeMap<&'static str, &'a ModuleRegistration>;

/// Checks names, dependencies and versions, and sorts the modules.
pub(crate) fn boot_order(
    registrations: &[ModuleRegistration],
) -> Result<Vec<ModuleRegistration>, RegistryError> {
    let mut by_name = ByName::new();
    for registration in registrations {
        let name = registration.descriptor.name;
        if name.is_empty() {
            return Err(RegistryError::Unnamed {
                version: registration.descriptor.version,
            });
        }
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
    let mut visited = BTreeMap::new();
    for registration in by_name.values() {
        visit(registration, &by_name, &mut visited, &mut order)?;
    }
    Ok(order)
}

/// Depth-first search: appends the dependencies of `registration`, then itself. It does not recurse, because a chain of
/// dependencies may be long.
fn visit<'a>(
    registration: &'a ModuleRegistration,
    by_name: &ByName<'a>,
    visited: &mut BTreeMap<&'static str, Visit>,
    order: &mut Vec<ModuleRegistration>,
) -> Result<(), RegistryError> {
    if visited.contains_key(registration.descriptor.name) {
        return Ok(());
    }
    // Each module on the way down, and the number of its dependencies that were visited.
    let mut path = vec![(registration, 0)];
    visited.insert(registration.descriptor.name, Visit::OnPath);
    while let Some((module, next)) = path.last_mut() {
        let module = *module;
        let Some(dependency) = module.descriptor.dependencies.get(*next) else {
            visited.insert(module.descriptor.name, Visit::InOrder);
            order.push(*module);
            path.pop();
            continue;
        };
        *next += 1;
        let found = find(&module.descriptor, dependency, by_name)?;
        let name = found.descriptor.name;
        match visited.get(name) {
            Some(Visit::InOrder) => {}
            Some(Visit::OnPath) => {
                let names = path.iter().map(|(module, _)| module.descriptor.name);
                let path = names.skip_while(|on_path| *on_path != name).chain([name]);
                return Err(RegistryError::Cycle {
                    path: path.collect(),
                });
            }
            None => {
                visited.insert(name, Visit::OnPath);
                path.push((found, 0));
            }
        }
    }
    Ok(())
}

/// How far the search has come with a module.
enum Visit {
    /// Its dependencies are being visited: meeting it again means a cycle.
    OnPath,
    /// It was appended to the order.
    InOrder,
}

/// The module that a dependency names, if its version is accepted.
fn find<'a>(
    module: &ModuleDescriptor,
    dependency: &Dependency,
    by_name: &ByName<'a>,
) -> Result<&'a ModuleRegistration, RegistryError> {
    let (module, Dependency { name, minimum }) = (module.name, *dependency);
    let Some(found) = by_name.get(name) else {
        return Err(RegistryError::MissingDependency {
            module,
            dependency: name,
        });
    };
    let version = found.descriptor.version;
    if version < minimum {
        return Err(RegistryError::DependencyTooOld {
            module,
            dependency: name,
            minimum,
            found: version,
        });
    }
    if !version.satisfies(minimum) {
        return Err(RegistryError::DependencyTooNew {
            module,
            dependency: name,
            minimum,
            found: version,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{InitContext, Module, ModuleError, Version};

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
    fn boot_order_is_by_dependency_then_name_in_any_order_of_registration() {
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
    fn missing_dependency_is_named() {
        assert_eq!(
            refusal(&[module("audio", V, const { &[needs("pool")] })]),
            "module `audio` needs `pool`, which is not registered; link its crate or add it with `RegistryBuilder::register`"
        );
    }

    #[test]
    fn dependency_version_outside_its_range_is_refused() {
        let audio = module("audio", V, const { &[needs("pool")] });
        assert_eq!(
            refusal(&[audio, module("pool", Version(1, 1, 9), &[])]),
            "module `audio` needs `pool` 1.2.3 or newer and older than 2.0.0, but 1.1.9 is registered"
        );
        assert_eq!(
            refusal(&[audio, module("pool", Version(7, 0, 0), &[])]),
            "module `audio` needs `pool` 1.2.3 or newer and older than 2.0.0, but 7.0.0 is registered"
        );
        assert_eq!(
            order(&[audio, module("pool", Version(1, 3, 0), &[])]),
            ["pool", "audio"]
        );
    }

    #[test]
    fn dependency_cycle_is_reported_with_its_path_only() {
        let modules = [
            module("a", V, const { &[needs("b")] }),
            module("b", V, const { &[needs("c")] }),
            module("c", V, const { &[needs("d")] }),
            module("d", V, const { &[needs("b")] }),
        ];
        assert_eq!(
            refusal(&modules),
            "modules depend on each other in a cycle: b -> c -> d -> b"
        );
        let selfish = [module("a", V, const { &[needs("a")] })];
        assert_eq!(
            refusal(&selfish),
            "modules depend on each other in a cycle: a -> a"
        );
    }

    #[test]
    fn duplicate_module_name_is_refused() {
        assert_eq!(
            refusal(&[
                module("pool", V, &[]),
                module("pool", Version(1, 3, 0), &[])
            ]),
            "module `pool` is registered twice (versions 1.2.3 and 1.3.0); link or register only one"
        );
    }
}

//! The order of boot: dependencies first, names second, so that it is the same on every run.

use std::collections::BTreeMap;

use super::error::RegistryError;
use super::module::{Dependency, ModuleDescriptor, ModuleRegistration};

type ByName<'a> = BTreeMap<&'static str, &'a ModuleRegistration>;

/// Checks names, dependencies and versions, and sorts.
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
    // What has been met: whether it is in the order, or on the path to be.
    let mut met = BTreeMap::new();
    for registration in by_name.values() {
        visit(registration, &by_name, &mut met, &mut order)?;
    }
    Ok(order)
}

/// Depth first: appends what `registration` needs, then itself. Without recursion, since a chain may be long.
fn visit<'a>(
    registration: &'a ModuleRegistration,
    by_name: &ByName<'a>,
    met: &mut BTreeMap<&'static str, Place>,
    order: &mut Vec<ModuleRegistration>,
) -> Result<(), RegistryError> {
    if met.contains_key(registration.descriptor.name) {
        return Ok(());
    }
    // Each module on the way down, and how many of its dependencies have been looked at.
    let mut path = vec![(registration, 0)];
    met.insert(registration.descriptor.name, Place::OnPath);
    while let Some((module, looked_at)) = path.last_mut() {
        let module = *module;
        let Some(dependency) = module.descriptor.dependencies.get(*looked_at) else {
            met.insert(module.descriptor.name, Place::InOrder);
            order.push(*module);
            path.pop();
            continue;
        };
        *looked_at += 1;
        let found = find(&module.descriptor, dependency, by_name)?;
        let name = found.descriptor.name;
        match met.get(name) {
            Some(Place::InOrder) => {}
            Some(Place::OnPath) => {
                let names = path.iter().map(|(module, _)| module.descriptor.name);
                let path = names.skip_while(|on_path| *on_path != name).chain([name]);
                return Err(RegistryError::Cycle {
                    path: path.collect(),
                });
            }
            None => {
                met.insert(name, Place::OnPath);
                path.push((found, 0));
            }
        }
    }
    Ok(())
}

enum Place {
    OnPath,
    InOrder,
}

/// The module that a dependency names, if its version will do.
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
    fn dependency_versions_are_a_range() {
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

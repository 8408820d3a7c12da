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

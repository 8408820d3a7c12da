//! A host that boots every module linked into it, runs some audio quanta on the pool, and reports what it saw.
//! It knows the pool, and no other module: which one `plugin` is, only the manifest says.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use wavepool::event_bus::{EventRecord, TypedEventBus};
use wavepool::modules::data_management::DataManagementModule;
use wavepool::registry::{ModuleHealth, ModuleRegistry};

const QUANTUM_FRAMES: u64 = 128;

/// What a run saw.
#[derive(Debug)]
pub struct Report {
    /// The modules, in order of boot.
    pub modules: Vec<ModuleHealth>,
    /// The events by name: how many, and the last one's data.
    pub events: BTreeMap<&'static str, (u64, serde_json::Value)>,
}

/// Boots, takes two buffers from the pool in each of so many quanta and gives them back, shuts down.
///
/// # Errors
/// Whatever the registry, the bus or the pool says.
pub fn run(quanta: u64) -> Result<Report, Box<dyn Error>> {
    // Its modules register themselves.
    plugin::link();
    let bus = TypedEventBus::default();
    let mut registry = ModuleRegistry::builder(bus.clone()).boot()?;
    let events = Arc::new(Mutex::new(BTreeMap::new()));
    let seen = events.clone();
    let guard = bus.subscribe_json(move |record: &EventRecord| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, last) = seen
            .entry(record.name)
            .or_insert((0, serde_json::Value::Null));
        *count += 1;
        *last = record.data.clone();
    });
    let pool = registry
        .get_mut::<DataManagementModule>()
        .ok_or("there is no pool")?;
    let mut realtime = pool.attach_realtime()?;
    for quantum in 0..quanta {
        // Ten milliseconds of 48 kHz are about four quanta.
        if quantum.is_multiple_of(4) {
            pool.tick((quantum * QUANTUM_FRAMES) as f64 / 48.0);
        }
        realtime.begin_quantum(quantum * QUANTUM_FRAMES);
        let (left, right) = (realtime.acquire(256)?, realtime.acquire(256)?);
        realtime.release(left);
        realtime.release(right);
        bus.pump(64);
    }
    bus.pump(64);
    let modules = registry.health();
    drop(guard);
    drop(realtime);
    registry.shutdown()?;
    let events = core::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Report { modules, events })
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn the_linked_module_is_booted_and_counts_unseen() {
        let report = run(100).unwrap();
        let names: Vec<_> = report.modules.iter().map(|module| module.name).collect();
        let position = |name| names.iter().position(|n| *n == name);
        assert!(
            position("data_management") < position("quantum_meter"),
            "{names:?}"
        );
        let (count, last) = &report.events["QuantumMeasured"];
        // The last quantum is told by the first event of the next.
        assert_eq!(*count, 99);
        assert_eq!(
            *last,
            serde_json::json!({ "first_frame": 98 * 128, "taken": 2, "returned": 2 })
        );
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_host_s_source_never_names_it() {
        let (host, _tests) = include_str!("lib.rs").split_once("#[cfg(test)]").unwrap();
        for source in [host, include_str!("main.rs")] {
            assert!(
                !source.to_lowercase().contains("quantum_meter") && !source.contains("QuantumMe")
            );
        }
    }
}

//! A module from outside: it listens to the pool's events and tells, quantum by quantum, how many buffers were taken
//! and given back. Linking this crate, by a call of [`link`], is all a host has to do.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use wavepool::event_bus::{Event, Priority, Publisher, Subscription};
use wavepool::modules::data_management::pool_events::{BufferPoolAllocation, BufferPoolRecycling};
use wavepool::registry::{
    Dependency, InitContext, Module, ModuleDescriptor, ModuleError, ModuleRegistration, Version,
};

/// Does nothing but be there: a linker for WebAssembly leaves out what nobody refers to, and a registration with it.
/// Beside the registration, because what is left out is left out by the file.
#[inline(never)]
pub fn link() {}

wavepool::inventory::submit! {
    ModuleRegistration {
        descriptor: ModuleDescriptor {
            name: "quantum_meter",
            version: Version(0, 1, 0),
            dependencies: &[Dependency { name: "data_management", minimum: Version(0, 1, 0) }],
        },
        construct: || Box::new(QuantumMeter::default()),
    }
}

/// A quantum is over (seen by the first event of a later one): what it took from the pool and gave back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct QuantumMeasured {
    /// The quantum's first frame.
    pub first_frame: u64,
    /// Buffers handed out.
    pub taken: u64,
    /// Buffers given back.
    pub returned: u64,
}

impl Event for QuantumMeasured {
    const NAME: &'static str = "QuantumMeasured";
    const PRIORITY: Priority = Priority::Normal;
}

/// The module: it lives as long as its subscriptions.
#[derive(Debug, Default)]
pub struct QuantumMeter {
    subscriptions: Vec<Subscription>,
}

/// The quantum being counted.
struct Count {
    now: QuantumMeasured,
    publisher: Publisher,
}

impl Count {
    fn at(&mut self, first_frame: u64) -> &mut QuantumMeasured {
        if first_frame > self.now.first_frame {
            self.publisher.publish(self.now);
            self.now = QuantumMeasured {
                first_frame,
                ..QuantumMeasured::default()
            };
        }
        &mut self.now
    }
}

impl Module for QuantumMeter {
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
        let bus = ctx.bus();
        bus.declare::<QuantumMeasured>()?;
        let now = QuantumMeasured::default();
        let count = Arc::new(Mutex::new(Count {
            now,
            publisher: bus.publisher()?,
        }));
        let (taken, returned) = (count.clone(), count);
        self.subscriptions = vec![
            bus.subscribe(move |event: &BufferPoolAllocation| {
                // Halves that follow no stream have no quanta.
                if let Some(first_frame) = event.first_frame {
                    let mut count = taken.lock().unwrap_or_else(PoisonError::into_inner);
                    count.at(first_frame).taken += u64::from(event.count);
                }
            })?,
            bus.subscribe(move |event: &BufferPoolRecycling| {
                if let Some(first_frame) = event.first_frame {
                    let mut count = returned.lock().unwrap_or_else(PoisonError::into_inner);
                    count.at(first_frame).returned += u64::from(event.count);
                }
            })?,
        ];
        Ok(())
    }

    fn stop(&mut self) {
        self.subscriptions.clear();
    }
}

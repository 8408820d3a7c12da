//! Modules, and the registry that boots them in dependency order.
//!
//! A module registers itself with `inventory::submit!`, from any linked crate, and the host boots all registered modules. The
//! linker for WebAssembly leaves out object files without references. A module's crate therefore has an empty function
//! beside the registration, which hosts call: see `examples/quantum_meter_module`.
//!
//! ```
//! use wavepool::event_bus::TypedEventBus;
//! use wavepool::registry::{
//!     InitContext, Module, ModuleDescriptor, ModuleError, ModuleRegistration, ModuleRegistry, Version,
//! };
//!
//! struct Metronome { beats: u32 }
//!
//! impl Module for Metronome {
//!     fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
//!         self.beats = *ctx.config::<u32>().ok_or("the metronome needs its beats per bar, a u32")?;
//!         Ok(())
//!     }
//! }
//!
//! wavepool::inventory::submit! {
//!     ModuleRegistration {
//!         descriptor: ModuleDescriptor { name: "metronome", version: Version(1, 0, 0), dependencies: &[] },
//!         construct: || Box::new(Metronome { beats: 0 }),
//!     }
//! }
//!
//! let registry = ModuleRegistry::builder(TypedEventBus::default()).configure(3_u32).boot()?;
//! assert_eq!(registry.get::<Metronome>().map(|m| m.beats), Some(3));
//! # Ok::<(), wavepool::registry::RegistryError>(())
//! ```

mod boot;
#[cfg(target_arch = "wasm32")]
mod constructors;
mod error;
mod module;
mod order;
mod watchdog;

pub use boot::{ModuleRegistry, RegistryBuilder};
#[cfg(target_arch = "wasm32")]
pub use constructors::run_constructors;
pub use error::{ModulePanic, RegistryError};
pub use module::{
    Dependency, Health, InitContext, Module, ModuleDescriptor, ModuleError, ModuleHealth,
    ModuleRegistration, Version,
};
pub use watchdog::{CallTracker, StuckCall, TrackedCall, Watchdog};

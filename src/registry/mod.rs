//! Modules, and the registry that boots them in dependency order.
//!
//! A module registers itself with `inventory::submit!`, from whatever crate is linked; the host boots what it finds.
//! A linker for WebAssembly leaves out object files that nothing refers to, so a module's crate gives hosts an empty
//! function to call, beside the registration: see `examples/quantum_meter_module`.
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
mod error;
mod module;
mod order;
mod watchdog;

pub use boot::{ModuleRegistry, RegistryBuilder};
pub use error::{ModulePanic, RegistryError};
pub use module::{
    Dependency, Health, InitContext, Module, ModuleDescriptor, ModuleError, ModuleHealth,
    ModuleRegistration, Version,
};
pub use watchdog::{CallTracker, StuckCall, TrackedCall, Watchdog};

/// Runs the constructors that `inventory` placed in the wasm module, once per memory, however often and from
/// however many instances it is called. [`RegistryBuilder::boot`] calls it.
///
/// Mentioning `__wasm_call_ctors` also keeps the linker from wrapping every export in a call of it, which would cost
/// each call from JavaScript about 14 ns.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)] // Calls a function that the linker makes.
pub fn run_constructors() {
    use crate::sync::atomic::AtomicBool;
    use crate::sync::orderings::CONSTRUCTORS_CLAIM;

    static DONE: AtomicBool = AtomicBool::new(false);

    unsafe extern "C" {
        fn __wasm_call_ctors();
    }

    // Of several threads that boot over one memory exactly one reads `false`.
    if !DONE.swap(true, CONSTRUCTORS_CLAIM) {
        // SAFETY: made by wasm-ld for every linked module; takes and returns nothing. Called once per memory, since
        // `DONE` lives in it; the constructors only push registrations to `inventory`'s list.
        unsafe { __wasm_call_ctors() };
    }
}

//! `cargo run --package module_host`: which modules are linked, and what they say in a thousand quanta.

use std::error::Error;
use std::io::{Write, stdout};

fn main() -> Result<(), Box<dyn Error>> {
    let report = module_host::run(1_000)?;
    let mut out = stdout().lock();
    for module in &report.modules {
        writeln!(
            out,
            "{} {}: {:?}",
            module.name, module.version, module.health
        )?;
    }
    for (name, (count, last)) in &report.events {
        writeln!(out, "{count:6} {name}, last {last}")?;
    }
    Ok(())
}

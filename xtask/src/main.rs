//! Every command people run in this repository: `cargo xtask help`.
fn main() {}

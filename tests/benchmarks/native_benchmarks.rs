//! Native benchmarks
#![allow(clippy::print_stdout)]
mod native {
    pub(crate) mod clock;
    pub(crate) mod one_thread;
    pub(crate) mod rivals;
    pub(crate) mod rows;
}
use native::*;

fn main() {
    for bench in ["scratch", "acquire", "zeroed"] {
        if std::env::args().all(|a| a != bench) { continue; }
        println!("{}", rows::table(&one_thread::measure(bench)));
    }
}

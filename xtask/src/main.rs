//! Every command people run in this repository: `cargo xtask help`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command talks to its user.

mod arguments;
mod bench;
mod browser_tests;
mod cli;
mod coverage;
#[cfg(test)]
mod decisions;
mod demo;
#[cfg(test)]
mod documents;
mod generate;
#[cfg(test)]
mod imports;
mod install;
mod mutants;
mod native_tests;
mod package;
mod process;
mod progress;
mod report;
#[cfg(test)]
mod repository;
mod setup;
mod stamp;
mod suite;
mod test;
mod verify;
mod wasm;
mod wasm_tests;
mod wasm_toolchain;
mod web;
mod web_bench;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let Cli { command } = Cli::parse();
    std::env::set_current_dir(process::workspace_root())?;
    match command {
        Command::Setup => setup::all().map(|_| ExitCode::SUCCESS),
        Command::Build => web::build_all().map(|()| ExitCode::SUCCESS),
        Command::Package => package::build().map(|()| {
            println!("{}", package::TARBALL);
            ExitCode::SUCCESS
        }),
        Command::Generate => generate::run().map(|()| ExitCode::SUCCESS),
        Command::Demo(options) => demo::run(&options),
        Command::Test { suites } => test::run(&suites),
        Command::Bench(bench) => bench::run(&bench),
        Command::Plan(plan) => bench::plan(&plan),
        Command::Coverage => coverage::run().map(|()| ExitCode::SUCCESS),
        Command::Verify { proofs } => verify::run(&proofs),
    }
}

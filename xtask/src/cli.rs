//! The commands, their options and their help.

use std::io;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{bench, test, verify};

/// The commands of this repository. `cargo test` alone runs the native tests, without Node or a browser.
#[derive(Debug, PartialEq, Parser)]
#[command(bin_name = "cargo xtask", arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, PartialEq, Subcommand)]
pub(crate) enum Command {
    /// Install and build what is missing, serve the tuner, print its address
    Demo(Demo),
    /// Run every check and every test, and count them
    Test {
        /// Run these only
        #[arg(value_name = "SUITE", value_parser = PossibleValuesParser::new(test::names()))]
        suites: Vec<String>,
    },
    /// Build both WebAssembly modules and the page
    Build,
    /// Write the TypeScript that Rust and the npm package share
    Generate,
    /// Build, pack and check the npm package
    Package,
    /// Install what the other commands need
    Setup,
    /// Compute what a pool should reserve
    #[command(arg_required_else_help = true)]
    Plan(Plan),
    /// Measure a benchmark, or list them
    Bench(Bench),
    /// Measure the line coverage of the native tests
    Coverage,
    /// Run the long proofs
    Verify {
        /// Run these only
        #[arg(value_name = "PROOF", value_parser = PossibleValuesParser::new(verify::PROOFS))]
        proofs: Vec<String>,
    },
}

#[derive(Debug, PartialEq, Args)]
pub(crate) struct Demo {
    /// The port to serve on
    #[arg(long, value_name = "N", default_value_t = 4173, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// How sound crosses threads
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub(crate) mode: Mode,
    /// Drive a browser for so many seconds, and print a report
    #[arg(long, value_name = "SECONDS", value_parser = seconds())]
    pub(crate) headless: Option<u32>,
    /// The sound of the headless run, in place of a tone; on the page itself, drop the file onto it
    #[arg(long, value_name = "FILE", value_parser = absolute, requires = "headless")]
    pub(crate) input: Option<PathBuf>,
    /// Write the report of the headless run to this file
    #[arg(long, value_name = "FILE", value_parser = absolute, requires = "headless")]
    pub(crate) json: Option<PathBuf>,
    /// Make a fault, which the report of the headless run must show
    #[arg(long, value_parser = ["leak-one"], requires = "headless")]
    pub(crate) fault: Option<String>,
}

/// Which transport the page uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Auto,
    Shared,
    Transfer,
}

impl Mode {
    /// The word in options and in the page's address.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Shared => "shared",
            Self::Transfer => "transfer",
        }
    }
}

#[derive(Debug, PartialEq, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Plan {
    /// Replay recorded demand with and without the optimizer, and print its plan
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    pub(crate) trace: Option<PathBuf>,
    /// Plan for streams RATE:CHANNELS:WINDOW/HOP:HOLD_MS, such as 48000:2:4096/1024:50
    #[arg(long, value_name = "STREAM", num_args = 1..)]
    pub(crate) streams: Vec<String>,
}

#[derive(Debug, PartialEq, Args)]
pub(crate) struct Bench {
    /// The benchmark; without it, they are listed
    pub(crate) name: Option<String>,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE", value_parser = absolute, requires = "name")]
    pub(crate) json: Option<PathBuf>,
    /// Keep the figures in tests/benchmarks/record
    #[arg(long, requires = "name")]
    pub(crate) record: bool,
    /// How long a benchmark in real time runs
    #[arg(long, requires = "name", value_parser = seconds(), help = format!("How long `{}` run", bench::IN_REAL_TIME.join("` and `")))]
    pub(crate) seconds: Option<u32>,
}

fn seconds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=600)
}

/// The file as its user named it, whatever the working directory is later.
fn absolute(file: &str) -> io::Result<PathBuf> {
    std::path::absolute(Path::new(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(["xtask"].into_iter().chain(line.split_whitespace()))
            .map(|cli| cli.command)
    }

    fn refused(line: &str) -> String {
        parsed(line).unwrap_err().to_string()
    }

    #[test]
    fn command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn demo_defaults_and_all_options() {
        let plain = Demo {
            port: 4173,
            mode: Mode::Auto,
            headless: None,
            input: None,
            json: None,
            fault: None,
        };
        assert_eq!(parsed("demo").unwrap(), Command::Demo(plain));
        let line = "demo --port 5000 --mode transfer --headless 10 --input a.wav --json /r.json --fault leak-one";
        let full = Demo {
            port: 5000,
            mode: Mode::Transfer,
            headless: Some(10),
            input: Some(std::env::current_dir().unwrap().join("a.wav")),
            json: Some("/r.json".into()),
            fault: Some("leak-one".into()),
        };
        assert_eq!(parsed(line).unwrap(), Command::Demo(full));
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("demo --prot 1", "'--prot'"),
            ("demo extra", "'extra'"),
            ("demo --mode turbo", "auto, shared, transfer"),
            ("demo --headless 0", "1..=600"),
            ("demo --port 70000", "70000"),
            ("demo --port 0", "1..=65535"),
            ("demo --headless 5 --fault other", "leak-one"),
            ("demo --input a.wav", "--headless <SECONDS>"),
            ("demo --json", "'--json <FILE>'"),
            ("dmeo", "'demo'"),
            ("setup now", "'now'"),
            ("test fnt", "fmt, clippy"),
            ("verify lom", "loom, mutants"),
            ("bench --json n.json", "<NAME>"),
            ("plan --trace a --streams b", "cannot be used with"),
            ("plan --streams", "'--streams <STREAM>...'"),
            ("", "Usage: cargo xtask <COMMAND>"),
        ];
        for (line, named) in cases {
            let message = refused(line);
            assert!(message.contains(named), "{line}: {message}");
        }
    }

    #[test]
    fn streams_of_a_plan_are_several() {
        let plan = Plan {
            trace: None,
            streams: vec!["a".into(), "b".into()],
        };
        assert_eq!(parsed("plan --streams a b").unwrap(), Command::Plan(plan));
    }
}

//! The commands, their options and their help.

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};

use crate::bench::{Bench, Plan};
use crate::demo::Demo;
use crate::{test, verify};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Mode;

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
            check: false,
            turns: false,
            note: None,
            fault: None,
            unpooled: false,
            compare: false,
        };
        assert_eq!(parsed("demo").unwrap(), Command::Demo(plain));
        let line = "demo --port 5000 --mode transfer --headless 10 --input a.wav --json /r.json --check --turns --note A4 --fault leak-one";
        let full = Demo {
            port: 5000,
            mode: Mode::Transfer,
            headless: Some(10),
            input: Some(std::env::current_dir().unwrap().join("a.wav")),
            json: Some("/r.json".into()),
            check: true,
            turns: true,
            note: Some("A4".into()),
            fault: Some("leak-one".into()),
            unpooled: false,
            compare: false,
        };
        assert_eq!(parsed(line).unwrap(), Command::Demo(full));
        for line in [
            "demo --compare --input a.wav",
            "demo --unpooled --headless 5",
        ] {
            assert!(parsed(line).is_ok(), "{line}");
        }
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
            ("demo --compare --check", "--check"),
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

//! The commands, their options and their one-line help.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};

/// One parsed command line.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Setup,
    Build,
    Generate,
    Package,
    Demo(DemoOptions),
    Test {
        suites: Vec<String>,
    },
    /// Without a name, the benchmarks are listed.
    Bench {
        name: Option<String>,
        json: Option<PathBuf>,
        record: bool,
        seconds: Option<u32>,
    },
    Plan(Plan),
    Coverage,
    /// Without a name, all of them.
    Verify {
        proofs: Vec<String>,
    },
}

/// What `plan` plans for.
#[derive(Debug, PartialEq)]
pub(crate) enum Plan {
    /// A recorded demand trace.
    Trace(PathBuf),
    /// Streams, written `RATE:CHANNELS:WINDOW/HOP:HOLD_MS`.
    Streams(Vec<String>),
}

/// Options of `demo`.
#[derive(Debug, PartialEq)]
pub(crate) struct DemoOptions {
    pub(crate) port: u16,
    pub(crate) mode: Mode,
    /// Drives a browser and reports, instead of serving until Ctrl-C.
    pub(crate) headless: Option<Headless>,
}

/// What `demo --headless` plays, for how long, and where its report goes.
#[derive(Debug, PartialEq)]
pub(crate) struct Headless {
    pub(crate) seconds: u32,
    pub(crate) input: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) fault: Option<String>,
}

/// Which transport the page uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Auto,
    Shared,
    Transfer,
}

impl Mode {
    /// The word in options and in the page's address.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Shared => "shared",
            Self::Transfer => "transfer",
        }
    }
}

/// The port `demo` uses unless told otherwise.
pub(crate) const DEFAULT_PORT: u16 = 4173;

const COMMANDS: [(&str, &str); 10] = [
    (
        "demo",
        "install and build what is missing, serve the tuner, print its address",
    ),
    (
        "test [SUITE...]",
        "every check and every test, with counts; or the suites named",
    ),
    ("build", "both WebAssembly modules and the page"),
    (
        "generate",
        "the TypeScript of what Rust and the npm package share",
    ),
    ("package", "the npm package: built, packed, checked"),
    ("setup", "install what the other commands need"),
    (
        "plan --trace FILE",
        "replay recorded demand with and without the optimizer; print its plan",
    ),
    (
        "plan --streams STREAM...",
        "what to reserve for RATE:CHANNELS:WINDOW/HOP:HOLD_MS, such as 48000:2:4096/1024:50",
    ),
    ("coverage", "line coverage of the native tests"),
    (
        "verify [PROOF...]",
        "the long proofs: loom, mutants, misuse, miri, tsan, fuzz, lifetimes, mixes; or those named",
    ),
];

const DEMO_OPTIONS: [(&str, &str); 6] = [
    ("--port N", "serve there instead of on 4173"),
    ("--mode MODE", "auto (the default), shared or transfer"),
    (
        "--headless SECONDS",
        "drive a browser for that long and print a report",
    ),
    (
        "  --input FILE",
        "with this sound instead of the built-in tone",
    ),
    ("  --json FILE", "and write the report there"),
    (
        "  --fault leak-one",
        "and leak one buffer, which the report must show",
    ),
];

/// The text of `cargo xtask help`; `benches` are the benchmarks that exist.
pub(crate) fn help(benches: &[String]) -> String {
    let mut commands: Vec<(String, &str)> = COMMANDS.map(|(name, what)| (name.into(), what)).into();
    if !benches.is_empty() {
        let usage = format!("bench [{}]", benches.join("|"));
        commands.push((
            usage,
            "measure one, or list them; --json FILE writes the figures, --record keeps them in tests/benchmarks/record, --seconds N is how long `browser` and `lanes` run",
        ));
    }
    let options = DEMO_OPTIONS.map(|(name, what)| (name.into(), what));
    format!(
        "cargo xtask COMMAND\n\n{}\nOptions of demo:\n\n{}",
        columns(&commands),
        columns(&options)
    )
}

fn columns(rows: &[(String, &str)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |text, (name, what)| {
        format!("{text}  {name:width$}  {what}\n")
    })
}

/// Parses one command line; file arguments are taken relative to `here`.
pub(crate) fn parse(mut parser: Parser, here: &Path) -> Result<Command> {
    let name = match parser.next()? {
        None | Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help),
        Some(Arg::Value(name)) => name.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match name.as_str() {
        "help" => no_more(parser, Command::Help),
        "setup" => no_more(parser, Command::Setup),
        "build" => no_more(parser, Command::Build),
        "generate" => no_more(parser, Command::Generate),
        "package" => no_more(parser, Command::Package),
        "coverage" => no_more(parser, Command::Coverage),
        "verify" => Ok(Command::Verify {
            proofs: words(parser)?,
        }),
        "demo" => demo(parser, here),
        "plan" => plan(parser, here),
        "test" => Ok(Command::Test {
            suites: words(parser)?,
        }),
        "bench" => {
            let (mut name, mut json, mut record, mut seconds) = (None, None, false, None);
            while let Some(arg) = parser.next()? {
                match arg {
                    Arg::Long("json") => json = Some(here.join(parser.value()?)),
                    Arg::Long("record") => record = true,
                    Arg::Long("seconds") => {
                        seconds = Some(parser.value()?.parse_with(parse_seconds)?);
                    }
                    Arg::Value(value) if name.is_none() => name = Some(value.string()?),
                    other => return Err(other.unexpected().into()),
                }
            }
            if name.is_none() && json.is_some() {
                bail!("--json of which benchmark? `cargo xtask bench` lists them");
            }
            Ok(Command::Bench {
                name,
                json,
                record,
                seconds,
            })
        }
        other => bail!("unknown command `{other}`"),
    }
}

fn plan(mut parser: Parser, here: &Path) -> Result<Command> {
    match parser.next()? {
        Some(Arg::Long("trace")) => {
            let file = here.join(parser.value()?);
            no_more(parser, Command::Plan(Plan::Trace(file)))
        }
        Some(Arg::Long("streams")) => match words(parser)? {
            streams if streams.is_empty() => {
                bail!("--streams needs a stream, such as 48000:2:4096/1024:50")
            }
            streams => Ok(Command::Plan(Plan::Streams(streams))),
        },
        Some(other) => Err(other.unexpected().into()),
        None => bail!("plan what? --trace FILE or --streams STREAM..."),
    }
}

fn words(mut parser: Parser) -> Result<Vec<String>> {
    let mut words = Vec::new();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(words)
}

fn no_more(mut parser: Parser, command: Command) -> Result<Command> {
    match parser.next()? {
        None => Ok(command),
        Some(arg) => Err(arg.unexpected().into()),
    }
}

fn demo(mut parser: Parser, here: &Path) -> Result<Command> {
    let (mut port, mut mode, mut seconds) = (DEFAULT_PORT, Mode::Auto, None);
    let (mut input, mut json, mut fault) = (None, None, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("port") => port = parser.value()?.parse_with(parse_port)?,
            Arg::Long("mode") => mode = parser.value()?.parse_with(parse_mode)?,
            Arg::Long("headless") => seconds = Some(parser.value()?.parse_with(parse_seconds)?),
            Arg::Long("input") => input = Some(here.join(parser.value()?)),
            Arg::Long("json") => json = Some(here.join(parser.value()?)),
            Arg::Long("fault") => fault = Some(parser.value()?.parse_with(parse_fault)?),
            other => return Err(other.unexpected().into()),
        }
    }
    let headless = match seconds {
        Some(seconds) => Some(Headless {
            seconds,
            input,
            json,
            fault,
        }),
        None if input.is_some() || json.is_some() || fault.is_some() => {
            bail!(
                "--input, --json and --fault are for a headless run: add --headless SECONDS (on the page itself, drop the file onto it)"
            )
        }
        None => None,
    };
    Ok(Command::Demo(DemoOptions {
        port,
        mode,
        headless,
    }))
}

/// Not 0: the address has to be known, and the same the next time.
fn parse_port(word: &str) -> Result<u16, String> {
    match word.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err("a port from 1 to 65535 is wanted".into()),
    }
}

fn parse_mode(word: &str) -> Result<Mode, String> {
    [Mode::Auto, Mode::Shared, Mode::Transfer]
        .into_iter()
        .find(|mode| mode.name() == word)
        .ok_or_else(|| "the modes are auto, shared and transfer".into())
}

fn parse_seconds(word: &str) -> Result<u32, String> {
    match word.parse() {
        Ok(seconds @ 1..=600) => Ok(seconds),
        _ => Err("a whole number of seconds from 1 to 600 is wanted".into()),
    }
}

fn parse_fault(word: &str) -> Result<String, String> {
    if word == "leak-one" {
        Ok(word.into())
    } else {
        Err("the only fault is leak-one".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(
            Parser::from_args(line.split_whitespace()),
            Path::new("/here"),
        )
    }

    fn refused(line: &str) -> String {
        parsed(line).unwrap_err().to_string()
    }

    #[test]
    fn demo_defaults_and_all_options() {
        let plain = DemoOptions {
            port: DEFAULT_PORT,
            mode: Mode::Auto,
            headless: None,
        };
        assert_eq!(parsed("demo").unwrap(), Command::Demo(plain));
        let line = "demo --port 5000 --mode transfer --headless 10 --input a.wav --json /r.json --fault leak-one";
        let full = DemoOptions {
            port: 5000,
            mode: Mode::Transfer,
            headless: Some(Headless {
                seconds: 10,
                input: Some("/here/a.wav".into()),
                json: Some("/r.json".into()),
                fault: Some("leak-one".into()),
            }),
        };
        assert_eq!(parsed(line).unwrap(), Command::Demo(full));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(refused("demo --prot 1"), "invalid option '--prot'");
        assert_eq!(refused("demo extra"), "unexpected argument \"extra\"");
        assert!(refused("demo --mode turbo").contains("auto, shared and transfer"));
        assert!(refused("demo --headless 0").contains("from 1 to 600"));
        assert!(refused("demo --port 70000").contains("70000"));
        assert!(refused("demo --port 0").contains("from 1 to 65535"));
        assert!(refused("demo --headless 5 --fault other").contains("leak-one"));
        assert!(refused("demo --input a.wav").contains("add --headless"));
        assert!(refused("demo --json").contains("missing argument"));
        assert!(refused("dmeo").contains("unknown command `dmeo`"));
        assert!(refused("setup now").contains("unexpected argument"));
        assert!(refused("bench --json n.json").contains("of which benchmark"));
    }

    #[test]
    fn test_and_bench() {
        assert_eq!(parsed("test").unwrap(), Command::Test { suites: vec![] });
        assert_eq!(
            parsed("test fmt loom").unwrap(),
            Command::Test {
                suites: vec!["fmt".into(), "loom".into()]
            }
        );
        let bench = Command::Bench {
            name: Some("native".into()),
            json: Some("/here/n.json".into()),
            record: true,
            seconds: None,
        };
        assert_eq!(
            parsed("bench native --record --json n.json").unwrap(),
            bench
        );
        let list = Command::Bench {
            name: None,
            json: None,
            record: false,
            seconds: None,
        };
        assert_eq!(parsed("bench").unwrap(), list);
    }

    #[test]
    fn plans() {
        let trace = Command::Plan(Plan::Trace("/here/t.json".into()));
        assert_eq!(parsed("plan --trace t.json").unwrap(), trace);
        let streams = Command::Plan(Plan::Streams(vec!["a".into(), "b".into()]));
        assert_eq!(parsed("plan --streams a b").unwrap(), streams);
        assert!(refused("plan").contains("plan what?"));
        assert!(refused("plan --streams").contains("needs a stream"));
        assert!(refused("plan --trace t.json more").contains("unexpected argument"));
    }

    #[test]
    fn help_lists_only_what_exists() {
        assert_eq!(parsed("").unwrap(), Command::Help);
        assert!(!help(&[]).contains("bench"));
        assert!(help(&["native".into(), "events".into()]).contains("bench [native|events]"));
    }
}

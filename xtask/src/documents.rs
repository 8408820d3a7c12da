//! The documents name files, folders and commands that exist.
//!
//! Checked are links, and text in code style: paths, `cargo xtask …` by the parser of the command line itself, and of
//! other cargo commands the packages, targets, features and modules that they name. `lib NAME` is the story's short form
//! for the tests of a module.

use std::collections::BTreeSet;
use std::fs;

use clap::Parser;
use clap::error::ErrorKind;
use serde_json::Value;

use crate::cli::{Cli, Command};
use crate::repository::{extension, files, root};
use crate::{bench, process};

/// Documents outside of `docs/`.
const DOCUMENTS: [&str; 5] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "web/lib/README.md",
];
/// The extensions by which a word is a file's name.
const EXTENSIONS: [&str; 8] = ["css", "csv", "html", "md", "mjs", "rs", "toml", "ts"];
/// The options of cargo that name something, each with what it names.
const OPTIONS: [(&str, &str); 5] = [
    ("--bench", "bench"),
    ("--example", "example"),
    ("--features", "feature"),
    ("--package", "package"),
    ("--test", "test"),
];

/// What the documents may name.
#[derive(Default)]
struct Named {
    files: BTreeSet<String>,
    /// Packages, targets and features, each with its kind; and the benchmarks of `cargo xtask bench`.
    names: BTreeSet<(String, String)>,
}

impl Named {
    fn read() -> Self {
        let mut named = Self {
            files: files(),
            ..Self::default()
        };
        let mut cargo = process::cargo();
        cargo.current_dir(root());
        let metadata = cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
        let metadata = process::capture(metadata).expect("the metadata");
        let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        for package in list(&metadata["packages"]) {
            named.add("package", &package["name"]);
            for feature in package["features"].as_object().into_iter().flatten() {
                named.add("feature", &Value::from(&**feature.0));
            }
            for target in list(&package["targets"]) {
                for kind in list(&target["kind"]) {
                    named.add(kind.as_str().unwrap_or_default(), &target["name"]);
                }
            }
        }
        for name in bench::names().expect("the benchmarks") {
            named.add("benchmark", &Value::from(name));
        }
        named
    }

    fn add(&mut self, kind: &str, name: &Value) {
        let name = name.as_str().unwrap_or_default();
        self.names.insert((kind.to_owned(), name.to_owned()));
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        self.names.contains(&(kind.to_owned(), name.to_owned()))
    }

    /// Whether a module of this name lies in this folder.
    fn has_module(&self, name: &str, folder: &str) -> bool {
        let module = name.rsplit("::").next().unwrap_or_default();
        let (file, inside) = (format!("/{module}.rs"), format!("/{module}/"));
        let mut files = self.files.iter().filter(|path| path.starts_with(folder));
        files.any(|path| path.ends_with(&file) || path.contains(&inside))
    }

    /// Whether a file or folder has this path, from the root or from any folder on.
    fn has_path(&self, path: &str) -> bool {
        let path = path.trim_start_matches("./").trim_matches('/');
        let end = |file: &str| file == path || file.ends_with(&format!("/{path}"));
        let folder = |file: &str| {
            file.starts_with(&format!("{path}/")) || file.contains(&format!("/{path}/"))
        };
        self.files.iter().any(|file| end(file) || folder(file))
    }

    /// Whether a file or folder has exactly this path.
    fn has_at(&self, path: &str) -> bool {
        let below = format!("{}/", path.trim_end_matches('/'));
        let mut files = self.files.iter();
        files.any(|file| file == path || file.starts_with(&below))
    }

    /// Whether the first part of a path is a folder of the root.
    fn begins_in_root(&self, path: &str) -> bool {
        let top = path.split_once('/').map(|(top, _)| format!("{top}/"));
        top.is_some_and(|top| self.files.iter().any(|file| file.starts_with(&top)))
    }
}

/// The text in code style, and the lines of a shell in code blocks.
fn code_of(text: &str) -> Vec<String> {
    let (mut prose, mut code, mut is_block) = (String::new(), Vec::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            prose.extend([line, "\n"]);
        } else if line.starts_with("cargo ") {
            code.push(line.split('#').next().unwrap_or_default().to_owned());
        }
    }
    code.extend(prose.split('`').skip(1).step_by(2).map(str::to_owned));
    code
}

/// The targets of the links to files.
fn links_of(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

/// A path from a document, from the root.
fn resolved(document: &str, target: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a word is a path: of a file by its extension, of a folder by its slash at the end, or from the root.
fn is_path(word: &str, named: &Named) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let is_file = word.contains('.') && EXTENSIONS.contains(&extension(word));
    let is_folder = word.ends_with('/') && !word.starts_with("target/");
    word.chars().all(is_plain)
        && word.contains(char::is_alphanumeric)
        && (is_file || is_folder || named.begins_in_root(word))
}

/// A word in place of what somebody gives, as FILE or NAME.
fn is_placeholder(word: &str) -> bool {
    word.split(['.', '-']).next().is_some_and(|word| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    })
}

/// What is wrong with `cargo xtask` and these words.
fn fault_of_xtask(words: &[&str], named: &Named) -> Option<String> {
    let without: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !is_placeholder(word))
        .collect();
    fault_of_line(words, named).and_then(|_| fault_of_line(&without, named))
}

fn fault_of_line(words: &[&str], named: &Named) -> Option<String> {
    match Cli::try_parse_from([&["xtask"], words].concat()) {
        Ok(Cli {
            command: Command::Bench(bench),
        }) => {
            let name = bench.name?;
            (!named.has("benchmark", &name)).then(|| format!("there is no benchmark {name}"))
        }
        Ok(_) => None,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::MissingRequiredArgument => None,
            _ => error.to_string().lines().next().map(str::to_owned),
        },
    }
}

/// What is wrong with the words of a command.
fn faults_of_command(words: &[&str], named: &Named) -> Vec<String> {
    let mut faults = Vec::new();
    if let ["cargo", "xtask", words @ ..] = words {
        faults.extend(fault_of_xtask(words, named));
    } else if let ["cargo", ..] = words {
        let is_named = |pair: &&[&str]| !pair[1].starts_with('-') && !is_placeholder(pair[1]);
        for pair in words.windows(2).filter(is_named) {
            let (option, name) = (pair[0], pair[1]);
            let kinds = OPTIONS.iter().filter(|(known, _)| *known == option);
            let missing = kinds.filter(|(_, kind)| !named.has(kind, name));
            faults.extend(missing.map(|(_, kind)| format!("there is no {kind} {name}")));
            // Without a package, the tests of the root's package are run.
            let elsewhere = words.contains(&"--workspace") || words.contains(&"--package");
            let folder = if elsewhere { "" } else { "src/" };
            if option == "--lib" && !named.has_module(name, folder) {
                faults.push(format!("there is no module {name} below /{folder}"));
            }
        }
    }
    let paths = words.iter().filter(|word| named.begins_in_root(word));
    let missing = paths.filter(|path| is_path(path, named) && !named.has_path(path));
    faults.extend(missing.map(|path| format!("there is no {path}")));
    faults
}

/// What is wrong with a document, in sentences.
fn faults(document: &str, text: &str, named: &Named) -> Vec<String> {
    let mut faults = Vec::new();
    for code in code_of(text) {
        let words: Vec<&str> = code.split_whitespace().collect();
        match &words[..] {
            ["lib", module] => {
                if !named.has_module(module, "") && !is_placeholder(module) {
                    faults.push(format!("there is no module {module}"));
                }
            }
            [path] => {
                if is_path(path, named) && !named.has_path(path) {
                    faults.push(format!("there is no {path}"));
                }
            }
            words => faults.extend(faults_of_command(words, named)),
        }
    }
    let targets = links_of(text).map(|target| resolved(document, target));
    let missing = targets.filter(|target| !named.has_at(target));
    faults.extend(missing.map(|target| format!("there is no {target} to link to")));
    let sentence = |fault| format!("{document}: {fault}");
    faults.into_iter().map(sentence).collect()
}

#[test]
fn documents_name_files_and_commands_that_exist() {
    let named = Named::read();
    let in_docs = |path: &&String| path.starts_with("docs/") && extension(path) == "md";
    let documents = named.files.iter().filter(in_docs).map(String::as_str);
    let found: Vec<String> = documents
        .chain(DOCUMENTS)
        .flat_map(|document| {
            let text = fs::read_to_string(root().join(document)).expect("text");
            faults(document, &text, &named)
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn documents_check_trips_on_each_fault() {
    let names = [
        ("bench", "native_benchmarks"),
        ("benchmark", "native"),
        ("feature", "mapped"),
        ("package", "xtask"),
        ("test", "no_alloc"),
    ];
    let own = |name: &str| name.to_owned();
    let named = Named {
        files: [
            "src/sizing/demand.rs",
            "core/arena.rs",
            "docs/one.md",
            "README.md",
        ]
        .map(own)
        .into(),
        names: names.map(|(kind, name)| (own(kind), own(name))).into(),
    };
    let sound = [
        "`demand.rs`, `src/sizing/`, `sizing/demand.rs`, `/sizing/` and `a.b`, `/`, `target/other/`",
        "[one](docs/one.md#part), [other](https://example.org/none.md)",
        "`cargo xtask test fmt clippy`, `cargo xtask verify NAME`, `cargo xtask help`, `cargo xtask bench native`",
        "`cargo test --package xtask --test no_alloc`, `cargo test --features mapped --lib NAME`",
        "`cargo test --lib sizing::demand`, `cargo test --workspace --lib arena`",
        "`lib sizing::demand` and `lib sizing`, `lib arena`, `lib NAME`",
        "```sh\ncargo xtask demo    # the `none.rs`\n```",
        "`cargo xtask\ndemo --json FILE`",
    ];
    for text in sound {
        assert_eq!(faults("README.md", text, &named), [""; 0], "{text}");
    }
    let broken = [
        ("`none.rs`", "there is no none.rs"),
        ("`sizing/none/`", "there is no sizing/none/"),
        ("`src/none`", "there is no src/none"),
        ("`rm src/none.rs`", "there is no src/none.rs"),
        ("[one](one.md)", "there is no one.md to link to"),
        ("`lib none`", "there is no module none"),
        ("`cargo xtask bench none`", "there is no benchmark none"),
        ("`cargo bench --bench none`", "there is no bench none"),
        ("`cargo run --example none`", "there is no example none"),
        ("`cargo test --features none`", "there is no feature none"),
        (
            "`cargo test --lib arena`",
            "there is no module arena below /src/",
        ),
        ("`cargo test --package none`", "there is no package none"),
        ("`cargo test --test none`", "there is no test none"),
        (
            "```sh\ncargo xtask none\n```",
            "error: unrecognized subcommand 'none'",
        ),
        (
            "`cargo xtask demo --none`",
            "error: unexpected argument '--none' found",
        ),
        (
            "`cargo xtask test none`",
            "error: invalid value 'none' for '[SUITE]...'",
        ),
    ];
    for (text, fault) in broken {
        let found = faults("README.md", text, &named);
        assert_eq!(found, [format!("README.md: {fault}")], "{text}");
    }
    let found = faults("docs/one.md", "[back](../none.md)", &named);
    assert_eq!(found, ["docs/one.md: there is no none.md to link to"]);
}

//! Every decision in `docs/decisions` has a status, a number of its own and a place in the index, and is linked from a line of
//! code; every link to a decision points at one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::repository::{extension, files, root};

const FOLDER: &str = "docs/decisions";
const INDEX: &str = "README.md";
const CODE: [&str; 3] = ["rs", "ts", "mjs"];

/// Texts by path, from the repository's root.
type Texts = BTreeMap<String, String>;

/// The code and the documents.
fn read() -> Texts {
    let texts = files().into_iter();
    let texts = texts.filter(|path| extension(path) == "md" || is_code(path));
    let read = |path: String| {
        let text = fs::read_to_string(root().join(&path)).expect("text");
        (path, text)
    };
    texts.map(read).collect()
}

fn is_code(path: &str) -> bool {
    CODE.contains(&extension(path))
}

/// Names of the decisions that a text links to.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let names = text.split("decisions/").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.');
        rest[..end.unwrap_or(rest.len())].trim_end_matches('.')
    });
    names.filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
}

/// What is wrong, in sentences.
fn faults(texts: &Texts) -> Vec<String> {
    let mut faults = Vec::new();
    let in_folder = |path: &str| {
        path.strip_prefix(FOLDER)?
            .strip_prefix('/')
            .map(str::to_owned)
    };
    let decisions: BTreeMap<String, &str> = texts
        .iter()
        .filter_map(|(path, text)| Some((in_folder(path)?, &**text)))
        .filter(|(name, _)| name != INDEX)
        .collect();
    let index = texts.get(&format!("{FOLDER}/{INDEX}"));
    let code = texts.iter().filter(|(path, _)| is_code(path));
    let linked: BTreeSet<&str> = code.flat_map(|(_, text)| links(text)).collect();
    for (number, (name, text)) in (1..).zip(&decisions) {
        if !name.starts_with(&format!("{number:04}-")) {
            faults.push(format!("{name}: its number must be {number:04}"));
        }
        let status = text.lines().nth(2).unwrap_or_default();
        if status != "Status: accepted" && !status.starts_with("Status: superseded by ") {
            faults.push(format!(
                "{name}: the third line must state its status (got `{status}`)"
            ));
        }
        if !index.is_some_and(|index| index.contains(&**name)) {
            faults.push(format!("{name}: is not listed in {INDEX}"));
        }
        if !linked.contains(&**name) {
            faults.push(format!("{name}: no line of code links to it"));
        }
    }
    for (path, text) in texts {
        let missing = links(text).filter(|name| !decisions.contains_key(*name));
        faults.extend(missing.map(|name| format!("{path}: there is no decision {name}")));
    }
    faults
}

#[test]
fn decisions_are_linked_from_code_and_every_link_has_its_file() {
    let found = faults(&read());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn decisions_check_trips_on_each_fault() {
    let decision = format!("{FOLDER}/0001-one.md");
    let sound = Texts::from([
        (decision.clone(), "# One\n\nStatus: accepted\n".to_owned()),
        (format!("{FOLDER}/{INDEX}"), "0001-one.md".to_owned()),
        ("src/lib.rs".to_owned(), format!("// See `{decision}`.")),
    ]);
    assert_eq!(faults(&sound), [""; 0]);
    let path = |name: &str| format!("{FOLDER}/{name}");
    let broken = [
        (
            decision.clone(),
            "# One\n\nText.",
            "the third line must state its status (got `Text.`)",
        ),
        (path(INDEX), "", "is not listed in README.md"),
        ("src/lib.rs".to_owned(), "", "no line of code links to it"),
        (
            "README.md".to_owned(),
            &path("0001-two.md"),
            "there is no decision 0001-two.md",
        ),
        (path("0003-three.md"), "", "its number must be 0002"),
    ];
    for (path, text, fault) in broken {
        let mut texts = sound.clone();
        texts.insert(path, text.to_owned());
        let found = faults(&texts);
        assert!(
            found.iter().any(|found| found.ends_with(fault)),
            "{fault}: {found:?}"
        );
    }
}

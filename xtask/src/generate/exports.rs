//! The raw exports of the WebAssembly module, as TypeScript interfaces.

use anyhow::{Result, bail};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Block, Expr, FnArg, Ident, Item, ItemFn, Pat, ReturnType, Token, Type};

use super::source::Source;
use super::text::{comment, docs};

/// An interface: its name, what it is, the beginning of its exports' names, further exports, and whether the memory is its own.
struct Interface {
    name: &'static str,
    what: &'static str,
    prefix: &'static str,
    also: &'static [&'static str],
    has_memory: bool,
}

const INTERFACES: [Interface; 4] = [
    Interface {
        name: "PanicNote",
        what: "The message of a panic, which JavaScript reads after the trap.",
        prefix: "panic_note",
        also: &[],
        has_memory: false,
    },
    Interface {
        name: "TapExports",
        what: "The exports that a worklet uses: numbers in, numbers out. `tap` is a number that is checked; 0 is none.",
        prefix: "tap_",
        also: &[],
        has_memory: true,
    },
    Interface {
        name: "ReaderExports",
        what: "The exports that the reader of a tap uses (shared mode): numbers in, numbers out. `reader` is a number that is checked.",
        prefix: "reader_",
        also: &[],
        has_memory: false,
    },
    Interface {
        name: "PoolExports",
        what: "The exports that a user of buffers uses: numbers in, numbers out. `participant` and leases are numbers that are checked.",
        prefix: "participant_",
        also: &["tap_header_bytes"],
        has_memory: true,
    },
];

pub(super) fn module(source: &Source) -> Result<String> {
    let exports = all(source)?;
    let mut text = String::new();
    for Interface {
        name,
        what,
        prefix,
        also,
        has_memory,
    } in INTERFACES
    {
        let own: Vec<_> = exports
            .iter()
            .filter(|export| export.name.starts_with(prefix) || also.contains(&&*export.name))
            .collect();
        if own.is_empty() {
            bail!("there is no export `{prefix}…`");
        }
        let extends = if has_memory { " extends PanicNote" } else { "" };
        let memory = if has_memory {
            "  readonly memory: WebAssembly.Memory;\n"
        } else {
            ""
        };
        let methods: String = own
            .iter()
            .map(|export| format!("{}  {};\n", comment(&export.docs, "  "), export.signature))
            .collect();
        text += &format!(
            "\n{}export interface {name}{extends} {{\n{memory}{methods}}}\n",
            comment(what, "")
        );
    }
    Ok(text)
}

struct Export {
    name: String,
    docs: String,
    signature: String,
}

/// The exports of the whole source, by file and place.
fn all(source: &Source) -> Result<Vec<Export>> {
    let mut exports = Vec::new();
    for (_, item) in source.items() {
        match item {
            Item::Macro(item) if item.mac.path.is_ident("exports") => {
                let block: Exports = syn::parse2(item.mac.tokens.clone())?;
                exports.extend(block.0);
            }
            Item::Fn(function) if is_exported(&function.attrs) => {
                exports.push(of_function(function)?)
            }
            _ => {}
        }
    }
    Ok(exports)
}

/// Whether it has the attribute `#[unsafe(no_mangle)]`.
fn is_exported(attributes: &[Attribute]) -> bool {
    let marks = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("unsafe"));
    { marks }.any(|mark| {
        mark.parse_args::<Ident>()
            .is_ok_and(|name| name == "no_mangle")
    })
}

fn of_function(function: &ItemFn) -> Result<Export> {
    let mut arguments = Vec::new();
    for argument in &function.sig.inputs {
        match argument {
            FnArg::Typed(argument) => match &*argument.pat {
                Pat::Ident(name) => arguments.push(name.ident.to_string()),
                _ => bail!("an export's arguments have names"),
            },
            FnArg::Receiver(_) => bail!("an export has no `self`"),
        }
    }
    Ok(export(
        &function.sig.ident,
        &function.attrs,
        &arguments,
        &function.sig.output,
    ))
}

fn export(
    name: &Ident,
    attributes: &[Attribute],
    arguments: &[String],
    output: &ReturnType,
) -> Export {
    let arguments: Vec<_> = arguments
        .iter()
        .map(|name| format!("{}: number", camel_case(name)))
        .collect();
    let returned = if matches!(output, ReturnType::Default) {
        "void"
    } else {
        "number"
    };
    Export {
        name: name.to_string(),
        docs: docs(attributes),
        signature: format!("{name}({}): {returned}", arguments.join(", ")),
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let initial = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &initial.into_iter().chain(letters).collect::<String>()
    })
}

/// The functions in `exports! { … }`. The first argument is an object, which JavaScript names by its number.
struct Exports(Vec<Export>);

impl Parse for Exports {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut exports = Vec::new();
        while !input.is_empty() {
            let attributes = input.call(Attribute::parse_outer)?;
            input.parse::<Token![fn]>()?;
            let name: Ident = input.parse()?;
            let list;
            syn::parenthesized!(list in input);
            let mut arguments = Vec::new();
            while !list.is_empty() {
                arguments.push(list.parse::<Ident>()?.to_string());
                list.parse::<Token![:]>()?;
                list.parse::<Type>()?;
                list.parse::<Option<Token![,]>>()?;
            }
            let output: ReturnType = input.parse()?;
            input.parse::<Block>()?;
            if input.parse::<Option<Token![else]>>()?.is_some() {
                input.parse::<Expr>()?;
                input.parse::<Token![;]>()?;
            }
            exports.push(export(&name, &attributes, &arguments, &output));
        }
        Ok(Self(exports))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_of_the_macro_and_by_attribute_are_found() {
        let source = Source::of(
            "exports! {
                /// Pops one; 0 if there is none.
                fn reader_take(reader: &mut Reader) -> u32 { reader.take() } else 0;
                fn tap_set(tap: &mut Tap, wall_ms: f64) { if true { tap.set(wall_ms) } }
            }
            #[unsafe(no_mangle)]
            pub(super) extern \"C\" fn tap_open(sample_rate_hz: f32) -> u32 { 0 }
            #[inline] fn tap_private() {}",
        );
        let signatures: Vec<_> = all(&source)
            .unwrap()
            .into_iter()
            .map(|export| (export.signature, export.docs))
            .collect();
        let expected = [
            (
                "reader_take(reader: number): number",
                "Pops one; 0 if there is none.",
            ),
            ("tap_set(tap: number, wallMs: number): void", ""),
            ("tap_open(sampleRateHz: number): number", ""),
        ];
        assert_eq!(
            signatures,
            expected.map(|(signature, docs)| (signature.to_owned(), docs.to_owned()))
        );
    }
}

//! Types that serde turns into JSON, as TypeScript declarations.

use anyhow::{Context, Result, bail};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Expr, Fields, GenericArgument, Ident, Item, ItemEnum, ItemStruct, Lit, LitStr, Meta,
    MetaList, PathArguments, Token, Type,
};

use super::names::{LEAVES, MESSAGES, Name, SNAPSHOT};
use super::source::Source;
use super::text::{comment, docs};

/// The declarations of these types, and imports of those that they use.
pub(super) fn module(source: &Source, names: &[Name]) -> Result<String> {
    let mut text = String::new();
    for &(rust, typescript) in names {
        let declared = declaration(source, rust, typescript).with_context(|| rust.to_owned())?;
        text += &format!("\n{declared}");
    }
    let imported: Vec<_> = SNAPSHOT
        .iter()
        .map(|&(_, name)| name)
        .filter(|name| !names.iter().any(|(_, own)| own == name) && mentions(&text, name))
        .collect();
    Ok(if imported.is_empty() {
        text
    } else {
        format!(
            "import type {{ {} }} from './snapshot.ts';\n{text}",
            imported.join(", ")
        )
    })
}

/// Whether a type's name is in the text as a word of code.
fn mentions(text: &str, name: &str) -> bool {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with(['*', '/']));
    code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .any(|word| word == name)
}

fn declaration(source: &Source, rust: &str, typescript: &str) -> Result<String> {
    source.only(rust, |item, name| {
        let (docs, body) = match item {
            Item::Struct(item) if item.ident == name && is_serde(&item.attrs) => {
                (docs(&item.attrs), structure(source, item, typescript)?)
            }
            Item::Enum(item) if item.ident == name && is_serde(&item.attrs) => (
                enum_docs(item),
                format!("export type {typescript} = {};\n", variants(item)?),
            ),
            Item::Type(item) if item.ident == name => (
                docs(&item.attrs),
                format!("export type {typescript} = {};\n", type_name(&item.ty)?),
            ),
            Item::Macro(item) => match syn::parse2::<Statistics>(item.mac.tokens.clone()) {
                Ok(statistics) if statistics.name == name => (
                    docs(&statistics.attributes),
                    interface(typescript, statistics.fields),
                ),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(format!("{}{body}", comment(&docs, ""))))
    })
}

/// A struct as an interface, or as what it says that it is written as.
fn structure(source: &Source, item: &ItemStruct, name: &str) -> Result<String> {
    if let Some(written) = serde_option(&item.attrs, "into")? {
        let written: Type = syn::parse_str(&written.context("`into` names a type")?)?;
        return Ok(format!("export type {name} = {};\n", type_name(&written)?));
    }
    let Fields::Named(fields) = &item.fields else {
        bail!("only structs with named fields are objects in JSON")
    };
    let mut lines = Vec::new();
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        if serde_option(&field.attrs, "skip")?.is_some() {
            continue;
        }
        if serde_option(&field.attrs, "flatten")?.is_some() {
            lines.extend(flattened(source, &field.ty)?);
            continue;
        }
        let optional = if serde_option(&field.attrs, "default")?.is_some() {
            "?"
        } else {
            ""
        };
        let declared = format!(
            "{ident}{optional}: {}",
            type_name(&field.ty).with_context(|| ident.to_string())?
        );
        lines.push((docs(&field.attrs), declared));
    }
    Ok(interface(name, lines))
}

/// `fields` with their docs.
fn interface(name: &str, fields: Vec<(String, String)>) -> String {
    let field =
        |(docs, field): (String, String)| format!("{}  readonly {field};\n", comment(&docs, "  "));
    let fields: String = fields.into_iter().map(field).collect();
    format!("export interface {name} {{\n{fields}}}\n")
}

/// The two fields of an enum that is written as `tag` and `content` among the fields of a struct.
fn flattened(source: &Source, ty: &Type) -> Result<Vec<(String, String)>> {
    let rust = last_name(ty)?.to_string();
    source.only(&rust, |item, name| {
        let Item::Enum(item) = item else {
            return Ok(None);
        };
        if item.ident != name || !is_serde(&item.attrs) {
            return Ok(None);
        }
        let option = |name| serde_option(&item.attrs, name)?.flatten_none(name);
        let (tag, content) = (option("tag")?, option("content")?);
        let contents = item.variants.iter().flat_map(|variant| &variant.fields);
        let types: Result<Vec<_>> = contents.map(|field| type_name(&field.ty)).collect();
        let mut types = types?;
        types.dedup();
        Ok(Some(vec![
            (enum_docs(item), format!("{tag}: {}", variants(item)?)),
            (String::new(), format!("{content}?: {}", types.join(" | "))),
        ]))
    })
}

trait Named {
    fn flatten_none(self, name: &str) -> Result<String>;
}

impl Named for Option<Option<String>> {
    fn flatten_none(self, name: &str) -> Result<String> {
        self.flatten()
            .with_context(|| format!("an enum among other fields needs `{name}`"))
    }
}

/// The names of an enum's variants, as serde writes them.
fn variants(item: &ItemEnum) -> Result<String> {
    let rule = serde_option(&item.attrs, "rename_all")?.flatten();
    let names: Result<Vec<_>> = item
        .variants
        .iter()
        .map(|variant| Ok(format!("'{}'", renamed(&variant.ident, rule.as_deref())?)))
        .collect();
    Ok(names?.join(" | "))
}

fn renamed(variant: &Ident, rule: Option<&str>) -> Result<String> {
    let name = variant.to_string();
    Ok(match rule {
        None => name,
        Some("lowercase") => name.to_lowercase(),
        Some("snake_case") => {
            let word = |(at, letter): (usize, char)| {
                if at > 0 && letter.is_uppercase() {
                    format!("_{letter}")
                } else {
                    letter.into()
                }
            };
            name.char_indices()
                .map(word)
                .collect::<String>()
                .to_lowercase()
        }
        Some(other) => bail!("`rename_all = \"{other}\"` is not known here"),
    })
}

/// An enum's docs, with those of its variants.
fn enum_docs(item: &ItemEnum) -> String {
    let rule = serde_option(&item.attrs, "rename_all")
        .ok()
        .flatten()
        .flatten();
    let mut text = docs(&item.attrs);
    for variant in &item.variants {
        let docs = docs(&variant.attrs);
        if let (Ok(name), false) = (renamed(&variant.ident, rule.as_deref()), docs.is_empty()) {
            text += &format!("\n- `{name}`: {}", docs.replace('\n', "\n  "));
        }
    }
    text
}

/// A type as serde writes it.
fn type_name(ty: &Type) -> Result<String> {
    match ty {
        Type::Reference(reference) => type_name(&reference.elem),
        Type::Tuple(tuple) => {
            let elements: Result<Vec<_>> = tuple.elems.iter().map(type_name).collect();
            Ok(format!("readonly [{}]", elements?.join(", ")))
        }
        Type::Array(array) => {
            let Expr::Lit(length) = &array.len else {
                bail!("the length of an array must be a number")
            };
            let Lit::Int(length) = &length.lit else {
                bail!("the length of an array must be a number")
            };
            let element = type_name(&array.elem)?;
            Ok(format!(
                "readonly [{}]",
                vec![element; length.base10_parse()?].join(", ")
            ))
        }
        Type::Path(path) => {
            let name = last_name(ty)?.to_string();
            let argument = path
                .path
                .segments
                .last()
                .and_then(|segment| match &segment.arguments {
                    PathArguments::AngleBracketed(arguments) => {
                        arguments.args.iter().find_map(|argument| match argument {
                            GenericArgument::Type(ty) => Some(ty),
                            _ => None,
                        })
                    }
                    _ => None,
                });
            match (&*name, argument) {
                ("Option", Some(inner)) => Ok(format!("{} | null", type_name(inner)?)),
                ("Vec", Some(inner)) => match type_name(inner)? {
                    inner if inner.contains(' ') => Ok(format!("readonly ({inner})[]")),
                    inner => Ok(format!("readonly {inner}[]")),
                },
                ("u8" | "u16" | "u32" | "u64" | "usize" | "i64" | "f32" | "f64", None) => {
                    Ok("number".into())
                }
                ("bool", None) => Ok("boolean".into()),
                ("String" | "str", None) => Ok("string".into()),
                _ => {
                    let known = SNAPSHOT.iter().chain(&MESSAGES).chain(&LEAVES);
                    let is_it = |(rust, _): &&Name| rust.rsplit("::").next() == Some(&*name);
                    let known = { known }
                        .find(is_it)
                        .with_context(|| format!("`{name}` is not generated"))?;
                    Ok(known.1.into())
                }
            }
        }
        _ => bail!("this kind of type is not written as JSON here"),
    }
}

fn last_name(ty: &Type) -> Result<&Ident> {
    match ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .map(|segment| &segment.ident)
            .context("a type has a name"),
        _ => bail!("this type has no name"),
    }
}

/// Whether serde writes or reads it.
fn is_serde(attributes: &[Attribute]) -> bool {
    let paths = lists(attributes, "derive")
        .into_iter()
        .filter_map(|derive| {
            derive
                .parse_args_with(Punctuated::<syn::Path, Token![,]>::parse_terminated)
                .ok()
        });
    paths.flatten().any(|path| {
        path.segments
            .last()
            .is_some_and(|name| name.ident == "Serialize" || name.ident == "Deserialize")
    })
}

/// An option of `#[serde(…)]`, with its value if it has one.
fn serde_option(attributes: &[Attribute], name: &str) -> Result<Option<Option<String>>> {
    for options in lists(attributes, "serde") {
        for option in options.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
            if !option.path().is_ident(name) {
                continue;
            }
            return Ok(Some(match option {
                Meta::NameValue(pair) => match pair.value {
                    Expr::Lit(literal) => match literal.lit {
                        Lit::Str(text) => Some(text.value()),
                        _ => None,
                    },
                    _ => None,
                },
                _ => None,
            }));
        }
    }
    Ok(None)
}

/// The attributes `#[name(…)]`, also those that depend on a condition: `#[cfg_attr(…, name(…))]`.
fn lists(attributes: &[Attribute], name: &str) -> Vec<MetaList> {
    let conditional = |attribute: &Attribute| {
        let metas = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        metas.into_iter().flatten().skip(1).collect()
    };
    let metas = attributes.iter().flat_map(|attribute| {
        if attribute.path().is_ident("cfg_attr") {
            conditional(attribute)
        } else {
            vec![attribute.meta.clone()]
        }
    });
    metas
        .filter_map(|meta| match meta {
            Meta::List(list) if list.path.is_ident(name) => Some(list),
            _ => None,
        })
        .collect()
}

/// The struct of the macro `statistics!`, whose fields are declared with their meaning and formula.
struct Statistics {
    attributes: Vec<Attribute>,
    name: Ident,
    /// Docs and declaration of each.
    fields: Vec<(String, String)>,
}

impl Parse for Statistics {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        input.parse::<Token![pub]>()?;
        input.parse::<Token![struct]>()?;
        let name = input.parse()?;
        let body;
        syn::braced!(body in input);
        let mut fields = Vec::new();
        while !body.is_empty() {
            let field: Ident = body.parse()?;
            body.parse::<Token![:]>()?;
            let ty: Type = body.parse()?;
            for _ in ["kind", "unit"] {
                body.parse::<Token![,]>()?;
                body.parse::<Ident>()?;
            }
            body.parse::<Token![,]>()?;
            body.parse::<syn::LitInt>()?;
            body.parse::<Token![,]>()?;
            let meaning: LitStr = body.parse()?;
            body.parse::<Token![,]>()?;
            let formula: LitStr = body.parse()?;
            body.parse::<Token![;]>()?;
            let ty = type_name(&ty).map_err(|error| syn::Error::new(field.span(), error))?;
            fields.push((
                format!("{}.\n\nFormula: {}.", meaning.value(), formula.value()),
                format!("{field}: {ty}"),
            ));
        }
        Ok(Self {
            attributes,
            name,
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(text: &str) -> String {
        declaration(&Source::of(text), "Effect", "Effect").unwrap()
    }

    fn refused(text: &str) -> String {
        format!(
            "{:#}",
            declaration(&Source::of(text), "Effect", "Effect").unwrap_err()
        )
    }

    #[test]
    fn struct_becomes_an_interface_with_its_docs() {
        let text = "
            /// See [`Other`](crate::Other) and [`Two`].
            #[derive(Debug, serde::Serialize)]
            pub(super) struct Effect<'a> {
                pub(super) mode: Mode,
                /// `None` before.
                name: Option<&'a str>,
                #[serde(default)]
                bars: Vec<(u32, f64)>,
                limits: [usize; 2],
                #[serde(skip)]
                left_out: Strange,
            }";
        let expected = "\
/** See `Other` and `Two`. */
export interface Effect {
  readonly mode: Mode;
  /** `null` before. */
  readonly name: string | null;
  readonly bars?: readonly (readonly [number, number])[];
  readonly limits: readonly [number, number];
}
";
        assert_eq!(declared(text), expected);
    }

    #[test]
    fn enum_becomes_a_union_of_the_names_that_serde_writes() {
        let text = "#[derive(Serialize)] #[serde(rename_all = \"snake_case\")] enum Effect { /// Low.\n HitRateLow, Fine }";
        assert_eq!(
            declared(text),
            "/**\n *\n * - `hit_rate_low`: Low.\n */\nexport type Effect = 'hit_rate_low' | 'fine';\n"
        );
    }

    #[test]
    fn derive_that_depends_on_a_feature_counts() {
        let text = "
            #[cfg_attr(feature = \"serde\", derive(serde::Serialize))]
            #[cfg_attr(feature = \"serde\", serde(rename_all = \"snake_case\"))]
            enum Effect { AtRest }";
        assert_eq!(declared(text), "export type Effect = 'at_rest';\n");
        let other = "#[cfg_attr(feature = \"serde\", derive(Debug))] enum Effect { AtRest }";
        assert_eq!(refused(other), "there is no `Effect`");
    }

    #[test]
    fn flattened_enum_becomes_two_fields() {
        let text = "
            #[derive(Serialize)] struct Effect { #[serde(flatten)] health: Health }
            #[derive(Serialize)] #[serde(tag = \"state\", content = \"detail\", rename_all = \"lowercase\")] enum Health { Good, Bad(String), Worse(String) }";
        let expected = "export interface Effect {\n  readonly state: 'good' | 'bad' | 'worse';\n  readonly detail?: string;\n}\n";
        assert_eq!(declared(text), expected);
    }

    #[test]
    fn type_that_is_not_generated_is_refused() {
        assert_eq!(
            refused("#[derive(Serialize)] struct Effect { a: Strange }"),
            "a: `Strange` is not generated"
        );
        assert_eq!(refused("struct Effect { a: u32 }"), "there is no `Effect`");
        let twice =
            "#[derive(Serialize)] struct Effect { a: u32 } #[derive(Serialize)] enum Effect { A }";
        assert!(refused(twice).contains("in several files"));
    }
}

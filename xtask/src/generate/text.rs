//! Comments of Rust as comments of TypeScript.

use syn::{Attribute, Expr, Lit, Meta};

/// A comment for TypeScript, indented by so much; nothing for no text.
pub(super) fn comment(text: &str, indent: &str) -> String {
    match text.lines().collect::<Vec<_>>()[..] {
        [] => String::new(),
        [line] => format!("{indent}/** {line} */\n"),
        ref lines => {
            let line = |line: &&str| format!("{indent} * {line}").trim_end().to_owned() + "\n";
            let lines: String = lines.iter().map(line).collect();
            format!("{indent}/**\n{lines}{indent} */\n")
        }
    }
}

/// Rust's documentation, in TypeScript's words.
pub(super) fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value().trim().to_owned()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
    plain(&lines.collect::<Vec<_>>().join("\n")).replace("`None`", "`null`")
}

/// Takes the links out of a text: `` [`a`](b) `` and `` [`a`] `` become `` `a` ``.
fn plain(text: &str) -> String {
    let mut parts = text.split("[`");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("`]").unwrap_or((part, ""));
        let rest = rest
            .strip_prefix('(')
            .and_then(|link| link.split_once(')'))
            .map_or(rest, |(_, rest)| rest);
        plain += &format!("`{name}`{rest}");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_have_one_line_or_several() {
        assert_eq!(comment("", ""), "");
        assert_eq!(comment("One.", "  "), "  /** One. */\n");
        assert_eq!(
            comment("One.\n\nTwo.", " "),
            " /**\n  * One.\n  *\n  * Two.\n  */\n"
        );
    }
}

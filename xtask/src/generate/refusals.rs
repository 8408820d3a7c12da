//! The refusals of the raw exports, with their messages.

#[path = "../../../web/host/src/consumer/refusal_codes.rs"]
mod refusal_codes;

use refusal_codes::{LEASE_MOVES, LEASE_STATES, RefusalCode};

pub(super) fn module() -> String {
    let numbers: String = RefusalCode::ALL
        .iter()
        .map(|&code| {
            format!(
                "export const {} = {};\n",
                constant_name(&format!("{code:?}")),
                code as u32
            )
        })
        .collect();
    let table: String = RefusalCode::ALL
        .iter()
        .map(|&code| {
            format!(
                "  {}: ['{}', '{}'],\n",
                code as u32,
                code.code(),
                quoted(code.message())
            )
        })
        .collect();
    format!(
        "
/** Numbers of refusals, as the exports return them. */
{numbers}
/** `code` and message of a refusal's error, by the refusal's number. `{{0}}` to `{{2}}` stand for what the refusal names. */
export const REFUSALS = {{
{table}}} as const;

/** Names of a lease's states, by their numbers. */
export const LEASE_STATES = ['{}'] as const;

/** Names of the operations on a lease, by their numbers. */
export const LEASE_MOVES = ['{}'] as const;
",
        LEASE_STATES.join("', '"),
        LEASE_MOVES.join("', '")
    )
}

fn constant_name(variant: &str) -> String {
    let mut name = String::new();
    for letter in variant.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// A text between single quotes.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_number_of_its_own_and_a_message_with_its_numbers() {
        let mut numbers: Vec<_> = RefusalCode::ALL.iter().map(|&code| code as u32).collect();
        numbers.dedup();
        assert_eq!(numbers, (1..=11).collect::<Vec<_>>());
        for code in RefusalCode::ALL {
            let message = code.message();
            let after = message.split('{').skip(1);
            assert!(
                { after }
                    .all(|rest| rest.as_bytes()[1] == b'}' && b"012".contains(&rest.as_bytes()[0])),
                "{message}"
            );
            assert!(message.ends_with('.'), "{message}");
        }
    }

    #[test]
    fn names_and_texts_are_written_as_typescript() {
        assert_eq!(constant_name("StaleLease"), "STALE_LEASE");
        assert_eq!(quoted(r"it's \n"), r"it\'s \\n");
    }
}

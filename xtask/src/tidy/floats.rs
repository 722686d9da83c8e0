//! No floating point where quantities and money are computed or stored.
//! Never looks at tests, which may show a share or a time as a fraction.
//! Run by `tidy`.

use super::{
    Tree, Violation,
    code::{Code, Kind, Token},
};

const RULE: &str = "float";

/// Crates that count and bill.
const EXACT: [&str; 2] = ["domain", "billing"];

/// Column types that round.
const FLOAT_COLUMNS: [&str; 5] = ["real", "float", "float4", "float8", "double"];

/// Checks the sources of the exact crates and the migrations.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, code) in tree.code().filter(|(file, _)| EXACT.contains(&file.member()) && !file.is_test()) {
        for (_, token) in code.product_tokens().filter(|(index, token)| is_float(code, *index, token)) {
            let message = format!("`{}`: quantities and money are integers or exact decimals", token.text);
            violations.push(Violation::new(&file.path, token.line, RULE, message));
        }
    }
    for file in tree.files().filter(|file| file.member() == "migrations" && file.path.ends_with(".sql")) {
        for (index, line) in file.text.lines().enumerate() {
            let statement = line.split("--").next().unwrap_or("").to_ascii_lowercase();
            let mut words = statement.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if let Some(word) = words.find(|word| FLOAT_COLUMNS.contains(word)) {
                let message = format!("a column of type {word} rounds; use an integer or exact text");
                violations.push(Violation::new(&file.path, index + 1, RULE, message));
            }
        }
    }
    violations
}

fn is_float(code: &Code, index: usize, token: &Token) -> bool {
    match token.kind {
        Kind::Word => token.text.split('_').any(|word| matches!(word, "f16" | "f32" | "f64" | "f128")),
        // In a macro `pair.0.1` looks like a fraction after a dot.
        Kind::Literal => is_fraction(&token.text) && !code.before(index).is_some_and(|dot| dot.is_sign(".")),
        Kind::Sign => false,
    }
}

fn is_fraction(literal: &str) -> bool {
    let is_decimal = literal.starts_with(|c: char| c.is_ascii_digit())
        && !["0x", "0b", "0o"].iter().any(|prefix| literal.starts_with(prefix));
    is_decimal && (literal.contains(['.', 'e', 'E']) && !literal.ends_with("size") || literal.contains('f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::broken_lines;

    #[test]
    fn floats_are_refused_where_money_is() {
        let bad = [
            "fn a(x: f64) {}",
            "const A: u32 = 1.5 as u32;",
            "const A: u8 = 1e3 as u8;",
            "const A: u8 = 1f32 as u8;",
            "fn a(d: Duration) { d.as_secs_f64(); }",
            "fn a() { println!(\"{}\", 0.5); }",
            "macro_rules! m { () => { f32 } }",
        ];
        for text in bad {
            assert_eq!(broken_lines(check, "billing/src/a.rs", text).len(), 1, "{text}");
            assert!(broken_lines(check, "engine/src/a.rs", text).is_empty(), "{text}");
            assert!(broken_lines(check, "domain/tests/a.rs", text).is_empty(), "{text}");
        }
        let good = [
            "/// Not an f64, not 1.5.\nconst A: u32 = 0xe1f;",
            "fn a() { for i in 0..1 {} }",
            "fn a(p: ((u8, u8),)) { println!(\"{}\", p.0.1); p.0.1; }",
            "const A: usize = 1usize;",
            "#[cfg(test)] mod tests { const A: f64 = 1.5; }",
        ];
        for text in good {
            assert!(broken_lines(check, "domain/src/a.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn migrations_store_no_floats() {
        let path = "migrations/sqlite/1.sql";
        let text = "CREATE TABLE a (\n x INTEGER, -- not real\n y REAL,\n z double precision\n);";
        assert_eq!(broken_lines(check, path, text), [3, 4]);
        assert!(broken_lines(check, path, "CREATE TABLE a (x BIGINT, realm TEXT);").is_empty());
    }
}

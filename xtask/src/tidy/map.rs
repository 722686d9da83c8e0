//! ARCHITECTURE.md names only what exists: every text in back-ticks is looked up.
//! Never reads prose outside back-ticks, and never what stands in fenced blocks.
//! Run by `tidy`.

use std::collections::BTreeSet;

use super::{
    Tree, Violation,
    code::{Code, Kind},
    tree::File,
};

const RULE: &str = "map";
const MAP: &str = "ARCHITECTURE.md";

/// A text in back-ticks with one of these endings is a file.
const FILE_ENDINGS: [&str; 8] = [".rs", ".toml", ".md", ".sql", ".yml", ".py", ".json", ".lock"];

/// The crates whose paths may be named, each a folder.
const CRATES: [&str; 7] = ["domain", "engine", "billing", "web", "gateway", "tests", "xtask"];

/// How many invariants the design has; each needs a row.
const INVARIANTS: usize = 11;

/// What the cell of an invariant begins with that has no test yet.
const NOT_YET: &str = "not yet: ";

/// Checks the map.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(map) = tree.find(MAP) else {
        // A tree without a program needs no map.
        let message = "the map of the repository is missing";
        return tree.has("gateway/src").then(|| Violation::new(MAP, 1, RULE, message)).into_iter().collect();
    };
    let known = Known::in_tree(tree);
    let mut violations = Vec::new();
    let mut add = |line: usize, message: String| violations.push(Violation::new(MAP, line, RULE, message));
    let mut is_fenced = false;
    for (index, line) in map.text.lines().enumerate() {
        is_fenced ^= line.trim_start().starts_with("```");
        if !is_fenced {
            spans(line)
                .filter_map(|span| known.problem(tree, span))
                .for_each(|problem| add(index + 1, problem));
        }
    }
    check_invariants(&map.text, &known, &mut add);
    violations
}

/// What stands between single back-ticks.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|span| !span.is_empty())
}

/// Rows `| 1 | the invariant | tests |`: each number once; tests are test functions, or `not yet: …`.
fn check_invariants(text: &str, known: &Known, add: &mut impl FnMut(usize, String)) {
    let mut numbers = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let (Some(Ok(number)), Some(tests), true) =
            (cells.first().map(|cell| cell.parse::<usize>()), cells.get(2), cells.len() == 3)
        else {
            continue;
        };
        if !numbers.insert(number) {
            add(index + 1, format!("invariant {number} has a second row"));
        }
        let names: Vec<&str> = spans(tests).map(test_name).collect();
        if names.is_empty() && !tests.starts_with(NOT_YET) {
            add(
                index + 1,
                format!("invariant {number} names no test; write `{NOT_YET}…` without back-ticks"),
            );
        }
        for name in names.into_iter().filter(|name| !known.tests.contains(*name)) {
            add(index + 1, format!("there is no test `{name}`"));
        }
    }
    let missing: Vec<String> = (1..=INVARIANTS)
        .filter(|number| !numbers.contains(number))
        .map(|number| number.to_string())
        .collect();
    if !missing.is_empty() {
        add(1, format!("invariants without a row: {}", missing.join(", ")));
    }
}

/// `test: name` and `tests::file::name` name the function `name`.
fn test_name(span: &str) -> &str {
    let name = span.strip_prefix("test: ").unwrap_or(span);
    name.rsplit("::").next().unwrap_or(name)
}

/// Every name the sources define.
#[derive(Default)]
struct Known {
    /// `crate name` pairs: modules, functions, types, constants, variants, fields.
    defined: BTreeSet<(String, String)>,
    /// Contents of text literals, where a name may be data: states, headers, routes.
    texts: BTreeSet<String>,
    /// Test functions.
    tests: BTreeSet<String>,
}

impl Known {
    fn in_tree(tree: &Tree) -> Self {
        let mut known = Self::default();
        for (file, code) in tree.code() {
            known.read(file, code);
        }
        known
    }

    fn read(&mut self, file: &File, code: &Code) {
        let member = file.member();
        for (index, token) in code.tokens.iter().enumerate() {
            if let Some(text) = token.text_content() {
                self.texts.insert(text.to_owned());
            }
            let Some(name) = code.after(index, 1).filter(|name| name.kind == Kind::Word) else { continue };
            let is_definition = matches!(
                token.text.as_str(),
                "fn" | "struct" | "enum" | "trait" | "type" | "mod" | "const" | "static" | "union"
            );
            // Variants follow a bracket or a comma, fields are followed by a colon.
            let is_listed = matches!(token.text.as_str(), "{" | "," | "]" | "pub" | ")")
                && code
                    .after(index, 2)
                    .is_some_and(|sign| matches!(sign.text.as_str(), ":" | "," | "(" | "{" | "}" | "="));
            if token.kind != Kind::Literal && (is_definition || is_listed) {
                self.defined.insert((member.to_owned(), name.text.clone()));
            }
            if token.is_word("fn") && (token.is_test || file.is_test()) {
                self.tests.insert(name.text.clone());
            }
        }
    }

    fn defines(&self, member: &str, name: &str) -> bool {
        self.defined.contains(&(member.to_owned(), name.to_owned()))
    }

    fn defines_anywhere(&self, name: &str) -> bool {
        CRATES.iter().any(|member| self.defines(member, name))
    }

    /// Why a text in back-ticks cannot be looked up, or does not exist.
    fn problem(&self, tree: &Tree, span: &str) -> Option<String> {
        let missing = |what: &str| Some(format!("there is no {what} `{span}`"));
        if let Some(name) = span.strip_prefix("test: ") {
            return if self.tests.contains(test_name(name)) { None } else { missing("test") };
        }
        if span.contains(' ') {
            return self.command_problem(span);
        }
        if span.contains("::") {
            return if self.has_path(span) { None } else { missing("item") };
        }
        if span.starts_with('/') {
            return if self.texts.contains(span) { None } else { missing("route") };
        }
        if span.contains('/') || FILE_ENDINGS.iter().any(|ending| span.ends_with(ending)) {
            return if tree.has(span) { None } else { missing("file or folder") };
        }
        let name = span.trim_end_matches("()");
        let exists = self.defines_anywhere(name)
            || self.tests.contains(name)
            || self.texts.contains(span)
            || tree.has(span)
            || matches!(span, "tallygate" | "xtask");
        if exists { None } else { missing("name") }
    }

    /// `cargo xtask test`, `tallygate serve`: the command is a variant of the program's list.
    fn command_problem(&self, span: &str) -> Option<String> {
        let words: Vec<&str> = span.split(' ').collect();
        let (member, command) = match words.as_slice() {
            ["cargo", "xtask", command, ..] => ("xtask", command),
            ["tallygate", command, ..] => ("gateway", command),
            _ => return Some(format!("`{span}` cannot be looked up; write it without back-ticks")),
        };
        let variant: String = command.split('-').map(capitalised).collect();
        (!self.defines(member, &variant)).then(|| format!("there is no command `{span}`"))
    }

    /// `crate::module::Item`: every part is defined in that crate. `Type::name`: both are, in one crate.
    fn has_path(&self, span: &str) -> bool {
        let parts: Vec<&str> = span.trim_end_matches("()").split("::").collect();
        match parts.split_first() {
            Some((first, rest)) if CRATES.contains(first) => {
                rest.iter().all(|part| self.defines(first, part))
            }
            _ => CRATES.iter().any(|member| parts.iter().all(|part| self.defines(member, part))),
        }
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "pub mod meter { pub struct UsageRecord { pub energy_mj: u64 } pub enum Reason { Completed, Crashed } \
                        impl Reason { pub fn as_str() -> &'static str { \"crashed\" } } }\n\
                        enum Command { VerifyJournal(A) }\nconst ROUTE: &str = \"/v1/models\";\n\
                        #[cfg(test)] mod tests { #[test] fn holds_end_once() {} }\nfn not_a_test() {}";

    fn rows(first_tests: &str) -> String {
        let mut text = "| no. | invariant | tests |\n|---|---|---|\n".to_owned();
        for number in 1..=INVARIANTS {
            let tests = if number == 1 { first_tests } else { "not yet: the ledger" };
            text.push_str(&format!("| {number} | something | {tests} |\n"));
        }
        text
    }

    fn broken(map: &str) -> Vec<String> {
        let tree = Tree::of(&[("gateway/src/lib.rs", CODE), (MAP, map)]);
        check(&tree).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn names_are_looked_up() {
        let good = [
            "gateway/src/lib.rs",
            "gateway/",
            "gateway",
            "UsageRecord",
            "energy_mj",
            "crashed",
            "Reason::Crashed",
            "gateway::meter::UsageRecord",
            "/v1/models",
            "tallygate verify-journal",
            "test: holds_end_once",
            "as_str()",
        ];
        for span in good {
            assert_eq!(
                broken(&format!("{}\nThe `{span}`.", rows("not yet: x"))),
                Vec::<String>::new(),
                "{span}"
            );
        }
        let bad = [
            "gateway/src/no.rs",
            "no/",
            "no.toml",
            "NoSuchType",
            "gateway::no::UsageRecord",
            "gateway::meter::No",
            "engine::UsageRecord",
            "/v1/no",
            "tallygate no",
            "cargo xtask no",
            "test: not_a_test",
            "kill -9 now",
        ];
        for span in bad {
            assert_eq!(broken(&format!("{}\nThe `{span}`.", rows("not yet: x"))).len(), 1, "{span}");
            let fenced = format!("{}\n```text\nThe `{span}`.\n```\n", rows("not yet: x"));
            assert!(broken(&fenced).is_empty(), "{span}");
        }
    }

    #[test]
    fn every_invariant_has_a_test_or_says_so() {
        assert!(broken(&rows("`holds_end_once`")).is_empty());
        assert_eq!(broken(&rows("`not_a_test`")).len(), 1);
        assert_eq!(broken(&rows("later")).len(), 1);
        assert_eq!(broken("# Map\n"), ["invariants without a row: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"]);
        let twice = format!("{}| 1 | again | not yet: x |\n", rows("not yet: x"));
        assert_eq!(broken(&twice).len(), 1);
        assert_eq!(check(&Tree::of(&[("gateway/src/lib.rs", CODE)])).len(), 1, "no map");
    }
}

//! Names that say nothing: utils, helper, manager, misc, common.
//! Never looks at functions or variables, where such a word may be the right one.
//! Run by `tidy`.

use super::{Tree, Violation};

const EMPTY_NAMES: [&str; 9] =
    ["util", "utils", "utility", "utilities", "helper", "helpers", "manager", "misc", "common"];

/// Checks files, folders, modules and types.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for path in tree.paths() {
        let parts = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        for part in parts.filter(|part| words_of(part).any(is_empty_name)) {
            violations.push(Violation::new(path, 1, "name", says_nothing(part)));
        }
    }
    for (file, code) in tree.code() {
        for (index, token) in code.tokens.iter().enumerate() {
            let Some(name) = code.after(index, 1) else { continue };
            let is_bad = match token.text.as_str() {
                "mod" => words_of(&name.text).any(is_empty_name),
                "struct" | "enum" | "trait" | "type" => last_part(&name.text).is_some_and(is_empty_name),
                _ => false,
            };
            if is_bad {
                violations.push(Violation::new(&file.path, name.line, "name", says_nothing(&name.text)));
            }
        }
    }
    violations
}

fn says_nothing(name: &str) -> String {
    format!("`{name}` does not say what it is for; name it by what it does")
}

fn words_of(name: &str) -> impl Iterator<Item = &str> {
    name.split(['_', '-'])
}

/// `KeyManager` → `Manager`.
fn last_part(name: &str) -> Option<&str> {
    name.rfind(char::is_uppercase).map(|start| &name[start..])
}

fn is_empty_name(word: &str) -> bool {
    EMPTY_NAMES.contains(&word.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::broken_lines;

    #[test]
    fn empty_names_are_refused() {
        let rows = [
            ("engine/src/utils.rs", "", 1),
            ("engine/src/common/mod.rs", "", 1),
            ("models/key_helper.py", "", 1),
            ("a/src/lib.rs", "mod key_manager {}", 1),
            ("a/src/lib.rs", "pub struct BlockManager;", 1),
            ("a/src/lib.rs", "mod block_pool;\nstruct Managed;\nfn common_prefix() {}", 0),
            ("a/src/communion.rs", "", 0),
        ];
        for (path, text, expected) in rows {
            assert_eq!(broken_lines(check, path, text).len(), expected, "{path} {text}");
        }
    }
}

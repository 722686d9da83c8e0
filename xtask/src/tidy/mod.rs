//! `cargo xtask tidy`: the house rules that no compiler lint knows, one small file per family.
//! Never changes a file and never looks at files git would not track.
//! Called by `main` and by `cargo xtask test`.

mod arrows;
mod code;
mod faults;
mod floats;
mod header;
mod leaks;
mod length;
mod licence;
mod manifest;
mod map;
mod marks;
mod modules;
mod names;
mod places;
mod tree;

use std::{fmt, path::Path};

pub(crate) use tree::Tree;

use crate::failure::Failure;

/// One place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    line: usize,
    rule: &'static str,
    message: String,
}

impl Violation {
    fn new(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.message)
    }
}

/// A family of rules: what it finds broken in the tree.
type Rule = fn(&Tree) -> Vec<Violation>;

const RULES: [Rule; 13] = [
    tree::check,
    names::check,
    modules::check,
    header::check,
    length::check,
    floats::check,
    places::check,
    marks::check,
    faults::check,
    arrows::check,
    map::check,
    leaks::check,
    licence::check,
];

/// Checks the repository and prints what is broken.
///
/// Errors: anything is broken, or git cannot list the files.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let tree = Tree::read(root)?;
    let mut violations: Vec<Violation> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    violations.sort();
    violations.dedup();
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => Ok(()),
        count => Err(Failure::Untidy { count }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks one file and gives the lines found broken.
    pub(super) fn broken_lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(&[(path, text)])).into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn a_violation_reads_like_a_compiler_message() {
        let violation = Violation::new("a/b.rs", 3, "float", "no float here");
        assert_eq!(violation.to_string(), "a/b.rs:3: float: no float here");
    }
}

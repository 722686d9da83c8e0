//! How long a function and a file may be.
//! Never counts a function's documentation or attributes, and never data files.
//! Run by `tidy`.

use syn::{
    spanned::Spanned,
    visit::{self, Visit},
};

use super::{Tree, Violation, header};

/// From the signature to the closing bracket. What a reader can hold; clippy's own count leaves out comments.
const FUNCTION_LINES_MAX: usize = 70;

/// A file of more lines says why, in its header.
const FILE_LINES_USUAL: usize = 400;

/// A file of more lines is split.
const FILE_LINES_MAX: usize = 800;

/// How the sentence begins that says why a file is long; a paragraph of its own in the header.
const REASON: &str = "Long because ";

/// Checks every Rust file.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.rust_files() {
        let lines = file.text.lines().count();
        let has_reason = header::lines(&file.text).any(|line| line.starts_with(REASON));
        let problem = if lines > FILE_LINES_MAX {
            Some(format!("{lines} lines; {FILE_LINES_MAX} are the most, split the file"))
        } else if lines > FILE_LINES_USUAL && !has_reason {
            Some(format!(
                "{lines} lines; above {FILE_LINES_USUAL} a paragraph of the header says why: `{REASON}…`"
            ))
        } else {
            None
        };
        violations.extend(problem.map(|problem| Violation::new(&file.path, 1, "file-length", problem)));
    }
    for (file, code) in tree.code() {
        let mut functions = Functions::default();
        functions.visit_file(&code.syntax);
        for (name, line, lines) in functions.long {
            let message = format!("`{name}` has {lines} lines; {FUNCTION_LINES_MAX} are the most, split it");
            violations.push(Violation::new(&file.path, line, "function-length", message));
        }
    }
    violations
}

#[derive(Default)]
struct Functions {
    long: Vec<(String, usize, usize)>,
}

impl Functions {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let lines = block.span().end().line + 1 - first;
        if lines > FUNCTION_LINES_MAX {
            self.long.push((signature.ident.to_string(), first, lines));
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::broken_lines;

    #[test]
    fn long_functions_are_refused() {
        let function = |lines: usize| format!("fn a() {{{}}}\n", "\n".repeat(lines - 1));
        assert_eq!(broken_lines(check, "a.rs", &function(70)), Vec::<usize>::new());
        assert_eq!(broken_lines(check, "a.rs", &function(71)), [1]);
        let method = format!("struct A;\nimpl A {{\n{}}}\n", function(71));
        assert_eq!(broken_lines(check, "a.rs", &method), [3]);
    }

    #[test]
    fn long_files_say_why_and_longer_ones_are_refused() {
        let file = |header: &str, lines: usize| format!("{header}{}", "//\n".repeat(lines));
        let reason = "//! One.\n//!\n//! Long because it is a table.\n";
        let rows = [
            ("", 400, true),
            ("", 401, false),
            (reason, 500, true),
            (reason, 798, false),
            (reason, 797, true),
        ];
        for (header, lines, is_good) in rows {
            assert_eq!(broken_lines(check, "a.rs", &file(header, lines)).is_empty(), is_good, "{lines}");
        }
    }
}

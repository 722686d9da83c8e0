//! The one table from fault to HTTP status names every fault, so that a new one fails to compile.
//! Never looks at other matches: clippy warns about those.
//! Run by `tidy`.

use syn::visit::{self, Visit};

use super::{Tree, Violation};

const RULE: &str = "fault-table";

/// Where the table stands, as a file or as a folder.
const TABLE: [&str; 2] = ["gateway/src/http/error.rs", "gateway/src/http/error/"];

/// Checks the table in `gateway::http::error`.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    // Trees without a gateway are those of other rules' tests and of the first commits.
    if !tree.has("gateway/src") {
        return Vec::new();
    }
    let mut tables = 0;
    let mut violations = Vec::new();
    for (file, code) in tree.code().filter(|(file, _)| TABLE.iter().any(|place| file.path.starts_with(place)))
    {
        let mut matches = Matches::default();
        matches.visit_file(&code.syntax);
        tables += matches.tables;
        for line in matches.catch_alls {
            let message = "name every fault: an arm that catches the rest would hide a new one";
            violations.push(Violation::new(&file.path, line, RULE, message));
        }
    }
    if tables == 0 {
        violations.push(Violation::new(TABLE[0], 1, RULE, "the match from `Fault` to a status is not here"));
    }
    violations
}

#[derive(Default)]
struct Matches {
    tables: usize,
    catch_alls: Vec<usize>,
}

impl<'ast> Visit<'ast> for Matches {
    fn visit_expr_match(&mut self, expression: &'ast syn::ExprMatch) {
        let mut names = Faults::default();
        expression.arms.iter().for_each(|arm| names.visit_pat(&arm.pat));
        if names.found {
            self.tables += 1;
            let catch_alls = expression.arms.iter().filter(|arm| is_catch_all(&arm.pat));
            self.catch_alls.extend(catch_alls.map(|arm| arm.fat_arrow_token.spans[0].start().line));
        }
        visit::visit_expr_match(self, expression);
    }
}

/// Whether a pattern names a variant of `Fault`.
#[derive(Default)]
struct Faults {
    found: bool,
}

impl<'ast> Visit<'ast> for Faults {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.found |= path.segments.len() > 1 && path.segments.iter().any(|part| part.ident == "Fault");
    }
}

/// `_`, `other`, `other @ _`, `_ if …`, `A | _`, `(_)`, `&_`.
fn is_catch_all(pattern: &syn::Pat) -> bool {
    use syn::Pat::{Guard, Ident, Or, Paren, Reference, Wild};
    if let Ident(binding) = pattern {
        let rest = binding.subpat.as_ref().map(|(_, rest)| rest.as_ref());
        // A name in capitals is a constant or a variant, not a binding.
        let is_binding = binding.ident.to_string().starts_with(|c: char| c.is_lowercase() || c == '_');
        return rest.map_or(is_binding, is_catch_all);
    }
    if let Or(or) = pattern {
        return or.cases.iter().any(is_catch_all);
    }
    if let Paren(inner) = pattern {
        return is_catch_all(&inner.pat);
    }
    if let Reference(inner) = pattern {
        return is_catch_all(&inner.pat);
    }
    if let Guard(inner) = pattern {
        return is_catch_all(&inner.pat);
    }
    matches!(pattern, Wild(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::broken_lines;

    #[test]
    fn the_table_names_every_fault() {
        let table = |last: &str| {
            format!(
                "fn status(f: Fault) -> u16 {{\n match f {{\n Fault::Invalid => 400,\n {last} => 500,\n }}\n}}"
            )
        };
        for bad in ["_", "other", "other @ _", "Fault::Broken | _", "_ if true"] {
            assert_eq!(broken_lines(check, "gateway/src/http/error.rs", &table(bad)), [4], "{bad}");
        }
        assert!(broken_lines(check, "gateway/src/http/error.rs", &table("Fault::Broken")).is_empty());
        assert!(
            broken_lines(check, "gateway/src/http/error/mod.rs", &table("domain::Fault::Broken")).is_empty()
        );
        assert_eq!(broken_lines(check, "gateway/src/lib.rs", &table("Fault::Broken")), [1]);
        let other = format!("{}\nfn b(x: u8) {{ match x {{ 1 => (), _ => () }} }}", table("Fault::Broken"));
        assert!(broken_lines(check, "gateway/src/http/error.rs", &other).is_empty());
    }
}

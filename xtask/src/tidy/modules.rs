//! Where a module's file lies: `name.rs`, or `name/mod.rs` when it has parts.
//! Never looks into files.
//! Run by `tidy`.

use super::{Tree, Violation};

const RULE: &str = "module";

/// Checks every Rust file's place.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    tree.rust_files().filter_map(|file| check_one(tree, &file.path)).collect()
}

fn check_one(tree: &Tree, path: &str) -> Option<Violation> {
    let has_parts = |folder: &str| {
        tree.paths().any(|other| other != path && other.starts_with(folder) && other.ends_with(".rs"))
    };
    if let Some(folder) = path.strip_suffix("mod.rs").filter(|folder| folder.ends_with('/')) {
        let name = folder.trim_end_matches('/');
        let message = format!("a module without parts is a file: {name}.rs");
        return (!has_parts(folder)).then(|| Violation::new(path, 1, RULE, message));
    }
    let folder = format!("{}/", path.strip_suffix(".rs")?);
    let message = format!("a module with parts keeps them together: {folder}mod.rs");
    has_parts(&folder).then(|| Violation::new(path, 1, RULE, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_decide_where_a_module_lies() {
        let broken = |files: &[(&str, &str)]| check(&Tree::of(files)).len();
        assert_eq!(broken(&[("a/src/b/mod.rs", "")]), 1);
        assert_eq!(broken(&[("a/src/b/mod.rs", ""), ("a/src/b/c.rs", "")]), 0);
        assert_eq!(broken(&[("a/src/b.rs", ""), ("a/src/b/c.rs", "")]), 1);
        assert_eq!(broken(&[("a/src/b.rs", ""), ("a/src/bc.rs", "")]), 0);
    }
}

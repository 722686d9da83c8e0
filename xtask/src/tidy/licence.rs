//! The two licences: both texts are there, and every crate names both.
//! Never compares the texts word by word.
//! Run by `tidy`.

use super::{Tree, Violation, manifest::Manifest};

const RULE: &str = "licence";

/// What every crate says, through the workspace.
const EXPRESSION: &str = "MIT OR Apache-2.0";

/// Each licence file, and words that its text cannot be without.
const TEXTS: [(&str, &str); 2] = [
    ("LICENSE-MIT", "Permission is hereby granted, free of charge"),
    ("LICENSE-APACHE", "END OF TERMS AND CONDITIONS"),
];

/// Checks the texts and the manifests.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, words) in TEXTS {
        if !tree.find(path).is_some_and(|file| file.text.contains(words)) {
            violations.push(Violation::new(path, 1, RULE, "the licence's text is missing"));
        }
    }
    for file in tree.files().filter(|file| file.path.ends_with("Cargo.toml")) {
        // What is no TOML has been reported by the arrows.
        let Ok(manifest) = Manifest::read(file) else { continue };
        let is_root = file.path == "Cargo.toml";
        let package = match is_root {
            true => manifest.table.get("workspace").and_then(|workspace| workspace.get("package")),
            false => manifest.table.get("package"),
        };
        let licence = package.and_then(|package| package.get("license"));
        let is_good = match licence {
            Some(toml::Value::String(text)) => text == EXPRESSION,
            Some(inherited) => !is_root && inherited.get("workspace").is_some(),
            None => false,
        };
        if !is_good {
            let message = format!("the crate's licence must be {EXPRESSION}");
            violations.push(Violation::new(&file.path, manifest.line_of("license"), RULE, message));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_licences_are_there_and_named() {
        let root = ("Cargo.toml", "[workspace.package]\nlicense = \"MIT OR Apache-2.0\"");
        let member = ("a/Cargo.toml", "[package]\nlicense.workspace = true");
        let [(mit, mit_text), (apache, apache_text)] = TEXTS;
        let whole = [root, member, (mit, mit_text), (apache, apache_text)];
        assert_eq!(check(&Tree::of(&whole)), []);
        assert_eq!(check(&Tree::of(&whole[..3])).len(), 1, "a text is missing");
        assert_eq!(check(&Tree::of(&whole[1..])).len(), 0);
        let other = ("a/Cargo.toml", "[package]\nlicense = \"MIT\"");
        assert_eq!(check(&Tree::of(&[root, other, whole[2], whole[3]])).len(), 1);
        let none = ("a/Cargo.toml", "[package]");
        assert_eq!(check(&Tree::of(&[root, none, whole[2], (apache, "")])).len(), 2);
    }
}

//! Which crate may depend on which: the arrows of the design, and no other.
//! Never looks at crates from outside the workspace.
//! Run by `tidy`.

use super::{Tree, Violation, manifest::Manifest};

const RULE: &str = "arrow";

/// Each member, and the members it may depend on. `None`: any, because nothing depends on it.
const ARROWS: [(&str, Option<&[&str]>); 8] = [
    ("domain", Some(&[])),
    ("engine", Some(&["domain"])),
    ("billing", Some(&["domain"])),
    ("web", Some(&["domain", "billing"])),
    ("gateway", Some(&["domain", "engine", "billing", "web"])),
    ("tests", None),
    ("xtask", None),
    ("fuzz", None),
];

/// Members that nobody may depend on.
const LEAVES: [&str; 3] = ["tests", "xtask", "fuzz"];

/// Checks every manifest below the root.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let manifests = tree.files().filter(|file| file.path.ends_with("/Cargo.toml"));
    manifests
        .flat_map(|file| match Manifest::read(file) {
            Ok(manifest) => check_one(&manifest),
            Err(problem) => vec![Violation::new(&file.path, 1, RULE, format!("not TOML: {problem}"))],
        })
        .collect()
}

fn check_one(manifest: &Manifest<'_>) -> Vec<Violation> {
    let path = &manifest.file.path;
    let name = path.trim_end_matches("/Cargo.toml");
    let Some((_, allowed)) = ARROWS.iter().find(|(member, _)| *member == name) else {
        return vec![Violation::new(path, 1, RULE, format!("`{name}` is not a crate of the design"))];
    };
    let is_member = |package: &str| ARROWS.iter().any(|(member, _)| *member == package);
    let is_allowed = |package: &str| match allowed {
        Some(allowed) => allowed.contains(&package),
        None => !LEAVES.contains(&package),
    };
    let mut violations = Vec::new();
    for package in manifest.dependencies() {
        if is_member(&package) && !is_allowed(&package) {
            let message = format!("`{name}` must not depend on `{package}`");
            violations.push(Violation::new(path, manifest.line_of(&package), RULE, message));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::broken_lines;

    #[test]
    fn arrows_point_one_way() {
        let rows = [
            ("gateway", "engine.workspace = true", true),
            ("web", "billing = { path = \"../billing\" }", true),
            ("engine", "serde = \"1\"", true),
            ("tests", "gateway.workspace = true", true),
            ("domain", "engine.workspace = true", false),
            ("engine", "billing.workspace = true", false),
            ("billing", "money = { package = \"web\", path = \"../web\" }", false),
            ("web", "gateway.workspace = true", false),
            ("gateway", "xtask.workspace = true", false),
            ("shared", "", false),
        ];
        for (member, line, is_good) in rows {
            let path = format!("{member}/Cargo.toml");
            for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
                let text = format!("[{kind}]\n{line}\n");
                assert_eq!(broken_lines(check, &path, &text).is_empty(), is_good, "{member}: {line}");
            }
        }
        assert_eq!(
            broken_lines(check, "domain/Cargo.toml", "[dependencies]\nserde = \"1\"\nweb = \"1\""),
            [3]
        );
        assert_eq!(broken_lines(check, "domain/Cargo.toml", "[dependencies"), [1]);
    }
}

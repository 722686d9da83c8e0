//! What must not be in a public repository: hosts of package registries, folders of somebody's machine.
//! Never looks at lock files, which name registries by nature.
//! Run by `tidy`.

use super::{Tree, Violation};

/// Registries and mirrors, by the last parts of their names. Where packages come from is the machine's setting.
const REGISTRIES: [&[&str]; 12] = [
    &["crates", "io"],
    &["pypi", "org"],
    &["pythonhosted", "org"],
    &["npmjs", "org"],
    &["npmjs", "com"],
    &["deb", "debian", "org"],
    &["security", "debian", "org"],
    &["archive", "ubuntu", "com"],
    &["proxy", "golang", "org"],
    &["rubygems", "org"],
    &["download", "pytorch", "org"],
    &["download", "pytorch-extension", "intel", "com"],
];

/// Settings of package managers that name a registry.
const REGISTRY_SETTINGS: [&str; 4] = ["--index-url", "--extra-index-url", "--find-links", "--trusted-host"];

/// Folders that exist on one machine only.
const MACHINE_FOLDERS: [&str; 4] = ["work", "root", "home", "Users"];

/// Locks name their registry.
const LOCKS: [&str; 3] = ["Cargo.lock", "package-lock.json", "uv.lock"];

/// Checks every text file.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    // This file names the settings it looks for.
    for file in tree.files().filter(|file| !file.path.ends_with("xtask/src/tidy/leaks.rs")) {
        let is_lock = LOCKS.iter().any(|lock| file.path.ends_with(lock));
        for (index, line) in file.text.lines().enumerate() {
            if let Some(host) = registry_in(line).filter(|_| !is_lock) {
                let message = format!("`{host}`: where packages come from is the machine's setting");
                violations.push(Violation::new(&file.path, index + 1, "registry", message));
            }
            if let Some(folder) = machine_folder_in(line) {
                let message = format!("`{folder}` exists on one machine only");
                violations.push(Violation::new(&file.path, index + 1, "machine-path", message));
            }
        }
    }
    violations
}

fn registry_in(line: &str) -> Option<String> {
    let hosts = REGISTRIES.iter().map(|parts| parts.join("."));
    let is_host = |host: &String| {
        line.match_indices(host.as_str()).any(|(start, host)| {
            let before = line[..start].chars().next_back();
            let after = line[start + host.len()..].chars().next();
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !before.is_some_and(is_name) && !after.is_some_and(is_name)
        })
    };
    let settings = REGISTRY_SETTINGS.iter().filter(|setting| line.contains(**setting));
    hosts.into_iter().find(is_host).or_else(|| settings.map(ToString::to_string).next())
}

fn machine_folder_in(line: &str) -> Option<String> {
    MACHINE_FOLDERS.iter().map(|name| format!("/{name}")).find(|folder| {
        line.match_indices(folder.as_str()).any(|(start, folder)| {
            let before = line[..start].chars().next_back();
            let after = line[start + folder.len()..].chars().next();
            let continues = |c: char| c.is_alphanumeric() || "._-/}*)]>$~%".contains(c);
            let begins_path = !before.is_some_and(continues);
            // The name of a folder ends with the name of the next part, or with the text.
            begins_path && after.is_none_or(|c| c == '/' || !(c.is_alphanumeric() || "_-.".contains(c)))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::broken_lines;

    #[test]
    fn registries_are_not_named() {
        for parts in REGISTRIES {
            let host = parts.join(".");
            assert_eq!(broken_lines(check, "README.md", &format!("a\nsee https://{host}/x")), [2], "{host}");
            assert_eq!(broken_lines(check, "README.md", &format!("index.{host}")), [1], "{host}");
            assert!(broken_lines(check, "Cargo.lock", &host).is_empty());
            assert!(broken_lines(check, "README.md", &format!("my{host}")).is_empty());
        }
        let setting = format!("pip install {} https://example.com", REGISTRY_SETTINGS[0]);
        assert_eq!(broken_lines(check, "a.sh", &setting), [1]);
    }

    #[test]
    fn no_folder_of_one_machine() {
        for name in MACHINE_FOLDERS {
            let bad = [
                format!("cd /{name}"),
                format!("\"/{name}/x\""),
                format!("A=/{name}/x"),
                format!("`/{name}`"),
            ];
            for line in bad {
                assert_eq!(broken_lines(check, "a.sh", &line), [1], "{line}");
            }
            let good = [
                format!("a/{name}/b"),
                format!("/{name}ing"),
                format!("https://x.org/{name}"),
                format!("$HOME/{name}"),
            ];
            for line in good {
                assert!(broken_lines(check, "a.sh", &line).is_empty(), "{line}");
            }
        }
    }
}

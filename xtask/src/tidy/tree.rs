//! The files of the repository as the rules see them: paths, texts, parsed Rust.
//! Never a file that git ignores, and never anything outside the repository.
//! Read once by `tidy`; rules only look.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use super::{Violation, code::Code};
use crate::failure::Failure;

/// One text file.
pub(crate) struct File {
    /// Relative to the repository's root, with `/` between parts.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
    /// The tokens of a Rust file that could be read.
    pub(super) code: Option<Code>,
}

impl File {
    fn new(path: &str, text: &str) -> (Self, Option<Violation>) {
        let parsed = path.ends_with(".rs").then(|| Code::read(text));
        let (code, violation) = match parsed {
            Some(Ok(code)) => (Some(code), None),
            Some(Err(error)) => {
                let line = error.span().start().line.max(1);
                (None, Some(Violation::new(path, line, "parse", format!("cannot be read: {error}"))))
            }
            None => (None, None),
        };
        (Self { path: path.to_owned(), text: text.to_owned(), code }, violation)
    }

    /// Whether the whole file is tests or benchmarks.
    pub(super) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| matches!(part, "tests" | "tests.rs" | "benches" | "examples"))
    }

    /// The folder of the crate it belongs to: the first part of its path.
    pub(super) fn member(&self) -> &str {
        self.path.split('/').next().unwrap_or("")
    }
}

/// All files.
#[derive(Default)]
pub(crate) struct Tree {
    paths: BTreeSet<String>,
    files: Vec<File>,
    unreadable: Vec<Violation>,
}

impl Tree {
    /// Reads what git tracks, and what it would track if it were added.
    ///
    /// Errors: git cannot list the files; a file cannot be read.
    pub(crate) fn read(root: &Path) -> Result<Self, Failure> {
        let mut command = Command::new("git");
        command.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let output = command.output().map_err(Failure::io("start", "git"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Failure::Command { line: "git ls-files".to_owned(), ending: said });
        }
        let mut tree = Self::default();
        for path in String::from_utf8_lossy(&output.stdout).split('\0').filter(|path| !path.is_empty()) {
            let full = root.join(path);
            // A tracked file may just have been deleted; a link may point anywhere.
            if full.is_symlink() || !full.is_file() {
                continue;
            }
            let bytes = fs::read(&full).map_err(Failure::io("read", full.display()))?;
            tree.insert(path, String::from_utf8(bytes).ok().as_deref());
        }
        Ok(tree)
    }

    /// A tree of the given files, for tests of rules.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.insert(path, Some(text));
        }
        tree
    }

    fn insert(&mut self, path: &str, text: Option<&str>) {
        self.paths.insert(path.to_owned());
        if let Some(text) = text {
            let (file, violation) = File::new(path, text);
            self.files.push(file);
            self.unreadable.extend(violation);
        }
    }

    /// Every path, binary files included.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// Every text file.
    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// Every Rust file.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.path.ends_with(".rs"))
    }

    /// Every Rust file that could be read, with its tokens.
    pub(super) fn code(&self) -> impl Iterator<Item = (&File, &Code)> {
        self.files().filter_map(|file| Some((file, file.code.as_ref()?)))
    }

    /// The text file at a path.
    pub(super) fn find(&self, path: &str) -> Option<&File> {
        self.files().find(|file| file.path == path)
    }

    /// Whether a file or a folder of that path is in the repository.
    pub(super) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        self.paths.contains(path) || self.paths().any(|known| known.starts_with(&folder))
    }
}

/// Reports Rust files that do not parse: no rule has seen them.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    tree.unreadable.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::broken_lines;

    #[test]
    fn files_that_do_not_parse_are_reported() {
        assert_eq!(broken_lines(check, "a.rs", "fn a() {}\nfn b( {}\n").len(), 1);
        assert!(broken_lines(check, "a.rs", "fn a() {}\n").is_empty());
    }

    #[test]
    fn folders_exist_by_their_files() {
        let tree = Tree::of(&[("a/b/c.md", "")]);
        for (path, is_there) in
            [("a", true), ("a/b/", true), ("a/b/c.md", true), ("a/bc", false), ("b", false)]
        {
            assert_eq!(tree.has(path), is_there, "{path}");
        }
    }
}

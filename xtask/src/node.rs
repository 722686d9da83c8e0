//! JavaScript packages, one folder for each lock file, kept in the cache folder.
//! Never writes into the repository and never names a package registry: npm's own settings decide.
//! Called by `cargo xtask test`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{cache, failure::Failure, process};

/// What npm installs from: exact versions and hashes, without addresses.
const LISTS: [&str; 2] = ["package.json", "package-lock.json"];

/// Exists in a folder once everything has been installed into it.
const COMPLETE: &str = "tallygate-complete";

/// Gives the folder that holds, in `node_modules`, what the lock file in `lists` lists, making it when needed.
///
/// Errors: npm is missing, fails or takes longer than `limit`, or the folder is not there and `may_install` is
/// false.
pub(crate) fn environment(lists: &Path, may_install: bool, limit: Duration) -> Result<PathBuf, Failure> {
    let mut named = Vec::new();
    for list in LISTS.map(|name| lists.join(name)) {
        named.extend(fs::read(&list).map_err(Failure::io("read", list.display()))?);
    }
    let folder = cache::folder()?.join(format!("node-{:016x}", cache::fnv1a(&named)));
    let is_complete = || folder.join(COMPLETE).is_file();
    if is_complete() {
        println!("    {}: up to date", folder.display());
        return Ok(folder);
    }
    if !may_install {
        return Err(Failure::Missing {
            what: format!("the JavaScript packages in {}", folder.display()),
            remedy: "run again without --no-install".to_owned(),
        });
    }
    let _lock = cache::lock(&folder)?;
    if !is_complete() {
        make(&folder, lists, limit)?;
    }
    Ok(folder)
}

fn make(folder: &Path, lists: &Path, limit: Duration) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(Failure::io("create", folder.display()))?;
    for name in LISTS {
        fs::copy(lists.join(name), folder.join(name)).map_err(Failure::io("copy", name))?;
    }
    // No package runs a program of its own while it is installed.
    let mut install = Command::new("npm");
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]);
    process::run(install.arg(folder), limit)?;
    let mark = folder.join(COMPLETE);
    fs::write(&mark, "").map_err(Failure::io("write", mark.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_installed_when_that_is_refused() {
        let lists = std::env::temp_dir().join(format!("tallygate-packages-{}", std::process::id()));
        fs::create_dir_all(&lists).expect("a temporary folder");
        for name in LISTS {
            fs::write(lists.join(name), "no such package for this test").expect("a temporary file");
        }
        let outcome = environment(&lists, false, Duration::from_secs(1));
        fs::remove_dir_all(&lists).expect("the temporary folder");
        assert!(matches!(outcome, Err(Failure::Missing { .. })), "{outcome:?}");
    }

    #[test]
    fn a_lock_file_is_needed() {
        let outcome = environment(Path::new("no-such-folder"), true, Duration::from_secs(1));
        assert!(matches!(outcome, Err(Failure::Io { .. })), "{outcome:?}");
    }
}

//! Where build output and Python environments are kept between runs.
//! Never inside the repository, so a fresh clone starts warm.
//! Asked by every task that builds or installs something.

use std::{env, ffi::OsString, path::PathBuf};

use crate::failure::Failure;

/// The cache folder of this project: `tallygate` below `XDG_CACHE_HOME`, or below `.cache` in the home folder.
///
/// Errors: neither variable is set to an absolute path.
pub(crate) fn folder() -> Result<PathBuf, Failure> {
    folder_from(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))
}

fn folder_from(cache_home: Option<OsString>, home: Option<OsString>) -> Result<PathBuf, Failure> {
    let absolute = |text: OsString| Some(PathBuf::from(text)).filter(|path| path.is_absolute());
    let base = cache_home.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".cache")));
    base.map(|base| base.join("tallygate")).ok_or_else(|| Failure::Missing {
        what: "a cache folder".to_owned(),
        remedy: "set HOME or XDG_CACHE_HOME to an absolute path".to_owned(),
    })
}

/// Where cargo puts its output: `CARGO_TARGET_DIR` when set, else `target` in the cache folder.
///
/// Errors: as [`folder`].
pub(crate) fn target_folder() -> Result<PathBuf, Failure> {
    match env::var_os("CARGO_TARGET_DIR").filter(|text| !text.is_empty()) {
        Some(set) => std::path::absolute(PathBuf::from(set))
            .map_err(Failure::io("resolve", "the folder in CARGO_TARGET_DIR")),
        None => Ok(folder()?.join("target")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_home_comes_first() {
        let some = |text: &str| Some(OsString::from(text));
        let rows = [
            (some("/c"), some("/h"), Some("/c/tallygate")),
            (None, some("/h"), Some("/h/.cache/tallygate")),
            (some(""), some("/h"), Some("/h/.cache/tallygate")),
            (some("relative"), some("/h"), Some("/h/.cache/tallygate")),
            (None, None, None),
            (None, some("relative"), None),
        ];
        for (cache_home, home, expected) in rows {
            assert_eq!(folder_from(cache_home, home).ok(), expected.map(PathBuf::from));
        }
    }
}

//! Where build output, Python environments and JavaScript packages are kept between runs.
//! Never inside the repository, so a fresh clone starts warm.
//! Asked by every task that builds or installs something.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
};

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

/// Two runs at once make a folder of the cache one after the other. The lock ends with the file, whatever happens.
///
/// Errors: the lock file cannot be made or locked.
pub(crate) fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.with_extension("lock");
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Failure::io("create", parent.display()))?;
    }
    let file = File::create(&path).map_err(Failure::io("create", path.display()))?;
    file.lock().map_err(Failure::io("lock", path.display()))?;
    Ok(file)
}

/// FNV-1a, 64 bits: names a list of requirements; nobody attacks it.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_published_ones() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

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

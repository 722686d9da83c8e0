//! Python environments, one for each list of requirements, kept in the cache folder.
//! Never touches the system's Python and never names a package index: pip's own settings decide.
//! Called by `cargo xtask test` and `cargo xtask train-demo`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{cache, failure::Failure, process};

/// Interpreters to try: the one the user chose, then the system's, which has `venv` when Debian's package is there.
const INTERPRETERS: [&str; 2] = ["python3", "/usr/bin/python3"];

/// Making an environment copies pip; a minute is generous on a slow disk.
const VENV_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Exists in an environment once everything has been installed into it.
const COMPLETE: &str = "tallygate-complete";

/// Gives the interpreter of an environment that holds what `requirements` lists, making it when needed.
///
/// Errors: no Python with `venv`, pip fails or takes longer than `limit`, or it is not there and `may_install`
/// is false.
pub(crate) fn environment(
    requirements: &Path,
    may_install: bool,
    limit: Duration,
) -> Result<PathBuf, Failure> {
    let list = fs::read(requirements).map_err(Failure::io("read", requirements.display()))?;
    let folder = cache::folder()?.join(format!("venv-{:016x}", cache::fnv1a(&list)));
    let interpreter = folder.join("bin/python");
    let is_complete = || folder.join(COMPLETE).is_file() && interpreter.is_file();
    if is_complete() {
        println!("    {}: up to date", folder.display());
        return Ok(interpreter);
    }
    if !may_install {
        return Err(Failure::Missing {
            what: format!("the Python environment {}", folder.display()),
            remedy: "run again without --no-install".to_owned(),
        });
    }
    let _lock = cache::lock(&folder)?;
    if !is_complete() {
        make(&folder, &interpreter, requirements, limit)?;
    }
    Ok(interpreter)
}

fn make(folder: &Path, interpreter: &Path, requirements: &Path, limit: Duration) -> Result<(), Failure> {
    let python = find_interpreter()?;
    process::run(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder), VENV_LIMIT)?;
    let mut install = Command::new(interpreter);
    install.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-r"]);
    process::run(install.arg(requirements), limit)?;
    let mark = folder.join(COMPLETE);
    fs::write(&mark, "").map_err(Failure::io("write", mark.display()))
}

fn find_interpreter() -> Result<&'static str, Failure> {
    for python in INTERPRETERS {
        if process::succeeds(Command::new(python).args(["-c", "import ensurepip, venv"]))? {
            return Ok(python);
        }
    }
    Err(Failure::Missing {
        what: "Python 3 with the modules venv and ensurepip".to_owned(),
        remedy: "install the packages python3 and python3-venv".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_installed_when_that_is_refused() {
        let list = std::env::temp_dir().join(format!("tallygate-requirements-{}", std::process::id()));
        fs::write(&list, "no-such-package-for-this-test").expect("a temporary file");
        let outcome = environment(&list, false, Duration::from_secs(1));
        fs::remove_file(&list).expect("the temporary file");
        assert!(matches!(outcome, Err(Failure::Missing { .. })), "{outcome:?}");
    }
}

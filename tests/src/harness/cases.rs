//! Runs a client script that prints one line for each of its cases: Python, JavaScript or a shell.
//! Never installs anything: the test command has done that.
//! Called by tests with published clients.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use super::{HarnessError, Outcome, program};

/// How one case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Why it failed; `None` when it passed.
    pub failure: Option<String>,
}

/// Runs `clients/<script>` of this package with variables, and reads its cases.
///
/// The script ends with a failure when a case fails; that is no error here as long as it says which.
///
/// Errors: it cannot be started; it fails without a failed case.
pub fn run_cases(interpreter: &str, script: &str, variables: &[(&str, &str)]) -> Outcome<Vec<Case>> {
    let mut command = Command::new(interpreter);
    command.arg(scripts().join(script)).envs(variables.iter().copied());
    // The script must not write its caches into the repository.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    read_cases(&mut command)
}

/// As [`run_cases`], for a JavaScript module and the folder into which its packages were installed.
///
/// Node looks for packages beside a module and above it, so the modules are copied to where the packages can be.
///
/// Errors: as [`run_cases`]; the copy cannot be made.
pub fn run_node_cases(packages: &str, script: &str, variables: &[(&str, &str)]) -> Outcome<Vec<Case>> {
    let folder = tempfile::Builder::new()
        .prefix("tallygate-node-")
        .tempdir()
        .map_err(HarnessError::io("a temporary folder"))?;
    for name in [script, "cases.mjs"] {
        fs::copy(scripts().join(name), folder.path().join(name)).map_err(HarnessError::io(name))?;
    }
    let modules = Path::new(packages).join("node_modules");
    symlink(&modules, folder.path().join("node_modules")).map_err(HarnessError::io("node_modules"))?;
    let mut command = Command::new("node");
    command.arg(folder.path().join(script)).envs(variables.iter().copied());
    read_cases(&mut command)
}

/// Checks that every expected case is there, in order, no other, and that all passed.
///
/// # Panics
/// When one failed, is missing or unexpected; with what the server printed.
#[track_caller]
pub fn check_cases(cases: &[Case], expected: &[&str], printed: &str) {
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    let failed: Vec<_> = cases.iter().filter(|case| case.failure.is_some()).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{printed}");
    assert_eq!(names, expected);
}

fn scripts() -> std::path::PathBuf {
    program::root().join("tests/clients")
}

fn read_cases(command: &mut Command) -> Outcome<Vec<Case>> {
    match program::run(command) {
        Ok(printed) => Ok(cases(&printed)),
        Err(HarnessError::Program { line, status, stdout, stderr }) => {
            let cases = cases(&stdout);
            match cases.iter().any(|case| case.failure.is_some()) {
                true => Ok(cases),
                false => Err(HarnessError::Program { line, status, stdout, stderr }),
            }
        }
        Err(other) => Err(other),
    }
}

/// `ok name` and `FAIL name: why`; other lines are remarks.
fn cases(printed: &str) -> Vec<Case> {
    let case = |line: &str| {
        if let Some(name) = line.strip_prefix("ok ") {
            return Some(Case { name: name.trim().to_owned(), failure: None });
        }
        let (name, why) = line.strip_prefix("FAIL ")?.split_once(": ")?;
        Some(Case { name: name.to_owned(), failure: Some(why.to_owned()) })
    };
    printed.lines().filter_map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read() {
        let case = |name: &str, why: Option<&str>| Case { name: name.into(), failure: why.map(Into::into) };
        let expected = [case("plain", None), case("bad_key", Some("no: error"))];
        assert_eq!(cases("remark\nok plain\nFAIL bad_key: no: error\n"), expected);
    }
}

//! Runs a Python program that prints one line for each of its cases.
//! Never installs anything: the test command has done that.
//! Called by tests with official clients.

use std::process::Command;

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
pub fn run_cases(python: &str, script: &str, variables: &[(&str, &str)]) -> Outcome<Vec<Case>> {
    let mut command = Command::new(python);
    command.arg(program::root().join("tests/clients").join(script)).envs(variables.iter().copied());
    // The script must not write its caches into the repository.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    match program::run(&mut command) {
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

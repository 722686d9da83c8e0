//! Runs schemathesis, which makes requests out of an OpenAPI document, valid and invalid ones, and judges the answers.
//! Never installs it: the test command has done that.
//! Called by the tests of the documented interfaces.

use std::{env, fmt::Write as _, fs, path::Path, process::Command};

use super::{HarnessError, Outcome, program};

/// Cases for each operation. Continuous integration has minutes; a night may be given more.
const EXAMPLES: u32 = 15;
/// Sets another number of cases.
const EXAMPLES_VARIABLE: &str = "TALLYGATE_TEST_EXAMPLES";
/// How many of the requests name what is there; the others name anything.
const KNOWN_SHARE: f64 = 0.8;
/// No request may hang longer. Unit: seconds.
const ANSWER_SECONDS_MAX: u32 = 20;

/// What every answer is judged by: no status above 499, and nothing that the document does not say.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,ignored_auth";

/// Where requests go, and by which document.
#[derive(Clone, Debug)]
pub struct Described {
    /// The document: a file or an address.
    pub document: String,
    /// The address of the port without a path.
    pub origin: String,
    /// The credential, as a bearer token.
    pub credential: String,
    /// Names of path parameters, and a value of each that is there; most requests name these.
    pub known: Vec<(&'static str, String)>,
    /// The seed: the same one makes the same requests.
    pub seed: u64,
}

/// Sends generated requests and gives what schemathesis printed.
///
/// Errors: any answer fails a check, with its report; an operation was left out, or let none of its requests in.
pub fn send_generated(python: &str, described: &Described, folder: &Path) -> Outcome<String> {
    let Described { document, origin, credential, known, seed } = described;
    let path = folder.join("schemathesis.toml");
    fs::write(&path, config(known)).map_err(HarnessError::io("schemathesis.toml"))?;
    let examples = env::var(EXAMPLES_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(EXAMPLES);
    let mut command = Command::new(python);
    command
        .args(["-m", "schemathesis.cli", "run", document, "--url", origin, "--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing,stateful", "--continue-on-failure", "--no-color"])
        .args(["--max-examples", &examples.to_string(), "--seed", &seed.to_string()])
        .args(["--request-timeout", &ANSWER_SECONDS_MAX.to_string()])
        .arg("--header")
        .arg(format!("Authorization: Bearer {credential}"))
        // What it writes down stays out of the repository.
        .current_dir(folder);
    let printed = program::run(&mut command)?;
    match is_all_tested(&printed) {
        true => Ok(printed),
        false => Err(HarnessError::NotEvents { text: printed }),
    }
}

/// The file that schemathesis reads in its folder: what is there, and that a credential which opens nothing is a failure.
fn config(known: &[(&'static str, String)]) -> String {
    let mut text = "[warnings]\nfail-on = [\"missing_auth\"]\n".to_owned();
    let mut bindings = "[parameters]\n".to_owned();
    for (name, value) in known {
        // Writing to a string never fails.
        write!(text, "[dictionaries.{name}]\nvalues = [{value:?}]\n").ok();
        writeln!(bindings, "\"path.{name}\" = {{ dictionary = {name:?}, probability = {KNOWN_SHARE} }}").ok();
    }
    text + &bindings
}

/// Whether the summary says that every operation of the document was selected and tested.
fn is_all_tested(printed: &str) -> bool {
    let value = |name: &str| printed.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let (selected, tested) = (value("Selected:"), value("Tested:").unwrap_or_default());
    selected.is_some_and(|selected| selected == format!("{tested}/{tested}"))
}

/// The document of the data plane.
pub fn data_plane_document() -> std::path::PathBuf {
    program::root().join("docs/openapi.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_whether_all_was_tested() {
        let summary =
            |selected, tested| format!("API Operations:\n  Selected: {selected}\n  Tested: {tested}\n");
        for (selected, tested, expected) in
            [("38/38", "38", true), ("37/38", "37", false), ("38/38", "37", false)]
        {
            assert_eq!(is_all_tested(&summary(selected, tested)), expected, "{selected} {tested}");
        }
        assert!(!is_all_tested(""));
    }

    #[test]
    fn what_is_there_is_named() {
        let text = config(&[("id", "resp_1".to_owned())]);
        assert!(text.ends_with(
            "[dictionaries.id]\nvalues = [\"resp_1\"]\n[parameters]\n\"path.id\" = { dictionary = \"id\", probability = 0.8 }\n"
        ));
    }
}

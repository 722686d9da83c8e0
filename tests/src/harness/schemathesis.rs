//! Runs schemathesis, which makes requests out of an OpenAPI document, valid and invalid ones, and judges the answers.
//! Never installs it: the test command has done that.
//! Called by the tests of the documented interfaces.

use std::{env, path::Path, process::Command};

use super::{Outcome, program};

/// Cases for each operation. Continuous integration has minutes; a night may be given more.
const EXAMPLES: u32 = 15;
/// Sets another number of cases.
const EXAMPLES_VARIABLE: &str = "TALLYGATE_TEST_EXAMPLES";
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
    /// The seed: the same one makes the same requests.
    pub seed: u64,
}

/// Sends generated requests and gives what schemathesis printed.
///
/// Errors: any answer fails a check, with its report.
pub fn send_generated(python: &str, described: &Described, folder: &Path) -> Outcome<String> {
    let Described { document, origin, credential, seed } = described;
    let examples = env::var(EXAMPLES_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(EXAMPLES);
    let mut command = Command::new(python);
    command
        .args(["-m", "schemathesis.cli", "run", document, "--url", origin, "--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"])
        .args(["--max-examples", &examples.to_string(), "--seed", &seed.to_string()])
        .args(["--request-timeout", &ANSWER_SECONDS_MAX.to_string()])
        .arg("--header")
        .arg(format!("Authorization: Bearer {credential}"))
        // What it writes down stays out of the repository.
        .current_dir(folder);
    program::run(&mut command)
}

/// The document of the data plane.
pub fn data_plane_document() -> std::path::PathBuf {
    program::root().join("docs/openapi.json")
}

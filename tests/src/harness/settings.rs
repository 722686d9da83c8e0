//! What `cargo xtask test` tells the tests: where the program, the database and the clients are.
//! Never a silent default: what is missing fails a test, or is said when it was started by hand.
//! Asked by tests and by the other parts of the harness.

use std::env;

/// A PostgreSQL server in which tests may create databases.
pub const POSTGRES_URL: &str = "TALLYGATE_TEST_POSTGRES_URL";

/// A Redis in which tests may do what they like with tenants of their own.
pub const REDIS_URL: &str = "TALLYGATE_TEST_REDIS_URL";

/// A Python that has the packages of the client tests.
pub const PYTHON: &str = "TALLYGATE_TEST_PYTHON";

/// A Python that has the validator of exported charges.
pub const FOCUS: &str = "TALLYGATE_TEST_FOCUS";

/// The folder into which the JavaScript packages of the client tests were installed.
pub const NODE: &str = "TALLYGATE_TEST_NODE";

/// The program under test; without it, the one in the target folder is built and used.
pub(super) const BINARY: &str = "TALLYGATE_TEST_BINARY";

/// Set by the test command: nothing a test needs may be missing.
const REQUIRE: &str = "TALLYGATE_TEST_REQUIRE";

/// The value of a variable a test cannot run without.
///
/// `None`, with a printed line, when it is missing and the test was started by hand.
///
/// # Panics
/// When it is missing and the test command promised it.
pub fn needed(variable: &str) -> Option<String> {
    let value = env::var(variable).ok().filter(|value| !value.is_empty());
    let is_promised = env::var(REQUIRE).is_ok_and(|value| value == "1");
    assert!(value.is_some() || !is_promised, "{variable} is missing although {REQUIRE} is set");
    if value.is_none() {
        say(&format!("SKIPPED: {variable} is not set; `cargo xtask test` sets it"));
    }
    value
}

/// One line for whoever reads the test's output.
#[expect(clippy::print_stderr, reason = "a test speaks through its captured output")]
pub(super) fn say(line: &str) {
    eprintln!("{line}");
}

//! Why a test could not do what it wanted to do.
//! Never a failed expectation: those are assertions of the test.
//! Made by every part of the harness.

use std::{fmt, path::PathBuf, process::ExitStatus, time::Duration};

/// The outcome of a step of a test.
pub type Outcome<T = ()> = Result<T, HarnessError>;

/// Why a step of a test failed.
#[derive(thiserror::Error)]
pub enum HarnessError {
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What it said.
        source: std::io::Error,
    },
    /// A program ended with a failure.
    #[error("{line} ended with {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")]
    Program {
        /// The command line.
        line: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed.
        stdout: String,
        /// What it complained.
        stderr: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {limit:?}\n{output}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What the program had printed.
        output: String,
    },
    /// The program was not found and could not be built.
    #[error("{} is not there", .0.display())]
    NoProgram(PathBuf),
    /// HTTP did not work; an error status is no error here.
    #[error("http: {0}")]
    Http(#[from] reqwest::Error),
    /// An answer was not JSON.
    #[error("not JSON: {text:?}: {source}")]
    Json {
        /// What it was.
        text: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// An answer was not what its content type says.
    #[error("not a stream of events: {text:?}")]
    NotEvents {
        /// What it was.
        text: String,
    },
    /// PostgreSQL did not do what was asked.
    #[error("postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// A row of a fixture cannot be read.
    #[error("{path}:{line}: not a row of a trace")]
    Fixture {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
    },
}

impl HarnessError {
    /// Wraps an error of the operating system.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl fmt::Debug for HarnessError {
    /// A failed test prints its error this way: as text for a person, line breaks included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

//! What can go wrong in a task, in words that say what to do next.
//! Never holds secrets or the output of a command: that has been printed already.
//! Made by every task and shown by `main`.

use std::{fmt, io, path::PathBuf, time::Duration};

/// Why a task stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The operating system refused something.
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or program.
        what: String,
        /// What it said.
        source: io::Error,
    },
    /// A command ran and did not succeed.
    Command {
        /// The command line.
        line: String,
        /// How it ended.
        ending: String,
    },
    /// A command did not end in time and was stopped.
    TimedOut {
        /// The command line.
        line: String,
        /// The time it was given.
        limit: Duration,
    },
    /// Ctrl-C or a request to terminate.
    Interrupted,
    /// Something a task needs is not on this machine.
    Missing {
        /// What is needed.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// A file does not hold what it should.
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// House rules are broken; each has been printed.
    Untidy {
        /// How many.
        count: usize,
    },
    /// Steps failed; each has been printed.
    Steps {
        /// How many.
        failed: usize,
        /// Out of how many that were run.
        run: usize,
    },
}

impl Failure {
    /// Wraps an error of the operating system.
    pub(crate) fn io(doing: &'static str, what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Io { doing, what, source }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, what, source } => write!(f, "cannot {doing} {what}: {source}"),
            Self::Command { line, ending } => write!(f, "`{line}` failed ({ending})"),
            Self::TimedOut { line, limit } => {
                write!(f, "`{line}` was stopped after {} s", limit.as_secs())
            }
            Self::Interrupted => f.write_str("interrupted"),
            Self::Missing { what, remedy } => write!(f, "{what} is missing: {remedy}"),
            Self::Malformed { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::Untidy { count } => write!(f, "{count} rule violation(s)"),
            Self::Steps { failed, run } => write!(f, "{failed} of {run} step(s) failed"),
        }
    }
}

impl std::error::Error for Failure {}

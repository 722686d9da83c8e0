//! Text for people on standard error: begun once, and filtered anew when the configuration changes.
//! Never prompts, keys or addresses: what is logged is said where it happens.
//! Begun by `cli::serve`, changed by `reload`.

use std::{fmt, io::IsTerminal as _};

use tracing_subscriber::EnvFilter;

/// The running log.
pub struct Log {
    filter: Box<dyn Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync>,
}

/// Why nothing would be logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not read.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else logs already.
    #[error("logging: {0}")]
    Begun(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log(…)")
    }
}

impl Log {
    /// Begins to log, as lines for people or as one JSON object a line.
    ///
    /// Errors: a filter that does not read; a log that has begun already.
    pub fn begin(filter: &str, is_json: bool) -> Result<Self, LogError> {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::try_new(filter)?)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        // The handle's type names the form, so each form has its own.
        if is_json {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init()?;
            return Ok(Self { filter: Box::new(move |filter| handle.reload(filter)) });
        }
        let builder = builder.with_filter_reloading();
        let handle = builder.reload_handle();
        builder.try_init()?;
        Ok(Self { filter: Box::new(move |filter| handle.reload(filter)) })
    }

    /// Logs by another filter from now on. The configuration has checked it; if it does not read all the same, the
    /// one before stays.
    pub fn refilter(&self, filter: &str) {
        let outcome = EnvFilter::try_new(filter).map(&self.filter);
        if !matches!(outcome, Ok(Ok(()))) {
            tracing::error!("the log's filter stays as it was");
        }
    }
}

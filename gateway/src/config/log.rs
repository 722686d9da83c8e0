//! `[log]`: what is written for people.
//! Never where it goes: that is standard error, and its form is a variable of the start.
//! Part of `Config`; read by `cli::serve` and `reload`.

use serde::{Deserialize, Deserializer, de::Error as _};
use tracing_subscriber::EnvFilter;

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Levels, as `tracing` writes them: one for all, and others for parts of the program.
    #[serde(deserialize_with = "filter")]
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        // What the HTTP library calls an error is a client's broken request; the client is told of it.
        Self { filter: "warn,gateway=info,actix_http=off".to_owned() }
    }
}

fn filter<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    match EnvFilter::try_new(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(D::Error::custom(format!("{text:?} is no filter of logs: {error}"))),
    }
}

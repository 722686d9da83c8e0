//! Reads an issuer's key set: from a file, from its own place, or where the issuer's discovery document says.
//! Never follows a redirect, never reads without a bound, and never a place that a request names.
//! Called by `refresh`, beside requests.

use std::{path::Path, time::Duration};

use serde::Deserialize;
use url::Url;

use super::keys::{KeySet, KeySetError};
use crate::config;

/// Longest document taken. Key sets have a few kilobytes; with certificate chains, tens. Unit: bytes.
const DOCUMENT_BYTES_MAX: usize = 256 * 1_024;
/// How long one document may take: issuers answer in milliseconds, and nobody waits for this.
const FETCH_MAX: Duration = Duration::from_secs(5);
/// Where the discovery document is, below the issuer (OpenID Connect Discovery 1.0, section 4).
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// Why the keys of an issuer were not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    #[error("{0} is neither https nor http on this machine")]
    NotPrivate(String),
    #[error("the issuer was not reached: {0}")]
    Http(#[from] reqwest::Error),
    #[error("{0} answered {1}")]
    Status(Url, u16),
    #[error("the document has more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong,
    #[error("the discovery document does not read: {0}")]
    Discovery(#[from] serde_json::Error),
    #[error("the discovery document is of another issuer")]
    OtherIssuer,
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// A client for issuers only.
///
/// Errors: no TLS roots on this machine.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .timeout(FETCH_MAX)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
}

/// The keys as they are now.
pub(super) async fn keys(client: &reqwest::Client, issuer: &config::Issuer) -> Result<KeySet, FetchError> {
    let text = match (&issuer.jwks_file, &issuer.jwks_url) {
        (Some(path), _) => file(path).await?,
        (None, Some(url)) => document(client, url).await?,
        (None, None) => document(client, &discover(client, &issuer.issuer).await?).await?,
    };
    Ok(KeySet::from_json(&text)?)
}

async fn file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let fault = |error| FetchError::File(path.display().to_string(), error);
    let length = tokio::fs::metadata(path).await.map_err(fault)?.len();
    if usize::try_from(length).is_ok_and(|length| length > DOCUMENT_BYTES_MAX) {
        return Err(FetchError::TooLong);
    }
    tokio::fs::read(path).await.map_err(fault)
}

/// Where the issuer says its keys are.
async fn discover(client: &reqwest::Client, issuer: &str) -> Result<String, FetchError> {
    let text = document(client, &format!("{}{DISCOVERY_PATH}", issuer.trim_end_matches('/'))).await?;
    let found: Discovery = serde_json::from_slice(&text)?;
    match found.issuer == issuer {
        true => Ok(found.jwks_uri),
        false => Err(FetchError::OtherIssuer),
    }
}

async fn document(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, FetchError> {
    let url =
        config::private_url(url).ok_or_else(|| FetchError::NotPrivate(url.chars().take(200).collect()))?;
    let mut answer = client.get(url.clone()).header("accept", "application/json").send().await?;
    if answer.status().as_u16() != 200 {
        return Err(FetchError::Status(url, answer.status().as_u16()));
    }
    let mut text = Vec::new();
    while let Some(part) = answer.chunk().await? {
        if text.len() + part.len() > DOCUMENT_BYTES_MAX {
            return Err(FetchError::TooLong);
        }
        text.extend_from_slice(&part);
    }
    Ok(text)
}

//! What opens a server elsewhere: nothing, a secret that was configured, or a token that is signed for a node.
//! Never shows a secret: `Debug` leaves it out.
//! One for each server; asked for every request and every probe.

use domain::{Clock as _, SystemClock};
use hyper::header::HeaderValue;

use super::remote::BackendError;
use crate::{
    config,
    node::{Signer, SigningKey},
};

/// What opens a server.
#[derive(Debug)]
pub(super) enum Credential {
    /// It asks for nothing.
    None,
    /// A secret of its own.
    Secret(SecretText),
    /// What a node's gateways sign.
    Signer(Box<Signer>),
}

/// A secret in use. `Debug` does not show it.
pub(super) struct SecretText(String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl Credential {
    /// As configured.
    ///
    /// Errors: a secret or a key that cannot be read.
    pub(super) fn build(config: &config::Backend) -> Result<Self, BackendError> {
        let backend = || config.name.clone();
        if let Some(key) = &config.signing_key {
            let key = SigningKey::read(&key.file)
                .map_err(|source| BackendError::SigningKey { backend: backend(), source })?;
            return Ok(Self::Signer(Box::new(Signer::new(&key, &config.name))));
        }
        let secret = config.api_key.as_ref().map(config::Secret::read).transpose();
        let secret = secret.map_err(|why| BackendError::Secret { backend: backend(), why })?;
        Ok(secret.map_or(Self::None, |secret| Self::Secret(SecretText(secret))))
    }

    /// The value of the header that opens the server. `None`: it needs none, or none can be made.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::None => return None,
            Self::Secret(SecretText(secret)) => format!("Bearer {secret}"),
            Self::Signer(signer) => match signer.token(SystemClock.now()) {
                Ok(token) => format!("Bearer {token}"),
                Err(error) => {
                    tracing::error!(error = %error, "no token was signed for a node");
                    return None;
                }
            },
        };
        // Secrets are visible ASCII by the configuration's check, and tokens by their form.
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// A text that no client may see.
    pub(super) fn hidden(&self) -> &str {
        match self {
            Self::Secret(SecretText(secret)) => secret,
            Self::None | Self::Signer(_) => "",
        }
    }

    /// What signs for a node; `None`: the server is no node of ours.
    pub(super) fn signer(&self) -> Option<&Signer> {
        match self {
            Self::Signer(signer) => Some(signer),
            Self::None | Self::Secret(_) => None,
        }
    }
}

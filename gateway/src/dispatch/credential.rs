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
pub(super) struct SecretText {
    text: String,
    /// What every request carries of it; made once.
    header: HeaderValue,
}

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
        let Some(secret) = &config.api_key else { return Ok(Self::None) };
        let fault = |why| BackendError::Secret { backend: backend(), why };
        let text = secret.read().map_err(fault)?;
        let header = bearer(&text).ok_or_else(|| fault("no header can carry it".to_owned()))?;
        Ok(Self::Secret(SecretText { text, header }))
    }

    /// The value of the header that opens the server. `None`: it needs none, or none can be made.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Secret(secret) => Some(secret.header.clone()),
            Self::Signer(signer) => match signer.token(SystemClock.now()) {
                Ok(token) => bearer(&token),
                Err(error) => {
                    tracing::error!(error = %error, "no token was signed for a node");
                    None
                }
            },
        }
    }

    /// A text that no client may see.
    pub(super) fn hidden(&self) -> &str {
        match self {
            Self::Secret(secret) => &secret.text,
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

/// The header with a secret or a token. `None`: it has characters that no header has.
fn bearer(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {text}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

//! Signed tokens of identity providers: who issued one, whether its signature holds, and whose it is.
//! Never a shared secret, never an unsigned token, and no network on a request's way: keys are read beside it.
//! Called by `Authenticator` for a bearer credential that is no API key.

mod claims;
mod fetch;
mod keys;
mod refresh;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use billing::ledger::Limits;
use domain::{KeyScopes, ModelName, Timestamp};
use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use self::keys::{KeySet, PublicKey};
use super::AuthenticateError;
use crate::config;

pub(super) use claims::is_id_of_token;
pub use refresh::KeyRefresher;

/// Longest token looked at: an identity provider's fullest are a few kilobytes. Unit: bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1_024;

/// All issuers of the configuration.
#[derive(Debug, Default)]
pub struct Issuers {
    by_name: HashMap<String, Arc<Issuer>>,
}

/// One identity provider, with its public keys as they were last read.
#[derive(Debug)]
pub(in crate::authenticate) struct Issuer {
    config: config::Issuer,
    /// What tokens may be used for, as far as the configuration says it.
    rights: claims::Rights,
    /// `None`: never read yet.
    keys: ArcSwapOption<KeySet>,
    /// Somebody showed a key we do not know.
    is_key_missing: Notify,
    /// A task reads its keys again and again.
    is_kept_fresh: AtomicBool,
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Letters and digits made of issuer and subject: the id records carry.
    pub(super) key_id: domain::KeyId,
    /// The tenant's name or id.
    pub(super) tenant: String,
    /// The project its usage belongs to, by path or id.
    pub(super) project: Option<String>,
    /// What it may be used for.
    pub(super) scopes: KeyScopes,
    /// The only models it may use; `None`: all.
    pub(super) models: Option<Vec<ModelName>>,
    /// Limits of the subject.
    pub(super) limits: Limits,
}

/// Why a token is refused. Clients are told less: see [`TokenFault::to_client`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenFault {
    #[error("too long")]
    TooLong,
    #[error("not a signed token")]
    Malformed,
    #[error("an issuer that is not configured")]
    UnknownIssuer,
    #[error("an algorithm that is not allowed")]
    Algorithm,
    #[error("a header that must be understood and is not")]
    Critical,
    #[error("a key that the issuer does not publish")]
    UnknownKey,
    #[error("the issuer's keys were never read")]
    NoKeys,
    #[error("a signature that does not hold")]
    Signature,
    #[error("meant for somebody else")]
    Audience,
    #[error("a claim is missing or has another form")]
    Claim,
    #[error("expired")]
    Expired,
    #[error("not valid yet")]
    NotYetValid,
    #[error("no scope")]
    NoScope,
}

impl TokenFault {
    /// What a client is told: when to get another token, and nothing about keys, issuers or audiences.
    pub(super) fn to_client(self) -> AuthenticateError {
        match self {
            Self::Expired => AuthenticateError::TokenExpired,
            Self::NotYetValid => AuthenticateError::TokenNotYetValid,
            Self::NoKeys => AuthenticateError::IssuerAway,
            Self::NoScope => AuthenticateError::NoScope,
            Self::TooLong
            | Self::Malformed
            | Self::UnknownIssuer
            | Self::Algorithm
            | Self::Critical
            | Self::UnknownKey
            | Self::Signature
            | Self::Audience
            | Self::Claim => AuthenticateError::BadToken,
        }
    }
}

/// The one claim that is read before the signature is checked, to find out whose it should be.
#[derive(Deserialize)]
struct Claimed {
    iss: String,
}

/// Whether a credential has the form of a signed token: three parts, the first an encoded JSON object.
pub(super) fn is_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.matches('.').count() == 2
}

impl Issuers {
    /// Issuers as configured; keys are read by [`KeyRefresher`].
    pub fn new(configured: &[config::Issuer]) -> Self {
        let issuers = configured.iter().map(|config| {
            let issuer = Issuer {
                rights: claims::Rights::new(config),
                config: config.clone(),
                keys: ArcSwapOption::empty(),
                is_key_missing: Notify::new(),
                is_kept_fresh: AtomicBool::new(false),
            };
            (config.issuer.clone(), Arc::new(issuer))
        });
        Self { by_name: issuers.collect() }
    }

    /// The same for a changed configuration; an issuer that stays as it was keeps its keys.
    #[must_use]
    pub fn changed(&self, configured: &[config::Issuer]) -> Self {
        let mut changed = Self::new(configured);
        for (name, issuer) in &mut changed.by_name {
            if let Some(before) = self.by_name.get(name)
                && before.config == issuer.config
            {
                *issuer = Arc::clone(before);
            }
        }
        changed
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// What a token says, once everything about it has been checked.
    ///
    /// Errors: the first check it fails.
    pub(super) fn identify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::TooLong);
        }
        let header = decode_header(token).map_err(|_| TokenFault::Malformed)?;
        // No extension is understood here, so none that must be can be honoured.
        if header.crit.is_some() {
            return Err(TokenFault::Critical);
        }
        let claimed: Claimed =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| TokenFault::Malformed)?;
        let issuer = self.by_name.get(&claimed.iss).ok_or(TokenFault::UnknownIssuer)?;
        issuer.check(token, &header, now)
    }
}

impl Issuer {
    fn check(
        &self,
        token: &str,
        header: &jsonwebtoken::Header,
        now: Timestamp,
    ) -> Result<Identity, TokenFault> {
        let algorithm = keys::allowed(&self.config.algorithms, header.alg).ok_or(TokenFault::Algorithm)?;
        let keys = self.keys.load();
        let Some(keys) = keys.as_ref() else {
            self.is_key_missing.notify_one();
            return Err(TokenFault::NoKeys);
        };
        let Some(key) = keys.find(header.kid.as_deref(), algorithm) else {
            self.is_key_missing.notify_one();
            return Err(TokenFault::UnknownKey);
        };
        let claims = self.verify(token, key, algorithm)?;
        claims::check_times(&claims, now, Duration::from_secs(u64::from(self.config.leeway_seconds)))?;
        claims::identity(&claims, &self.config, &self.rights)
    }

    /// The claims, once signature, issuer and audience hold.
    fn verify(
        &self,
        token: &str,
        key: &PublicKey,
        algorithm: jsonwebtoken::Algorithm,
    ) -> Result<Map<String, Value>, TokenFault> {
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&self.config.audience);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Times are checked against our own clock, which tests move by hand.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let decoded = decode::<Map<String, Value>>(token, key.decoding(), &validation);
        decoded.map(|token| token.claims).map_err(|error| fault_of(error.kind()))
    }
}

/// What a refusal of the library is called here; whatever it may add is a token of another form.
fn fault_of(kind: &ErrorKind) -> TokenFault {
    let faults = [
        (matches!(kind, ErrorKind::InvalidSignature), TokenFault::Signature),
        (matches!(kind, ErrorKind::InvalidAudience), TokenFault::Audience),
        (matches!(kind, ErrorKind::InvalidIssuer), TokenFault::UnknownIssuer),
        (matches!(kind, ErrorKind::InvalidAlgorithm), TokenFault::Algorithm),
        (matches!(kind, ErrorKind::MissingRequiredClaim(_)), TokenFault::Claim),
    ];
    faults.into_iter().find_map(|(is_it, fault)| is_it.then_some(fault)).unwrap_or(TokenFault::Malformed)
}

//! What opens an engine node: a token that its gateway signs and that is good for a minute.
//! Never a secret that both sides know, and never a tenant's key: who can check a token cannot make one.
//! Made by `dispatch` for each backend of kind `node`, checked by `http::node` for each request.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use domain::Timestamp;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode, errors::ErrorKind,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    keys::{PublicKey, SigningKey},
    terms::OpaqueNumber,
};

/// Who says that it signed: every gateway.
const ISSUER: &str = "tallygate-gateway";
/// What the token is, so that nothing else that the key may sign passes for one.
const TOKEN_TYPE: &str = "tallygate-node+jwt";
/// How long a token is good, and the longest life that a node accepts. Unit: seconds.
const LIFE_SECONDS: i64 = 60;
/// A token is signed anew at this age: one that is under way then has most of its life before it. Unit: seconds.
const RENEW_SECONDS: i64 = 20;
/// How far the two clocks may be apart. Unit: seconds.
const SKEW_SECONDS: i64 = 10;
/// Longest token looked at; ours have about 400. Unit: bytes.
const TOKEN_BYTES_MAX: usize = 2_048;
/// Longest token id; ours have 36. Unit: bytes.
const TOKEN_ID_BYTES_MAX: usize = 64;

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Why a token is refused. For the log: who asks is told less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is no signed token, or one of another form.
    #[error("not a gateway's token")]
    Malformed,
    /// Another signature than Ed25519.
    #[error("an algorithm that is not allowed")]
    Algorithm,
    /// Signed by nobody we know.
    #[error("a key that is not in node.gateway_keys")]
    UnknownKey,
    /// Not signed by whom it names.
    #[error("a signature that does not hold")]
    Signature,
    /// Meant for another node.
    #[error("meant for another node")]
    Audience,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// It was signed in the future.
    #[error("not valid yet")]
    NotYetValid,
    /// It would be good for longer than a token may be.
    #[error("good for too long")]
    TooLong,
}

/// A gateway's end: signs for one node, now and then.
pub struct Signer {
    key: EncodingKey,
    key_id: String,
    audience: String,
    /// What opaque numbers are derived from.
    secret: [u8; 32],
    current: Mutex<Option<Signed>>,
}

struct Signed {
    token: Arc<str>,
    at_seconds: i64,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key_id, audience, .. } = self;
        f.debug_struct("Signer").field("key_id", key_id).field("audience", audience).finish_non_exhaustive()
    }
}

impl Signer {
    /// Signs with this key for the node of this name.
    pub fn new(key: &SigningKey, audience: &str) -> Self {
        Self {
            key: EncodingKey::from_ed_der(key.der()),
            key_id: key.id(),
            audience: audience.to_owned(),
            secret: Sha256::new()
                .chain_update("tallygate opaque numbers")
                .chain_update(key.der())
                .finalize()
                .into(),
            current: Mutex::new(None),
        }
    }

    /// A token that is good now: the one of last time, or a new one.
    ///
    /// Errors: the library does not sign.
    pub fn token(&self, now: Timestamp) -> Result<Arc<str>, jsonwebtoken::errors::Error> {
        let now_seconds = seconds(now);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes an old token one from the future.
        let is_fresh = |signed: &&Signed| (0..RENEW_SECONDS).contains(&(now_seconds - signed.at_seconds));
        if let Some(signed) = current.as_ref().filter(is_fresh) {
            return Ok(Arc::clone(&signed.token));
        }
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: self.audience.clone(),
            iat: now_seconds,
            exp: now_seconds + LIFE_SECONDS,
            jti: Uuid::new_v4().to_string(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.key_id.clone());
        header.typ = Some(TOKEN_TYPE.to_owned());
        let token: Arc<str> = encode(&header, &claims, &self.key)?.into();
        *current = Some(Signed { token: Arc::clone(&token), at_seconds: now_seconds });
        Ok(token)
    }

    /// A number that stands for another one at nodes. Who does not have the key learns nothing of it but that it is
    /// the same; gateways with the same key derive the same.
    pub fn opaque(&self, what: &'static str, number: u64) -> OpaqueNumber {
        let hash =
            Sha256::new().chain_update(self.secret).chain_update(what).chain_update(number.to_be_bytes());
        let bytes: [u8; 32] = hash.finalize().into();
        let mut first = [0; 8];
        first.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        OpaqueNumber(u64::from_be_bytes(first))
    }
}

/// A node's end: the keys of the gateways that it serves.
pub struct KeyRing {
    audience: String,
    keys: HashMap<String, DecodingKey>,
    validation: Validation,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("audience", &self.audience).field("keys", &self.keys.len()).finish()
    }
}

impl KeyRing {
    /// The keys that open the node of this name.
    pub fn new(audience: &str, keys: &[PublicKey]) -> Self {
        let keys = keys.iter().map(|key| (key.id(), DecodingKey::from_ed_der(key.bytes())));
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Times are checked against our own clock, which tests move by hand.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { audience: audience.to_owned(), keys: keys.collect(), validation }
    }

    /// The id of the key that signed a token, once everything about it has been checked.
    ///
    /// Errors: the first check it fails.
    pub fn check(&self, token: &str, now: Timestamp) -> Result<&str, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::Malformed);
        }
        let header = decode_header(token).map_err(|_| TokenFault::Malformed)?;
        if header.alg != Algorithm::EdDSA {
            return Err(TokenFault::Algorithm);
        }
        // No extension is understood here, so none that must be can be honoured.
        if header.typ.as_deref() != Some(TOKEN_TYPE) || header.crit.is_some() {
            return Err(TokenFault::Malformed);
        }
        let (id, key) =
            header.kid.and_then(|kid| self.keys.get_key_value(&kid)).ok_or(TokenFault::UnknownKey)?;
        let decoded = decode::<Claims>(token, key, &self.validation);
        let claims = decoded.map_err(|error| fault_of(error.kind()))?.claims;
        check_claims(&claims, seconds(now))?;
        Ok(id)
    }
}

fn check_claims(claims: &Claims, now_seconds: i64) -> Result<(), TokenFault> {
    let &Claims { iat, exp, .. } = claims;
    if claims.jti.is_empty() || claims.jti.len() > TOKEN_ID_BYTES_MAX {
        return Err(TokenFault::Malformed);
    }
    match exp.checked_sub(iat) {
        Some(1..=LIFE_SECONDS) => {}
        Some(..=0) => return Err(TokenFault::Expired),
        Some(_) | None => return Err(TokenFault::TooLong),
    }
    if exp <= now_seconds - SKEW_SECONDS {
        return Err(TokenFault::Expired);
    }
    if iat > now_seconds + SKEW_SECONDS {
        return Err(TokenFault::NotYetValid);
    }
    Ok(())
}

fn fault_of(kind: &ErrorKind) -> TokenFault {
    let faults = [
        (matches!(kind, ErrorKind::InvalidSignature), TokenFault::Signature),
        (matches!(kind, ErrorKind::InvalidAudience), TokenFault::Audience),
        (matches!(kind, ErrorKind::InvalidAlgorithm), TokenFault::Algorithm),
    ];
    faults.into_iter().find_map(|(is_it, fault)| is_it.then_some(fault)).unwrap_or(TokenFault::Malformed)
}

fn seconds(at: Timestamp) -> i64 {
    at.unix_micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests;

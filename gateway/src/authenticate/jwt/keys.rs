//! An issuer's public keys, from a JSON Web Key Set.
//! Never a symmetric key: a set that holds one has it left out, so no public text can become a secret.
//! Read by `fetch`; asked for every token.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use crate::config::SignatureAlgorithm;

/// Keys taken from one set: issuers publish two or three, and a few more while they rotate.
const KEYS_MAX: usize = 64;
/// Longest key id.
const KID_BYTES_MAX: usize = 256;

/// The keys of one issuer, of one reading.
#[derive(Debug)]
pub(super) struct KeySet(Vec<PublicKey>);

/// One public key and the signatures it may check.
#[derive(Debug)]
pub(super) struct PublicKey {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl PublicKey {
    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.key
    }
}

/// Why a text is no key set.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("it is no JSON Web Key Set: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it holds no public key that can check one of the allowed signatures")]
    NoKeys,
}

/// Each key on its own, so that one of an unknown kind does not hide the others.
#[derive(Deserialize)]
struct SetWire {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a set and keeps the keys that can check signatures.
    ///
    /// Errors: no key set, or none with a usable key.
    pub(super) fn from_json(text: &[u8]) -> Result<Self, KeySetError> {
        let set: SetWire = serde_json::from_slice(text)?;
        let keys = set.keys.into_iter().filter_map(|value| usable(serde_json::from_value(value).ok()?));
        let keys: Vec<_> = keys.take(KEYS_MAX).collect();
        match keys.is_empty() {
            true => Err(KeySetError::NoKeys),
            false => Ok(Self(keys)),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key a token names. A token that names none is checked only where there is no choice.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&PublicKey> {
        let mut fitting = self.0.iter().filter(|key| key.algorithms.contains(&algorithm));
        match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid)),
            None => {
                let only = fitting.next()?;
                fitting.next().is_none().then_some(only)
            }
        }
    }
}

fn usable(jwk: Jwk) -> Option<PublicKey> {
    let common = &jwk.common;
    let is_for_signing = !matches!(common.public_key_use, Some(PublicKeyUse::Encryption));
    let may_verify = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let is_short = common.key_id.as_ref().is_none_or(|kid| kid.len() <= KID_BYTES_MAX);
    if !is_for_signing || !may_verify || !is_short {
        return None;
    }
    let of_kind = algorithms_of(&jwk.algorithm)?;
    let algorithms: Vec<_> = match &common.key_algorithm {
        Some(stated) => {
            let stated = algorithm_of(stated)?;
            of_kind.iter().copied().filter(|algorithm| *algorithm == stated).collect()
        }
        None => of_kind.to_vec(),
    };
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    (!algorithms.is_empty()).then(|| PublicKey { kid: common.key_id.clone(), algorithms, key })
}

/// What a key of this kind can check. `None`: nothing that is accepted here.
fn algorithms_of(parameters: &AlgorithmParameters) -> Option<&'static [Algorithm]> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match parameters {
        AlgorithmParameters::RSA(_) => Some(&[RS256, RS384, RS512, PS256, PS384, PS512]),
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => Some(&[ES256]),
            EllipticCurve::P384 => Some(&[ES384]),
            EllipticCurve::P521 | EllipticCurve::Ed25519 | _ => None,
        },
        AlgorithmParameters::OctetKeyPair(pair) => match pair.curve {
            EllipticCurve::Ed25519 => Some(&[EdDSA]),
            EllipticCurve::P256 | EllipticCurve::P384 | EllipticCurve::P521 | _ => None,
        },
        AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_) | _ => None,
    }
}

fn algorithm_of(stated: &KeyAlgorithm) -> Option<Algorithm> {
    match stated {
        KeyAlgorithm::RS256 => Some(Algorithm::RS256),
        KeyAlgorithm::RS384 => Some(Algorithm::RS384),
        KeyAlgorithm::RS512 => Some(Algorithm::RS512),
        KeyAlgorithm::PS256 => Some(Algorithm::PS256),
        KeyAlgorithm::PS384 => Some(Algorithm::PS384),
        KeyAlgorithm::PS512 => Some(Algorithm::PS512),
        KeyAlgorithm::ES256 => Some(Algorithm::ES256),
        KeyAlgorithm::ES384 => Some(Algorithm::ES384),
        KeyAlgorithm::EdDSA => Some(Algorithm::EdDSA),
        KeyAlgorithm::HS256
        | KeyAlgorithm::HS384
        | KeyAlgorithm::HS512
        | KeyAlgorithm::RSA1_5
        | KeyAlgorithm::RSA_OAEP
        | KeyAlgorithm::RSA_OAEP_256
        | KeyAlgorithm::UNKNOWN_ALGORITHM
        | _ => None,
    }
}

/// The algorithm a token names, if the configuration allows it. A shared secret is never allowed.
pub(super) fn allowed(allowed: &[SignatureAlgorithm], named: Algorithm) -> Option<Algorithm> {
    allowed.iter().any(|algorithm| of_config(*algorithm) == named).then_some(named)
}

fn of_config(algorithm: SignatureAlgorithm) -> Algorithm {
    match algorithm {
        SignatureAlgorithm::RS256 => Algorithm::RS256,
        SignatureAlgorithm::RS384 => Algorithm::RS384,
        SignatureAlgorithm::RS512 => Algorithm::RS512,
        SignatureAlgorithm::PS256 => Algorithm::PS256,
        SignatureAlgorithm::PS384 => Algorithm::PS384,
        SignatureAlgorithm::PS512 => Algorithm::PS512,
        SignatureAlgorithm::ES256 => Algorithm::ES256,
        SignatureAlgorithm::ES384 => Algorithm::ES384,
        SignatureAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

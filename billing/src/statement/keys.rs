//! Ed25519 keys that sign statements: made, written as PEM, read back.
//! Never prints a private key, and never takes a key of another kind.
//! Called by `statement`, `verify` and the command line.

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

/// What a public Ed25519 key begins with as DER (RFC 8410); its 32 bytes follow.
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Unit: bytes.
const PUBLIC_BYTES: usize = 32;
/// How much of a key's hash names it. Unit: bytes.
const ID_BYTES: usize = 8;

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM.
    #[error("this is no PEM file with one {0}")]
    NotPem(&'static str),
    /// A key of another kind.
    #[error("this is no Ed25519 key")]
    Kind,
    /// The system gives no random numbers, or what it made is no key.
    #[error("no key could be made")]
    Random,
}

/// What signs. `Debug` shows its public half.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// What checks signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_BYTES]);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Makes a key and gives it as PEM (PKCS #8), for its owner alone.
    ///
    /// Errors: the system gives no random numbers.
    pub fn generate() -> Result<(Self, String), KeyError> {
        let made = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        let key = Self::from_der(made.as_ref()).map_err(|_| KeyError::Random)?;
        Ok((key, pem(PRIVATE, made.as_ref())))
    }

    /// Reads a private key as PEM, as `tallygate statement-key create` and `openssl genpkey -algorithm ed25519` write
    /// it.
    ///
    /// Errors: no PEM, or no such key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_der(&der(PRIVATE, text)?)
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| KeyError::Kind)?;
        let public = PublicKey::from_bytes(pair.public_key().as_ref()).ok_or(KeyError::Kind)?;
        Ok(Self { pair, public })
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The signature of a text, in base64.
    pub(super) fn sign(&self, text: &[u8]) -> String {
        BASE64_STANDARD.encode(self.pair.sign(text).as_ref())
    }
}

impl PublicKey {
    /// Takes 32 bytes; `None` for any other number.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads a public key as PEM, as `tallygate statement-key create` and `openssl pkey -pubout` write it.
    ///
    /// Errors: no PEM, or no such key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = der(PUBLIC, text)?;
        der.strip_prefix(&PUBLIC_PREFIX).and_then(Self::from_bytes).ok_or(KeyError::Kind)
    }

    /// As PEM.
    pub fn to_pem(&self) -> String {
        pem(PUBLIC, &[PUBLIC_PREFIX.as_slice(), &self.0].concat())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name that statements carry for it: the beginning of its hash.
    pub fn id(&self) -> String {
        hex::encode(&Sha256::digest(self.0)[..ID_BYTES])
    }

    /// Whether this key signed the text.
    pub(super) fn is_signature_of(&self, signature: &str, text: &[u8]) -> bool {
        BASE64_STANDARD
            .decode(signature)
            .is_ok_and(|signature| UnparsedPublicKey::new(&ED25519, &self.0).verify(text, &signature).is_ok())
    }
}

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// One section; the keys written here fit in one line.
fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

/// The bytes of the one section.
fn der(label: &'static str, text: &str) -> Result<Vec<u8>, KeyError> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let inside = text.trim().strip_prefix(&begin).and_then(|rest| rest.strip_suffix(&end));
    let joined: String = inside.ok_or(KeyError::NotPem(label))?.split_whitespace().collect();
    BASE64_STANDARD.decode(joined).map_err(|_| KeyError::NotPem(label))
}

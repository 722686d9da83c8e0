//! Ed25519 keys of gateways as PEM files: made, and read back.
//! Never prints a private key, and never takes a key of another kind.
//! Called by `cli::node_key`, when backends are built, and when a node starts.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::pki_types::{
    PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer,
    pem::{Error, PemObject as _},
};

/// What a public Ed25519 key begins with as DER (RFC 8410); its 32 bytes follow.
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// How much of a key's hash names it. Unit: bytes.
const ID_BYTES: usize = 8;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not PEM of this kind, or cannot be read.
    #[error("{}: {why}", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// Why not.
        why: String,
    },
    /// It is a key of another kind.
    #[error("{}: this is no Ed25519 key", file.display())]
    Kind {
        /// The file.
        file: PathBuf,
    },
    /// The random generator of the system could not be read, or what it made is no key.
    #[error("no key could be made")]
    Random,
}

impl KeyError {
    fn pem(file: &Path, wanted: &str, error: &Error) -> Self {
        Self::Pem { file: file.to_owned(), why: crate::pem::fault(wanted, error) }
    }
}

/// A fresh pair of keys, as PEM.
pub struct KeyPair {
    /// What signs; for its owner alone.
    pub private_pem: String,
    /// What checks signatures.
    pub public: PublicKey,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// What signs. `Debug` shows its public half.
pub struct SigningKey {
    der: Vec<u8>,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// What checks signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    bytes: Vec<u8>,
}

impl KeyPair {
    /// Makes a pair.
    ///
    /// Errors: the system gives no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let made = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        let public = PublicKey::of(made.as_ref()).ok_or(KeyError::Random)?;
        Ok(Self { private_pem: pem("PRIVATE KEY", made.as_ref()), public })
    }
}

impl SigningKey {
    /// Reads a private key: PKCS #8, as `tallygate node-key` and `openssl genpkey -algorithm ed25519` write it.
    ///
    /// Errors: no such file, or no such key.
    pub fn read(file: &Path) -> Result<Self, KeyError> {
        let key = PrivatePkcs8KeyDer::from_pem_file(file)
            .map_err(|error| KeyError::pem(file, "private key", &error))?;
        let der = key.secret_pkcs8_der().to_vec();
        let public = PublicKey::of(&der).ok_or_else(|| KeyError::Kind { file: file.to_owned() })?;
        Ok(Self { der, public })
    }

    /// The key as DER, for signing.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// The name of its public half.
    pub fn id(&self) -> String {
        self.public.id()
    }
}

impl PublicKey {
    /// Reads a public key, as `tallygate node-key` and `openssl pkey -pubout` write it.
    ///
    /// Errors: no such file, or no such key.
    pub fn read(file: &Path) -> Result<Self, KeyError> {
        let key = SubjectPublicKeyInfoDer::from_pem_file(file)
            .map_err(|error| KeyError::pem(file, "public key", &error))?;
        let bytes = key.strip_prefix(&PUBLIC_PREFIX).filter(|bytes| bytes.len() == 32);
        let bytes = bytes.ok_or_else(|| KeyError::Kind { file: file.to_owned() })?.to_vec();
        Ok(Self { bytes })
    }

    /// The public half of a private key. `None`: it is of another kind.
    fn of(private_der: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(private_der).ok()?;
        Some(Self { bytes: pair.public_key().as_ref().to_vec() })
    }

    /// The key's bytes, for checking.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name that tokens carry for it: the beginning of its hash.
    pub fn id(&self) -> String {
        Sha256::digest(&self.bytes).iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key as a PEM file has it.
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &[PUBLIC_PREFIX.as_slice(), &self.bytes].concat())
    }
}

/// One section; the keys written here fit in one line.
fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write one and the same key.
    const OPENSSL: [&str; 2] = [
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIOmTW3LnVEr/K/tzJqDCp2lEKENNWPG/OHX/nk+XP1uq\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAruZ2xrlCizwLLknocB+/awG1y0NII4trOm7SBI7rz8Q=\n-----END PUBLIC KEY-----\n",
    ];

    fn written(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    #[test]
    fn keys_are_read_back_and_named_alike() {
        let folder = tempfile::tempdir().expect("a folder");
        let pair = KeyPair::generate().expect("a pair");
        for [private, public] in [[pair.private_pem.as_str(), &pair.public.to_pem()], OPENSSL] {
            let private = SigningKey::read(&written(&folder, "private", private)).expect("a private key");
            let public = PublicKey::read(&written(&folder, "public", public)).expect("a public key");
            assert_eq!((private.id(), private.public), (public.id(), public.clone()));
            assert_eq!(public.id().len(), 16);
        }
        let other = KeyPair::generate().expect("a pair");
        assert_ne!(other.public.id(), pair.public.id());
        assert!(!format!("{pair:?}").contains("PRIVATE"));
    }

    #[test]
    fn what_is_no_such_key_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let pair = KeyPair::generate().expect("a pair");
        let cut = pem("PUBLIC KEY", &PUBLIC_PREFIX);
        let other = pem("PUBLIC KEY", &[0x30; 44]);
        let odd = pem("PRIVATE KEY", &[0x30; 48]);
        for text in
            ["", "no key", &cut, &other, &odd, "-----BEGIN PUBLIC KEY-----\n?\n-----END PUBLIC KEY-----"]
        {
            let file = written(&folder, "key", text);
            assert!(PublicKey::read(&file).is_err() && SigningKey::read(&file).is_err(), "{text:?}");
        }
        // Neither half passes for the other.
        assert!(PublicKey::read(&written(&folder, "key", &pair.private_pem)).is_err());
        assert!(SigningKey::read(&written(&folder, "key", &pair.public.to_pem())).is_err());
        let missing = SigningKey::read(&folder.path().join("none")).expect_err("not there").to_string();
        assert!(missing.contains("none"), "{missing}");
        // A key on one line, as it comes out of a variable: what is said of it has none of it, in no form.
        let key = pair.private_pem.lines().nth(1).unwrap_or_default();
        let text = pair.private_pem.replace('\n', " ");
        let told = SigningKey::read(&written(&folder, "key", &text)).expect_err("one line").to_string();
        assert!(told.ends_with("the private key in it does not read as PEM"), "{told}");
        assert!(!told.contains(key), "{told}");
    }
}

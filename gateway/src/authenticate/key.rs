//! API keys as text: `tg-<public>-<secret>`, made once, shown once, stored as a hash.
//! Never stores or prints a secret by itself; a `SecretText` shows itself only on demand.
//! Called by authentication, by `cli::key` and on first start.

use std::fmt;

use domain::KeyId;
use rand::{TryRng as _, rngs::SysRng};
use sha2::{Digest as _, Sha256};

/// What API keys begin with.
pub const KEY_PREFIX: &str = "tg-";
/// What operator tokens begin with.
pub const OPERATOR_PREFIX: &str = "tgop-";
/// Letters of the public half: 60 bits, so that ids do not collide by chance.
const PUBLIC_LETTERS: usize = 12;
/// Letters of the secret half: 260 bits, so that a plain SHA-256 is hash enough.
const SECRET_LETTERS: usize = 52;
/// Thirty-two letters without look-alikes, so five random bits pick one evenly.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";

/// A credential's text: for the one moment it is shown to its owner.
pub struct SecretText(String);

impl SecretText {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// A fresh credential: what to show once, and what to store.
#[derive(Debug)]
pub struct NewKey {
    /// The public half.
    pub key_id: KeyId,
    /// The whole credential.
    pub text: SecretText,
    /// SHA-256 of the secret half.
    pub secret_hash: [u8; 32],
}

/// The random generator of the system could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the system's random source failed: {0}")]
pub struct RandomError(String);

/// Makes an API key.
pub fn generate_key() -> Result<NewKey, RandomError> {
    generate(KEY_PREFIX)
}

/// Makes an operator token.
pub fn generate_operator_token() -> Result<NewKey, RandomError> {
    generate(OPERATOR_PREFIX)
}

fn generate(prefix: &str) -> Result<NewKey, RandomError> {
    let public = random_letters(PUBLIC_LETTERS)?;
    let secret = random_letters(SECRET_LETTERS)?;
    let key_id = KeyId::new(public.as_str()).map_err(|error| RandomError(error.to_string()))?;
    let text = SecretText(format!("{prefix}{public}-{secret}"));
    Ok(NewKey { key_id, text, secret_hash: hash_secret(&secret) })
}

fn random_letters(count: usize) -> Result<String, RandomError> {
    let mut bytes = vec![0_u8; count];
    fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect())
}

fn fill(bytes: &mut [u8]) -> Result<(), RandomError> {
    SysRng.try_fill_bytes(bytes).map_err(|error| RandomError(error.to_string()))
}

/// What is stored of a secret. Secrets are random, so no slow hash is needed against guessing.
pub fn hash_secret(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Takes a key's text apart into its public id and its secret; `None` when it has another form.
pub fn parse(text: &str) -> Option<(KeyId, &str)> {
    parse_after(KEY_PREFIX, text)
}

/// The same for an operator's token.
pub fn parse_operator_token(text: &str) -> Option<(KeyId, &str)> {
    parse_after(OPERATOR_PREFIX, text)
}

fn parse_after<'a>(prefix: &str, text: &'a str) -> Option<(KeyId, &'a str)> {
    let (public, secret) = text.strip_prefix(prefix)?.split_once('-')?;
    let is_secret =
        !secret.is_empty() && secret.len() <= 128 && secret.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_secret {
        return None;
    }
    Some((KeyId::new(public).ok()?, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_reads_back() {
        let key = generate_key().expect("random");
        let (key_id, secret) = parse(key.text.reveal()).expect("a key");
        assert_eq!((key_id, hash_secret(secret)), (key.key_id.clone(), key.secret_hash));
        assert_ne!(generate_key().expect("random").secret_hash, key.secret_hash);
        assert!(!format!("{key:?}").contains(secret));
    }

    #[test]
    fn refuses_other_forms() {
        for text in
            ["", "tg-", "tg-a", "tg-a-", "tg--b", "sk-a-b", "tg-a-b-c", "tg-a b-c", "tg-a-ü", "TG-a-b"]
        {
            assert!(parse(text).is_none(), "{text:?}");
        }
        assert!(parse("tg-a-b").is_some());
        // Neither credential reads as the other.
        assert!(parse("tgop-a-b").is_none() && parse_operator_token("tg-a-b").is_none());
        assert!(parse_operator_token("tgop-a-b").is_some());
    }
}

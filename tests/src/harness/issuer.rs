//! An identity provider on this machine: it signs tokens, publishes its keys, and serves OpenID Connect discovery.
//! Never a provider's rules: whatever claims and header a test asks for are signed.
//! Made by tests of signed tokens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{HarnessError, Outcome};

/// Longest head of a request that is read.
const HEAD_BYTES_MAX: usize = 4_096;

/// A signing key and its public half.
#[derive(Clone)]
pub struct Signer {
    kid: String,
    key: EncodingKey,
}

impl Signer {
    /// A fresh key for ES256 under this name.
    ///
    /// Errors: no random numbers.
    pub fn new(kid: &str) -> Outcome<Self> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let made = made.map_err(|error| HarnessError::NotEvents { text: error.to_string() })?;
        Ok(Self { kid: kid.to_owned(), key: EncodingKey::from_ec_der(made.as_ref()) })
    }

    /// The public half, as a key set holds it.
    ///
    /// Errors: none in practice.
    pub fn public(&self) -> Outcome<Value> {
        let jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).map_err(|error| token_error(&error))?;
        let mut jwk = json!(jwk);
        jwk["kid"] = json!(self.kid);
        Ok(jwk)
    }

    /// A token with these claims.
    ///
    /// Errors: none in practice.
    pub fn sign(&self, claims: &Value) -> Outcome<String> {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.key).map_err(|error| token_error(&error))
    }

    /// A token that takes the public half for a shared secret: the classic confusion.
    ///
    /// Errors: none in practice.
    pub fn confuse(&self, claims: &Value) -> Outcome<String> {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::HS256) };
        let secret = EncodingKey::from_secret(self.public()?.to_string().as_bytes());
        encode(&header, claims, &secret).map_err(|error| token_error(&error))
    }
}

fn token_error(error: &jsonwebtoken::errors::Error) -> HarnessError {
    HarnessError::NotEvents { text: error.to_string() }
}

/// A key set as text.
///
/// Errors: as [`Signer::public`].
pub fn key_set(signers: &[&Signer]) -> Outcome<String> {
    let keys: Vec<_> = signers.iter().map(|signer| signer.public()).collect::<Outcome<_>>()?;
    Ok(json!({"keys": keys}).to_string())
}

/// The time as claims have it.
pub fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// A running provider.
#[derive(Clone)]
pub struct Issuer {
    address: String,
    answers: Arc<Mutex<HashMap<String, String>>>,
}

impl Issuer {
    /// Starts one on a free port; it publishes nothing yet.
    ///
    /// Errors: no port.
    pub async fn start() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(HarnessError::io("an issuer"))?;
        let address = listener.local_addr().map_err(HarnessError::io("an issuer"))?;
        let issuer = Self { address: format!("http://{address}"), answers: Arc::default() };
        let served = issuer.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = vec![0; HEAD_BYTES_MAX];
                let length = socket.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(head.get(..length).unwrap_or_default()).into_owned();
                let path = head.split(' ').nth(1).unwrap_or("/");
                let answer = match served.answers().get(path) {
                    Some(body) => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()),
                    None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
                };
                // A client that left needs no answer.
                socket.write_all(answer.as_bytes()).await.ok();
            }
        });
        Ok(issuer)
    }

    /// Its name and where discovery begins.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Publishes these keys, and where they are.
    ///
    /// Errors: as [`Signer::public`].
    pub fn publish(&self, signers: &[&Signer]) -> Outcome {
        self.publish_as(&self.address, signers)
    }

    /// The same under the name of another issuer.
    ///
    /// Errors: as [`Signer::public`].
    pub fn publish_as(&self, name: &str, signers: &[&Signer]) -> Outcome {
        let discovery = json!({"issuer": name, "jwks_uri": format!("{}/keys", self.address)});
        let mut answers = self.answers();
        answers.insert("/.well-known/openid-configuration".to_owned(), discovery.to_string());
        answers.insert("/keys".to_owned(), key_set(signers)?);
        Ok(())
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

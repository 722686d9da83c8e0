//! `[[issuer]]`: identity providers whose signed tokens open the data plane beside API keys.
//! Never a shared secret: only public keys are trusted, so nobody who can read this file can sign.
//! Read with the rest of the configuration, and again on every reload.

use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf};

use domain::ModelName;
use serde::{Deserialize, Deserializer, de::Error as _};
use url::{Host, Url};

use super::bounded;

/// Issuers in one configuration: each is a task and a set of keys in memory.
pub const ISSUERS_MAX: usize = 32;

/// `[[issuer]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// What the claim `iss` must say, to the letter. Without `jwks_file` and `jwks_url`, discovery begins here.
    #[serde(deserialize_with = "text")]
    pub issuer: String,
    /// A token must be meant for one of these.
    #[serde(deserialize_with = "texts")]
    pub audience: Vec<String>,
    /// The public keys, as a JSON Web Key Set in a file.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// The public keys, at a place of their own.
    #[serde(default, deserialize_with = "some_text")]
    pub jwks_url: Option<String>,
    /// Signatures that are accepted; all of them are made with a private key.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<SignatureAlgorithm>,
    /// How far the issuer's clock may be from ours. Unit: seconds.
    #[serde(default = "leeway", deserialize_with = "bounded::<0, 600, _>")]
    pub leeway_seconds: u32,
    /// How often the keys are read again. Unit: seconds.
    #[serde(default = "refresh", deserialize_with = "bounded::<1, 86_400, _>")]
    pub refresh_seconds: u32,
    /// Claims that must be there, beside `iss`, `aud`, `exp` and `sub`.
    #[serde(default)]
    pub required_claims: Vec<String>,
    /// The tenant of every token: its name or id.
    #[serde(default, deserialize_with = "some_text")]
    pub tenant: Option<String>,
    /// The claim that names the tenant, by name or id.
    #[serde(default, deserialize_with = "some_text")]
    pub tenant_claim: Option<String>,
    /// The project of tokens that name none, by path or id; it must be there and open. Without it, their usage belongs to
    /// no project.
    #[serde(default, deserialize_with = "some_text")]
    pub project: Option<String>,
    /// The claim that names the project, by path or id.
    #[serde(default, deserialize_with = "some_text")]
    pub project_claim: Option<String>,
    /// The claim that lists a token's roles, which `roles` gives a meaning.
    #[serde(default, deserialize_with = "some_text")]
    pub roles_claim: Option<String>,
    /// What each role may be used for. Roles that are not here mean nothing.
    #[serde(default)]
    pub roles: BTreeMap<String, Vec<String>>,
    /// What a token without the claim of scopes or roles may be used for. Without it, such a token is refused.
    #[serde(default)]
    pub default_scopes: Option<Vec<String>>,
    /// The claim that says what a token may be used for: a list, or one text with spaces. Without it: `scopes`.
    #[serde(default, deserialize_with = "some_text")]
    pub scopes_claim: Option<String>,
    /// What every token may be used for when no claim says it.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The claim that lists the models a token may use. A token without it may use all of the plan.
    #[serde(default, deserialize_with = "some_text")]
    pub models_claim: Option<String>,
    /// The models that tokens of this issuer may use at most. Without it, all of the plan.
    #[serde(default)]
    pub models: Option<Vec<ModelName>>,
    /// Limits of each subject, within the tenant's.
    #[serde(default)]
    pub subject_limits: SubjectLimits,
}

/// `[issuer.subject_limits]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubjectLimits {
    /// Requests admitted per minute.
    #[serde(deserialize_with = "limit")]
    pub requests_per_minute: Option<u64>,
    /// Prompt and output tokens per minute.
    #[serde(deserialize_with = "limit")]
    pub tokens_per_minute: Option<u64>,
    /// Requests running at the same time.
    #[serde(deserialize_with = "limit")]
    pub concurrency: Option<u64>,
}

/// Signatures made with a private key and checked with a public one. There is no `none` and no shared secret here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum SignatureAlgorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    RS256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    RS384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    RS512,
    /// RSA, PSS, SHA-256.
    PS256,
    /// RSA, PSS, SHA-384.
    PS384,
    /// RSA, PSS, SHA-512.
    PS512,
    /// ECDSA on P-256, SHA-256.
    ES256,
    /// ECDSA on P-384, SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An address, if nobody on the way can put keys of his own into the answer: https, or http on this machine.
pub fn private_url(url: &str) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    let is_here = match url.host()? {
        Host::Ipv4(address) => IpAddr::V4(address).is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(address).is_loopback(),
        Host::Domain(name) => name == "localhost",
    };
    let is_private = url.scheme() == "https" || (url.scheme() == "http" && is_here);
    (is_private && url.username().is_empty() && url.password().is_none()).then_some(url)
}

fn algorithms() -> Vec<SignatureAlgorithm> {
    use SignatureAlgorithm::{ES256, ES384, EdDSA, PS256, RS256};
    vec![RS256, PS256, ES256, ES384, EdDSA]
}

fn leeway() -> u32 {
    // Clocks that are kept by NTP are seconds apart at worst.
    60
}

fn refresh() -> u32 {
    // Issuers publish a new key long before they sign with it; one that does not is met by the unknown key's refresh.
    600
}

fn scopes() -> Vec<String> {
    domain::KeyScope::ALL.iter().map(|scope| scope.as_str().to_owned()).collect()
}

fn text<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    match text.is_empty() || text.len() > 2_048 || text.chars().any(char::is_control) {
        true => Err(D::Error::custom("a text of 1 to 2048 printable characters is needed")),
        false => Ok(text),
    }
}

fn some_text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    text(input).map(Some)
}

fn texts<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(input)?;
    match texts.is_empty() || texts.iter().any(String::is_empty) {
        true => Err(D::Error::custom("at least one text is needed, and none may be empty")),
        false => Ok(texts),
    }
}

fn limit<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    match u64::deserialize(input)? {
        0 => Err(D::Error::custom("a limit must be at least 1; leave it out for no limit")),
        limit => Ok(Some(limit)),
    }
}

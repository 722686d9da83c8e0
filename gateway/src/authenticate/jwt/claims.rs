//! What the claims of a token with a good signature mean here: until when, whose, for what.
//! Never a signature: that has been checked before.
//! Called by `Issuer::check`.

use std::{collections::BTreeMap, time::Duration};

use domain::{KeyId, KeyScope, KeyScopes, ModelName, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Identity, TokenFault};
use billing::ledger::Limits;

use crate::config;

/// Longest subject, as OpenID Connect bounds it.
const SUBJECT_BYTES_MAX: usize = 255;
/// Longest name of a tenant in a claim.
const TENANT_BYTES_MAX: usize = 63;
/// Models in a token's list: more than any gateway serves.
const MODELS_MAX: usize = 100;
/// What the ids of tokens begin with, so that nobody takes one for a key's.
const KEY_ID_PREFIX: &str = "jwt";
/// Hexadecimal digits of issuer and subject in an id: 160 bits, so that no two meet.
const KEY_ID_DIGITS: usize = 40;

/// Longest path of a project in a claim: eight names and what is between them.
const PROJECT_BYTES_MAX: usize = 8 * 64;
/// Roles of one token that are looked at: more than any directory gives somebody.
const ROLES_MAX: usize = 1_000;

/// What tokens may be used for, as far as the configuration says it.
#[derive(Debug)]
pub(super) struct Rights {
    /// Of every token, when no claim says it.
    fixed: Option<KeyScopes>,
    /// Of a token without the claim that would say it.
    default: Option<KeyScopes>,
    /// Of each role.
    roles: BTreeMap<String, KeyScopes>,
}

impl Rights {
    pub(super) fn new(config: &config::Issuer) -> Self {
        let scopes = |names: &[String]| scopes(names.iter().map(String::as_str));
        let roles = config.roles.iter().filter_map(|(role, names)| Some((role.clone(), scopes(names)?)));
        Self {
            fixed: scopes(&config.scopes),
            default: config.default_scopes.as_deref().and_then(scopes),
            roles: roles.collect(),
        }
    }

    /// What a token's claims allow.
    ///
    /// Errors: the claim has another form, or nothing in it means something here.
    fn of(&self, claims: &Map<String, Value>, config: &config::Issuer) -> Result<KeyScopes, TokenFault> {
        let (name, is_role) = match (&config.scopes_claim, &config.roles_claim) {
            (Some(name), _) => (name, false),
            (None, Some(name)) => (name, true),
            (None, None) => return self.fixed.ok_or(TokenFault::NoScope),
        };
        let Some(claim) = find(claims, name).filter(|claim| !claim.is_null()) else {
            return self.default.ok_or(TokenFault::NoScope);
        };
        let words = words(claim)?;
        let found = match is_role {
            false => scopes(words.into_iter()),
            true if words.len() > ROLES_MAX => return Err(TokenFault::Claim),
            true => {
                let named = words.into_iter().filter_map(|role| self.roles.get(role));
                KeyScopes::new(named.flat_map(|scopes| scopes.iter()))
            }
        };
        found.ok_or(TokenFault::NoScope)
    }
}

/// A claim by its name; by its way from the top, where there is no such name: `realm_access.roles`.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let mut parts = name.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |at, part| at.as_object()?.get(part))
}

/// Errors: it has expired, or its time has not come; with a little leave for clocks.
pub(super) fn check_times(
    claims: &Map<String, Value>,
    now: Timestamp,
    leeway: Duration,
) -> Result<(), TokenFault> {
    let now = i128::from(now.unix_micros());
    let leeway = i128::try_from(leeway.as_micros()).unwrap_or(0);
    let expires = instant(claims.get("exp"))?.ok_or(TokenFault::Claim)?;
    // RFC 7519: on or after this instant it must not be accepted.
    if now >= expires + leeway {
        return Err(TokenFault::Expired);
    }
    for name in ["nbf", "iat"] {
        if let Some(begins) = instant(claims.get(name))?
            && begins > now + leeway
        {
            return Err(TokenFault::NotYetValid);
        }
    }
    Ok(())
}

/// An instant in microseconds. Fractions of a second are dropped: they make a token neither older nor younger by much.
fn instant(claim: Option<&Value>) -> Result<Option<i128>, TokenFault> {
    let Some(claim) = claim else { return Ok(None) };
    let Value::Number(number) = claim else { return Err(TokenFault::Claim) };
    let whole = match number.as_i64() {
        Some(seconds) => Some(seconds),
        None => number.to_string().split_once('.').and_then(|(seconds, _)| seconds.parse().ok()),
    };
    let seconds = whole.filter(|seconds| *seconds >= 0).ok_or(TokenFault::Claim)?;
    Ok(Some(i128::from(seconds) * 1_000_000))
}

/// Whose the token is and what it may be used for.
///
/// Errors: a claim that the configuration needs is missing or has another form.
pub(super) fn identity(
    claims: &Map<String, Value>,
    config: &config::Issuer,
    rights: &Rights,
) -> Result<Identity, TokenFault> {
    if config.required_claims.iter().any(|name| find(claims, name).is_none_or(Value::is_null)) {
        return Err(TokenFault::Claim);
    }
    let subject = text(claims, "sub").filter(|subject| subject.len() <= SUBJECT_BYTES_MAX);
    let subject = subject.ok_or(TokenFault::Claim)?;
    let tenant = match (&config.tenant, &config.tenant_claim) {
        (Some(tenant), _) => tenant.as_str(),
        (None, Some(name)) => text(claims, name).ok_or(TokenFault::Claim)?,
        (None, None) => return Err(TokenFault::Claim),
    };
    if tenant.len() > TENANT_BYTES_MAX {
        return Err(TokenFault::Claim);
    }
    Ok(Identity {
        key_id: key_id(&config.issuer, subject)?,
        tenant: tenant.to_owned(),
        project: project(claims, config)?,
        scopes: rights.of(claims, config)?,
        models: models(claims, config)?,
        limits: Limits {
            requests_per_minute: config.subject_limits.requests_per_minute,
            tokens_per_minute: config.subject_limits.tokens_per_minute,
            concurrency: config.subject_limits.concurrency,
            ..Limits::default()
        },
    })
}

/// The project that the token names, or that of tokens that name none.
fn project(claims: &Map<String, Value>, config: &config::Issuer) -> Result<Option<String>, TokenFault> {
    let claim = config.project_claim.as_ref().and_then(|name| find(claims, name));
    match claim.filter(|claim| !claim.is_null()) {
        None => Ok(config.project.clone()),
        Some(Value::String(path)) if (1..=PROJECT_BYTES_MAX).contains(&path.len()) => Ok(Some(path.clone())),
        Some(_) => Err(TokenFault::Claim),
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    find(claims, name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A list of texts, or one text with spaces, as scopes come.
fn words(claim: &Value) -> Result<Vec<&str>, TokenFault> {
    match claim {
        Value::String(text) => Ok(text.split_ascii_whitespace().collect()),
        Value::Array(items) => items.iter().map(|item| item.as_str().ok_or(TokenFault::Claim)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(TokenFault::Claim),
    }
}

/// Those of our scopes that are named; providers put others beside them, which mean nothing here.
pub(super) fn scopes<'a>(names: impl Iterator<Item = &'a str>) -> Option<KeyScopes> {
    KeyScopes::new(names.filter_map(|name| name.parse::<KeyScope>().ok()))
}

/// The models of the claim, within those of the configuration.
fn models(
    claims: &Map<String, Value>,
    config: &config::Issuer,
) -> Result<Option<Vec<ModelName>>, TokenFault> {
    let Some(claim) = config.models_claim.as_ref().and_then(|name| find(claims, name)) else {
        return Ok(config.models.clone());
    };
    let names = words(claim)?;
    if names.len() > MODELS_MAX {
        return Err(TokenFault::Claim);
    }
    let named: Vec<_> =
        names.into_iter().map(ModelName::new).collect::<Result<_, _>>().map_err(|_| TokenFault::Claim)?;
    Ok(Some(match &config.models {
        Some(allowed) => named.into_iter().filter(|model| allowed.contains(model)).collect(),
        None => named,
    }))
}

/// Whether an id is one of a token. A key's is shorter.
pub(in crate::authenticate) fn is_id_of_token(id: &KeyId) -> bool {
    id.as_str().strip_prefix(KEY_ID_PREFIX).is_some_and(|digits| digits.len() == KEY_ID_DIGITS)
}

/// Letters and digits that stand for issuer and subject in records and logs; neither can be read out of them.
fn key_id(issuer: &str, subject: &str) -> Result<KeyId, TokenFault> {
    let mut hash = Sha256::new();
    // The length keeps an issuer that ends in the other's beginning apart.
    hash.update(issuer.len().to_be_bytes());
    hash.update(issuer.as_bytes());
    hash.update(subject.as_bytes());
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let digits = digits.get(..KEY_ID_DIGITS).unwrap_or(&digits);
    KeyId::new(format!("{KEY_ID_PREFIX}{digits}")).map_err(|_| TokenFault::Claim)
}

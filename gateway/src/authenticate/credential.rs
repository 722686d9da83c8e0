//! What a request was authenticated with, as its refusals call it.
//! Never the credential itself, nor any part of it.
//! Told by a `Principal`, and by the place that counts for it alone.

use std::fmt;

use domain::KeyId;

use super::jwt;

/// What a request was authenticated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// An API key of ours.
    Key,
    /// A signed token of an issuer.
    Token,
}

impl Credential {
    /// What has this id in records.
    pub(super) fn of(id: &KeyId) -> Self {
        if jwt::is_id_of_token(id) { Self::Token } else { Self::Key }
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "this API key",
            Self::Token => "this token",
        })
    }
}

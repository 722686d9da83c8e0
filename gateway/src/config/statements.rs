//! `[statements]`: the key under which the issuer states what its invoices are.
//! Never the key itself: a path, read when the program starts.
//! Read with the rest of the configuration.

use serde::Deserialize;

use super::KeyFile;

/// `[statements]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Statements {
    /// The private key, as `tallygate statement-key` makes it. Without it nothing is signed.
    pub signing_key: Option<KeyFile>,
}

//! `[webhooks]`: where messages about events may be sent.
//! Never an endpoint: those are in the ledger.
//! Read with the rest of the configuration.

use serde::Deserialize;

/// `[webhooks]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// Whether endpoints may be at loopback and private addresses, and without TLS. Who may make endpoints can then
    /// reach whatever this machine can.
    pub allow_private_addresses: bool,
}

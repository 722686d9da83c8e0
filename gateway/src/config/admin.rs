//! `[admin]`: where operators change the ledger over HTTP.
//! Never on the port that tenants use.
//! Read with the rest of the configuration.

use std::net::SocketAddr;

use serde::Deserialize;

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Whether there is an admin API at all.
    pub enabled: bool,
    /// Its own address and port; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        // Loopback: whoever wants it elsewhere puts TLS and a firewall in front and says so.
        Self { enabled: true, listen: SocketAddr::from(([127, 0, 0, 1], 8081)) }
    }
}

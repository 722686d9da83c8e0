//! `[admin]`: where operators change the ledger over HTTP.
//! Never on the port that tenants use.
//! Read with the rest of the configuration.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Whether there is an admin API at all.
    pub enabled: bool,
    /// Its own address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Hosts under which it may be asked beside loopback ones; without any, on another address than loopback: all.
    #[serde(deserialize_with = "hosts")]
    pub hosts: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        // Loopback: whoever wants it elsewhere puts TLS and a firewall in front and says so.
        Self { enabled: true, listen: SocketAddr::from(([127, 0, 0, 1], 8081)), hosts: Vec::new() }
    }
}

fn hosts<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let hosts = Vec::<String>::deserialize(input)?;
    let is_address = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_name =
        |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let is_good = |host: &String| !host.is_empty() && (is_name(host) || is_address(host));
    match hosts.iter().find(|host| !is_good(host)) {
        Some(host) => {
            Err(D::Error::custom(format!("{host:?} is no host: give a name or an address, without a port")))
        }
        None => Ok(hosts),
    }
}

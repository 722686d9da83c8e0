//! What a process is for, and `[node]`: an engine node's name, its address, and the gateways that it serves.
//! Never a secret itself: keys are named by their files.
//! Read with the rest of the configuration; used by `cli::node` and `dispatch`.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// Longest name of a node. Unit: bytes.
const NAME_BYTES_MAX: usize = 64;

/// What a process is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Gateway and engines in one process.
    #[default]
    All,
    /// Gateway alone: every model runs elsewhere.
    Gateway,
    /// Engines alone, for gateways elsewhere.
    Engine,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::All, Self::Gateway, Self::Engine];

    /// Its name in the configuration and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Gateway => "gateway",
            Self::Engine => "engine",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| match text {
            "worker" => "there is no role worker yet: a node runs each model alone; use engine".to_owned(),
            _ => format!("a role is all, gateway or engine, not {text:?}"),
        })
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}

/// `[node]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Who gateways must mean: the name of their `[[backend]]`.
    #[serde(deserialize_with = "node_name")]
    pub name: Option<String>,
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Public keys of the gateways that it serves, as PEM files.
    pub gateway_keys: Vec<PathBuf>,
    /// TLS, where nothing before the node speaks it.
    pub tls: Option<NodeTls>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
            gateway_keys: Vec::new(),
            tls: None,
        }
    }
}

/// `[node.tls]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeTls {
    /// The certificate with those above it, as a PEM file.
    pub certificate: PathBuf,
    /// Its private key, as a PEM file.
    pub key: PathBuf,
}

/// Where a private key is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// Its PEM file.
    pub file: PathBuf,
}

fn node_name<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(input)?;
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_good) {
        true => Ok(Some(name)),
        false => Err(D::Error::custom(
            "a node's name must be 1 to 64 letters, digits, dots, dashes and underscores",
        )),
    }
}

#[cfg(test)]
mod tests;

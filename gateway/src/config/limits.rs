//! `[limits]`: where limits are counted, and what happens while that place is away.
//! Never shows the address of Redis, which may hold a password.
//! Part of `Config`; read by `cli::serve`.

use std::{fmt, num::NonZeroU32, path::PathBuf};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::bounded;
use crate::admit::{AwayPolicy, RedisAddress};

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Where limits and holds are counted.
    pub store: LimitsStore,
    /// The Redis that all gateways share.
    pub redis: LimitsRedis,
    /// What happens while Redis is away.
    pub on_redis_failure: RedisFailure,
    /// How many gateways share the limits while Redis is away and each goes on alone.
    #[serde(deserialize_with = "gateways")]
    pub gateways_expected: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            store: LimitsStore::Local,
            redis: LimitsRedis::default(),
            on_redis_failure: RedisFailure::Closed,
            gateways_expected: NonZeroU32::MIN,
        }
    }
}

impl Limits {
    /// What admission does while Redis is away.
    pub fn away_policy(&self) -> AwayPolicy {
        match self.on_redis_failure {
            RedisFailure::Closed => AwayPolicy::Closed,
            RedisFailure::Local => AwayPolicy::Local { gateways: self.gateways_expected },
        }
    }
}

/// Where limits are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitsStore {
    /// In this process: for one gateway.
    Local,
    /// In Redis: for any number of gateways.
    Redis,
}

/// `[limits.redis]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsRedis {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://…` over TLS; `redis-cluster://…` for a cluster.
    pub url: Option<RedisUrl>,
    /// Certificates that vouch for it over TLS, as a PEM file; without it the roots that browsers trust.
    pub ca_file: Option<PathBuf>,
}

/// What happens while Redis is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedisFailure {
    /// Requests are refused.
    Closed,
    /// This gateway's share of each limit holds.
    Local,
}

/// The address of a Redis; it may hold a password, so it has no text of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// Whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        self.0.starts_with("rediss://")
    }

    /// The address, to connect with and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

impl<'de> Deserialize<'de> for RedisUrl {
    /// Errors name no part of the text: it may be a password in the wrong place.
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let url = String::deserialize(input)?;
        let is_known = ["redis://", "rediss://", "redis-cluster://", "unix://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        if !is_known || RedisAddress::new(&url, None).is_err() {
            let reason = "a Redis url must be redis://[user:password@]host[:port][/database], the same with \
                          rediss:// for TLS, redis-cluster://host[:port][,host[:port]…], or unix://PATH";
            return Err(D::Error::custom(reason));
        }
        Ok(Self(url))
    }
}

/// A thousand gateways are more than one Redis serves.
fn gateways<'de, D: Deserializer<'de>>(input: D) -> Result<NonZeroU32, D::Error> {
    let count = bounded::<1, 1_000, D>(input)?;
    NonZeroU32::new(count).ok_or_else(|| D::Error::custom("at least one gateway is expected"))
}

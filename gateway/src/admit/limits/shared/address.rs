//! Where the limits' Redis is, and a connection to it, plain or over TLS.
//! Never shows the address, which may hold a password, and never takes a certificate on trust.
//! Made from the configuration; used by `redis` for each connection.

use std::{path::Path, sync::Arc};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisError, aio::MultiplexedConnection,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::dispatch::tls::{TlsError, bare_connector};

/// What an address over TLS begins with.
const OVER_TLS: &str = "rediss://";

/// A Redis. Cheap to clone.
#[derive(Clone)]
pub struct RedisAddress {
    client: Client,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    host: Arc<str>,
    port: u16,
    name: ServerName<'static>,
}

/// The address of a Redis is none.
#[derive(Debug, thiserror::Error)]
pub enum BadAddress {
    /// It does not read.
    #[error("limits.redis.url: {0}")]
    Url(#[from] RedisError),
    /// Over TLS, it names no server.
    #[error("limits.redis.url: over TLS it must name a host, and nothing may follow a #")]
    NoHost,
    /// Nobody vouches for it.
    #[error("limits.redis.ca_file: {0}")]
    Tls(#[from] TlsError),
}

impl BadAddress {
    /// The operator's input is at fault.
    pub fn fault(&self) -> domain::Fault {
        domain::Fault::Invalid
    }
}

impl RedisAddress {
    /// An address `redis://…`, `rediss://…` or `unix://…`; the file has certificates that vouch for the second kind.
    ///
    /// Errors: it is none; the file has no certificate.
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, BadAddress> {
        let Some(rest) = url.strip_prefix(OVER_TLS) else {
            return Ok(Self { client: Client::open(url)?, tls: None });
        };
        // The rest reads alike; how it is spoken to is decided here.
        let client = Client::open(format!("redis://{rest}"))?;
        let ConnectionAddr::Tcp(host, port) = client.get_connection_info().addr() else {
            return Err(BadAddress::NoHost);
        };
        let name = ServerName::try_from(host.clone()).map_err(|_| BadAddress::NoHost)?;
        if rest.contains('#') {
            return Err(BadAddress::NoHost);
        }
        let tls = Tls { connector: bare_connector(ca_file)?, host: host.as_str().into(), port: *port, name };
        Ok(Self { client, tls: Some(tls) })
    }

    /// A connection; what drives it is spawned on the runtime of the caller.
    pub(super) async fn connect(
        &self,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        let Some(tls) = &self.tls else {
            return self.client.get_multiplexed_async_connection_with_config(&config).await;
        };
        let io = |error: std::io::Error| RedisError::from((ErrorKind::Io, "connect", error.to_string()));
        let tcp = TcpStream::connect((&*tls.host, tls.port)).await.map_err(io)?;
        tcp.set_nodelay(true).map_err(io)?;
        let stream = tls.connector.connect(tls.name.clone(), tcp).await.map_err(io)?;
        let settings = self.client.get_connection_info().redis_settings();
        let (connection, driver) = MultiplexedConnection::new_with_config(settings, stream, config).await?;
        tokio::spawn(driver);
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let rows = [
            ("redis://a", true),
            ("redis://user:word@a:1/2", true),
            ("rediss://a", true),
            ("rediss://user:word@a:1/2", true),
            ("rediss://127.0.0.1:1", true),
            ("rediss://[::1]:1", true),
            ("unix:///x", true),
            ("rediss://", false),
            ("rediss://a/b", false),
            ("rediss://a/0#insecure", false),
            ("http://a", false),
            ("redis://127.0.0.1:port/", false),
        ];
        for (url, is_good) in rows {
            assert_eq!(RedisAddress::new(url, None).is_ok(), is_good, "{url}");
        }
        let missing = RedisAddress::new("rediss://a", Some(Path::new("no-such-file.pem")));
        assert!(matches!(missing.err(), Some(BadAddress::Tls(_))));
    }
}

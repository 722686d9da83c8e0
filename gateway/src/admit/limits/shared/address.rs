//! Where the limits' Redis is, and a connection to it: plain, over TLS, or to the nodes of a cluster.
//! Never shows the address, which may hold a password, and never takes a certificate on trust.
//! Made from the configuration; used by `redis` for each connection.

use std::{path::Path, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, RedisError, Value,
    aio::{ConnectionLike as _, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::dispatch::tls::{TlsError, bare_connector};

/// What an address over TLS begins with.
const OVER_TLS: &str = "rediss://";
/// What an address of a cluster begins with.
const CLUSTER: &str = "redis-cluster://";

/// How often a command follows a cluster that says that the tenant's keys are elsewhere, or are on their way.
const REDIRECTS_MAX: u32 = 4;
/// Longest wait between two of these tries. Unit: milliseconds.
const REDIRECT_WAIT_MAX_MS: u64 = 20;

/// A Redis. Cheap to clone.
#[derive(Clone)]
pub struct RedisAddress(Place);

#[derive(Clone)]
enum Place {
    /// One server.
    Server { client: Client, tls: Option<Tls> },
    /// The nodes of a cluster: any of the first is asked for the others.
    Cluster(ClusterClient),
}

/// A connection to one server, or to all nodes of a cluster. Cheap to clone.
#[derive(Clone)]
pub(in crate::admit::limits) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends one command; in a cluster to the node that has its keys.
    pub(in crate::admit::limits) async fn send(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        match self {
            Self::Server(connection) => connection.send_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }
    }
}

/// How a connection is made and used.
pub(in crate::admit::limits) struct Bounds {
    /// How long it may take to come about.
    pub(in crate::admit::limits) connect: Duration,
    /// How long an answer may take.
    pub(in crate::admit::limits) answer: Duration,
    /// Commands that wait for its writer.
    pub(in crate::admit::limits) pipeline: usize,
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
    /// A cluster has no numbered databases, and its nodes are hosts.
    #[error("limits.redis.url: a cluster is redis-cluster://[user:password@]host[:port][,host[:port]…]")]
    NoCluster,
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
    /// An address `redis://…`, `rediss://…`, `redis-cluster://…` or `unix://…`; the file has certificates that vouch for
    /// the second kind.
    ///
    /// Errors: it is none; the file has no certificate.
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, BadAddress> {
        if let Some(rest) = url.strip_prefix(CLUSTER) {
            return cluster(rest).map(|client| Self(Place::Cluster(client)));
        }
        let Some(rest) = url.strip_prefix(OVER_TLS) else {
            return Ok(Self(Place::Server { client: Client::open(url)?, tls: None }));
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
        Ok(Self(Place::Server { client, tls: Some(tls) }))
    }

    /// Whether commands whose answer was lost are sent again, as a cluster's client does by itself.
    pub(in crate::admit::limits) fn sends_again(&self) -> bool {
        match self.0 {
            Place::Cluster(_) => true,
            Place::Server { .. } => false,
        }
    }

    /// A connection; what drives it is spawned on the runtime of the caller.
    pub(in crate::admit::limits) async fn connect(&self, bounds: &Bounds) -> Result<Connection, RedisError> {
        match &self.0 {
            Place::Server { client, tls } => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(bounds.connect))
                    .set_response_timeout(None)
                    .set_pipeline_buffer_size(bounds.pipeline);
                server(client, tls.as_ref(), config).await.map(Connection::Server)
            }
            Place::Cluster(client) => {
                let config = redis::cluster::ClusterConfig::new()
                    .set_connection_timeout(bounds.connect)
                    .set_response_timeout(bounds.answer);
                client.get_async_connection_with_config(config).await.map(Connection::Cluster)
            }
        }
    }
}

/// The nodes that an address names. Which others there are, and who has which keys, they say themselves.
fn cluster(rest: &str) -> Result<ClusterClient, BadAddress> {
    let (credentials, hosts) = match rest.rsplit_once('@') {
        Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
        None => (String::new(), rest),
    };
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '#', '?', '@']);
    if !hosts.split(',').all(is_host) {
        return Err(BadAddress::NoCluster);
    }
    let nodes = hosts.split(',').map(|host| format!("redis://{credentials}{host}"));
    let builder = ClusterClient::builder(nodes)
        .retries(REDIRECTS_MAX)
        .min_retry_wait(1)
        .max_retry_wait(REDIRECT_WAIT_MAX_MS);
    Ok(builder.build()?)
}

async fn server(
    client: &Client,
    tls: Option<&Tls>,
    config: AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    let Some(tls) = tls else {
        return client.get_multiplexed_async_connection_with_config(&config).await;
    };
    let io = |error: std::io::Error| RedisError::from((ErrorKind::Io, "connect", error.to_string()));
    let tcp = TcpStream::connect((&*tls.host, tls.port)).await.map_err(io)?;
    tcp.set_nodelay(true).map_err(io)?;
    let stream = tls.connector.connect(tls.name.clone(), tcp).await.map_err(io)?;
    let settings = client.get_connection_info().redis_settings();
    let (connection, driver) = MultiplexedConnection::new_with_config(settings, stream, config).await?;
    tokio::spawn(driver);
    Ok(connection)
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
            ("redis-cluster://a", true),
            ("redis-cluster://a:1,b:2,c", true),
            ("redis-cluster://user:word@a:1,b", true),
            ("redis-cluster://[::1]:1,b", true),
            ("redis-cluster://", false),
            ("redis-cluster://a,", false),
            ("redis-cluster://a/0", false),
            ("redis-cluster://a:port", false),
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

//! Limits in a Redis that is reached over TLS: who is believed, and who is not.
//! Never another Redis than the test's own: a server that speaks TLS stands before it.
//! Run by `cargo xtask test`.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

use super::{
    super::{AwayPolicy, Limits, RedisAddress, TakeError},
    stand::{Stand, exceeded, places, redis_url, tenant},
};

/// An authority: its certificate as PEM, and what it signs for this machine.
struct Authority {
    pem: String,
    leaf: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = KeyPair::generate().expect("a key");
        let root = params.self_signed(&authority).expect("signed");
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let leaf = leaf.signed_by(&key, &Issuer::new(params, authority)).expect("signed");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a private key");
        Self { pem: root.pem(), leaf: leaf.der().clone(), key }
    }

    /// Speaks TLS before the test's Redis.
    async fn stand_before(self, redis: String) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.leaf], self.key)
            .expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (acceptor, redis) = (acceptor.clone(), redis.clone());
                tokio::spawn(async move {
                    // Who does not believe the certificate hangs up here.
                    let Ok(mut near) = acceptor.accept(near).await else { return };
                    let mut far = TcpStream::connect(redis).await.expect("the test's Redis");
                    tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
                });
            }
        });
        address
    }
}

fn limits(url: &str, ca_file: Option<&Path>) -> Limits {
    Limits::shared(RedisAddress::new(url, ca_file).expect("an address"), AwayPolicy::Closed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_is_reached_over_tls_by_who_can_believe_it() {
    let Some(url) = redis_url() else { return };
    let redis = url.trim_start_matches("redis://").split('/').next().unwrap_or_default().to_owned();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    let [ours, theirs] = ["ours.pem", "theirs.pem"].map(|name| folder.path().join(name));
    std::fs::write(&ours, &authority.pem).expect("written");
    std::fs::write(&theirs, &stranger.pem).expect("written");
    let address = authority.stand_before(redis).await;
    let stand = Stand::local();
    let ask = || stand.ask(vec![tenant(places(1))]);

    let known = limits(&format!("rediss://{address}"), Some(&ours));
    let taken = known.take(&ask()).await.expect("a place");
    assert_eq!(exceeded(known.take(&ask()).await).limit, 1, "it is counted there");
    drop(taken);
    drop(known.take(&ask()).await.expect("the place is free again"));

    let rows = [
        (format!("rediss://{address}"), Some(theirs.as_path())),
        (format!("rediss://{address}"), None),
        (format!("rediss://localhost:{}", address.port()), Some(ours.as_path())),
        (format!("redis://{address}"), None),
    ];
    for (url, ca_file) in rows {
        let refused = limits(&url, ca_file).take(&ask()).await;
        assert!(matches!(refused, Err(TakeError::Away { .. })), "{url} {ca_file:?}: {refused:?}");
    }
}

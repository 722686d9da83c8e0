//! TLS of a node, by a certificate and its key from files.
//! Never asks for a client's certificate: gateways are known by their tokens.
//! Read by `cli::node` before anything else is begun, and by `cli::check`.

use std::sync::Arc;

use tokio_rustls::rustls::{
    Error, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};

use crate::config::NodeTls;

/// Why a node cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum NodeTlsError {
    /// A file is not PEM, or cannot be read.
    #[error("{0}: {1}")]
    File(String, #[source] pem::Error),
    /// Certificate and key do not fit together, or are not good.
    #[error("certificate and key: {0}")]
    Pair(#[from] Error),
}

/// What the server's side of TLS needs.
///
/// Errors: a file that cannot be read; a certificate and a key that do not belong to each other.
pub fn config(files: &NodeTls) -> Result<ServerConfig, NodeTlsError> {
    let NodeTls { certificate, key } = files;
    let fault = |path: &std::path::Path| {
        let shown = path.display().to_string();
        move |error| NodeTlsError::File(shown.clone(), error)
    };
    let chain = CertificateDer::pem_file_iter(certificate).map_err(fault(certificate))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(fault(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(fault(key))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
    Ok(builder.with_single_cert(chain, key)?)
}

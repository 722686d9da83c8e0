//! Who vouches for a server that is reached over TLS: a backend, or the Redis of the limits.
//! Never trusts a certificate without a root, and never presents one of its own.
//! Called when backends are built, and by the limits for an address that begins with rediss.

use std::{path::Path, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, Error, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject as _},
    },
};

/// Why there are no roots to trust.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read, or is not PEM.
    #[error("{0}: {1}")]
    File(String, String),
    /// The file has no certificate.
    #[error("{0} has no certificate")]
    Empty(String),
    /// A certificate is not good.
    #[error("certificates: {0}")]
    Certificate(#[from] Error),
}

/// Speaks TLS to servers whose certificate leads to one of these roots: those of the file, or else those that
/// browsers trust.
///
/// Errors: the file has none that can be used.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, TlsError> {
    let mut config = client_config(ca_file)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The same for servers that speak no HTTP: no protocol is named.
///
/// Errors: as [`connector`].
pub(crate) fn bare_connector(ca_file: Option<&Path>) -> Result<TlsConnector, TlsError> {
    Ok(TlsConnector::from(Arc::new(client_config(ca_file)?)))
}

fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let shown = path.display().to_string();
            let fault = |error| TlsError::File(shown.clone(), crate::pem::fault("certificate", &error));
            for certificate in CertificateDer::pem_file_iter(path).map_err(fault)? {
                roots.add(certificate.map_err(fault)?)?;
            }
            if roots.is_empty() {
                return Err(TlsError::Empty(shown));
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(connector(None).is_ok(), "the usual roots");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        assert!(connector(Some(&path)).is_err(), "not there");
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, text).expect("written");
            assert!(connector(Some(&path)).is_err(), "{text:?}");
        }
    }
}

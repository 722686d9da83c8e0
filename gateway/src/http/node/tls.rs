//! TLS of a node, by a certificate and its key from files.
//! Never asks for a client's certificate: gateways are known by their tokens.
//! Read by `cli::node` before anything else is begun, and by `cli::check`.

use std::{path::Path, sync::Arc};

use tokio_rustls::rustls::{
    Error, ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{Error as PemError, PemObject as _},
    },
};

use crate::{config::NodeTls, pem};

/// Why a node cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum NodeTlsError {
    /// A file cannot be read, or is not what it should be. Nothing of it is shown: it may hold the key.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The key is that of another certificate.
    #[error("the key in {key} is not that of the certificate in {certificate}")]
    Mismatch {
        /// The file with the certificate.
        certificate: String,
        /// The file with the key.
        key: String,
    },
    /// Certificate or key are not good.
    #[error("certificate and key: {0}")]
    Pair(#[from] Error),
}

/// What the server's side of TLS needs.
///
/// Errors: a file that cannot be read; a certificate and a key that do not belong to each other.
pub fn config(files: &NodeTls) -> Result<ServerConfig, NodeTlsError> {
    let NodeTls { certificate, key } = files;
    let chain =
        CertificateDer::pem_file_iter(certificate).map_err(|error| fault(certificate, CHAIN, &error))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|error| fault(certificate, CHAIN, &error))?;
    if chain.is_empty() {
        return Err(fault(certificate, CHAIN, &PemError::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| fault(key, KEY, &error))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
    builder.with_single_cert(chain, private).map_err(|error| {
        let is_mismatch = matches!(error, Error::InconsistentKeys(_));
        let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
        if is_mismatch { NodeTlsError::Mismatch { certificate, key } } else { NodeTlsError::Pair(error) }
    })
}

/// What the two files should have.
const CHAIN: &str = "certificate";
const KEY: &str = "private key";

fn fault(path: &Path, wanted: &str, error: &PemError) -> NodeTlsError {
    NodeTlsError::File { file: path.display().to_string(), why: pem::fault(wanted, error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files' texts, `None` for a file that is not there, and what is said of them.
    fn check(folder: &Path, certificate: Option<&str>, key: Option<&str>, expected: &str) {
        let path = |name: &str, text: Option<&str>| {
            let path = folder.join(name);
            std::fs::remove_file(&path).ok();
            if let Some(text) = text {
                std::fs::write(&path, text).expect("written");
            }
            path
        };
        let files = NodeTls { certificate: path("node.crt", certificate), key: path("node.key", key) };
        let told = config(&files).expect_err("refused").to_string();
        assert!(told.contains(expected), "{told}");
        assert!(!told.contains("c2VjcmV0"), "nothing of a file is shown: {told}");
    }

    #[test]
    fn what_is_wrong_with_certificate_and_key_is_said_in_words() {
        let made = |_| rcgen::generate_simple_self_signed(["node".to_owned()]).expect("a certificate");
        let [one, other] = [0, 1].map(made);
        let (certificate, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let strange = other.signing_key.serialize_pem();
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        check(folder, None, Some(&key), "node.crt: No such file");
        check(folder, Some(&certificate), None, "node.key: No such file");
        check(folder, Some(""), Some(&key), "node.crt: there is no certificate in it");
        check(folder, Some(&key), Some(&key), "node.crt: there is no certificate in it");
        check(folder, Some(&certificate), Some(&certificate), "node.key: there is no private key in it");
        check(
            folder,
            Some(&certificate),
            Some("-----BEGIN c2VjcmV0"),
            "node.key: the private key in it does not read as PEM",
        );
        let broken = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0!\n-----END PRIVATE KEY-----\n";
        check(
            folder,
            Some(&certificate),
            Some(broken),
            "node.key: the private key in it does not read as PEM",
        );
        let nonsense = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        check(folder, Some(&certificate), Some(nonsense), "certificate and key: ");
        check(folder, Some(&certificate), Some(&strange), "node.key is not that of the certificate in ");
        let good = NodeTls { certificate: folder.join("node.crt"), key: folder.join("node.key") };
        std::fs::write(&good.key, &key).expect("written");
        assert!(config(&good).is_ok());
    }
}

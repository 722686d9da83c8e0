//! Why a PEM file does not give what it should have, in words.
//! Never shows any of the file: a key may stand in it on one line, and the library's own words quote that.
//! Called wherever keys and certificates are read.

use tokio_rustls::rustls::pki_types::pem::Error;

/// What is wrong with a file in which a `wanted` was looked for, such as a private key.
pub(crate) fn fault(wanted: &str, error: &Error) -> String {
    if let Error::Io(error) = error {
        return error.to_string();
    }
    let is_missing = matches!(error, Error::NoItemsFound);
    if is_missing {
        format!("there is no {wanted} in it")
    } else {
        format!("the {wanted} in it does not read as PEM")
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};

    use super::*;

    #[test]
    fn nothing_of_a_file_is_shown() {
        let rows = [
            ("", "there is no private key in it"),
            ("c2VjcmV0", "there is no private key in it"),
            ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0", "the private key in it does not read as PEM"),
            ("-----BEGIN PRIVATE KEY----- c2VjcmV0", "the private key in it does not read as PEM"),
            (
                "-----BEGIN PRIVATE KEY----- c2VjcmV0 -----END PRIVATE KEY-----\n",
                "the private key in it does not read as PEM",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nc2VjcmV0!\n-----END PRIVATE KEY-----\n",
                "the private key in it does not read as PEM",
            ),
        ];
        for (text, expected) in rows {
            let error = PrivateKeyDer::from_pem_slice(text.as_bytes()).expect_err("no key");
            assert_eq!(fault("private key", &error), expected, "{text:?}");
        }
    }
}

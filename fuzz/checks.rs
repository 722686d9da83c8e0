//! What must hold for any bytes that strangers send: nothing panics, and what is read is what was sent.
//! Never looks at timing or memory: the fuzzer does.
//! Called by the fuzz targets and, with the committed corpora, by the gateway's stable tests.

use gateway::{
    authenticate::key,
    http::{ALL_BODIES, read_body},
};

/// A body is taken or refused in every dialect, always the same way; a refusal is a 4xx that says something.
pub(crate) fn bodies(input: &[u8]) {
    for kind in ALL_BODIES {
        let first = read_body(kind, input);
        let second = read_body(kind, input);
        assert_eq!(first, second, "{kind:?}: the same body is read in two ways");
        if let Err(error) = first {
            let status = error.status().as_u16();
            assert!((400..500).contains(&status), "{kind:?}: {status}");
            let body = error.to_openai();
            let said = |field: &str| body["error"][field].as_str().is_some_and(|text| !text.is_empty());
            assert!(said("message") && said("code"), "{kind:?}: {body}");
        }
    }
}

/// A key is its id and its secret and nothing else.
pub(crate) fn keys(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some((id, secret)) = key::parse(text) {
        assert_eq!(text, format!("{}{id}-{secret}", key::KEY_PREFIX), "something of the key was lost");
        assert!(
            secret.bytes().all(|letter| letter.is_ascii_alphanumeric()),
            "a secret is letters and digits"
        );
        assert_eq!(key::parse(text), Some((id, secret)));
        assert_eq!(key::hash_secret(secret), key::hash_secret(secret));
    }
}

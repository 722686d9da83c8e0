//! Tokens that open a node, and every way of being bad: each differs from a good one in one thing.
//! Never a running node.
//! Run by `cargo test -p gateway`.

use serde_json::{Value, json};

use super::*;
use crate::node::KeyPair;

const NOW_S: i64 = 1_800_000_000;
const NOW: Timestamp = at(NOW_S);

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(seconds * 1_000_000)
}

fn signing_key() -> (SigningKey, PublicKey) {
    let pair = KeyPair::generate().expect("a pair");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    std::fs::write(&file, &pair.private_pem).expect("written");
    (SigningKey::read(&file).expect("read back"), pair.public)
}

/// What a good token says, with some of it changed.
fn claims(change: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "node-a", "iat": NOW_S, "exp": NOW_S + LIFE_SECONDS, "jti": "1",
    });
    for (name, value) in change.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    claims
}

fn header(kid: &str) -> Header {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(kid.to_owned());
    header.typ = Some(TOKEN_TYPE.to_owned());
    header
}

#[test]
fn a_signer_opens_the_node_that_knows_its_key() {
    let ((key, public), (other_key, other)) = (signing_key(), signing_key());
    let (signer, other_signer) = (Signer::new(&key, "node-a"), Signer::new(&other_key, "node-a"));
    let both = KeyRing::new("node-a", &[public.clone(), other.clone()]);
    for (signer, id) in [(&signer, public.id()), (&other_signer, other.id())] {
        assert_eq!(both.check(&signer.token(NOW).expect("signed"), NOW), Ok(id.as_str()));
    }
    let token = signer.token(NOW).expect("signed");
    assert_eq!(KeyRing::new("node-a", &[other]).check(&token, NOW), Err(TokenFault::UnknownKey));
    assert_eq!(KeyRing::new("node-b", &[public]).check(&token, NOW), Err(TokenFault::Audience));
    let shown = format!("{signer:?}");
    assert!(shown.contains("node-a") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_token_is_used_again_while_it_is_fresh() {
    let (key, _) = signing_key();
    let signer = Signer::new(&key, "node-a");
    let first = signer.token(NOW).expect("signed");
    assert_eq!(signer.token(at(NOW_S + RENEW_SECONDS - 1)).expect("signed"), first);
    let second = signer.token(at(NOW_S + RENEW_SECONDS)).expect("signed");
    assert_ne!(second, first);
    assert_ne!(signer.token(NOW).expect("signed"), second, "the clock was set back");
}

#[test]
fn tokens_last_a_minute_and_the_clocks_may_differ() {
    let (key, public) = signing_key();
    let ring = KeyRing::new("node-a", &[public]);
    let token = Signer::new(&key, "node-a").token(NOW).expect("signed");
    for (offset, expected) in [
        (0, Ok(())),
        (-SKEW_SECONDS, Ok(())),
        (-SKEW_SECONDS - 1, Err(TokenFault::NotYetValid)),
        (LIFE_SECONDS + SKEW_SECONDS - 1, Ok(())),
        (LIFE_SECONDS + SKEW_SECONDS, Err(TokenFault::Expired)),
    ] {
        assert_eq!(ring.check(&token, at(NOW_S + offset)).map(|_| ()), expected, "{offset}");
    }
}

#[test]
fn what_differs_from_a_good_token_is_refused() {
    use TokenFault::{Audience, Expired, Malformed, TooLong};
    let (key, public) = signing_key();
    let ring = KeyRing::new("node-a", std::slice::from_ref(&public));
    let encoding = EncodingKey::from_ed_der(key.der());
    let sign = |header: &Header, change: &Value| encode(header, &claims(change), &encoding).expect("signed");
    let good = header(&public.id());
    assert!(ring.check(&sign(&good, &json!({})), NOW).is_ok(), "else nothing below says anything");
    for (change, fault) in [
        (json!({"iss": "somebody"}), Malformed),
        (json!({"iss": null}), Malformed),
        (json!({"aud": "node-b"}), Audience),
        (json!({"aud": "NODE-A"}), Audience),
        (json!({"aud": ["node-a", "node-b"]}), Malformed),
        (json!({"aud": null}), Malformed),
        (json!({"exp": NOW_S - SKEW_SECONDS, "iat": NOW_S - LIFE_SECONDS}), Expired),
        (json!({"exp": NOW_S, "iat": NOW_S}), Expired),
        (json!({"exp": NOW_S + LIFE_SECONDS + 1}), TooLong),
        (json!({"exp": i64::MAX, "iat": i64::MIN}), TooLong),
        (json!({"exp": "soon"}), Malformed),
        (json!({"exp": null}), Malformed),
        (json!({"iat": null}), Malformed),
        (json!({"jti": ""}), Malformed),
        (json!({"jti": "x".repeat(65)}), Malformed),
        (json!({"jti": null}), Malformed),
    ] {
        let found = ring.check(&sign(&good, &change), NOW);
        // The library has a kind of its own for what is missing or of another form; it is refused all the same.
        assert!(found == Err(fault), "{change}: {found:?}");
    }
    let with = |change: fn(&mut Header)| {
        let mut header = good.clone();
        change(&mut header);
        ring.check(&sign(&header, &json!({})), NOW).map(|_| ())
    };
    assert_eq!(with(|header| header.typ = Some("JWT".to_owned())), Err(Malformed));
    assert_eq!(with(|header| header.typ = None), Err(Malformed));
    assert_eq!(with(|header| header.crit = Some(vec!["x".to_owned()])), Err(Malformed));
    assert_eq!(with(|header| header.kid = None), Err(TokenFault::UnknownKey));
}

#[test]
fn no_other_signature_passes() {
    let ((_, public), (thief, _)) = (signing_key(), signing_key());
    let ring = KeyRing::new("node-a", std::slice::from_ref(&public));
    let good = header(&public.id());
    let forged = encode(&good, &claims(&json!({})), &EncodingKey::from_ed_der(thief.der())).expect("signed");
    assert_eq!(ring.check(&forged, NOW), Err(TokenFault::Signature));
    // The public key as a shared secret, which a careless reader would take.
    for secret in [public.bytes(), public.to_pem().as_bytes()] {
        let header = Header { alg: Algorithm::HS256, ..good.clone() };
        let token = encode(&header, &claims(&json!({})), &EncodingKey::from_secret(secret)).expect("signed");
        assert_eq!(ring.check(&token, NOW), Err(TokenFault::Algorithm));
    }
    let mut parts: Vec<_> = forged.split('.').collect();
    parts[2] = "";
    for text in
        ["", "a.b.c", "tg-aaaaaaaaaaaa-b", &parts.join("."), &format!("{forged}.x"), &"x".repeat(3_000)]
    {
        assert!(ring.check(text, NOW).is_err(), "{text}");
    }
}

#[test]
fn opaque_numbers_are_the_same_for_the_same_and_tell_nothing() {
    let ((key, _), (other, _)) = (signing_key(), signing_key());
    let signer = Signer::new(&key, "node-a");
    let number = signer.opaque("cache", 7);
    assert_eq!(number, Signer::new(&key, "node-b").opaque("cache", 7), "whichever node");
    assert_ne!(number, signer.opaque("cache", 8));
    assert_ne!(number, signer.opaque("fairness", 7), "what one is for says nothing of the other");
    assert_ne!(number, Signer::new(&other, "node-a").opaque("cache", 7));
    assert_ne!(number, OpaqueNumber(7));
}

//! The signature of what Stripe tells: HMAC-SHA256 over time and raw body, by any of our secrets.
//! Never compares byte by byte, and never takes what is older than five minutes.
//! Called by the webhook for Stripe before anything of the body is read.

use aws_lc_rs::hmac;

/// How far Stripe's time may be from ours, either way. Unit: seconds. Stripe's libraries have the same.
pub(crate) const TOLERANCE_SECONDS: i64 = 300;
/// Signatures looked at in one header; Stripe sends one for each secret that is in use.
const SIGNATURES_MAX: usize = 16;

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// No header in form.
    #[error("the Stripe-Signature header is missing or not in form")]
    Form,
    /// Signed at another time.
    #[error("the message was signed more than 300 seconds ago, or the clocks differ by more")]
    Stale,
    /// Signed with another secret, or another body.
    #[error("no signature fits the body")]
    Mismatch,
}

/// Checks the header of a message against its raw body.
///
/// Errors: as [`BadSignature`] says; the signature is looked at first, so that a stale time is told only to Stripe.
pub fn verify(
    header: &str,
    body: &[u8],
    (secrets, unix_seconds): (&[String], i64),
) -> Result<(), BadSignature> {
    let (mut time, mut signatures) = (None, Vec::new());
    for (name, value) in header.split(',').filter_map(|part| part.trim().split_once('=')) {
        match name {
            "t" if time.is_none() => time = Some(value),
            "t" => return Err(BadSignature::Form),
            "v1" if signatures.len() < SIGNATURES_MAX => signatures.push(value),
            _ => {}
        }
    }
    let text = time.ok_or(BadSignature::Form)?;
    let at: i64 = text.parse().map_err(|_| BadSignature::Form)?;
    if signatures.is_empty() {
        return Err(BadSignature::Form);
    }
    let mut signed = Vec::with_capacity(text.len() + 1 + body.len());
    signed.extend_from_slice(text.as_bytes());
    signed.push(b'.');
    signed.extend_from_slice(body);
    let fits = |secret: &String| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        // Comparing takes the same time wherever the two differ.
        let is_it =
            |text: &&str| from_hex(text).is_some_and(|bytes| hmac::verify(&key, &signed, &bytes).is_ok());
        signatures.iter().any(is_it)
    };
    if !secrets.iter().filter(|secret| !secret.is_empty()).any(fits) {
        return Err(BadSignature::Mismatch);
    }
    match at.abs_diff(unix_seconds) <= TOLERANCE_SECONDS.unsigned_abs() {
        true => Ok(()),
        false => Err(BadSignature::Stale),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const SECRET: &str = "whsec_test";
    const NOW: i64 = 1_800_000_000;
    const BODY: &[u8] = b"{\"id\": \"evt_1\"}";

    fn sign(secret: &str, at: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signed = [format!("{at}.").as_bytes(), body].concat();
        hmac::sign(&key, &signed).as_ref().iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a text grows");
            hex
        })
    }

    fn verdict(header: &str, body: &[u8], secrets: &[&str]) -> Result<(), BadSignature> {
        let secrets: Vec<_> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        verify(header, body, (&secrets, NOW))
    }

    #[test]
    fn only_a_fresh_signature_by_a_secret_of_ours_is_taken() {
        let good = sign(SECRET, NOW, BODY);
        let other = sign("whsec_other", NOW, BODY);
        let at = |at: i64| format!("t={at},v1={}", sign(SECRET, at, BODY));
        let rows = [
            (at(NOW), Ok(())),
            (at(NOW - 300), Ok(())),
            (at(NOW + 300), Ok(())),
            (at(NOW - 301), Err(BadSignature::Stale)),
            (at(NOW + 301), Err(BadSignature::Stale)),
            (format!("t={NOW},v1={other},v1={good}"), Ok(())),
            (format!("t={NOW}, v1={good}, v0=abc"), Ok(())),
            (format!("t={NOW},v1={}", good.to_uppercase()), Ok(())),
            (format!("t={NOW},v1={other}"), Err(BadSignature::Mismatch)),
            (format!("t={},v1={good}", NOW + 1), Err(BadSignature::Mismatch)),
            (format!("t={NOW},v1={}", &good[1..]), Err(BadSignature::Mismatch)),
            (format!("t={NOW},v1={}", &good[2..]), Err(BadSignature::Mismatch)),
            (format!("t={NOW},v1="), Err(BadSignature::Mismatch)),
            (format!("t={NOW},v1=zz"), Err(BadSignature::Mismatch)),
            (format!("t={NOW},v0={good}"), Err(BadSignature::Form)),
            (format!("v1={good}"), Err(BadSignature::Form)),
            (format!("t=soon,v1={good}"), Err(BadSignature::Form)),
            (format!("t={NOW},t={NOW},v1={good}"), Err(BadSignature::Form)),
            (String::new(), Err(BadSignature::Form)),
        ];
        for (header, expected) in rows {
            assert_eq!(verdict(&header, BODY, &[SECRET]), expected, "{header}");
        }
        let header = format!("t={NOW},v1={good}");
        assert_eq!(verdict(&header, b"{\"id\": \"evt_2\"}", &[SECRET]), Err(BadSignature::Mismatch));
        assert_eq!(verdict(&header, BODY, &["whsec_new", SECRET]), Ok(()), "while a secret is replaced");
    }

    #[test]
    fn an_empty_secret_signs_nothing() {
        let header = format!("t={NOW},v1={}", sign("x", NOW, BODY).replace('x', "y"));
        assert_eq!(verdict(&header, BODY, &[""]), Err(BadSignature::Mismatch));
        assert_eq!(verdict(&header, BODY, &[]), Err(BadSignature::Mismatch));
    }
}

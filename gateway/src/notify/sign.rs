//! Signs messages as Standard Webhooks does: HMAC-SHA256 over id, time and body, once for each secret.
//! Never a secret in what is given back.
//! Called by the notifier, and by the edges to show a new secret once.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use billing::ledger::WebhookSecret;

/// What secrets begin with where people see them.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a new secret: as many as the signature has.
const SECRET_BYTES: usize = 32;

/// The value of `webhook-signature`: one signature for each secret, with spaces between.
///
/// Source: Standard Webhooks, "Signature scheme": `id.timestamp.body`, in base64, after `v1,`.
pub(super) fn signatures(id: &str, unix_seconds: i64, body: &str, secrets: &[WebhookSecret]) -> String {
    let signed = format!("{id}.{unix_seconds}.{body}");
    let one = |secret: &WebhookSecret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal());
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
    };
    secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A secret as its owner is shown it, once.
pub fn secret_text(secret: &WebhookSecret) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(secret.reveal()))
}

/// Reads a secret as it is shown. `None`: it is none, or has fewer than 24 or more than 64 bytes.
pub fn read_secret(text: &str) -> Option<WebhookSecret> {
    WebhookSecret::new(STANDARD.decode(text.strip_prefix(SECRET_PREFIX)?).ok()?)
}

/// A new secret. `None`: no random numbers.
pub fn new_secret() -> Option<WebhookSecret> {
    let mut bytes = vec![0; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    WebhookSecret::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_signed_as_the_standard_shows() {
        // The example of the Standard Webhooks libraries.
        let secret = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "{\"test\": 2432232314}");
        let signature = signatures(id, 1_614_265_330, body, std::slice::from_ref(&secret));
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = signatures(id, 1_614_265_330, body, &[new_secret().expect("random"), secret]);
        assert!(both.split(' ').count() == 2 && both.ends_with(&signature), "{both}");
    }

    #[test]
    fn secrets_read_as_they_are_shown() {
        let secret = new_secret().expect("random");
        assert_eq!(read_secret(&secret_text(&secret)).as_ref(), Some(&secret));
        assert!(!format!("{secret:?}").contains(&secret_text(&secret)[6..]));
        for text in ["", "whsec_", "whsec_AAAA", "whsec_!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(read_secret(text).is_none(), "{text:?}");
        }
    }
}

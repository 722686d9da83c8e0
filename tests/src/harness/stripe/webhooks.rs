//! Signs events and sends them to the address that a test gave: as they happen, twice, later, in another order.
//! Never sends again by itself what was not taken: the test says when.
//! Woken after every call, and by tests.

use std::{collections::VecDeque, time::Duration};

use aws_lc_rs::hmac;
use serde_json::{Value, json};

/// How long the receiver may take. Unit: seconds.
const ANSWER_SECONDS: u64 = 20;

/// How events are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// At once, one after another.
    #[default]
    AsHappens,
    /// At once, every one two times.
    Twice,
    /// When the test releases them.
    Held,
    /// Never.
    Dropped,
}

/// The order in which held events are released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they happened.
    AsHappened,
    /// The last first.
    Reversed,
}

/// What the signature of an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Signed now.
    Fresh,
    /// Signed so long ago.
    Stale(Duration),
    /// Signed now, with a secret that is none.
    WrongSecret,
    /// Not signed.
    Unsigned,
}

/// One sending of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The event's id.
    pub event: String,
    /// What happened, such as `invoice.paid`.
    pub kind: String,
    /// What the receiver answered; `None` when it did not.
    pub status: Option<u16>,
}

/// Where events go.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoint {
    pub(super) url: String,
    /// More than one while a secret is replaced.
    pub(super) secrets: Vec<String>,
}

/// Events on their way.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    pub(super) endpoint: Endpoint,
    pub(super) delivery: Delivery,
    /// To be sent at once.
    pub(super) due: VecDeque<Value>,
    /// To be sent when the test says so; those that were not taken come here as well.
    pub(super) held: Vec<Value>,
    pub(super) sent: Vec<Sent>,
    /// An event is being sent.
    pub(super) is_busy: bool,
}

impl Hooks {
    /// Takes events that happened.
    pub(super) fn take(&mut self, events: impl Iterator<Item = Value>) {
        if self.endpoint.url.is_empty() {
            return;
        }
        for event in events {
            match self.delivery {
                Delivery::AsHappens => self.due.push_back(event),
                Delivery::Twice => self.due.extend([event.clone(), event]),
                Delivery::Held => self.held.push(event),
                Delivery::Dropped => {}
            }
        }
    }
}

/// The value of `Stripe-Signature` for a body; `None` for no header.
pub(super) fn signature(body: &str, secrets: &[String], machine_now: i64, stamp: Stamp) -> Option<String> {
    let ago = match stamp {
        Stamp::Stale(ago) => i64::try_from(ago.as_secs()).unwrap_or(0),
        Stamp::Fresh | Stamp::WrongSecret => 0,
        Stamp::Unsigned => return None,
    };
    let time = machine_now - ago;
    let wrong = ["whsec_of_somebody_else".to_owned()];
    let secrets = if stamp == Stamp::WrongSecret { &wrong[..] } else { secrets };
    let sign = |secret: &String| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, format!("{time}.{body}").as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!(",v1={hex}")
    };
    Some(format!("t={time}{}", secrets.iter().map(sign).collect::<String>()))
}

/// Sends one event; what the receiver answered.
pub(super) async fn send(
    client: &reqwest::Client,
    endpoint: &Endpoint,
    event: &Value,
    machine_now: i64,
    stamp: Stamp,
) -> Sent {
    let body = event.to_string();
    let mut request = client
        .post(&endpoint.url)
        .timeout(Duration::from_secs(ANSWER_SECONDS))
        .header("content-type", "application/json; charset=utf-8")
        .header("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)");
    if let Some(signature) = signature(&body, &endpoint.secrets, machine_now, stamp) {
        request = request.header("stripe-signature", signature);
    }
    let answer = request.body(body).send().await;
    let text = |name: &str| event[name].as_str().unwrap_or("").to_owned();
    Sent { event: text("id"), kind: text("type"), status: answer.ok().map(|answer| answer.status().as_u16()) }
}

impl Sent {
    /// Whether the receiver took it.
    pub fn is_taken(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    pub(super) fn to_wire(&self) -> Value {
        json!({"event": self.event, "type": self.kind, "status": self.status})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_has_one_part_for_each_secret() {
        let secrets = ["whsec_a".to_owned(), "whsec_b".to_owned()];
        // Computed with Python's `hmac` over the bytes `1700000000.{}`.
        let expected = "t=1700000000,\
            v1=04339dc4f01d6541e8d3b7e4bd93cd2d4f680ccb28592270900b08e49cc09e57,\
            v1=c5189ebadc3785f3f35cf54514c1960853eb90d63e53d893af772bcdc3781c6f";
        assert_eq!(signature("{}", &secrets, 1_700_000_000, Stamp::Fresh).as_deref(), Some(expected));
        let stale = signature("{}", &secrets, 1_700_000_000, Stamp::Stale(Duration::from_secs(301)));
        assert!(stale.is_some_and(|stale| stale.starts_with("t=1699999699,")));
        assert_eq!(signature("{}", &secrets, 0, Stamp::Unsigned), None);
    }
}

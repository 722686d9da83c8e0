//! What a test says to the fake over HTTP, for tests that are not written in Rust.
//! Never part of Stripe's API: every path begins with `/_fake/`.
//! Called by the fake for such a path.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    FakeStripe,
    checkout::Visit,
    faults::Fault,
    serve::Shared,
    webhooks::{Delivery, Order, Stamp},
    wire::{Asked, Reply},
};

/// Does what a test says in JSON, and answers in JSON; 400 when it is not understood.
pub(super) async fn answer(shared: &std::sync::Arc<Shared>, asked: &Asked) -> Reply {
    let said: Value = serde_json::from_str(&asked.body).unwrap_or_default();
    let fake = FakeStripe::of(shared);
    match act(&fake, asked.path.trim_start_matches("/_fake/"), &said).await {
        Some(answer) => Reply::json(200, &answer),
        None => Reply::json(400, &json!({"error": format!("{} {said} is not understood", asked.path)})),
    }
}

async fn act(fake: &FakeStripe, act: &str, said: &Value) -> Option<Value> {
    let text = |name: &str| said[name].as_str();
    match act {
        "fault" => {
            let nth = said["nth"].as_u64().and_then(|nth| usize::try_from(nth).ok()).unwrap_or(1);
            fake.fault(text("on")?, nth, fault(said)?);
        }
        "clock" => fake.advance(seconds(said)?),
        "search_lag" => fake.search_after(seconds(said)?),
        "let_go" => fake.let_go(),
        "webhooks" => {
            let secrets: Vec<&str> = said["secrets"].as_array()?.iter().filter_map(Value::as_str).collect();
            fake.send_webhooks_to(text("url")?, &secrets, delivery(text("delivery")?)?);
        }
        "release" => {
            let order = match text("order")? {
                "as_happened" => Order::AsHappened,
                "reversed" => Order::Reversed,
                _ => return None,
            };
            let sent = fake.release(order).await;
            return Some(json!(sent.iter().map(super::webhooks::Sent::to_wire).collect::<Vec<_>>()));
        }
        "resend" => return Some(fake.resend(text("event")?, stamp(said)?).await?.to_wire()),
        "visit" => {
            return match fake.visit(text("session")?, &visit(said)?) {
                Ok(session) => Some(session),
                Err(error) => Some(error),
            };
        }
        "calls" => {
            let calls = fake.calls_to(text("on")?);
            let shown = |call: &super::Call| {
                json!({"path": call.path, "key": call.key, "status": call.status, "params": call.params,
                    "is_replayed": call.is_replayed, "is_lost": call.is_lost})
            };
            return Some(json!(calls.iter().map(shown).collect::<Vec<_>>()));
        }
        "objects" => return Some(json!(fake.objects(text("kind")?))),
        _ => return None,
    }
    Some(json!({}))
}

fn seconds(said: &Value) -> Option<Duration> {
    said["seconds"].as_u64().map(Duration::from_secs)
}

fn fault(said: &Value) -> Option<Fault> {
    Some(match said["fault"].as_str()? {
        "lose_request" => Fault::LoseRequest,
        "lose_reply" => Fault::LoseReply,
        "break_before" => Fault::BreakBefore,
        "break_after" => Fault::BreakAfter,
        "rate_limited" => Fault::RateLimited { retry_after: said["retry_after"].as_u64() },
        "lock_timeout" => Fault::LockTimeout,
        "slow" => Fault::Slow(seconds(said)?),
        "hold" => Fault::Hold,
        "wrong_total" => Fault::WrongTotal(said["by"].as_i64()?),
        "declined" => Fault::Declined(said["reason"].as_str()?.to_owned()),
        _ => return None,
    })
}

fn delivery(said: &str) -> Option<Delivery> {
    Some(match said {
        "as_happens" => Delivery::AsHappens,
        "twice" => Delivery::Twice,
        "held" => Delivery::Held,
        "dropped" => Delivery::Dropped,
        _ => return None,
    })
}

fn stamp(said: &Value) -> Option<Stamp> {
    Some(match said["stamp"].as_str()? {
        "fresh" => Stamp::Fresh,
        "stale" => Stamp::Stale(seconds(said)?),
        "wrong_secret" => Stamp::WrongSecret,
        "unsigned" => Stamp::Unsigned,
        _ => return None,
    })
}

fn visit(said: &Value) -> Option<Visit> {
    Some(match said["visit"].as_str()? {
        "completes" => Visit::Completes(said["card"].as_str()?.to_owned()),
        "promises" => Visit::Promises,
        "settles" => Visit::Settles,
        "fails" => Visit::Fails,
        _ => return None,
    })
}

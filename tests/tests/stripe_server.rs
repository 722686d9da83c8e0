//! The real program with an account at Stripe: its commands, its webhook, and an invoice that is paid by itself.
//! Never a wait that decides: what is waited for comes, or the test fails.
//! Run by `cargo xtask test`.

#![expect(clippy::expect_used, reason = "a surprise in a test should stop it with a message")]

use std::{
    fmt::Write as _,
    future::Future,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use billing::{
    invoice,
    ledger::{InvoiceState, Ledger, Limits, NewTenant, TenantTerms},
    plan::Plan,
};
use domain::{Period, Timestamp};
use serde_json::{Value, json};
use tests::harness::{
    FakeStripe, Installation, Outcome, Server,
    stripe::{Delivery, Visit},
};

const SIMULATED: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 0\n";
const SECRET: &str = "whsec_0123456789";
/// What follows within seconds; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The beginning of the year 2001.
const LONG_AGO: Timestamp = Timestamp::from_unix_micros(978_307_200_000_000);

fn configured(fake: &FakeStripe) -> Outcome<Installation> {
    Ok(Installation::new(SIMULATED)?
        .with("STRIPE__SECRET_KEY", fake.secret_key())
        .with("STRIPE__WEBHOOK_SECRETS__0", "whsec_of_before")
        .with("STRIPE__WEBHOOK_SECRETS__1", SECRET)
        .with("STRIPE__RETURN_URL", "https://example.com/back")
        .with("STRIPE__API_URL", &fake.origin()))
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

fn signed(secret: &str, at: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    let hex = tag.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a text grows");
        hex
    });
    format!("t={at},v1={hex}")
}

async fn tell(server: &Server, signature: Option<&str>, body: &str) -> Outcome<(u16, Value)> {
    let request = reqwest::Client::new().post(format!("{}/webhooks/stripe", server.origin()));
    let request = match signature {
        Some(signature) => request.header("stripe-signature", signature),
        None => request,
    };
    let answer = request.body(body.to_owned()).send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.json().await?))
}

/// Asks until the answer is yes.
async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_stripe_has_signed_is_taken() -> Outcome {
    let fake = FakeStripe::start().await?;
    let mut installation = configured(&fake)?;
    let server = installation.start().await?;
    let body =
        json!({"id": "evt_1", "type": "invoice.paid", "created": 1, "data": {"object": {"id": "in_1"}}});
    let body = body.to_string();
    let now = unix_seconds();
    let good = signed(SECRET, now, &body);
    let refused = [
        (None, body.as_str()),
        (Some(String::new()), body.as_str()),
        (Some(signed("whsec_other", now, &body)), body.as_str()),
        (Some(signed("", now, &body)), body.as_str()),
        (Some(signed(SECRET, now - 400, &body)), body.as_str()),
        (Some(signed(SECRET, now + 400, &body)), body.as_str()),
        (Some(good.clone()), "{}"),
        (Some(format!("t={now}")), body.as_str()),
    ];
    for (signature, body) in refused {
        let (status, answer) = tell(&server, signature.as_deref(), body).await?;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_signature")), "{signature:?}");
    }
    assert_eq!(tell(&server, Some(&good), &body).await?, (200, json!({"received": true, "is_new": true})));
    assert_eq!(tell(&server, Some(&good), &body).await?, (200, json!({"received": true, "is_new": false})));
    // With both secrets in one header, and signed by the one of before.
    let other = body.replace("evt_1", "evt_2");
    let old = signed("whsec_of_before", now, &other);
    let both = format!("{old},v1={}", "0".repeat(64));
    assert_eq!(tell(&server, Some(&both), &other).await?.0, 200);
    for nonsense in ["", "[]", "{}", "{\"id\": \"evt_3\"}", "nonsense"] {
        let (status, answer) = tell(&server, Some(&signed(SECRET, now, nonsense)), nonsense).await?;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_json")), "{nonsense}");
    }
    let large = format!("{{\"id\": \"{}\"}}", "x".repeat(600_000));
    assert_eq!(tell(&server, Some(&signed(SECRET, now, &large)), &large).await?.0, 413);
    assert!(server.stop().await?.success());
    // Without an account there is no such route.
    let mut installation = Installation::new(SIMULATED)?;
    let server = installation.start().await?;
    let (status, answer) = tell(&server, Some(&good), &body).await?;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("unknown_url")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_paid_by_a_card_that_was_left() -> Outcome {
    let fake = FakeStripe::start().await?;
    let mut installation = configured(&fake)?;
    let server = installation.start().await?;
    let hook = format!("{}/webhooks/stripe", server.origin());
    fake.send_webhooks_to(&hook, &[SECRET, "whsec_next"], Delivery::Twice);
    let ledger = Ledger::connect(&installation.ledger_url()).await.expect("the ledger");
    let text = "name = \"flat\"\nversion = 1\ncurrency = \"USD\"\n[slo]\nclass = \"standard\"\n[[charge]]\nname = \"seat\"\nscheme = \"flat\"\namount = \"10\"\n";
    let plan = Plan::from_text("flat.toml", text).expect("a plan");
    ledger.publish_plan(&plan, LONG_AGO).await.expect("published");
    let (limits, terms) = (Limits::default(), TenantTerms::default());
    let new = NewTenant { name: "acme", plan_name: "flat", zone: "UTC", limits, terms };
    let acme = ledger.create_tenant(&new, LONG_AGO).await.expect("a tenant");
    let printed = installation.run(&["stripe", "link", "acme"])?;
    assert!(printed.contains("not made yet; a running server makes it"), "{printed}");
    until("a customer", || async { !fake.objects("customer").is_empty() }).await;
    until("the customer here", || async {
        ledger.stripe_tenant(acme.id).await.expect("read").is_some_and(|linked| linked.customer_id.is_some())
    })
    .await;
    // A page, on which the tenant leaves a card.
    let page = installation.run(&["stripe", "card", "acme"])?;
    assert!(page.starts_with("https://checkout.stripe.com/"), "{page}");
    let session = page.trim().rsplit('/').next().unwrap_or_default().to_owned();
    fake.visit(&session, &Visit::Completes("pm_card_visa".to_owned())).expect("left");
    let has_card =
        || async { fake.objects("customer")[0]["invoice_settings"]["default_payment_method"].is_string() };
    until("the card", has_card).await;
    let page = installation.run(&["stripe", "top-up", "acme", "25.00"])?;
    let session = page.trim().rsplit('/').next().unwrap_or_default().to_owned();
    fake.visit(&session, &Visit::Completes("pm_card_visa".to_owned())).expect("paid");
    until("the money", || async {
        ledger.balance(acme.id).await.expect("read").granted.nanos() == 25_000_000_000
    })
    .await;
    assert!(installation.run(&["stripe", "top-up", "acme", "much"]).is_err());
    let january = Period::month("2001-01", "UTC").expect("a month");
    let issued = invoice::issue(&ledger, &acme, &january, january.end()).await.expect("issued");
    let (number, issued_at) = (issued.number.unwrap_or_default(), january.end());
    until("the payment", || async {
        let standing = ledger.invoice_standing(&number, issued_at).await.expect("read");
        standing.is_some_and(|standing| standing.state == InvoiceState::Paid)
    })
    .await;
    assert_eq!(fake.objects("invoice").len(), 1);
    assert_eq!(fake.objects("invoice")[0]["amount_paid"], 1_000);
    let steps = installation.run(&["stripe", "steps", "--state", "parked"])?;
    assert_eq!(steps.lines().count(), 1, "only its heading: {steps}");
    until("quiet", || async { !ledger.is_stripe_pending(&number).await.expect("read") }).await;
    let compared = installation.run(&["reconcile", "--tenant", "acme"])?;
    assert!(compared.contains("export -> Stripe   1 invoices at Stripe compared"), "{compared}");
    assert!(server.stop().await?.success());
    let checked = installation.run(&["check"])?;
    assert!(
        checked.contains("Stripe         ok: a key for tests, 2 webhook secrets; not connected to"),
        "{checked}"
    );
    // Nothing of the secrets was written down.
    let output = std::fs::read_to_string(installation.folder().join("serve-1.err")).unwrap_or_default();
    assert!(output.contains("done at Stripe"), "{output}");
    assert!(!output.contains(SECRET) && !output.contains(fake.secret_key()), "{output}");
    Ok(())
}

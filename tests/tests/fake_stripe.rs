//! The fake of Stripe that tests of billing use, judged by Stripe's own client and by what only a test can see.
//! Never the product: what is tested here is what tests it.
//! Run by `cargo xtask test`, which installs the client.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tests::harness::{
    FakeStripe, HarnessError, Outcome, PYTHON, check_cases, needed, run_cases,
    stripe::{Call, Delivery, Fault, Order, Stamp, Visit},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Every case the script has; one that vanished would otherwise pass unseen.
const CASES: [&str; 37] = [
    "only_the_secret_key_is_let_in",
    "every_answer_has_its_id_and_version",
    "errors_name_the_parameter",
    "customers_are_made_changed_and_deleted",
    "lists_have_pages",
    "ids_are_expanded",
    "a_search_finds_what_is_not_new",
    "a_draft_is_nothing_yet",
    "lines_are_added_in_bulk",
    "lines_are_changed_and_removed",
    "prices_and_taxes_make_totals",
    "pending_items_are_swept_only_when_asked",
    "finalizing_numbers_and_ends_a_draft",
    "nothing_due_is_paid_at_once",
    "paying_charges_the_card",
    "a_declined_card_raises_a_card_error",
    "invoices_are_sent_void_and_uncollectible",
    "credit_notes_take_off_what_is_owed",
    "credit_notes_give_back_what_was_paid",
    "refunds_never_pass_the_charge",
    "a_checkout_takes_a_payment",
    "a_checkout_leaves_a_card",
    "the_portal_opens_for_customers",
    "a_test_clock_stands_until_it_is_advanced",
    "the_same_key_replays_the_answer",
    "the_same_key_with_another_request_is_an_error",
    "a_key_lives_for_a_day",
    "a_kept_failure_is_replayed_too",
    "a_key_in_use_is_a_conflict",
    "a_lost_reply_leaves_the_work_done",
    "too_many_requests_are_refused",
    "the_client_retries_by_itself",
    "a_total_can_be_wrong",
    "events_are_signed_and_sent",
    "old_and_forged_events_are_recognized",
    "events_come_in_every_order",
    "what_was_refused_comes_again",
];

#[tokio::test(flavor = "multi_thread")]
async fn stripes_client_takes_the_fake_for_stripe() -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    let stripe = FakeStripe::start().await?;
    let origin = stripe.origin();
    let variables = [("STRIPE_ORIGIN", origin.as_str()), ("STRIPE_KEY", stripe.secret_key())];
    let cases = run_cases(&python, "stripe_referee.py", &variables)?;
    check_cases(&cases, &CASES, "");
    Ok(())
}

/// Posts a form to the fake, with an idempotency key unless that is empty.
async fn post(stripe: &FakeStripe, path: &str, key: &str, form: &[(&str, &str)]) -> Outcome<(u16, Value)> {
    let request = client()?.post(format!("{}{path}", stripe.origin())).bearer_auth(stripe.secret_key());
    let request = if key.is_empty() { request } else { request.header("idempotency-key", key) };
    let body: Vec<_> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"));
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

fn client() -> Outcome<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or("").to_owned()
}

async fn customer(stripe: &FakeStripe) -> Outcome<String> {
    let card = ("invoice_settings[default_payment_method]", "pm_card_visa");
    let (status, customer) =
        post(stripe, "/v1/customers", "", &[("name", "Acme"), ("payment_method", "pm_card_visa"), card])
            .await?;
    assert_eq!(status, 200, "{customer}");
    Ok(id(&customer))
}

async fn draft(stripe: &FakeStripe, customer: &str, amounts: &[&str]) -> Outcome<String> {
    let form = [("customer", customer), ("currency", "usd"), ("metadata[number]", "INV-1")];
    let (_, invoice) = post(stripe, "/v1/invoices", "", &form).await?;
    let invoice = id(&invoice);
    let names: Vec<_> = (0..amounts.len()).map(|place| format!("lines[{place}][amount]")).collect();
    let lines: Vec<_> = names.iter().map(String::as_str).zip(amounts.iter().copied()).collect();
    let (status, answer) = post(stripe, &format!("/v1/invoices/{invoice}/add_lines"), "", &lines).await?;
    assert_eq!(status, 200, "{answer}");
    Ok(invoice)
}

#[tokio::test]
async fn a_test_sees_every_call_and_every_object() -> Outcome {
    let stripe = FakeStripe::start().await?;
    let customer = customer(&stripe).await?;
    let invoice = draft(&stripe, &customer, &["700", "-50", "300"]).await?;
    let unknown = post(&stripe, "/v1/customers", "k1", &[("nickname", "x")]).await?;
    assert_eq!((unknown.0, unknown.1["error"]["param"].as_str()), (400, Some("nickname")));

    let shown = |call: &Call| (call.path.clone(), call.key.clone(), call.status);
    let calls: Vec<_> = stripe.calls().iter().map(shown).collect();
    let call = |path: &str, key: &str, status| (path.to_owned(), key.to_owned(), Some(status));
    let expected = [
        call("/v1/customers", "", 200),
        call("/v1/invoices", "", 200),
        call(&format!("/v1/invoices/{invoice}/add_lines"), "", 200),
        call("/v1/customers", "k1", 400),
    ];
    assert_eq!(calls, expected);
    let added = stripe.calls_to("POST /v1/invoices/*/add_lines");
    assert_eq!(added[0].params["lines"]["1"]["amount"], "-50");
    assert_eq!((added.len(), added[0].method.as_str()), (1, "POST"));

    let json = client()?.post(format!("{}/v1/customers", stripe.origin())).bearer_auth(stripe.secret_key());
    let json = json.header("content-type", "application/json").body("{}").send().await?;
    assert_eq!((json.status().as_u16(), stripe.objects("customer").len()), (400, 1));
    // Only what changes something has a key that counts.
    let list = client()?.get(format!("{}/v1/customers", stripe.origin())).bearer_auth(stripe.secret_key());
    assert_eq!(list.header("idempotency-key", "k1").send().await?.status().as_u16(), 200);
    post(&stripe, &format!("/v1/invoices/{invoice}"), "k1", &[("number", "N-1")]).await?;
    assert_eq!((stripe.invoices_numbered("N-1").len(), stripe.invoices_numbered("N-2").len()), (1, 0));
    assert_eq!(stripe.objects_with("invoice", "number", "INV-1").len(), 1);
    assert_eq!(stripe.objects_with("invoice", "number", "INV-2").len(), 0);
    assert_eq!(stripe.object(&invoice).map(|invoice| invoice["total"].clone()), Some(json!(950)));
    let amounts: Vec<_> = stripe.lines(&invoice).iter().map(|line| line["amount"].as_i64()).collect();
    assert_eq!(amounts, [Some(700), Some(-50), Some(300)]);
    Ok(())
}

#[tokio::test]
async fn a_slow_call_is_worked_on_although_its_asker_left() -> Outcome {
    let stripe = FakeStripe::start().await?;
    stripe.fault("POST /v1/customers", 1, Fault::Hold);
    let asker = {
        let (url, key) = (format!("{}/v1/customers", stripe.origin()), stripe.secret_key());
        let request = client()?.post(url).bearer_auth(key).header("idempotency-key", "k").body("name=Acme");
        tokio::spawn(request.send())
    };
    stripe.until_calls("POST /v1/customers", 1).await?;
    asker.abort();
    assert!(asker.await.is_err_and(|error| error.is_cancelled()));
    let (status, conflict) = post(&stripe, "/v1/customers", "k", &[("name", "Acme")]).await?;
    assert_eq!((status, &conflict["error"]["code"]), (409, &json!("idempotency_key_in_use")));
    stripe.let_go();
    let (status, made) = loop {
        let answer = post(&stripe, "/v1/customers", "k", &[("name", "Acme")]).await?;
        if answer.0 != 409 {
            break answer;
        }
    };
    assert_eq!((status, stripe.objects("customer").len()), (200, 1));
    assert_eq!(stripe.object(&id(&made)), Some(made));
    // One that is only slow is answered, in the end.
    stripe.fault("POST /v1/customers", 1, Fault::Slow(Duration::from_millis(20)));
    assert_eq!(post(&stripe, "/v1/customers", "", &[("name", "Beta")]).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_lost_reply_is_no_second_invoice() -> Outcome {
    let stripe = FakeStripe::start().await?;
    let customer = customer(&stripe).await?;
    // The second call loses its reply, and so does the third, which repeats it.
    stripe.fault("POST /v1/invoices", 2, Fault::LoseReply);
    stripe.fault("POST /v1/invoices", 3, Fault::LoseReply);
    let form = [("customer", customer.as_str()), ("metadata[number]", "INV-9")];
    assert_eq!(post(&stripe, "/v1/invoices", "first", &form).await?.0, 200);
    for _ in 0..2 {
        assert!(post(&stripe, "/v1/invoices", "second", &form).await.is_err());
    }
    let (status, made) = post(&stripe, "/v1/invoices", "second", &form).await?;
    let found = stripe.objects_with("invoice", "number", "INV-9");
    assert_eq!((status, found.len(), id(&found[1])), (200, 2, id(&made)));
    let calls = stripe.calls_to("POST /v1/invoices");
    let seen: Vec<_> = calls.iter().map(|call| (call.is_lost, call.is_replayed)).collect();
    assert_eq!(seen, [(false, false), (true, false), (true, true), (false, true)]);
    Ok(())
}

#[tokio::test]
async fn the_clock_moves_only_when_it_is_told() -> Outcome {
    let stripe = FakeStripe::start().await?;
    let customer = customer(&stripe).await?;
    let form = [("customer", customer.as_str()), ("auto_advance", "true")];
    let (_, invoice) = post(&stripe, "/v1/invoices", "", &form).await?;
    let lines = [("lines[0][amount]", "900")];
    post(&stripe, &format!("/v1/invoices/{}/add_lines", id(&invoice)), "", &lines).await?;
    let setup = [
        ("mode", "setup"),
        ("customer", customer.as_str()),
        ("currency", "usd"),
        ("success_url", "https%3A%2F%2Fx.example"),
    ];
    let (_, session) = post(&stripe, "/v1/checkout/sessions", "", &setup).await?;
    let states =
        || [id(&invoice), id(&session)].map(|id| stripe.object(&id).map(|found| found["status"].clone()));
    stripe.advance(Duration::from_secs(3_500));
    assert_eq!(states(), [Some(json!("draft")), Some(json!("open"))]);
    stripe.advance(Duration::from_secs(200));
    assert_eq!(states(), [Some(json!("paid")), Some(json!("open"))]);
    stripe.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(states(), [Some(json!("paid")), Some(json!("expired"))]);
    let late = stripe.visit(&id(&session), &Visit::Completes("pm_card_visa".to_owned()));
    assert!(late.is_err_and(|error| error["error"]["type"] == "invalid_request_error"));
    Ok(())
}

/// What a receiver got, each as the text of a request.
type Got = Arc<Mutex<Vec<String>>>;

/// A receiver of webhooks that keeps what it gets; it refuses the first.
async fn receiver() -> Outcome<(String, Got)> {
    let what = "a port for webhooks";
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(HarnessError::io(what))?;
    let url = format!("http://{}/hook", listener.local_addr().map_err(HarnessError::io(what))?);
    let got = Got::default();
    let kept = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = String::new();
            let mut buffer = vec![0; 65_536];
            while !text.contains("\r\n\r\n{") || !text.ends_with('}') {
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => text.push_str(&String::from_utf8_lossy(&buffer[..read])),
                }
            }
            let status = {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push(text);
                if kept.len() == 1 { 503 } else { 200 }
            };
            let answer = format!("HTTP/1.1 {status} Told\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            // A sender that left sees that it got no answer.
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    Ok((url, got))
}

#[tokio::test]
async fn webhooks_say_what_became_of_them() -> Outcome {
    let stripe = FakeStripe::start().await?;
    let (url, got) = receiver().await?;
    stripe.send_webhooks_to(&url, &["whsec_1"], Delivery::AsHappens);
    let (_, made) = post(&stripe, "/v1/customers", "k", &[("name", "Acme")]).await?;
    stripe.until_delivered().await?;
    let kinds = |sent: &[tests::harness::stripe::Sent]| -> Vec<_> {
        sent.iter().map(|sent| (sent.kind.clone(), sent.status)).collect()
    };
    assert_eq!(kinds(&stripe.sent()), [("customer.created".to_owned(), Some(503))]);
    // What was refused waits, with what comes while all is held.
    stripe.send_webhooks_to(&url, &["whsec_1"], Delivery::Held);
    post(&stripe, &format!("/v1/customers/{}", id(&made)), "", &[("name", "Beta")]).await?;
    let released = stripe.release(Order::Reversed).await;
    let expected = [("customer.updated".to_owned(), Some(200)), ("customer.created".to_owned(), Some(200))];
    assert_eq!(kinds(&released), expected);
    assert_eq!(stripe.release(Order::AsHappened).await, []);
    // A replay is no new event.
    post(&stripe, "/v1/customers", "k", &[("name", "Acme")]).await?;
    assert_eq!(stripe.objects("event").len(), 2);
    let event = id(&stripe.objects("event")[0]);
    let again = stripe.resend(&event, Stamp::Unsigned).await;
    assert!(again.is_some_and(|sent| sent.is_taken()));
    assert_eq!(stripe.resend("evt_none", Stamp::Fresh).await, None);
    let got = got.lock().unwrap().clone();
    let is_signed: Vec<_> = got.iter().map(|text| text.contains("stripe-signature: t=")).collect();
    assert_eq!(is_signed, [true, true, true, false]);
    Ok(())
}

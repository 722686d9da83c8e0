//! Every operation of the admin API that changes the ledger writes an entry of who asked for it: walked by its document.
//! Never a list of its own that a new route could be missing from: what the document has and nothing here asks for fails.
//! Run by `cargo xtask test`.

#![expect(clippy::expect_used, reason = "a surprise in a test should stop it with a message")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use billing::{
    invoice as invoices,
    ledger::{Ledger, Limits, NewTenant, TenantTerms},
    plan::Plan,
};
use domain::{Period, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use tests::harness::{Admin, Answer, FakeStripe, Installation, Outcome};

const SIMULATED: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 0\n\
    [statements]\nsigning_key = { file = \"statement.key.pem\" }\n";

/// Operations that are no `GET` and change nothing that the audit log has: one only judges a text, one reads the
/// configuration of this one process, which the log tells, and one takes usage, which is a log of its own.
const CHANGE_NOTHING: [&str; 3] = ["validate_plan", "reload", "take_usage_events"];

/// The beginning of the year 2001: long enough ago that its months are over on every machine.
const LONG_AGO: Timestamp = Timestamp::from_unix_micros(978_307_200_000_000);

/// A step is taken within a second; a busy machine takes longer.
const PARKED_MAX: Duration = Duration::from_secs(20);

/// An operation of the document: method, path with its parameters in braces, and id.
#[derive(Debug)]
struct Operation {
    method: Method,
    path: String,
    id: String,
}

impl Operation {
    fn is_asked_by(&self, method: &Method, path: &str) -> bool {
        let (pattern, path): (Vec<_>, Vec<_>) = (self.path.split('/').collect(), path.split('/').collect());
        let is_same = |(pattern, part): (&&str, &&str)| pattern == part || pattern.starts_with('{');
        self.method == *method && pattern.len() == path.len() && pattern.iter().zip(&path).all(is_same)
    }
}

/// An operator who tries every change once.
struct Walk {
    admin: Admin,
    operations: Vec<Operation>,
    done: BTreeSet<String>,
}

impl Walk {
    async fn begin(admin: Admin) -> Outcome<Self> {
        let document = admin.get("/openapi.json").await?.body;
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let Ok(method) = Method::from_bytes(method.to_ascii_uppercase().as_bytes()) else { continue };
                let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
                let path = path.trim_start_matches("/admin/v1").to_owned();
                if !id.is_empty() && method != Method::GET {
                    operations.push(Operation { method, path, id });
                }
            }
        }
        Ok(Self { admin, operations, done: BTreeSet::new() })
    }

    /// Sends a change and looks for what was written of it.
    async fn ask(&mut self, method: Method, path: &str, body: Value) -> Outcome<Answer> {
        let answer = self.admin.send(method.clone(), path, Some(&body)).await?;
        self.note((method, path), answer).await
    }

    /// Looks for what was written of a change.
    async fn note(&mut self, (method, path): (Method, &str), answer: Answer) -> Outcome<Answer> {
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.body);
        let asked = self.operations.iter().find(|operation| operation.is_asked_by(&method, path));
        let id = asked.map(|operation| operation.id.clone()).unwrap_or_default();
        assert!(!id.is_empty(), "{method} {path} is not in the document");
        let log = self.admin.get("/audit-log?limit=50").await?.body;
        let entries = log["data"].as_array().into_iter().flatten();
        let request_id = answer.header("x-request-id");
        let of_it: Vec<_> = entries.filter(|entry| entry["request_id"] == request_id).collect();
        assert_eq!(of_it.is_empty(), CHANGE_NOTHING.contains(&id.as_str()), "{id}: {log}");
        for entry in of_it {
            assert_eq!(entry["actor"], "operator", "{id}: {entry}");
            assert!(entry["before"].is_object() || entry["after"].is_object(), "{id}: {entry}");
        }
        self.done.insert(id);
        Ok(answer)
    }

    async fn post(&mut self, path: &str, body: Value) -> Outcome<Value> {
        Ok(self.ask(Method::POST, path, body).await?.body)
    }
}

fn id_of(made: &Value) -> &str {
    made["id"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_changing_route_of_the_admin_api_writes_an_entry() -> Outcome {
    let fake = FakeStripe::start().await?;
    let mut installation = Installation::new(SIMULATED)?
        .with("STRIPE__SECRET_KEY", fake.secret_key())
        .with("STRIPE__WEBHOOK_SECRETS__0", "whsec_test")
        .with("STRIPE__API_URL", &fake.origin());
    let folder = installation.folder().display().to_string();
    installation.run(&["statement-key", "create", "--out", &folder])?;
    let server = installation.start().await?;
    let mut walk =
        Walk::begin(server.admin(&server.banner().operator_token.clone().unwrap_or_default())).await?;
    assert!(walk.operations.len() > 20, "{:?}", walk.operations);

    let gold = installation.run(&["plan", "show", "demo@1"])?.replacen("\"demo\"", "\"gold\"", 1);
    walk.post("/plans/validate", json!({"source": gold})).await?;
    walk.post("/plans", json!({"source": gold})).await?;
    walk.post("/reload", Value::Null).await?;
    walk.post("/operators", json!({"name": "second", "role": "read_only"})).await?;
    walk.post("/operators/second/disable", Value::Null).await?;
    let tenant = walk.post("/tenants", json!({"name": "acme", "plan": "demo"})).await?;
    let tenant = format!("/tenants/{}", id_of(&tenant));
    tenants(&mut walk, &tenant).await?;
    keys(&mut walk, &tenant).await?;
    webhooks(&mut walk, &tenant).await?;
    invoice(&mut walk, &installation).await?;
    events(&mut walk).await?;
    stripe(&mut walk, &tenant, &fake).await?;

    let all: BTreeSet<_> = walk.operations.iter().map(|operation| operation.id.clone()).collect();
    assert_eq!(walk.done, all, "every operation that is no GET is asked for here");
    Ok(())
}

/// A tenant and all that belongs to it but its keys.
async fn tenants(walk: &mut Walk, tenant: &str) -> Outcome {
    let terms = json!({"terms": {"billing": "prepaid"}});
    walk.ask(Method::PATCH, tenant, terms).await?;
    walk.ask(Method::PUT, &format!("{tenant}/subscription"), json!({"plan": "gold"})).await?;
    let path = |act: &str| format!("{tenant}/subscription/{act}");
    let begun = walk.post(&path("start"), json!({"cycle": "calendar", "trial_days": 30})).await?;
    let until = begun["trial_until"].as_str().and_then(|until| until.get(..10)).unwrap_or_default();
    walk.post(&path("trial"), json!({"until": until})).await?;
    walk.post(&path("pause"), Value::Null).await?;
    walk.post(&path("resume"), Value::Null).await?;
    walk.post(&path("cancel"), json!({"at": "period_end"})).await?;
    let kept = walk.post(&path("withdraw-cancellation"), Value::Null).await?;
    assert_eq!(kept["ends_at"], Value::Null, "{kept}");
    walk.ask(Method::PUT, &format!("{tenant}/limits"), json!({"limits": {"concurrency": 3}})).await?;
    walk.post(&format!("{tenant}/grants"), json!({"amount_nanos": 7, "idempotency_key": "first"})).await?;
    walk.ask(Method::PUT, &format!("{tenant}/credit-terms"), json!({"overage": "allow"})).await?;
    let user = json!({"email": "anna@example.com", "role": "owner"});
    let user = walk.post(&format!("{tenant}/users"), user).await?;
    let user = format!("{tenant}/users/{}", id_of(&user));
    walk.ask(Method::PATCH, &user, json!({"role": "viewer"})).await?;
    let project = walk.post(&format!("{tenant}/projects"), json!({"name": "research"})).await?;
    let project = format!("{tenant}/projects/{}", id_of(&project));
    for place in [&user, &project, tenant] {
        for act in ["disable", "enable"] {
            walk.post(&format!("{place}/{act}"), Value::Null).await?;
        }
    }
    Ok(())
}

async fn keys(walk: &mut Walk, tenant: &str) -> Outcome {
    let made = walk.post(&format!("{tenant}/keys"), json!({"name": "first"})).await?;
    let key = format!("/keys/{}", id_of(&made["key"]));
    walk.ask(Method::PATCH, &key, json!({"name": "server"})).await?;
    for (act, body) in [
        ("disable", Value::Null),
        ("enable", Value::Null),
        ("rotate", json!({"overlap_seconds": 60})),
        ("revoke", Value::Null),
    ] {
        walk.post(&format!("{key}/{act}"), body).await?;
    }
    Ok(())
}

/// An endpoint that hears of low credit, and an event that is sent again.
async fn webhooks(walk: &mut Walk, tenant: &str) -> Outcome {
    let id = tenant.trim_start_matches("/tenants/");
    let made =
        walk.post("/webhooks", json!({"url": "https://example.invalid/hook", "tenant_id": id})).await?;
    let endpoint = format!("/webhooks/{}", id_of(&made["webhook"]));
    walk.post(&format!("{endpoint}/rotate"), json!({})).await?;
    let terms = json!({"recharge_below_nanos": 1_000_000_000});
    walk.ask(Method::PUT, &format!("{tenant}/credit-terms"), terms).await?;
    let found = walk.admin.get(&format!("{endpoint}/deliveries")).await?.body;
    let event = found["data"][0]["event_id"].as_str().unwrap_or_default();
    walk.post(&format!("{endpoint}/deliveries/{event}/resend"), Value::Null).await?;
    for act in ["disable", "enable"] {
        walk.post(&format!("{endpoint}/{act}"), Value::Null).await?;
    }
    Ok(())
}

/// An event needs a plan with a meter.
async fn events(walk: &mut Walk) -> Outcome {
    let plan = json!({"name": "metered", "version": 1, "currency": "USD", "slo": {"class": "batch"},
        "meter": [{"name": "images", "event_type": "image", "aggregation": "count", "unit": "images"}],
        "charge": [{"name": "pictures", "scheme": "unit", "meter": "images", "price": "1"}]});
    walk.post("/plans", json!({"source": plan.to_string()})).await?;
    walk.post("/tenants", json!({"name": "metered", "plan": "metered"})).await?;
    let event =
        json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "image", "subject": "metered"});
    let path = "/usage-events";
    let answer = walk.admin.post_as(path, "application/cloudevents+json", &[], &event.to_string()).await?;
    walk.note((Method::POST, path), answer).await.map(|_| ())
}

/// An invoice needs a month that is over, and with it a tenant from before it.
async fn invoice(walk: &mut Walk, installation: &Installation) -> Outcome {
    let path = installation.folder().join("data/ledger.sqlite");
    let ledger = Ledger::connect(&format!("sqlite://{}", path.display())).await.expect("the ledger");
    let text = installation.run(&["plan", "show", "demo@1"])?.replacen("\"demo\"", "\"old\"", 1);
    let text = text + "\n[[charge]]\nname = \"seat\"\nscheme = \"flat\"\namount = \"10\"\n";
    let plan = Plan::from_text("old.toml", &text).expect("a plan");
    ledger.publish_plan(&plan, LONG_AGO).await.expect("published");
    let (limits, terms) = (Limits::default(), TenantTerms::default());
    let new = NewTenant { name: "old", plan_name: "old", zone: "UTC", limits, terms };
    let tenant = ledger.create_tenant(&new, LONG_AGO).await.expect("a tenant");
    // One that was issued where there was no key is signed when it is asked for.
    let january = Period::month("2001-01", "UTC").expect("a month");
    let unsigned = invoices::issue(&ledger, &tenant, &january, january.end()).await.expect("issued");
    ledger.close().await;
    let number = unsigned.number.unwrap_or_default();
    walk.post(&format!("/invoices/{number}/statement"), Value::Null).await?;
    let issuer = json!({"legal_name": "Gateway GmbH", "taxes": [{"name": "VAT", "percent": "19", "mode": "exclusive"}]});
    walk.ask(Method::PUT, "/issuer", issuer).await?;
    let billing = json!({"legal_name": "Old AG", "address": ["Marktplatz 1"], "payment_days": 14});
    walk.ask(Method::PUT, &format!("/tenants/{}/billing", tenant.id), billing).await?;
    let mut invoices = Vec::new();
    for month in ["2001-02", "2001-03", "2001-04"] {
        let issued = walk.post(&format!("/tenants/{}/invoices", tenant.id), json!({"month": month})).await?;
        assert_eq!(issued["total"], "11.90", "{issued}");
        invoices.push(format!("/invoices/{}", issued["number"].as_str().unwrap_or_default()));
    }
    let invoices = <[String; 3]>::try_from(invoices).expect("three months");
    steps(walk, &invoices).await?;
    let number = invoices[0].trim_start_matches("/invoices/");
    let again = ["issued", "refund", number, "1.00", "--reference", "bank 2"];
    let shown = installation.run(&again)?;
    for line in [
        "this refund was recorded before; nothing changed",
        "refunded           1.90 USD",
        "owed to the tenant 0.00 USD",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    Ok(())
}

/// What is given back of the 1.90 that was paid for nothing: 1.00 by bank, the rest as credit.
async fn refunds(walk: &mut Walk, paid: &str) -> Outcome {
    let by_bank = json!({"amount": "1.00", "reference": "bank 2"});
    let given = walk.post(&format!("{paid}/refunds"), by_bank.clone()).await?;
    assert_eq!((&given["refunded"], &given["owed_to_tenant"]), (&json!("1.00"), &json!("0.90")), "{given}");
    let refused = [
        (json!({"amount": "0.91", "reference": "bank 3"}), 409, "conflict"),
        (json!({"amount": "1.01", "reference": "bank 2"}), 409, "conflict"),
        (json!({"amount": "0.901", "reference": "bank 3"}), 400, "invalid_value"),
        (json!({"amount": "-0.90", "reference": "bank 3"}), 400, "invalid_value"),
        (json!({"amount": "0.90", "reference": ""}), 400, "invalid_value"),
    ];
    for (body, status, code) in refused {
        let answer = walk.admin.post(&format!("{paid}/refunds"), &body).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{body}: {}", answer.body);
    }
    let as_credit = json!({"amount": "0.90", "reference": "ticket 7", "kind": "grant"});
    let given = walk.post(&format!("{paid}/refunds"), as_credit).await?;
    assert_eq!((&given["due"], &given["owed_to_tenant"]), (&json!("0.00"), &json!("0.00")), "{given}");
    assert!(
        given["refunds"][0]["grant_id"].is_null() && given["refunds"][1]["grant_id"].is_string(),
        "{given}"
    );
    Ok(())
}

/// A tenant that is billed through Stripe, and a step there that somebody has to look at.
async fn stripe(walk: &mut Walk, tenant: &str, fake: &FakeStripe) -> Outcome {
    let billing = json!({"legal_name": "Acme AG"});
    walk.ask(Method::PUT, &format!("{tenant}/billing"), billing).await?;
    let nobody = json!({"collection": "send", "customer_id": "cus_nobody"});
    walk.ask(Method::PUT, &format!("{tenant}/stripe"), nobody).await?;
    let began = Instant::now();
    let parked = loop {
        let found = walk.admin.get("/stripe/steps?state=parked").await?.body;
        if let Some(parked) = found["data"].get(0) {
            break parked.clone();
        }
        assert!(began.elapsed() < PARKED_MAX, "a customer that is not there is found out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(
        (&parked["kind"], &parked["outcome"]),
        (&json!("customer"), &json!("Stripe has no such object"))
    );
    walk.post(
        &format!(
            "/stripe/steps/{}/{}/retry",
            parked["subject"].as_str().unwrap_or_default(),
            parked["sequence"]
        ),
        Value::Null,
    )
    .await?;
    walk.post(&format!("{tenant}/stripe/unlink"), Value::Null).await?;
    // A page is made at once, so its customer must be there.
    let other = walk.post("/tenants", json!({"name": "card", "plan": "demo"})).await?;
    let other = format!("/tenants/{}/stripe", id_of(&other));
    let customer =
        reqwest::Client::new().post(format!("{}/v1/customers", fake.origin())).bearer_auth(fake.secret_key());
    let customer: Value = customer.send().await?.json().await?;
    let link = json!({"collection": "charge", "customer_id": customer["id"]});
    walk.ask(Method::PUT, &other, link).await?;
    let page = walk.post(&format!("{other}/pages"), json!({"kind": "portal"})).await?;
    assert!(page["url"].as_str().is_some_and(|url| url.starts_with("https://")), "{page}");
    Ok(())
}

/// What may become of three invoices of 11.90 each.
async fn steps(walk: &mut Walk, [paid, void, lost]: &[String; 3]) -> Outcome {
    let paid_in_part =
        walk.post(&format!("{paid}/payments"), json!({"amount": "1.90", "reference": "bank 1"})).await?;
    assert_eq!((&paid_in_part["state"], &paid_in_part["due"]), (&json!("issued"), &json!("10.00")));
    // Nothing is said of lines but that there are none: that is no word for all of them.
    for lines in [json!([]), Value::Null] {
        let note = json!({"reason": "an outage", "idempotency_key": "none", "lines": lines});
        let refused = walk.admin.post(&format!("{paid}/credit-notes"), &note).await?;
        assert_eq!(refused.status.as_u16(), 400, "{}", refused.body);
        assert_eq!(refused.body["error"]["param"], "lines", "{}", refused.body);
    }
    let note = json!({"reason": "an outage", "idempotency_key": "first"});
    // Paid in part already: all of it is given back all the same.
    let note = walk.post(&format!("{paid}/credit-notes"), note).await?;
    assert_eq!((&note["number"], &note["total"]), (&json!("TG-CN-000001"), &json!("11.90")));
    let standing = walk.admin.get(&format!("{paid}/standing")).await?.body;
    assert_eq!((&standing["state"], &standing["credited"]), (&json!("paid"), &json!("11.90")), "{standing}");
    assert_eq!(standing["owed_to_tenant"], "1.90", "{standing}");
    refunds(walk, paid).await?;
    assert_eq!(walk.admin.get("/credit-notes/TG-CN-000001").await?.body, note);
    assert_eq!(walk.admin.get(&format!("{paid}/credit-notes")).await?.body["data"][0], note);
    walk.post(&format!("{void}/void"), json!({"reason": "a mistake"})).await?;
    walk.post(&format!("{lost}/uncollectible"), json!({"reason": "insolvent"})).await?;
    let refused = json!({"reason": "too late"});
    let refused = walk.admin.post(&format!("{paid}/void"), &refused).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "conflict"), "{}", refused.body);
    let pdf = walk.admin.get(&format!("{paid}/invoice.pdf")).await?;
    assert_eq!((pdf.status.as_u16(), pdf.header("content-type")), (200, "application/pdf"));
    let pdf = walk.admin.get("/credit-notes/TG-CN-000001/credit-note.pdf").await?;
    assert_eq!((pdf.status.as_u16(), pdf.header("content-type")), (200, "application/pdf"));
    let none = walk.admin.get("/credit-notes/TG-CN-000002/credit-note.pdf").await?;
    assert_eq!((none.status.as_u16(), none.code()), (404, "not_found"), "{}", none.body);
    Ok(())
}

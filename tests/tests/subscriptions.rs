//! Subscriptions over the real program: begun, paused, resumed and cancelled at a terminal and over the admin API.
//! Never an amount of a share: those are tested beside the code; here the invoice and its proof go the whole way.
//! Run by `cargo xtask test`, one at a time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::harness::{Admin, Chat, Installation, Outcome, Server};

const SIMULATED: &str = "[server]\ndrain_seconds = 1\n[[model]]\nname = \"demo\"\nsource = \"sim\"\n\
    [model.sim]\nseed = 1\ndecode_step_us = 1000\n";

/// A running server takes changes over within two seconds; more where the machine is busy.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(20);

/// Asks until the answer has a status and a code.
async fn becomes(server: &Server, key: &str, status: u16, code: &str) -> Outcome {
    let asked = Instant::now();
    loop {
        let answer = server.chat(key).send(&Chat::request("hello", 3)).await?;
        if answer.status == status && (status == 200 || answer.code() == code) {
            return Ok(());
        }
        assert!(asked.elapsed() < TAKEN_OVER_MAX, "{} {}", answer.status, answer.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn first_start(installation: &mut Installation) -> Outcome<(Server, Admin, String, String)> {
    let server = installation.start().await?;
    let banner = server.banner();
    let (key, operator) = (banner.api_key.clone(), banner.operator_token.clone());
    let (key, admin) = (key.unwrap_or_default(), server.admin(&operator.unwrap_or_default()));
    let found = admin.get("/tenants").await?.body;
    let tenant = format!("/tenants/{}", found["data"][0]["id"].as_str().unwrap_or_default());
    Ok((server, admin, tenant, key))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_begun_paused_resumed_and_cancelled() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, admin, tenant, key) = first_start(&mut installation).await?;
    let path = format!("{tenant}/subscription");
    let before = admin.get(&format!("{path}/standing")).await?.body;
    assert_eq!((&before["state"], &before["period"]["kind"]), (&json!("none"), &json!("before")));
    let refused = admin.post(&format!("{path}/pause"), &Value::Null).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "conflict"), "{}", refused.body);
    let wrong = [
        (json!({"cycle": "weekly"}), "invalid_value"),
        (json!({"cycle": "calendar", "from": "2020-01-01"}), "invalid_value"),
        (json!({"cycle": "calendar", "from": "tomorrow"}), "invalid_value"),
        (json!({"cycle": "calendar", "trial_days": 999}), "invalid_value"),
        (json!({"cycle": "calendar", "price": 1}), "unknown_field"),
    ];
    for (body, code) in wrong {
        let refused = admin.post(&format!("{path}/start"), &body).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, code), "{body}: {}", refused.body);
    }
    let begun = admin.post(&format!("{path}/start"), &json!({"cycle": "anniversary"})).await?;
    assert_eq!((begun.status.as_u16(), &begun.body["state"]), (200, &json!("active")), "{}", begun.body);
    assert_eq!(begun.body["period"]["kind"], "regular");
    becomes(&server, &key, 200, "").await?;
    let paused = admin.post(&format!("{path}/pause"), &Value::Null).await?.body;
    assert_eq!((&paused["state"], paused["paused_since"].is_string()), (&json!("paused"), true));
    becomes(&server, &key, 403, "subscription_paused").await?;
    // The rest at a terminal.
    assert!(installation.run(&["subscription", "show", "demo"])?.contains("paused since"));
    assert!(installation.run(&["subscription", "resume", "demo"])?.contains("state   active"));
    becomes(&server, &key, 200, "").await?;
    let planned = installation.run(&["subscription", "cancel", "demo", "--at-period-end"])?;
    assert!(planned.contains("state   active") && !planned.contains("end     none"), "{planned}");
    becomes(&server, &key, 200, "").await?;
    let ended = admin.post(&format!("{path}/cancel"), &json!({"at": "now"})).await?.body;
    assert_eq!((&ended["state"], &ended["period"]["kind"]), (&json!("ended"), &json!("after")), "{ended}");
    becomes(&server, &key, 403, "subscription_ended").await?;
    let log = admin.get("/audit-log?limit=1000").await?.body;
    let entries = log["data"].as_array().cloned().unwrap_or_default();
    let noted: Vec<_> = entries
        .iter()
        .filter(|entry| entry["object_kind"] == "subscription")
        .map(|entry| (entry["after"]["kind"].clone(), entry["actor_kind"].clone()))
        .collect();
    let row = |kind: &str, who: &str| (json!(kind), json!(who));
    let expected = [
        row("cancel", "operator"),
        row("cancel", "command_line"),
        row("resume", "command_line"),
        row("pause", "operator"),
        row("start", "operator"),
    ];
    assert_eq!(noted, expected);
    server.stop().await.map(drop)
}

/// The first fee is billed when the subscription begins, by the terminal, and anybody can prove it.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_fee_is_issued_and_verified() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, admin, _, _) = first_start(&mut installation).await?;
    let source = installation.run(&["plan", "show", "demo@1"])?;
    let gold = source.replacen("\"demo\"", "\"gold\"", 1)
        + "\n[base_fee]\namount = \"90\"\ntiming = \"advance\"\n[trial]\ndays = 7\nusage = \"free\"\n";
    let published = admin.post("/plans", &json!({"source": gold})).await?;
    assert_eq!(published.status, 201, "{}", published.body);
    let diff = installation.run(&["plan", "diff", "demo@1", "gold@1"])?;
    assert!(diff.contains("base_fee.amount") && diff.contains("trial.days"), "{diff}");
    // Made under its plan: another plan taken later on the first day is a change within the first period.
    installation.run(&["tenant", "create", "acme", "--plan", "gold"])?;
    installation.run(&["subscription", "start", "acme", "--cycle", "anniversary", "--trial-days", "0"])?;
    let found = admin.get("/tenants").await?.body;
    let tenants = found["data"].as_array().cloned().unwrap_or_default();
    let acme = tenants.iter().find(|tenant| tenant["name"] == "acme").map(|tenant| tenant["id"].clone());
    let acme = format!("/tenants/{}", acme.as_ref().and_then(Value::as_str).unwrap_or_default());
    let standing = admin.get(&format!("{acme}/subscription/standing")).await?.body;
    let begun = standing["begun_at"].as_str().unwrap_or_default().to_owned();
    let day: jiff::civil::Date = begun.get(..10).unwrap_or_default().parse().unwrap_or_default();
    let day_before = day.yesterday().map(|day| day.to_string()).unwrap_or_default();
    server.stop().await?;
    let issued =
        installation.run(&["invoice", "acme", "--period", &day_before, "--issue", "--format", "json"])?;
    let invoice: Value = serde_json::from_str(&issued).unwrap_or_default();
    assert_eq!(
        (&invoice["total"], &invoice["subscription"]["kind"]),
        (&json!("90.00"), &json!("before")),
        "{issued}"
    );
    let usage =
        installation.run(&["usage", "acme", "--period", &day_before, "--records", "--format", "json"])?;
    let folder = installation.folder();
    let files = [("invoice.json", &issued), ("usage.jsonl", &usage), ("gold.toml", &gold)];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).map_err(tests::harness::HarnessError::io(name))?;
    }
    let file = |name: &str| folder.join(name).display().to_string();
    let (invoice, usage, plan) = (file("invoice.json"), file("usage.jsonl"), file("gold.toml"));
    let verified =
        installation.run(&["verify", "--invoice", &invoice, "--usage", &usage, "--plan", &plan])?;
    assert!(verified.contains("90.00 USD"), "{verified}");
    Ok(())
}

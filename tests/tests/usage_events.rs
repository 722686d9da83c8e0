//! Usage events over the real program: sent as CloudEvents, billed, proved to the tenant, and judged by a published package.
//! Never the rules of one event; billing's tests have those.
//! Run by `cargo xtask test`.

#![expect(clippy::expect_used, reason = "a surprise in a test should stop it with a message")]

use std::fs;

use billing::{
    ledger::{Ledger, Limits, NewTenant, TenantTerms},
    plan::Plan,
};
use domain::Timestamp;
use serde_json::{Value, json};
use tests::harness::{
    Admin, Answer, HarnessError, Installation, Outcome, PYTHON, Server, check_cases, create_database, needed,
    run_cases,
};

const CONFIG: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 0\n\
    [statements]\nsigning_key = { file = \"statement.key.pem\" }\n";

/// The beginning of the year 2001: long enough ago that its months are over on every machine.
const LONG_AGO: Timestamp = Timestamp::from_unix_micros(978_307_200_000_000);

const METERS: &str = "\n[[meter]]\nname = \"gpu_seconds\"\nevent_type = \"job\"\naggregation = \"sum\"\n\
    value = \"/gpu/seconds\"\nunit = \"s\"\ndecimals = 3\n\
    [[charge]]\nname = \"gpu\"\ndescription = \"GPU time\"\nscheme = \"unit\"\nmeter = \"gpu_seconds\"\nprice = \"0.01\"\n";

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// Every case the script has; one that vanished would otherwise pass unseen.
const CASES: [&str; 9] = [
    "an_event_in_its_json_form",
    "an_event_in_headers",
    "a_batch",
    "the_same_event_in_another_form_is_the_same",
    "an_id_is_used_once",
    "what_the_package_refuses_is_refused",
    "what_is_stored_is_an_event",
    "what_came_to_is_summed",
    "a_token_of_events_opens_nothing_else",
];

/// A running server whose tenant `acme` has been there since 2001, under a plan with a meter.
struct Stand {
    installation: Installation,
    server: Server,
    tenant: String,
}

impl Stand {
    async fn start(installation: Installation) -> Outcome<Self> {
        let mut installation = installation;
        let folder = installation.folder().display().to_string();
        installation.run(&["statement-key", "create", "--out", &folder])?;
        let server = installation.start().await?;
        let text = installation.run(&["plan", "show", "demo@1"])?.replacen("\"demo\"", "\"gpu\"", 1) + METERS;
        let plan = Plan::from_text("gpu.toml", &text).expect("a plan");
        let ledger = Ledger::connect(&installation.ledger_url()).await.expect("the ledger");
        ledger.publish_plan(&plan, LONG_AGO).await.expect("published");
        let (limits, terms) = (Limits::default(), TenantTerms::default());
        let new = NewTenant { name: "acme", plan_name: "gpu", zone: "UTC", limits, terms };
        let tenant = ledger.create_tenant(&new, LONG_AGO).await.expect("a tenant").id.to_string();
        ledger.close().await;
        Ok(Self { installation, server, tenant })
    }

    fn admin(&self) -> Admin {
        self.server.admin(self.server.banner().operator_token.as_deref().unwrap_or_default())
    }

    fn write(&self, name: &str, text: &str) -> Outcome {
        fs::write(self.installation.folder().join(name), text).map_err(HarnessError::io("a file"))
    }

    fn read(&self, name: &str) -> Outcome<String> {
        fs::read_to_string(self.installation.folder().join(name)).map_err(HarnessError::io("a file"))
    }
}

fn event(id: &str, time: &str, seconds: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/jobs", "type": "job", "subject": "acme", "time": time,
        "data": {"gpu": {"seconds": seconds}}})
}

async fn send(admin: &Admin, media_type: &str, events: &Value) -> Outcome<Answer> {
    admin.post_as("/usage-events", media_type, &[], &events.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_billed_and_proved_on_sqlite() -> Outcome {
    events_are_billed_and_proved(Installation::new(CONFIG)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_billed_and_proved_on_postgres() -> Outcome {
    let Some(url) = create_database().await? else { return Ok(()) };
    events_are_billed_and_proved(Installation::new(CONFIG)?.with("LEDGER__URL", &url)).await
}

async fn events_are_billed_and_proved(installation: Installation) -> Outcome {
    let stand = Stand::start(installation).await?;
    let admin = stand.admin();
    let batch =
        json!([event("a", "2001-01-10T00:00:00Z", "93.125"), event("b", "2001-01-31T23:59:59Z", "7")]);
    let first = send(&admin, BATCH, &batch).await?;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(send(&admin, BATCH, &batch).await?.body, first.body, "the same again is answered as it was");
    refusals(&admin).await?;
    let told = stand
        .installation
        .run(&["usage", "acme", "--period", "2001-01", "--by", "meter", "--format", "csv"])?;
    assert!(told.contains("\ngpu_seconds,2,100.125,s,gpu@1,"), "{told}");

    // The invoice, in every form.
    let month = json!({"month": "2001-01"});
    let issued = admin.post(&format!("/tenants/{}/invoices", stand.tenant), &month).await?;
    assert_eq!(
        (&issued.body["total"], &issued.body["events"]),
        (&json!("1.00"), &json!(2)),
        "{}",
        issued.body
    );
    let charged = issued.body["lines"].as_array().into_iter().flatten().find(|line| line["item"] == "gpu");
    let line = charged.expect("a line");
    assert_eq!((&line["quantity"], &line["unit"]), (&json!(100_125), &json!("0.001 s")), "{line}");
    assert_eq!(
        (&line["units"], &line["units_name"], &line["exact"]),
        (&json!("100.125"), &json!("s"), &json!("1.00125"))
    );
    let number = issued.body["number"].as_str().unwrap_or_default().to_owned();
    let pdf = admin.get(&format!("/invoices/{number}/invoice.pdf")).await?;
    assert_eq!((pdf.status.as_u16(), pdf.header("content-type")), (200, "application/pdf"));
    let focus = stand.installation.run(&[
        "export",
        "invoices",
        "--tenant",
        "acme",
        "--period",
        "2001-01",
        "--format",
        "focus-1.2",
        "--encoding",
        "jsonl",
    ])?;
    let row = focus.lines().find(|line| line.contains("GPU time")).unwrap_or_default();
    let row: Value =
        serde_json::from_str(row).map_err(|source| HarnessError::Json { text: focus.clone(), source })?;
    let consumed = (&row["ConsumedQuantity"], &row["ConsumedUnit"], &row["BilledCost"]);
    assert_eq!(consumed, (&json!("100.125"), &json!("s"), &json!("1")), "{row}");

    proved(&stand, &number).await?;

    // What comes late is on the next invoice, and a repeat of it on none.
    let late = event("late", "2001-01-20T00:00:00Z", "50");
    for _ in 0..2 {
        assert_eq!(send(&admin, ONE, &late).await?.status, 200);
    }
    for (month, total) in [("2001-02", "0.50"), ("2001-03", "0.00")] {
        let issued =
            admin.post(&format!("/tenants/{}/invoices", stand.tenant), &json!({"month": month})).await?;
        assert_eq!(issued.body["total"], total, "{month}: {}", issued.body);
    }
    let told = stand.installation.run(&["reconcile"])?;
    assert!(told.contains("All of it says the same."), "{told}");
    let told = stand.installation.run(&["rebuild-tallies"])?;
    assert!(told.contains(", 0 made anew"), "{told}");
    assert!(stand.server.stop().await?.success());
    Ok(())
}

/// Bad input is told with its place, and leaves nothing.
async fn refusals(admin: &Admin) -> Outcome {
    let good = event("c", "2001-01-10T00:00:00Z", "1");
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed
    };
    let rows = [
        (ONE, with("subject", json!("nobody")), 400, "invalid_event", "subject"),
        (ONE, with("type", json!("video")), 400, "invalid_event", "type"),
        (ONE, with("data", json!({"gpu": {"seconds": -1}})), 400, "invalid_event", "data.gpu.seconds"),
        (ONE, with("time", json!("2999-01-01T00:00:00Z")), 400, "invalid_event", "time"),
        (ONE, with("id", json!("a")), 409, "event_conflict", "data.gpu.seconds"),
        (ONE, json!([good]), 400, "invalid_event", ""),
        (BATCH, json!([good, with("id", Value::Null)]), 400, "invalid_event", "[1].id"),
        (BATCH, json!([good, with("subject", json!("acme/none"))]), 400, "invalid_event", "[1].subject"),
        (BATCH, good.clone(), 400, "invalid_event", ""),
        ("application/json", good.clone(), 400, "unsupported_event_form", "content-type"),
        ("application/cloudevents+avro", good.clone(), 400, "unsupported_event_form", "content-type"),
    ];
    for (media_type, body, status, code, param) in rows {
        let answer = send(admin, media_type, &body).await?;
        let found = (
            answer.status.as_u16(),
            answer.code(),
            answer.body["error"]["param"].as_str().unwrap_or_default(),
        );
        assert_eq!(found, (status, code, param), "{body}: {}", answer.body);
    }
    let headers = [("ce-specversion", "1.0"), ("ce-id", "c"), ("ce-source", "/jobs"), ("ce-type", "job")];
    let answer = admin.post_as("/usage-events", "application/json", &headers, "{}").await?;
    assert_eq!((answer.status.as_u16(), answer.body["error"]["param"].as_str()), (400, Some("subject")));
    Ok(())
}

/// The tenant computes the invoice again from files alone; a changed event is noticed.
async fn proved(stand: &Stand, number: &str) -> Outcome {
    let run = |arguments: &[&str]| stand.installation.run(arguments);
    let period = ["--tenant", "acme", "--period", "2001-01", "--format", "jsonl"];
    stand.write("usage.jsonl", &run(&[&["export", "usage"][..], &period].concat())?)?;
    let events = run(&["usage", "acme", "--period", "2001-01", "--events", "--format", "json"])?;
    assert_eq!(events, run(&[&["export", "events"][..], &period].concat())?);
    let download = format!("/tenants/{}/export?what=events&format=jsonl&month=2001-01", stand.tenant);
    assert_eq!(stand.admin().get(&download).await?.body.as_str(), Some(events.as_str()));
    let listed =
        stand.admin().get(&format!("/tenants/{}/usage-events?month=2001-01", stand.tenant)).await?.body;
    let lines: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(listed["data"], json!(lines));
    stand.write("events.jsonl", &events)?;
    stand.write("plan.toml", &run(&["plan", "show", "gpu@1"])?)?;
    run(&[
        "invoice",
        "acme",
        "--period",
        "2001-01",
        "--issue",
        "--format",
        "json",
        "--output",
        "invoice.json",
    ])?;
    run(&["statement", number, "--output", "invoice.statement.json"])?;
    assert!(stand.read("invoice.statement.json")?.contains("\"events_sha256\""));
    let verify = |events: &[&str]| {
        let files = [
            "verify",
            "--invoice",
            "invoice.json",
            "--usage",
            "usage.jsonl",
            "--plan",
            "plan.toml",
            "--public-key",
            "statement.pub.pem",
        ];
        run(&[&files[..], events].concat()).map_err(|error| error.to_string())
    };
    let told = verify(&["--events", "events.jsonl"]).expect("good");
    assert!(
        told.contains("2 usage events were counted again") && told.contains("is signed by the key"),
        "{told}"
    );
    let error = verify(&[]).expect_err("no events");
    assert!(error.contains("the invoice counts 2 usage events: give their export with --events"), "{error}");
    stand.write("forged.jsonl", &events.replacen("93.125", "92.125", 1))?;
    let error = verify(&["--events", "forged.jsonl"]).expect_err("forged");
    assert!(error.contains("events, line 1: event 1: it hashes to"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cloudevents_package_agrees() -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    let stand = Stand::start(Installation::new(CONFIG)?).await?;
    let mut tokens = Vec::new();
    for (name, role) in [("reporter", "events"), ("reader", "read_only")] {
        let made = stand.admin().post("/operators", &json!({"name": name, "role": role})).await?;
        assert_eq!(
            (made.status.as_u16(), &made.body["operator"]["role"]),
            (201, &json!(role)),
            "{}",
            made.body
        );
        tokens.push(made.body["token"].as_str().unwrap_or_default().to_owned());
    }
    // A running gateway takes new operators over within two seconds.
    while stand.server.admin(&tokens[1]).get("/tenants").await?.status == 401 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let told = stand.installation.run(&["operator", "list"])?;
    assert!(told.lines().any(|line| line.starts_with("reporter") && line.contains("events")), "{told}");
    let variables = [
        ("TALLYGATE_ADMIN_URL", stand.server.banner().admin_url.as_str()),
        ("TALLYGATE_TOKEN", &tokens[0]),
        ("TALLYGATE_READER", &tokens[1]),
        ("TALLYGATE_TENANT", &stand.tenant),
    ];
    let cases = run_cases(&python, "cloudevents_client.py", &variables)?;
    check_cases(&cases, &CASES, &stand.server.printed());
    assert!(stand.server.stop().await?.success());
    Ok(())
}

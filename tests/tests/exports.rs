//! Statements, comparisons and exports over the real program, with months of usage that a ledger has already.
//! Never the formats' own rules: billing's tests have those.
//! Run by `cargo xtask test`.
//!
//! Long because each story runs from a month of usage through invoices to files that others read.

use std::{fs, ops::Range, path::PathBuf, time::Duration};

use billing::{
    invoice::{self, CreditLineRequest, CreditRequest},
    ledger::{Complete, IssuerDetails, Ledger, Party, TenantBilling},
    rate::MinorUnits,
    tax::TaxRate,
};
use domain::{
    EndReason, EnergySource, JournalId, JournaledRecord, KeyId, Micros, Millijoules, Nanos, RecordHash,
    RequestId, Slo, SloClass, TenantId, Timestamp, Tokens, UsageRecord, UsageSource,
};
use serde_json::{Value, json};
use tests::harness::{
    Answer, Bucket, Chat, FOCUS, HarnessError, Installation, Outcome, Server, check_cases, create_database,
    needed, run_cases,
};

const CONFIG: &str = "[server]\ndrain_seconds = 1\n[[model]]\nname = \"demo\"\nsource = \"sim\"\n\
    [model.sim]\nseed = 1\ndecode_step_us = 1000\n\
    [statements]\nsigning_key = { file = \"statement.key.pem\" }\n";

/// 2026-01-10T00:00:00Z: a month that was over before there was this program.
const JANUARY_US: i64 = 1_768_003_200_000_000;

/// Of the bucket of these tests.
const ACCOUNT: &str = "AKIDEXAMPLE";
const SECRET: &str = "an-example-secret-that-is-no-secret";

#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by value")]
fn failed(text: impl ToString) -> HarnessError {
    HarnessError::NotEvents { text: text.to_string() }
}

/// An installation whose tenant `demo` used something in January, and the running server.
async fn with_usage(installation: Installation, records: u64) -> Outcome<(Installation, Server, String)> {
    let mut installation = installation;
    let folder = installation.folder().display().to_string();
    installation.run(&["statement-key", "create", "--out", &folder])?;
    let server = installation.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    let tenants = installation.run(&["tenant", "list"])?;
    let tenant = tenants.split_whitespace().find_map(|word| word.parse::<TenantId>().ok());
    let tenant = tenant.ok_or_else(|| failed(&tenants))?;
    let url = installation.ledger_url();
    let ledger = Ledger::connect(&url).await.map_err(failed)?;
    ship(&ledger, tenant, records).await?;
    ledger.close().await;
    Ok((installation, server, key))
}

/// Records of another gateway's journal, which has stopped for good.
async fn ship(ledger: &Ledger, tenant: TenantId, records: u64) -> Outcome {
    ship_from(ledger, tenant, 0..records).await
}

/// The same of some of January's records, or later ones: one each second.
async fn ship_from(ledger: &Ledger, tenant: TenantId, numbers: Range<u64>) -> Outcome {
    let records = numbers.end - numbers.start;
    let journal_id = JournalId::generate(Timestamp::from_unix_micros(JANUARY_US));
    let mut hash = RecordHash::GENESIS;
    let mut batch = Vec::new();
    for (place, number) in (0..records).zip(numbers) {
        let journaled = JournaledRecord {
            journal_id,
            sequence: place + 1,
            previous_hash: hash,
            record: record(tenant, number)?,
        };
        hash = billing::journal::hash_of(&journaled).map_err(failed)?;
        batch.push((journaled, hash));
        if batch.len() == 1_000 || place + 1 == records {
            ledger.ship(journal_id, &batch).await.map_err(failed)?;
            batch.clear();
        }
    }
    ledger.note_complete(journal_id, Complete::ForGood).await.map_err(failed)
}

fn record(tenant: TenantId, number: u64) -> Outcome<UsageRecord> {
    let step = i64::try_from(number).map_err(failed)?;
    let finished_at = Timestamp::from_unix_micros(JANUARY_US + step * 1_000_000);
    Ok(UsageRecord {
        request_id: RequestId::generate(finished_at),
        tenant_id: tenant,
        key_id: KeyId::new("k1").map_err(failed)?,
        model: "demo".parse().map_err(failed)?,
        backend: "local".to_owned(),
        slo: Slo::of_class(SloClass::Interactive),
        reason: if number.is_multiple_of(9) { EndReason::EngineError } else { EndReason::Completed },
        prompt_tokens: Tokens::new(1_000 + number),
        cached_prompt_tokens: Tokens::new(number % 100),
        output_tokens: Tokens::new(700),
        reasoning_tokens: Tokens::ZERO,
        ttft: Some(Micros::new(9)),
        tpot: None,
        slo_met: !number.is_multiple_of(4),
        tokens_in_slo: Tokens::new(690),
        energy: Millijoules::new(77),
        energy_source: EnergySource::Modelled,
        client_stall: Micros::ZERO,
        queue: Micros::ZERO,
        started_at: finished_at,
        finished_at,
        price_version: "demo@1".parse().map_err(failed)?,
        project_id: None,
        usage_source: UsageSource::Engine,
        charge: Nanos::ZERO,
        embeddings_tokens: Tokens::ZERO,
    })
}

/// What an operator and a tenant do at the end of a month, with every file in the installation's folder.
struct Files<'a>(&'a Installation);

impl Files<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.0.folder().join(name)
    }

    fn text(&self, name: &str) -> Outcome<String> {
        fs::read_to_string(self.path(name)).map_err(HarnessError::io("a file"))
    }

    fn write(&self, name: &str, text: &str) -> Outcome {
        fs::write(self.path(name), text).map_err(HarnessError::io("a file"))
    }

    /// Verifies with these files; the error's text when it does not pass.
    fn verify(&self, invoice: &str, statement: &str) -> Result<String, String> {
        let arguments = [
            "verify",
            "--invoice",
            invoice,
            "--usage",
            "usage.jsonl",
            "--plan",
            "plan.toml",
            "--public-key",
            "statement.pub.pem",
            "--statement",
            statement,
        ];
        self.0.run(&arguments).map_err(|error| error.to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_stated_compared_and_verified_on_sqlite() -> Outcome {
    an_invoice_is_stated(Installation::new(CONFIG)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_stated_compared_and_verified_on_postgres() -> Outcome {
    let Some(url) = create_database().await? else { return Ok(()) };
    an_invoice_is_stated(Installation::new(CONFIG)?.with("LEDGER__URL", &url)).await
}

async fn an_invoice_is_stated(installation: Installation) -> Outcome {
    let (installation, server, key) = with_usage(installation, 300).await?;
    // A request of today, so that this gateway's own journal has something to compare.
    assert_eq!(server.chat(&key).send(&Chat::request("hello", 5)).await?.status, 200);
    let files = Files(&installation);
    installation.run(&[
        "invoice",
        "demo",
        "--period",
        "2026-01",
        "--issue",
        "--format",
        "json",
        "--output",
        "invoice.json",
    ])?;
    installation.run(&["statement", "TG-000001", "--output", "invoice.statement.json"])?;
    files.write(
        "usage.jsonl",
        &installation
            .run(&["export", "usage", "--tenant", "demo", "--period", "2026-01", "--format", "jsonl"])?,
    )?;
    files.write("plan.toml", &installation.run(&["plan", "show", "demo@1"])?)?;
    let told = files.verify("invoice.json", "invoice.statement.json").map_err(failed)?;
    assert!(told.contains("300 usage records") && told.contains("is signed by the key"), "{told}");
    let statement = files.text("invoice.statement.json")?;
    files.write("forged.json", &statement.replacen("\"records\": 300", "\"records\": 301", 1))?;
    let told = files.verify("invoice.json", "forged.json").err().unwrap_or_default();
    assert!(told.contains("usage.records is 301, and comes to 300"), "{told}");
    // The tenant gets it, an operator gets it, and a stranger does not.
    let reader = installation.create_key("demo", &["--scope", "usage:read"])?;
    installation.run(&["tenant", "create", "other"])?;
    let stranger = installation.create_key("other", &["--scope", "usage:read"])?;
    let path = "/invoices/TG-000001/statement";
    let answer = known(&server, &reader, path).await?;
    let stated: Value = serde_json::from_str(&statement).map_err(failed)?;
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &stated));
    let hidden = known(&server, &stranger, path).await?;
    assert_eq!((hidden.status.as_u16(), hidden.code()), (404, "not_found"), "{}", hidden.body);
    let admin = server.admin(server.banner().operator_token.as_deref().unwrap_or_default());
    assert_eq!(admin.get(path).await?.body, stated);
    assert_eq!(admin.post(path, &json!({})).await?.body, stated, "it is not signed again");
    assert_eq!(admin.get("/invoices/TG-000002/statement").await?.status, 404);
    // Beside the running server, all of it says the same.
    let told = installation.run(&["reconcile"])?;
    assert!(told.contains("All of it says the same."), "{told}");
    let told = installation.run(&["rebuild-tallies"])?;
    assert!(told.contains(", 0 made anew"), "{told}");
    assert!(installation.run(&["statement-key", "show"])?.contains("1 statements"));
    assert!(server.stop().await?.success());
    let told = installation.run(&["reconcile"])?;
    assert!(told.contains("1 requests compared") && told.contains("All of it says the same."), "{told}");
    Ok(())
}

/// What a key is answered once the gateway knows it.
async fn known(server: &Server, key: &str, path: &str) -> Outcome<Answer> {
    loop {
        let answer = server.chat(key).get(path).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_and_files_have_the_same_bytes() -> Outcome {
    let (installation, server, _) = with_usage(Installation::new(CONFIG)?, 2_500).await?;
    installation.run(&["invoice", "demo", "--period", "2026-01", "--issue"])?;
    let admin = server.admin(server.banner().operator_token.as_deref().unwrap_or_default());
    let tenants = admin.get("/tenants").await?.body;
    let id =
        tenants["data"][0]["tenant_id"].as_str().or(tenants["data"][0]["id"].as_str()).unwrap_or_default();
    let rows = [
        ("usage", "csv", 2_501),
        ("usage", "jsonl", 2_500),
        ("invoices", "csv", 0),
        ("invoices", "focus-1.0", 0),
        ("invoices", "focus-1.2", 0),
    ];
    for (what, format, lines) in rows {
        let arguments =
            ["export", what, "--format", format, "--tenant", "demo", "--period", "2026-01", "--to", "export"];
        installation.run(&arguments)?;
        let file = Files(&installation).text("export")?;
        assert!(lines == 0 || file.lines().count() == lines, "{what} {format}");
        let answer =
            admin.get(&format!("/tenants/{id}/export?what={what}&format={format}&month=2026-01")).await?;
        assert_eq!(answer.status, 200, "{what} {format}: {}", answer.body);
        assert_eq!(answer.body.as_str(), Some(file.as_str()), "{what} {format}");
        assert!(answer.header("content-disposition").starts_with("attachment; filename=\"demo-"), "{what}");
    }
    assert!(!Files(&installation).path("export.part").exists(), "a half was left behind");
    let refusals = [
        ("?format=focus-1.0", "format"),
        ("?what=invoices&key=k1", "project"),
        ("?project=none", "project"),
        ("?model=a%20b", "model"),
        ("?month=2026-13", "month"),
    ];
    for (query, param) in refusals {
        let answer = admin.get(&format!("/tenants/{id}/export{query}")).await?;
        assert_eq!(
            (answer.status.as_u16(), answer.body["error"]["param"].as_str()),
            (400, Some(param)),
            "{query}"
        );
    }
    assert!(server.stop().await?.success());
    Ok(())
}

/// All that can become of January's usage: a part of the month, the rest of it, void and billed again in February, and
/// a credit note, in March.
async fn book_everything(installation: &Installation) -> Outcome {
    let at = |text: &str| {
        let instant: Result<jiff::Timestamp, _> = text.parse();
        instant.map(|instant| Timestamp::from_unix_micros(instant.as_microsecond())).map_err(failed)
    };
    let ledger = Ledger::connect(&installation.ledger_url()).await.map_err(failed)?;
    let tenant =
        ledger.tenants_page(None, 1).await.map_err(failed)?.pop().ok_or_else(|| failed("no tenant"))?;
    let party = Party { legal_name: "Acme AG".to_owned(), ..Party::default() };
    let taxes = vec!["VAT=19".parse::<TaxRate>().map_err(failed)?];
    let issuer = IssuerDetails { party: party.clone(), taxes, ..IssuerDetails::default() };
    ledger.set_issuer_details(&issuer).await.map_err(failed)?;
    let billing = TenantBilling { party, threshold: Some(MinorUnits::new(10)), ..TenantBilling::default() };
    ledger.set_tenant_billing(tenant.id, &billing).await.map_err(failed)?;
    let part = invoice::issue_at_threshold(&ledger, &tenant, at("2026-01-20T00:00:00Z")?).await;
    assert_eq!(part.map_err(failed)?.and_then(|part| part.number).as_deref(), Some("TG-000001"));
    ship(&ledger, tenant.id, 500).await?;
    installation.run(&["invoice", "demo", "--period", "2026-01", "--issue"])?;
    ledger.void_invoice("TG-000002", "a mistake", at("2026-03-05T00:00:00Z")?).await.map_err(failed)?;
    // A month of thirty days later.
    ship_from(&ledger, tenant.id, 2_592_000..2_592_009).await?;
    installation.run(&["invoice", "demo", "--period", "2026-02", "--issue"])?;
    let lines = vec![CreditLineRequest { position: 1, amount: None }];
    let asked = CreditRequest { reason: "goodwill".to_owned(), lines };
    let noted = at("2026-03-06T00:00:00Z")?;
    ledger.issue_credit_note("TG-000003", (&asked, "a"), noted).await.map_err(failed)?;
    ledger.close().await;
    Ok(())
}

/// Numbers of a list's rows, page by page of one row, and whether each is of a part.
async fn listed(server: &Server) -> Outcome<Vec<(Value, Value)>> {
    let admin = server.admin(server.banner().operator_token.as_deref().unwrap_or_default());
    let tenants = admin.get("/tenants").await?.body;
    let id =
        tenants["data"][0]["tenant_id"].as_str().or(tenants["data"][0]["id"].as_str()).unwrap_or_default();
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/tenants/{id}/invoices?limit=1{cursor}")).await?;
        assert_eq!(page.status, 200, "{}", page.body);
        rows.extend(
            page.body["data"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|row| (row["number"].clone(), row["is_part"].clone())),
        );
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let refused = admin.get(&format!("/tenants/{id}/invoices?cursor=7")).await?;
    assert_eq!((refused.status.as_u16(), refused.body["error"]["param"].as_str()), (400, Some("cursor")));
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_charges_pass_the_validator_of_focus() -> Outcome {
    let Some(python) = needed(FOCUS) else { return Ok(()) };
    let (installation, server, _) = with_usage(Installation::new(CONFIG)?, 500).await?;
    book_everything(&installation).await?;
    let expected = [("TG-000001", true), ("TG-000002", false), ("TG-000003", false)];
    assert_eq!(listed(&server).await?, expected.map(|(number, is_part)| (number.into(), is_part.into())));
    let mut charges = String::new();
    for month in ["2026-01", "2026-02", "2026-03"] {
        let csv = installation.run(&["export", "invoices", "--format", "focus-1.0", "--period", month])?;
        let (heading, rows) = csv.split_once('\n').ok_or_else(|| failed(&csv))?;
        if charges.is_empty() {
            charges = format!("{heading}\n");
        }
        charges.push_str(rows);
    }
    for document in ["part,TG-000001", "invoice,TG-000003", "void,TG-000002", "credit_note,TG-CN-000001"] {
        assert!(charges.contains(document), "{document} in {charges}");
    }
    Files(&installation).write("focus.csv", &charges)?;
    let file = Files(&installation).path("focus.csv").display().to_string();
    let cases = run_cases(&python, "focus_charges.py", &[("FOCUS_FILE", &file)])?;
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    // Every rule of version 1.0 that the validator has.
    assert_eq!(names.len(), 133, "{names:?}");
    check_cases(&cases, &names, &Files(&installation).text("focus.csv")?);
    // It would have said so.
    let broken = Files(&installation).text("focus.csv")?.replace("AI and Machine Learning", "Magic");
    Files(&installation).write("broken.csv", &broken)?;
    let file = Files(&installation).path("broken.csv").display().to_string();
    let cases = run_cases(&python, "focus_charges.py", &[("FOCUS_FILE", &file)])?;
    let failed: Vec<_> = cases.iter().filter(|case| case.failure.is_some()).map(|case| &case.name).collect();
    assert_eq!(failed, ["ServiceCategory_Enum"]);
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_into_a_bucket_in_parts() -> Outcome {
    let bucket = Bucket::start(ACCOUNT).await?;
    let config = format!(
        "{CONFIG}[exports.s3]\nendpoint = \"{}\"\nregion = \"eu-1\"\naccess_key_id = \"{ACCOUNT}\"\n\
         secret_access_key = {{ file = \"secret\" }}\n",
        bucket.endpoint()
    );
    let installation = Installation::new(&config)?.logging("trace");
    Files(&installation).write("secret", SECRET)?;
    let (installation, server, _) = with_usage(installation, 15_000).await?;
    let export = |to: &str| {
        installation.run(&[
            "export", "usage", "--format", "jsonl", "--tenant", "demo", "--period", "2026-01", "--to", to,
        ])
    };
    export("local.jsonl")?;
    let told = export("s3://usage/2026/demo.jsonl")?;
    assert!(told.starts_with("wrote ") && told.contains("s3://usage/2026/demo.jsonl"), "{told}");
    assert_eq!(bucket.faults(), Vec::<String>::new());
    let local = fs::read(Files(&installation).path("local.jsonl")).map_err(HarnessError::io("a file"))?;
    assert!(bucket.object("/usage/2026/demo.jsonl").is_some_and(|object| object == local), "another object");
    assert!(bucket.parts() >= 2, "{} parts of {} bytes", bucket.parts(), local.len());
    // A bucket that refuses a part gets no object, and is told that the upload is given up.
    bucket.refuse_from(2);
    let refused =
        export("s3://usage/2026/half.jsonl").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("s3://usage/2026/half.jsonl"), "{refused}");
    assert!(bucket.object("/usage/2026/half.jsonl").is_none() && bucket.is_given_up());
    for text in [&told, &refused, &server.printed()] {
        assert!(!text.contains(SECRET) && !text.contains("Signature"), "{text}");
    }
    assert!(server.stop().await?.success());
    Ok(())
}

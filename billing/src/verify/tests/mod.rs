//! An honest invoice passes; every way to change it, its usage or its plans is named.
//! Never a database and never a file.
//! Run by `cargo test`.

mod hostile;

use domain::{
    EndReason, EnergySource, JournalId, JournaledRecord, KeyId, Micros, Millijoules, Nanos, ProjectId,
    RecordHash, RequestId, Slo, SloClass, Tokens, UsageRecord, UsageSource,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{journal::hash_of, ledger::UsageSum, ledger::UsageTotals};

const CHARGES: &str = "[[charge]]\nname = \"seat\"\nscheme = \"flat\"\namount = \"3\"\n\
    [[charge]]\nname = \"calls\"\nscheme = \"package\"\nmeter = \"requests\"\nprice = \"0.10\"\nsize = \"2\"\n";

fn plan() -> Plan {
    let source = Plan::demo().expect("a plan").source().to_owned();
    Plan::from_text("t", &(source + CHARGES)).expect("a plan")
}

fn period() -> Period {
    Period::month("2026-11", "Europe/Berlin").expect("a month")
}

fn acme() -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(1))
}

/// One record each second of the period; every second one belongs to a project.
fn record(number: u64) -> UsageRecord {
    let at = |seconds: u64| {
        let micros = i64::try_from(seconds * 1_000_000).expect("it fits");
        Timestamp::from_unix_micros(period().start().unix_micros() + micros)
    };
    UsageRecord {
        request_id: RequestId::from_uuid(Uuid::from_u128(u128::from(number))),
        tenant_id: acme(),
        key_id: KeyId::new("k1").expect("an id"),
        model: "demo".parse().expect("a model"),
        backend: "local".to_owned(),
        slo: Slo::of_class(SloClass::Interactive),
        reason: EndReason::Completed,
        prompt_tokens: Tokens::new(1_000 * number),
        cached_prompt_tokens: Tokens::ZERO,
        output_tokens: Tokens::new(500),
        reasoning_tokens: Tokens::ZERO,
        ttft: Some(Micros::new(9)),
        tpot: None,
        slo_met: true,
        tokens_in_slo: Tokens::new(480),
        energy: Millijoules::new(77),
        energy_source: EnergySource::Modelled,
        client_stall: Micros::ZERO,
        queue: Micros::ZERO,
        started_at: at(number),
        finished_at: at(number + 1),
        price_version: plan().id().clone(),
        project_id: number.is_multiple_of(2).then(|| ProjectId::from_uuid(Uuid::from_u128(7))),
        usage_source: UsageSource::Engine,
        charge: Nanos::ZERO,
        embeddings_tokens: Tokens::ZERO,
    }
}

fn line_of(record: UsageRecord) -> String {
    let path = record.project_id.map(|_| "research");
    let journaled = JournaledRecord {
        journal_id: JournalId::from_uuid(Uuid::from_u128(3)),
        sequence: 1,
        previous_hash: RecordHash::GENESIS,
        record,
    };
    let mut line = json!(journaled);
    line["hash"] = json!(hash_of(&journaled).expect("a hash"));
    line["project_path"] = json!(path);
    line.to_string() + "\n"
}

fn export() -> String {
    (1..=5).map(|number| line_of(record(number))).collect()
}

/// The invoice as an issuer makes it, from sums.
fn invoice() -> String {
    let mut by_project: BTreeMap<Option<ProjectId>, UsageTotals> = BTreeMap::new();
    for number in 1..=5 {
        let record = record(number);
        let totals = by_project.entry(record.project_id).or_default();
        *totals = totals.checked_add(&UsageTotals::of(&record)).expect("it fits");
    }
    let sum = |totals: &UsageTotals| UsageSum {
        price_version: plan().id().clone(),
        model: "demo".parse().expect("a model"),
        slo_class: SloClass::Interactive,
        reason: EndReason::Completed,
        energy_source: EnergySource::Modelled,
        totals: *totals,
    };
    let sums: Vec<_> = by_project.values().map(sum).collect();
    let projects: Vec<_> = by_project
        .iter()
        .map(|(id, totals)| crate::invoice::ProjectUse {
            id: *id,
            path: if id.is_some() { "research" } else { "(no project)" }.to_owned(),
            sums: vec![sum(totals)],
            late: Vec::new(),
        })
        .collect();
    let plan = plan();
    let issuer = Tenant {
        id: acme(),
        name: "acme".to_owned(),
        plan_name: "demo".to_owned(),
        currency: Currency::USD,
        zone: "Europe/Berlin".to_owned(),
        limits: Limits::default(),
        terms: TenantTerms::default(),
        created_at: Timestamp::from_unix_micros(0),
        disabled_at: None,
    };
    let invoice = Invoice::build(&InvoiceParts {
        tenant: &issuer,
        period: &period(),
        now: period().end(),
        sums: &sums,
        late: &[],
        events: &[],
        events_count: 0,
        plans: &BTreeMap::from([(plan.id().clone(), plan.clone())]),
        projects: &projects,
        plan_at_end: Some(&plan),
        subscription: None,
    });
    let mut invoice = invoice.expect("an invoice");
    (invoice.status, invoice.number) = (crate::invoice::Status::Issued, Some("TG-000007".to_owned()));
    invoice.to_json().expect("json")
}

fn error(invoice: &str, usage: &str, plans: Vec<Plan>) -> String {
    verify(invoice, usage.as_bytes(), plans, None).expect_err("it is not good").to_string()
}

#[test]
fn an_honest_invoice_passes() {
    let verified = verify(&invoice(), export().as_bytes(), vec![plan()], None).expect("it is good");
    assert_eq!((verified.number.as_deref(), verified.records), (Some("TG-000007"), 5));
    // 0.00225 + 0.0015 − 0.00003 + 3 + 0.30
    assert_eq!(verified.total, "3.30 USD");
    // Also with lines between that are empty, without a last line end, and with plans that are not needed.
    let other = plan().source().replacen("version = 1", "version = 2", 1);
    let plans = vec![plan(), Plan::from_text("t", &other).expect("a plan"), plan()];
    let usage = format!("\n{}", export().trim_end());
    assert!(verify(&invoice(), usage.as_bytes(), plans, None).is_ok());
}

#[test]
fn a_changed_invoice_is_named_by_its_first_difference() {
    let rows = [
        ("\"total\": \"3.30\"", "\"total\": \"3.31\"", "total is \"3.31\", and comes to \"3.30\""),
        ("\"quantity\": 15000", "\"quantity\": 15001", "lines[0].quantity is 15001, and comes to 15000"),
        (
            "\"name\": \"acme\"",
            "\"name\":  \"acme\"",
            "the text is written in another way, and comes to the same values",
        ),
        (
            "\"path\": \"research\"",
            "\"path\": \"sales\"",
            "projects[1].path is \"sales\", and comes to \"research\"",
        ),
        ("\"records\": 5", "\"records\": 6", "records is 6, and comes to 5"),
    ];
    for (from, to, expected) in rows {
        let invoice = invoice();
        assert!(invoice.contains(from), "{from} in {invoice}");
        let expected = format!("the invoice is not what its usage and plans come to: {expected}");
        assert_eq!(error(&invoice.replacen(from, to, 1), &export(), vec![plan()]), expected);
    }
}

#[test]
fn changed_usage_is_named_by_its_line() {
    let lines: Vec<String> = export().lines().map(|line| format!("{line}\n")).collect();
    let changed = lines[1].replacen("\"output_tokens\":500", "\"output_tokens\":499", 1);
    let id = |number: u64| record(number).request_id;
    let mut stranger = record(3);
    stranger.tenant_id = TenantId::from_uuid(Uuid::from_u128(2));
    let mut early = record(3);
    early.finished_at = Timestamp::from_unix_micros(period().start().unix_micros() - 1);
    let usage = |second: &str| format!("{}{second}{}", lines[0], lines[2]);
    let told = error(&invoice(), &usage(&changed), vec![plan()]);
    assert!(told.starts_with(&format!("usage, line 2: request {}: the record hashes to", id(2))), "{told}");
    let rows = [
        (usage(&line_of(stranger)), format!("usage, line 2: request {} is another tenant's", id(3))),
        (
            usage(&line_of(early)),
            format!("usage, line 2: request {} finished outside the invoice's period", id(3)),
        ),
        (
            usage(&lines[0]),
            format!("usage, line 2: request {} is there twice, or not in the order of the export", id(1)),
        ),
        (
            format!("{}{}", lines[1], lines[0]),
            format!("usage, line 2: request {} is there twice, or not in the order of the export", id(1)),
        ),
        ("x".repeat(70_000), "usage, line 1: more than 65536 bytes: this is no record".to_owned()),
    ];
    for (usage, expected) in rows {
        assert_eq!(error(&invoice(), &usage, vec![plan()]), expected);
    }
    let told = error(&invoice(), "{}\n", vec![plan()]);
    assert!(told.starts_with("usage, line 1: not a usage record: "), "{told}");
    // What is left out is missed by the counts.
    let fewer: String = lines[..4].concat();
    assert!(error(&invoice(), &fewer, vec![plan()]).ends_with(": records is 5, and comes to 4"));
    assert!(error(&invoice(), "", vec![plan()]).ends_with(": records is 5, and comes to 0"));
}

#[test]
fn plans_must_be_there_and_be_the_ones() {
    assert_eq!(
        error(&invoice(), &export(), vec![]),
        "the invoice needs plan demo@1: give its file with --plan"
    );
    let dearer = plan().source().replacen("\"0.15\"", "\"0.16\"", 1);
    let dearer = Plan::from_text("t", &dearer).expect("a plan");
    let told = error(&invoice(), &export(), vec![dearer.clone()]);
    assert!(told.contains("lines[0].unit_price is \"0.15\", and comes to \"0.16\""), "{told}");
    assert_eq!(
        error(&invoice(), &export(), vec![plan(), dearer]),
        "plan demo@1 was given twice with different terms"
    );
}

#[test]
fn what_is_no_invoice_is_said_to_be_none() {
    for text in ["", "{}", "[]", "null"] {
        let told = error(text, &export(), vec![plan()]);
        assert!(told.starts_with("the invoice cannot be read: ") && !told.contains("ledger"), "{told}");
    }
    let mut newer: Value = serde_json::from_str(&invoice()).expect("json");
    newer["schema"] = json!("tallygate.invoice/9");
    assert!(error(&newer.to_string(), "", vec![plan()]).contains("its form is \"tallygate.invoice/9\""));
}

/// The issuer's key, and its statement of the invoice and its five records.
fn stated() -> (PublicKey, String) {
    let (acme, period, plans) = (acme(), period(), BTreeMap::from([(plan().id().clone(), plan())]));
    let read = usage::read(export().as_bytes(), UsageReader::new(acme, &period, None)).expect("good");
    let issued = compare(&invoice(), (&read, &ReadEvents::default()), &plans).expect("good");
    let (key, _) = crate::statement::SigningKey::generate().expect("a key");
    let unsigned = Statement::of(&issued, &invoice(), &period, read.seal);
    let signed = unsigned.sign(&key, period.end()).expect("signed");
    (key.public(), signed.to_json().expect("json"))
}

fn check_stated(
    invoice: &str,
    usage: &str,
    (key, statement): &(PublicKey, String),
) -> Result<Verified, VerifyError> {
    let proof = Proof { statement, keys: &[*key] };
    verify(invoice, usage.as_bytes(), vec![plan()], Some(&proof))
}

/// The text with one bit changed; none where that is no text.
fn changed(text: &str, index: usize) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    bytes[index] ^= 1;
    String::from_utf8(bytes).ok()
}

#[test]
fn a_changed_byte_anywhere_is_seen() {
    let (key, statement) = stated();
    let (invoice, usage, plan) = (invoice(), export(), plan());
    let check = |invoice: &str, usage: &str, statement: &str| {
        let proof = Proof { statement, keys: &[key] };
        verify(invoice, usage.as_bytes(), vec![plan.clone()], Some(&proof))
    };
    let verified = check(&invoice, &usage, &statement).expect("it is good");
    assert_eq!((verified.records, verified.records_late, verified.key_id), (5, 0, Some(key.id())));
    for index in 0..statement.len() {
        let Some(text) = changed(&statement, index) else { continue };
        assert!(check(&invoice, &usage, &text).is_err(), "statement, byte {index}");
    }
    for index in (0..invoice.len()).step_by(3) {
        let Some(text) = changed(&invoice, index) else { continue };
        assert!(check(&text, &usage, &statement).is_err(), "invoice, byte {index}");
    }
    for index in (0..usage.len()).step_by(3) {
        let Some(text) = changed(&usage, index) else { continue };
        let place: String = text.chars().skip(index.saturating_sub(20)).take(40).collect();
        assert!(check(&invoice, &text, &statement).is_err(), "usage, byte {index}: {place}");
    }
}

#[test]
fn a_statement_that_does_not_fit_is_named_by_its_first_difference() {
    let (key, statement) = stated();
    let error = |statement: String| {
        check_stated(&invoice(), &export(), &(key, statement)).expect_err("it is not good").to_string()
    };
    let rows = [
        ("\"name\": \"acme\"", "\"name\": \"acne\"", "tenant.name is \"acne\", and comes to \"acme\""),
        (
            "\"output_tokens\": 2500",
            "\"output_tokens\": 2501",
            "usage.sums.output_tokens is 2501, and comes to 2500",
        ),
        ("\"total\": \"3.30\"", "\"total\": \"3.31\"", "invoice.total is \"3.31\", and comes to \"3.30\""),
        (
            "\"name\": \"acme\"",
            "\"name\":  \"acme\"",
            "the text is written in another way, and comes to the same values",
        ),
    ];
    for (from, to, expected) in rows {
        assert!(statement.contains(from), "{from} in {statement}");
        let expected = format!("the statement is not of this invoice and usage: {expected}");
        assert_eq!(error(statement.replacen(from, to, 1)), expected);
    }
    let made_at = period().end().to_string();
    let later = period().start().to_string();
    assert!(error(statement.replacen(&made_at, &later, 2)).contains("is not of this invoice"), "the period");
    let (other, _) = stated();
    let told = check_stated(&invoice(), &export(), &(other, statement)).expect_err("another key");
    assert!(told.to_string().contains("give its public half with --public-key"), "{told}");
}

#[test]
fn records_that_came_late_are_left_out_by_a_statement() {
    let late = |number: u64| {
        let mut journaled = JournaledRecord {
            journal_id: JournalId::from_uuid(Uuid::from_u128(3)),
            sequence: 2,
            previous_hash: RecordHash::GENESIS,
            record: record(number),
        };
        journaled.record.output_tokens = Tokens::new(501);
        let mut line = json!(journaled);
        line["hash"] = json!(hash_of(&journaled).expect("a hash"));
        line.to_string() + "\n"
    };
    let usage = export() + &late(6) + &late(7);
    let verified = check_stated(&invoice(), &usage, &stated()).expect("it is good");
    assert_eq!((verified.records, verified.records_late), (5, 2));
    assert!(
        verify(&invoice(), usage.as_bytes(), vec![plan()], None).is_err(),
        "nothing says that they are late"
    );
}

//! Everything that changes what is owed is exported once, in the month in which it happened, and compared.
//! Never the columns' own rules; those are tested beside the code.
//! Run on both databases.

use std::collections::BTreeSet;

use bigdecimal::BigDecimal;
use billing::{
    export::{Dataset, FocusVersion, Format, Request, Whose},
    invoice::{self, CreditLineRequest, CreditRequest, Invoice},
    ledger::{
        BookingList, InvoiceState, Ledger, NewSubscription, PeriodChoice, SubscriptionChange, Tenant,
        TenantBilling,
    },
    plan::Plan,
    rate::MinorUnits,
    reconcile::{HandOver, Progress, Report, Scope, reconcile},
    subscription::Cycle,
};
use domain::{Period, Timestamp, UsageRecord};
use serde_json::Value;

use crate::{
    exports::{all, request},
    records::{Chain, HOUR_US, NOW, at, new_tenant, tenant},
    taxes::{customer, issuer, ten_dollars},
};

struct Quiet;

impl Progress for Quiet {
    fn compared(&mut self, _: HandOver, _: u64) {}
}

async fn run_all(ledger: &Ledger) -> Report {
    reconcile(ledger, &Scope::default(), &mut Quiet).await.expect("compared")
}

/// 10.00 of usage.
async fn use_at(ledger: &Ledger, tenant: &Tenant, finished_at: Timestamp) {
    let mut chain = Chain::new();
    let started_at = Timestamp::from_unix_micros(finished_at.unix_micros() - 1);
    let used = UsageRecord { started_at, finished_at, ..ten_dollars(tenant) };
    ledger.ship(chain.journal_id, &chain.add_all([used])).await.expect("shipped");
}

fn month(name: &str) -> Period {
    Period::month(name, "UTC").expect("a month")
}

fn hour(hours: i64) -> Timestamp {
    Timestamp::from_unix_micros(NOW.unix_micros() + hours * HOUR_US)
}

async fn issue(ledger: &Ledger, tenant: &Tenant, name: &str) -> Invoice {
    let period = month(name);
    invoice::issue(ledger, tenant, &period, period.end()).await.expect("issued")
}

/// Usage of 30.00 in November, taxed with 19 %: two parts (TG-000001, TG-000002) and the rest (TG-000003).
async fn november_in_parts(ledger: &Ledger) -> Tenant {
    let acme = tenant(ledger, "acme", "UTC").await;
    ledger.set_issuer_details(&issuer(&["VAT=19"])).await.expect("set");
    let billing = TenantBilling { threshold: Some(MinorUnits::new(500)), ..customer() };
    ledger.set_tenant_billing(acme.id, &billing).await.expect("set");
    for (used, looked, number) in [(0, 1, "TG-000001"), (2, 3, "TG-000002")] {
        use_at(ledger, &acme, hour(used)).await;
        let report = invoice::issue_thresholds(ledger, hour(looked)).await.expect("a report");
        assert_eq!(report.issued, [number]);
    }
    use_at(ledger, &acme, hour(240)).await;
    assert_eq!(issue(ledger, &acme, "2026-11").await.total, "11.90");
    acme
}

/// Rows of an export of a month.
async fn rows(ledger: &Ledger, tenant: &Tenant, dataset: Dataset, name: &str) -> Vec<Value> {
    let whose = Whose::Tenant(Box::new(tenant.clone()), month(name));
    let request = Request { whose, ..request(dataset, Format::JsonLines, tenant) };
    let (bytes, _, _) = all(ledger, request).await;
    let text = String::from_utf8(bytes).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn sum(rows: &[Value], column: &str) -> BigDecimal {
    let amount =
        |row: &Value| row[column].as_str().expect("decimal text").parse::<BigDecimal>().expect("a decimal");
    rows.iter().map(amount).sum()
}

fn number(text: &str) -> BigDecimal {
    text.parse().expect("a decimal")
}

/// Which documents rows are of.
fn documents(rows: &[Value], number: &str, kind: &str) -> Vec<String> {
    let named = rows.iter().map(|row| {
        format!("{} {}", row[number].as_str().unwrap_or_default(), row[kind].as_str().unwrap_or_default())
    });
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Totals of all invoices that are not void, less what credit notes give back; and the same without taxes.
async fn owed(ledger: &Ledger, tenant: &Tenant) -> (BigDecimal, BigDecimal) {
    let always = (Timestamp::from_unix_micros(i64::MIN), Timestamp::from_unix_micros(i64::MAX));
    let page =
        ledger.bookings_page(tenant.id, (BookingList::Invoices, None), always, 100).await.expect("read");
    let mut owed = (BigDecimal::default(), BigDecimal::default());
    for booking in page {
        let name = &booking.issued.number;
        let standing = ledger.invoice_standing(name, NOW).await.expect("read").expect("there");
        if standing.state != InvoiceState::Void {
            let invoice = Invoice::from_issued(&booking.issued.body).expect("reads");
            owed = (owed.0 + number(&invoice.total), owed.1 + number(&invoice.subtotal));
        }
        for note in ledger.credit_notes(name).await.expect("read") {
            owed = (owed.0 - number(&note.total), owed.1 - number(&note.subtotal));
        }
    }
    owed
}

/// A tenant that pays 30.00 ahead for each month from 2026-01-31 on.
async fn subscribed(ledger: &Ledger) -> Tenant {
    let made = at("2026-01-31T09:00:00Z");
    let source =
        Plan::demo().expect("the demo plan").source().replacen("name = \"demo\"", "name = \"silver\"", 1);
    let text = format!("{source}\n[base_fee]\namount = \"30\"\ntiming = \"advance\"\n");
    let plan = Plan::from_text("t", &text).expect("a plan");
    ledger.publish_plan(&plan, at("2026-01-01T00:00:00Z")).await.expect("published");
    let acme = ledger.create_tenant(&new_tenant("acme", "silver", "UTC"), made).await.expect("a tenant");
    let new = NewSubscription { cycle: Cycle::Anniversary, day: None, trial_days: None };
    ledger.change_subscription(acme.id, &SubscriptionChange::Start(new), made).await.expect("started");
    acme
}

const FOCUS: Dataset = Dataset::Focus(FocusVersion::V1_2);

on_each_database! {
    async fn parts_are_exported_listed_and_compared(database: &Database) {
        let ledger = &database.ledger;
        let acme = november_in_parts(ledger).await;
        let november = rows(ledger, &acme, FOCUS, "2026-11").await;
        assert_eq!(documents(&november, "InvoiceId", "x_DocumentKind"), ["TG-000001 part", "TG-000002 part", "TG-000003 invoice"]);
        assert_eq!(sum(&november, "BilledCost"), number("35.70"));
        let lines = rows(ledger, &acme, Dataset::InvoiceLines, "2026-11").await;
        assert_eq!(documents(&lines, "document_number", "document"), documents(&november, "InvoiceId", "x_DocumentKind"));
        assert_eq!(sum(&lines, "displayed"), number("30.00"));
        assert_eq!(rows(ledger, &acme, FOCUS, "2026-12").await.len(), 0);
        // They begin at one instant, and each is listed once.
        let always = (Timestamp::from_unix_micros(i64::MIN), Timestamp::from_unix_micros(i64::MAX));
        let (mut after, mut listed) = (None, Vec::new());
        loop {
            let page = ledger.bookings_page(acme.id, (BookingList::Invoices, after), always, 1).await.expect("read");
            let [booking] = &page[..] else { break };
            listed.push(booking.issued.number.clone());
            after = Some(booking.position.to_string().parse().expect("a place"));
        }
        assert_eq!(listed, ["TG-000001", "TG-000002", "TG-000003"]);
        let report = run_all(ledger).await;
        assert_eq!((report.findings, report.compared[3], report.invoices_not_compared), (vec![], 3, 0));
        // A part that says something else is noticed.
        let change = "UPDATE invoice_lines SET displayed_minor = displayed_minor + 1 WHERE number = 'TG-000002' AND kind = 'charge' AND displayed_minor > 0";
        let statement = match database.is_sqlite() {
            true => format!("DROP TRIGGER invoice_lines_keep_update; {change}"),
            false => format!("ALTER TABLE invoice_lines DISABLE TRIGGER ALL; {change}; ALTER TABLE invoice_lines ENABLE TRIGGER ALL"),
        };
        database.raw(&statement).await.expect("damaged");
        let report = run_all(ledger).await;
        let subjects: Vec<_> = report.findings.iter().map(|finding| finding.subject.as_str()).collect();
        assert_eq!(subjects, ["stored lines of invoice TG-000002"]);
    }

    async fn all_months_together_are_what_is_owed_over_all_documents(database: &Database) {
        let ledger = &database.ledger;
        let acme = november_in_parts(ledger).await;
        let closed = rows(ledger, &acme, FOCUS, "2026-11").await;
        ledger.void_invoice("TG-000002", "a mistake", at("2026-12-05T00:00:00Z")).await.expect("void");
        assert_eq!(issue(ledger, &acme, "2026-12").await.total, "11.90");
        ledger.void_invoice("TG-000003", "another", at("2027-01-03T00:00:00Z")).await.expect("void");
        assert_eq!(issue(ledger, &acme, "2027-01").await.total, "11.90");
        let asked = CreditRequest {
            reason: "goodwill".to_owned(),
            lines: vec![CreditLineRequest { position: 1, amount: Some("3.33".to_owned()) }],
        };
        let noted = at("2027-02-02T00:00:00Z");
        let note = ledger.issue_credit_note("TG-000004", (&asked, "a"), noted).await.expect("issued");
        assert_eq!((note.number.as_str(), note.total.as_str()), ("TG-CN-000001", "3.96"));
        let months = [
            ("2026-11", vec!["TG-000001 part", "TG-000002 part", "TG-000003 invoice"], "35.70"),
            ("2026-12", vec!["TG-000002 void", "TG-000004 invoice"], "0.00"),
            ("2027-01", vec!["TG-000003 void", "TG-000005 invoice"], "0.00"),
            ("2027-02", vec!["TG-CN-000001 credit_note"], "-3.96"),
        ];
        let (mut billed, mut displayed) = (BigDecimal::default(), BigDecimal::default());
        for (name, expected, total) in months {
            let charges = rows(ledger, &acme, FOCUS, name).await;
            assert_eq!(documents(&charges, "x_DocumentNumber", "x_DocumentKind"), expected, "{name}");
            assert_eq!(sum(&charges, "BilledCost"), number(total), "{name}");
            billed += sum(&charges, "BilledCost");
            let lines = rows(ledger, &acme, Dataset::InvoiceLines, name).await;
            assert_eq!(documents(&lines, "document_number", "document"), expected, "{name}");
            displayed += sum(&lines, "displayed");
        }
        assert_eq!((billed.clone(), displayed), owed(ledger, &acme).await);
        assert_eq!(billed, number("31.74"));
        // What was exported of November stays as it was.
        assert_eq!(rows(ledger, &acme, FOCUS, "2026-11").await, closed);
        // A void invoice is taken back where that happened, charge by charge.
        let december = rows(ledger, &acme, FOCUS, "2026-12").await;
        let void: Vec<_> = december.iter().filter(|row| row["x_DocumentKind"] == "void").collect();
        let part: Vec<_> = closed.iter().filter(|row| row["InvoiceId"] == "TG-000002").collect();
        assert_eq!(void.len(), part.len());
        for (void, part) in void.iter().zip(&part) {
            let cost = |row: &Value| number(row["BilledCost"].as_str().expect("an amount"));
            assert_eq!(cost(void), -cost(part));
            assert_eq!((void["ChargeClass"].as_str(), part["ChargeClass"].as_str()), (Some("Correction"), None));
            assert_eq!((&void["BillingPeriodStart"], &part["BillingPeriodStart"]), (&"2026-12-01T00:00:00Z".into(), &"2026-11-01T00:00:00Z".into()));
            assert_eq!((&void["ChargePeriodStart"], &void["PricingQuantity"]), (&part["ChargePeriodStart"], &Value::Null));
        }
        // A credit note has its own number, and a row for the line and for the tax.
        let notes = rows(ledger, &acme, FOCUS, "2027-02").await;
        let shown: Vec<_> = notes.iter().map(|row| {
            ["ChargeCategory", "ChargeClass", "BilledCost", "InvoiceId", "x_InvoiceNumber"].map(|name| row[name].as_str().unwrap_or_default())
        }).collect();
        assert_eq!(shown, [
            ["Credit", "Correction", "-3.33", "TG-CN-000001", "TG-000004"],
            ["Tax", "Correction", "-0.63", "TG-CN-000001", "TG-000004"],
        ]);
        let report = run_all(ledger).await;
        assert_eq!((report.findings, report.compared[3]), (vec![], 5));
    }

    async fn a_fee_that_is_billed_ahead_is_for_the_time_to_come(database: &Database) {
        let ledger = &database.ledger;
        let acme = subscribed(ledger).await;
        let choice = PeriodChoice::At(at("2026-01-15T00:00:00Z"));
        let period = ledger.billing_period(&acme, choice).await.expect("a period");
        invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        ledger.void_invoice("TG-000001", "a mistake", at("2026-03-05T00:00:00Z")).await.expect("void");
        for (name, category, cost, billing) in [
            ("2026-01", "Purchase", "30", "2026-01-01T00:00:00Z"),
            ("2026-03", "Purchase", "-30", "2026-03-01T00:00:00Z"),
        ] {
            let rows = rows(ledger, &acme, FOCUS, name).await;
            let [row] = &rows[..] else { panic!("{rows:?}") };
            let names = ["ChargeCategory", "BilledCost", "BillingPeriodStart", "ChargePeriodStart", "ChargePeriodEnd"];
            let shown = names.map(|name| row[name].as_str().unwrap_or_default());
            assert_eq!(shown, [category, cost, billing, "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"]);
            assert_eq!((&row["ConsumedQuantity"], row["ChargeFrequency"].as_str()), (&Value::Null, Some("Recurring")));
        }
    }
}

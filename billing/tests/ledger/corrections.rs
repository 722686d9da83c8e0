//! What was missed is billed on the next invoice, exactly once; parts of running periods are billed as they come.
//! Never a change of an invoice that was issued before.
//! Run on both databases.

use std::io::Cursor;

use billing::{
    invoice::{self, Invoice, Line, LineKind},
    ledger::{InvoiceState, Ledger, Tenant, TenantBilling},
    plan::Plan,
    rate::MinorUnits,
    verify::{Corrections, Earlier, verify_corrections},
};
use domain::{EndReason, Period, Timestamp, Tokens, UsageRecord};

use crate::{
    records::{Chain, Entry, HOUR_US, NOW, at, november, record, tenant},
    taxes::{customer, exported, verified},
};

/// Usage of so many cents: a million output tokens cost 0.60.
fn used(tenant: &Tenant, tokens: u64, finished_at: Timestamp) -> UsageRecord {
    UsageRecord {
        reason: EndReason::Completed,
        prompt_tokens: Tokens::ZERO,
        cached_prompt_tokens: Tokens::ZERO,
        output_tokens: Tokens::new(tokens),
        reasoning_tokens: Tokens::ZERO,
        tokens_in_slo: Tokens::new(tokens),
        project_id: None,
        ..record(tenant, 1, finished_at)
    }
}

async fn ship(ledger: &Ledger, record: UsageRecord) -> Entry {
    let mut chain = Chain::new();
    let batch = chain.add_all([record]);
    ledger.ship(chain.journal_id, &batch).await.expect("shipped");
    batch.into_iter().next().expect("one")
}

fn month(name: &str) -> Period {
    Period::month(name, "UTC").expect("a month")
}

async fn issue(ledger: &Ledger, tenant: &Tenant, name: &str) -> Invoice {
    let period = month(name);
    invoice::issue(ledger, tenant, &period, period.end()).await.expect("issued")
}

fn extras(invoice: &Invoice) -> Vec<&Line> {
    let is_extra = |line: &&Line| matches!(line.kind, LineKind::Correction | LineKind::Invoiced);
    invoice.lines.iter().filter(is_extra).collect()
}

/// The subtotals of all invoices that are not void, in cents.
async fn billed(ledger: &Ledger, tenant: &Tenant) -> i64 {
    let mut sum = 0;
    let mut all = ledger.invoices_page(tenant.id, None, 100).await.expect("read");
    all.extend(ledger.invoice_parts_page(tenant.id, None, 100).await.expect("read"));
    for issued in all {
        let standing = ledger.invoice_standing(&issued.number, NOW).await.expect("read").expect("there");
        if standing.state != InvoiceState::Void {
            let invoice = Invoice::from_issued(&issued.body).expect("reads");
            sum += MinorUnits::parse(&invoice.subtotal, tenant.currency).expect("an amount").get();
        }
    }
    sum
}

/// An issued invoice as somebody has it later.
async fn earlier(ledger: &Ledger, number: &str) -> Earlier<'static> {
    let invoice = ledger.find_invoice(number).await.expect("read").expect("there").body;
    Earlier { invoice, usage: None, events: None, is_void: false }
}

/// The same with the usage of its period.
async fn original(ledger: &Ledger, number: &str, usage: &str) -> Earlier<'static> {
    Earlier { usage: Some(Box::new(Cursor::new(usage.to_owned()))), ..earlier(ledger, number).await }
}

/// What a tenant exports of a month.
async fn export(ledger: &Ledger, tenant: &Tenant, name: &str) -> String {
    let page = ledger.records_page(tenant.id, &month(name), None, None, 1_000).await.expect("records");
    page.records.into_iter().map(|stored| exported(&(stored.journaled, stored.hash))).collect()
}

fn corrected(invoice: &Invoice, earlier: Vec<Earlier<'_>>) -> Result<Corrections, String> {
    let plans = vec![Plan::demo().expect("a plan")];
    verify_corrections(&invoice.to_json().expect("json"), earlier, plans).map_err(|error| error.to_string())
}

on_each_database! {
    async fn late_usage_comes_onto_the_next_invoice_once(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ship(ledger, used(&acme, 10_000_000, NOW)).await;
        assert_eq!(issue(ledger, &acme, "2026-11").await.total, "6.00");
        ship(ledger, used(&acme, 5_000_000, NOW)).await;
        let whole = export(ledger, &acme, "2026-11").await;
        let usage = exported(&ship(ledger, used(&acme, 1_000_000, at("2026-12-05T00:00:00Z"))).await);
        let preview = invoice::preview(ledger, &acme, &month("2026-12"), at("2026-12-06T00:00:00Z")).await.expect("a preview");
        assert_eq!(preview.total, "3.60");
        let december = issue(ledger, &acme, "2026-12").await;
        assert_eq!(december.total, "3.60");
        let lines = extras(&december);
        let [line] = lines[..] else { panic!("{lines:?}") };
        assert_eq!((line.exact.as_str(), line.quantity, line.item.as_str()), ("3.00", 5_000_000, "output"));
        assert_eq!((line.price_version.as_deref(), line.formula.as_deref()), (Some("demo@1"), Some("9.00 - 6.00")));
        let of = line.correction.as_ref().expect("a correction");
        assert_eq!((of.invoice.as_str(), of.now.as_str(), of.invoiced.as_str()), ("TG-000001", "9.00", "6.00"));
        assert_eq!((of.start_unix_us, of.records), (november("UTC").start().unix_micros(), 2));
        assert!(december.to_text().contains("Correction of TG-000001"), "{}", december.to_text());
        assert!(december.to_html().expect("html").contains("Correction of TG-000001"));
        // The tenant verifies it with its own usage; a correction that is not its own difference is noticed.
        assert_eq!(verified(&december, &usage).as_deref(), Ok("3.60 USD"));
        let json = december.to_json().expect("json");
        for (from, to) in [("\"now\": \"9.00\"", "\"now\": \"9.50\""), ("\"exact\": \"3.00\"", "\"exact\": \"3.50\"")] {
            let forged = json.replacen(from, to, 1);
            assert_ne!(forged, json, "{from}");
            let error = verified(&Invoice::from_issued(&forged).expect("reads"), &usage).expect_err(from);
            assert!(error.contains("is not 9"), "{error}");
        }
        // With the original and its usage the correction itself is computed.
        let given = vec![original(ledger, "TG-000001", &whole).await];
        assert_eq!(corrected(&december, given), Ok(Corrections { computed: 1, stated: 0 }));
        assert_eq!(corrected(&december, vec![]), Ok(Corrections { computed: 0, stated: 1 }));
        assert_eq!(corrected(&december, vec![earlier(ledger, "TG-000001").await]), Ok(Corrections { computed: 0, stated: 1 }));
        let raised = json.replace("\"now\": \"9.00\"", "\"now\": \"9.50\"").replace("9.00 - 6.00", "9.50 - 6.00");
        let raised = raised.replace("\"exact\": \"3.00\"", "\"exact\": \"3.50\"");
        let raised = Invoice::from_issued(&raised).expect("reads");
        let error = corrected(&raised, vec![original(ledger, "TG-000001", &whole).await]).expect_err("more than was used");
        assert!(error.contains("TG-000001") && error.contains("[0].exact is \"3.50\", and comes to \"3.00\""), "{error}");
        let part = whole.split_inclusive('\n').next().expect("a line");
        let error = corrected(&december, vec![original(ledger, "TG-000001", part).await]).expect_err("a record is missing");
        assert!(error.contains("counts 2 usage records and 0 events, and 1 and 0 were given"), "{error}");
        // Nothing of it is due again, and a second late record only for itself.
        assert_eq!(extras(&issue(ledger, &acme, "2027-01").await).len(), 0);
        ship(ledger, used(&acme, 100, NOW)).await;
        let february = issue(ledger, &acme, "2027-02").await;
        assert_eq!(february.subtotal_exact, "0.00006");
        // It needs what December billed of November already: without that it comes to more.
        let whole = export(ledger, &acme, "2026-11").await;
        let given = vec![original(ledger, "TG-000001", &whole).await, earlier(ledger, "TG-000002").await];
        assert_eq!(corrected(&february, given), Ok(Corrections { computed: 1, stated: 0 }));
        let error = corrected(&february, vec![original(ledger, "TG-000001", &whole).await]).expect_err("December is missing");
        assert!(error.contains("comes to"), "{error}");
        assert_eq!(billed(ledger, &acme).await, 960);
        // A month of an earlier time corrects no later one.
        let october = invoice::issue(ledger, &acme, &month("2026-10"), NOW).await;
        assert!(october.is_err() || extras(&october.expect("issued")).is_empty());
    }

    async fn what_became_void_is_billed_again_once(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ship(ledger, used(&acme, 10_000_000, NOW)).await;
        issue(ledger, &acme, "2026-11").await;
        ledger.void_invoice("TG-000001", "a mistake", NOW).await.expect("void");
        let december = issue(ledger, &acme, "2026-12").await;
        assert_eq!((december.total.as_str(), extras(&december)[0].quantity), ("6.00", 10_000_000));
        let whole = export(ledger, &acme, "2026-11").await;
        let void = Earlier { is_void: true, ..original(ledger, "TG-000001", &whole).await };
        assert_eq!(corrected(&december, vec![void]), Ok(Corrections { computed: 1, stated: 0 }));
        let error = corrected(&december, vec![original(ledger, "TG-000001", &whole).await]).expect_err("it was void");
        assert!(error.contains("TG-000001"), "{error}");
        assert_eq!(extras(&issue(ledger, &acme, "2027-01").await).len(), 0);
        // The invoice that carried the correction becomes void as well: it is due once more, once.
        ledger.void_invoice("TG-000002", "another", NOW).await.expect("void");
        assert_eq!(issue(ledger, &acme, "2027-02").await.total, "6.00");
        assert_eq!(issue(ledger, &acme, "2027-03").await.total, "0.00");
        assert_eq!(billed(ledger, &acme).await, 600);
    }

    async fn a_running_period_is_billed_at_its_threshold(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let hour = |hours: i64| Timestamp::from_unix_micros(NOW.unix_micros() + hours * HOUR_US);
        let look = async |hours| {
            let report = invoice::issue_thresholds(ledger, hour(hours)).await.expect("a report");
            assert!(report.failed.is_empty(), "{report:?}");
            report.issued
        };
        ship(ledger, used(&acme, 10_000_000, NOW)).await;
        assert_eq!(look(1).await, Vec::<String>::new(), "it has no threshold");
        let billing = TenantBilling { threshold: Some(MinorUnits::new(600)), ..customer() };
        ledger.set_tenant_billing(acme.id, &billing).await.expect("set");
        assert_eq!(look(1).await, ["TG-000001"]);
        assert_eq!(look(2).await, Vec::<String>::new(), "nothing new");
        ship(ledger, used(&acme, 9_000_000, hour(2))).await;
        assert_eq!(look(3).await, Vec::<String>::new(), "5.40 is not 6.00");
        // A record from the time of the first invoice that came late counts too.
        ship(ledger, used(&acme, 1_500_000, NOW)).await;
        assert_eq!(look(4).await, ["TG-000002"]);
        ship(ledger, used(&acme, 100_000, hour(5))).await;
        let parts = ledger.invoice_parts_page(acme.id, None, 9).await.expect("read");
        let totals: Vec<_> = parts.iter().map(|part| part.total.get()).collect();
        assert_eq!(totals, [600, 630]);
        assert_eq!(ledger.invoice_parts_page(acme.id, Some(parts[0].period.end()), 9).await.expect("read").len(), 1);
        let whole = issue(ledger, &acme, "2026-11").await;
        assert_eq!((whole.number.as_deref(), whole.subtotal.as_str(), extras(&whole).len()), (Some("TG-000003"), "0.06", 2));
        assert_eq!(billed(ledger, &acme).await, 1_236);
        let parts = vec![earlier(ledger, "TG-000001").await, earlier(ledger, "TG-000002").await];
        assert_eq!(corrected(&whole, parts), Ok(Corrections { computed: 2, stated: 0 }));
        assert_eq!(corrected(&whole, vec![earlier(ledger, "TG-000001").await]), Ok(Corrections { computed: 1, stated: 1 }));
        let other = Invoice::from_issued(&whole.to_json().expect("json").replace("\"-6.30\"", "\"-6.00\"")).expect("reads");
        let error = corrected(&other, vec![earlier(ledger, "TG-000002").await]).expect_err("another total");
        assert!(error.contains("TG-000002") && error.contains("-6.30"), "{error}");
        // A part that becomes void after the whole was issued is owed again.
        ledger.void_invoice("TG-000002", "a mistake", NOW).await.expect("void");
        let december = issue(ledger, &acme, "2026-12").await;
        assert_eq!((december.subtotal.as_str(), extras(&december)[0].item.as_str()), ("6.30", "TG-000002"));
        let usage = export(ledger, &acme, "2026-11").await;
        let void = Earlier { is_void: true, ..earlier(ledger, "TG-000002").await };
        let given = vec![earlier(ledger, "TG-000001").await, void, original(ledger, "TG-000003", &usage).await];
        assert_eq!(corrected(&december, given), Ok(Corrections { computed: 1, stated: 0 }));
        assert_eq!(extras(&issue(ledger, &acme, "2027-01").await).len(), 0);
        assert_eq!(billed(ledger, &acme).await, 1_236);
    }

    async fn many_look_at_a_threshold_and_one_invoice_comes(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let billing = TenantBilling { threshold: Some(MinorUnits::new(1)), ..customer() };
        ledger.set_tenant_billing(acme.id, &billing).await.expect("set");
        ship(ledger, used(&acme, 10_000_000, NOW)).await;
        let tasks: Vec<_> = (1..9).map(|hour| {
            let ledger = ledger.clone();
            let now = Timestamp::from_unix_micros(NOW.unix_micros() + hour * HOUR_US);
            tokio::spawn(async move { invoice::issue_thresholds(&ledger, now).await.expect("a report").issued.len() })
        }).collect();
        let mut count = 0;
        for task in tasks {
            count += task.await.expect("ran");
        }
        assert_eq!((count, billed(ledger, &acme).await), (1, 600));
    }
}

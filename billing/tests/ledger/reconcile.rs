//! Every hand-over from the ledger's records to exports: whole ones pass, each break is named, and tallies are mended.
//! Never a guess which side is right: both values are told.
//! Run on both databases; the journal's own part is tested with a journal on disk.

use std::sync::Arc;

use billing::{
    export::{Dataset, Export, ExportError, Format},
    invoice,
    journal::{self, Journal, JournalConfig, OpenEntry},
    ledger::{Ledger, LedgerError, Tenant},
    reconcile::{HandOver, Progress, Report, Scope, reconcile},
    ship::Shipper,
    statement::{self, SigningKey},
};
use domain::{EndReason, Period, RequestId, SystemClock, UsageRecord};

use crate::{
    exports,
    records::{Chain, NOW, at, november, record, some_records, tenant},
};

struct Quiet;

impl Progress for Quiet {
    fn compared(&mut self, _: HandOver, _: u64) {}
}

async fn run_all(ledger: &Ledger) -> Report {
    reconcile(ledger, &Scope::default(), &mut Quiet).await.expect("compared")
}

/// Records of November, an issued invoice, and its statement.
async fn issued(ledger: &Ledger) -> (Tenant, Chain) {
    let acme = tenant(ledger, "acme", "UTC").await;
    let mut chain = Chain::new();
    ledger.ship(chain.journal_id, &chain.add_all(some_records(&acme, 120))).await.expect("shipped");
    let period = november("UTC");
    let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
    let (key, _) = SigningKey::generate().expect("a key");
    statement::state(ledger, &issued.number.expect("a number"), &key, period.end()).await.expect("signed");
    (acme, chain)
}

/// Runs statements with the guards of a table off, as damage does not ask them.
fn unguarded(is_sqlite: bool, table: &str, statement: &str) -> String {
    match is_sqlite {
        true => format!("DROP TRIGGER {table}_keep_update; {statement}"),
        false => format!(
            "ALTER TABLE {table} DISABLE TRIGGER ALL; {statement}; ALTER TABLE {table} ENABLE TRIGGER ALL"
        ),
    }
}

on_each_database! {
    async fn what_says_the_same_has_no_difference(database: &Database) {
        let ledger = &database.ledger;
        let (acme, mut chain) = issued(ledger).await;
        let report = run_all(ledger).await;
        assert_eq!(report.findings, []);
        assert_eq!(report.compared, [0, 120, 6, 1, 120, 0]);
        // What comes later is late, not different.
        let late = record(&acme, 7, at("2026-11-07T00:00:00Z"));
        ledger.ship(chain.journal_id, &chain.add_all([late])).await.expect("shipped");
        let report = run_all(ledger).await;
        assert_eq!((report.findings, report.records_late, report.invoices_not_compared), (vec![], 1, 0));
        let scope = Scope { tenant: Some(acme), month: Some("2026-10".to_owned()), ..Scope::default() };
        let report = reconcile(ledger, &scope, &mut Quiet).await.expect("compared");
        assert_eq!((report.compared, report.findings), ([0; 6], vec![]));
    }

    async fn a_corrupted_tally_is_named_and_mended(database: &Database) {
        let ledger = &database.ledger;
        issued(ledger).await;
        let first = "SELECT MIN(unix_hour) FROM tallies_hourly WHERE output_tokens > 0";
        let hour = database.number(first).await;
        let corrupt = format!(
            "UPDATE tallies_hourly SET prompt_tokens = prompt_tokens + 41
             WHERE unix_hour = {hour} AND output_tokens > 0"
        );
        database.raw(&corrupt).await.expect("tallies can be changed");
        let report = run_all(ledger).await;
        let named: Vec<_> = report.findings.iter().map(|finding| finding.hand_over).collect();
        // Both who read tallies notice: the sums themselves, and the invoice that is made of them.
        assert_eq!(named, [HandOver::LedgerToTallies, HandOver::TalliesToInvoice]);
        let finding = &report.findings[0];
        let at_hour = domain::Timestamp::from_unix_micros(hour * 3_600_000_000).to_string();
        assert!(finding.subject.contains(&at_hour) && finding.subject.contains("acme"), "{finding}");
        assert_eq!(finding.field, "prompt tokens");
        let (before, after): (i64, i64) =
            (finding.before.parse().expect("a number"), finding.after.parse().expect("a number"));
        assert_eq!(after - before, 41);
        // The invoice's own difference names the count too.
        assert!(report.findings[1].field.ends_with(".sums.prompt_tokens"), "{}", report.findings[1]);
        // One that is gone, and one of nothing, are mended as well.
        let last = database.number("SELECT MAX(unix_hour) FROM tallies_hourly").await;
        database.raw(&format!("DELETE FROM tallies_hourly WHERE unix_hour = {last}")).await.expect("gone");
        let mut mended = Vec::new();
        while let Some(chunk) = ledger.rebuild_next().await.expect("looked at") {
            mended.extend(chunk.mended);
        }
        assert_eq!(mended.len(), 2, "{mended:?}");
        assert_eq!((mended[0].records, mended[0].tally), (before, Some(after)));
        assert_eq!(mended[1].tally, None);
        assert_eq!(run_all(ledger).await.findings, []);
        while let Some(chunk) = ledger.rebuild_next().await.expect("looked at") {
            assert_eq!(chunk.mended, None, "there is nothing left to mend");
        }
    }

    async fn what_budgets_count_is_compared_and_made_anew(database: &Database) {
        let ledger = &database.ledger;
        let (acme, _) = issued(ledger).await;
        let spent = "SELECT CAST(SUM(charge_nanos * 7 + requests) AS BIGINT) + COUNT(*) FROM spend_quarters";
        let before = database.number(spent).await;
        assert_eq!(ledger.rebuild_spending(acme.id).await.expect("right"), None);
        let last = "(SELECT MAX(unix_quarter) FROM spend_quarters)";
        let first = "(SELECT MIN(unix_quarter) FROM spend_quarters WHERE charge_nanos > 0)";
        let rows = [
            (format!("UPDATE spend_quarters SET charge_nanos = charge_nanos + 7 WHERE unix_quarter = {last}"), "billionths charged"),
            (format!("UPDATE spend_quarters SET requests = requests + 1 WHERE unix_quarter = {first}"), "requests"),
            (format!("DELETE FROM spend_quarters WHERE unix_quarter = {first}"), "requests"),
            ("UPDATE spend_quarters SET key_id = 'other' WHERE key_id = 'key1'".to_owned(), "requests"),
            (format!("INSERT INTO spend_quarters (tenant_id, unix_quarter, project_id, key_id, model, charge_nanos, requests)
                      SELECT tenant_id, unix_quarter + 1, project_id, 'new', model, 5, 1 FROM spend_quarters
                      WHERE unix_quarter = {last}"), "requests"),
        ];
        for (damage, count) in rows {
            database.raw(&damage).await.expect("spending can be changed");
            let report = run_all(ledger).await;
            assert_eq!(report.findings.len(), 1, "{damage}: {:?}", report.findings);
            let finding = &report.findings[0];
            assert_eq!((finding.hand_over, finding.field.as_str()), (HandOver::LedgerToTallies, count), "{finding}");
            assert!(finding.subject.starts_with("tenant acme, what budgets count, quarter"), "{finding}");
            let mended = ledger.rebuild_spending(acme.id).await.expect("mended").expect("it was wrong");
            assert_eq!((mended.kept.to_string(), mended.records.to_string()), (finding.after.clone(), finding.before.clone()));
            assert_eq!((database.number(spent).await, run_all(ledger).await.findings), (before, vec![]), "{damage}");
        }
    }

    async fn a_gap_in_the_numbers_is_named(database: &Database) {
        let ledger = &database.ledger;
        issued(ledger).await;
        let guards = ["invoice_issuers_keep_series", "invoices_keep_serial"];
        for (guard, table) in guards.into_iter().zip(["invoice_issuers", "invoices"]) {
            let drop = if database.is_sqlite() { format!("DROP TRIGGER {guard}") } else { format!("DROP TRIGGER {guard} ON {table}") };
            database.raw(&drop).await.expect("a guard less");
        }
        let copy = |number: &str, serial: i64, months: i64| format!(
            "INSERT INTO invoices SELECT '{number}', issuer, {serial}, tenant_id, period_end_unix_us + {months} * 2600000000000,
                period_end_unix_us + {months} * 2600000000000 + 1, zone, currency, subtotal_exact, subtotal_minor, total_minor,
                records, lines, period_end_unix_us + 20 * 2600000000000, body FROM invoices WHERE serial = 1");
        let rows = [
            ("UPDATE invoice_issuers SET next_serial = 50".to_owned(), "numbers of invoices of TG", "the next serial", "2", "50"),
            ("UPDATE invoice_issuers SET next_serial = 2, next_credit_serial = 4".to_owned(), "numbers of credit notes of TG", "the next serial", "1", "4"),
            (format!("UPDATE invoice_issuers SET next_credit_serial = 1, next_serial = 6; {}", copy("TG-000005", 5, 1)),
                "numbers of invoices of TG", "the serial after the first gap", "the one after the serial before it", "5"),
            (format!("UPDATE invoice_issuers SET next_serial = 6; {}; {}; {}", copy("TG-000002", 2, 2), copy("TG-00003", 3, 3), copy("TG-000004", 4, 4)),
                "numbers of invoices of TG", "a number", "that of its serial", "TG-00003"),
        ];
        for (damage, subject, field, before, after) in rows {
            database.raw(&damage).await.expect("nothing refuses it now");
            let report = run_all(ledger).await;
            let finding = report.findings.iter().find(|finding| finding.hand_over == HandOver::TalliesToInvoice).expect("named");
            let told = (finding.subject.as_str(), finding.field.as_str(), finding.before.as_str(), finding.after.as_str());
            assert_eq!(told, (subject, field, before, after), "{damage}");
        }
    }

    async fn a_detached_month_is_no_difference_and_keeps_its_tallies(database: &Database) {
        let ledger = &database.ledger;
        ledger.make_months(at("2026-12-15T00:00:00Z"), 1).await.expect("made");
        let (acme, mut chain) = issued(ledger).await;
        let later = record(&acme, 7, at("2026-12-07T00:00:00Z"));
        ledger.ship(chain.journal_id, &chain.add_all([later])).await.expect("shipped");
        ledger.detach_month("2026-11", at("2028-01-15T00:00:00Z")).await.expect("detached");
        let tallies = "SELECT COUNT(*) FROM tallies_hourly";
        let kept = database.number(tallies).await;
        let report = run_all(ledger).await;
        assert_eq!((report.findings, report.records_detached, report.invoices_not_compared), (vec![], 120, 1));
        // A list of what is left would look like all of it.
        let november = Period::month("2026-11", &acme.zone).expect("a month");
        let listed = ledger.records_page(acme.id, &november, None, None, 10).await;
        assert!(matches!(&listed, Err(LedgerError::RecordsDetached { month, .. }) if month == "2026-11"), "{listed:?}");
        let mut export = Export::new(ledger.clone(), exports::request(Dataset::Usage, Format::Csv, &acme)).expect("one");
        let refused = export.next().await;
        assert!(matches!(refused, Err(ExportError::Ledger(LedgerError::RecordsDetached { .. }))), "{refused:?}");
        let december = Period::month("2026-12", &acme.zone).expect("a month");
        assert_eq!(ledger.records_page(acme.id, &december, None, None, 10).await.expect("whole").records.len(), 1);
        // What is left of the month is not the sum of records that are gone.
        let day = at("2026-12-07T00:00:00Z").unix_hour();
        let corrupt = format!("UPDATE tallies_hourly SET requests = requests + 1 WHERE unix_hour = {day}");
        database.raw(&corrupt).await.expect("tallies can be changed");
        let mut mended = Vec::new();
        while let Some(chunk) = ledger.rebuild_next().await.expect("looked at") {
            mended.extend(chunk.mended);
        }
        assert_eq!((mended.len(), database.number(tallies).await), (1, kept), "{mended:?}");
        assert_eq!(run_all(ledger).await.findings, []);
        // Nor is what was spent then; it is all there is of it.
        let spent = "SELECT CAST(SUM(charge_nanos) AS BIGINT) FROM spend_quarters";
        let kept = database.number(spent).await;
        database.raw("UPDATE spend_quarters SET charge_nanos = charge_nanos + 1 WHERE unix_quarter >= 1796601600 / 900 - 1").await.expect("changed");
        assert!(ledger.rebuild_spending(acme.id).await.expect("mended").is_some());
        assert_eq!((database.number(spent).await, run_all(ledger).await.findings), (kept, vec![]));
    }

    async fn a_rebuilding_goes_on_where_it_stopped(database: &Database) {
        let ledger = &database.ledger;
        issued(ledger).await;
        assert_eq!(ledger.rebuild_position().await.expect("read"), None);
        let first = ledger.rebuild_next().await.expect("looked at").expect("a chunk");
        let (tenant, next) = ledger.rebuild_position().await.expect("read").expect("a place");
        assert_eq!((tenant, next), (first.tenant_id, first.to));
        let second = ledger.rebuild_next().await.expect("looked at").expect("a chunk");
        assert!(second.from >= first.to);
        ledger.restart_rebuild().await.expect("forgotten");
        assert_eq!(ledger.rebuild_next().await.expect("looked at"), Some(first));
    }

    async fn a_changed_record_is_named(database: &Database) {
        let ledger = &database.ledger;
        issued(ledger).await;
        let statement = "UPDATE usage_records SET energy_mj = energy_mj + 1 WHERE sequence = 9";
        database.raw(&unguarded(database.is_sqlite(), "usage_records", statement)).await.expect("damaged");
        let report = run_all(ledger).await;
        let finding = report.findings.iter().find(|finding| finding.hand_over == HandOver::JournalToLedger);
        let finding = finding.expect("named");
        assert!(finding.subject.starts_with("request "), "{finding}");
        assert_eq!(finding.field, "hash of the record");
    }

    async fn a_changed_invoice_and_its_lines_are_named(database: &Database) {
        let ledger = &database.ledger;
        issued(ledger).await;
        let statement = "UPDATE invoice_lines SET quantity = quantity + 1 WHERE position = 1";
        database.raw(&unguarded(database.is_sqlite(), "invoice_lines", statement)).await.expect("damaged");
        let report = run_all(ledger).await;
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        assert_eq!(report.findings[0].subject, "stored lines of invoice TG-000001");
        let statement = "UPDATE invoices SET body = replace(body, '\"total\": \"', '\"total\": \"9')";
        database.raw(&unguarded(database.is_sqlite(), "invoices", statement)).await.expect("damaged");
        let report = run_all(ledger).await;
        let named: Vec<_> = report.findings.iter().map(|finding| (finding.hand_over, finding.field.as_str())).collect();
        assert_eq!(
            named,
            [(HandOver::TalliesToInvoice, "total"), (HandOver::InvoiceToExport, "the sum of BilledCost")]
        );
    }

    async fn a_journal_is_followed_into_the_ledger(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let folder = tempfile::tempdir().expect("a folder");
        let (journal, _) =
            Journal::open(JournalConfig::new(folder.path()), Arc::new(SystemClock)).expect("a journal");
        for record in some_records(&acme, 30) {
            // Nobody closes a request as crashed: the next start does.
            let is_crashed = record.reason == EndReason::Crashed;
            let reason = if is_crashed { EndReason::Completed } else { record.reason };
            close(&journal, UsageRecord { reason, ..record }).await;
        }
        Shipper::new(ledger.clone(), journal.clone()).ship_all().await.expect("shipped");
        let waiting = record(&acme, 5, at("2026-11-20T00:00:00Z"));
        close(&journal, waiting.clone()).await;
        let scope = Scope { journal: Some(folder.path().to_owned()), ..Scope::default() };
        let report = reconcile(ledger, &scope, &mut Quiet).await.expect("compared");
        assert_eq!((&report.findings, report.records_not_shipped), (&vec![], 1));
        // Of the records both in the journal and in the ledger's own chain.
        assert_eq!((report.compared[0], report.compared[1]), (31, 60));
        let statement = "UPDATE usage_records SET output_tokens = output_tokens + 1 WHERE sequence = 4";
        database.raw(&unguarded(database.is_sqlite(), "usage_records", statement)).await.expect("damaged");
        let report = reconcile(ledger, &scope, &mut Quiet).await.expect("compared");
        assert_eq!(report.findings[0].hand_over, HandOver::JournalToLedger);
        assert_eq!(report.findings[0].field, "record.output_tokens");
        let told = report.findings[0].to_string();
        let fourth = journal::read_all(folder.path()).expect("a journal").nth(3).expect("there").expect("whole");
        assert!(told.contains(&fourth.0.record.request_id.to_string()), "{told}");
        // A record of another key than the request that was admitted.
        let other = UsageRecord { request_id: RequestId::generate(NOW), ..waiting };
        open(&journal, &other);
        let other = UsageRecord { key_id: "other".parse().expect("an id"), ..other };
        let _ = journal.close(other).await.expect("closed");
        let report = reconcile(ledger, &scope, &mut Quiet).await.expect("compared");
        let finding = &report.findings[0];
        assert_eq!((finding.hand_over, finding.field.as_str()), (HandOver::EngineToJournal, "key_id"));
        assert_eq!((finding.before.as_str(), finding.after.as_str()), ("\"key2\"", "\"other\""));
    }

    async fn a_journal_is_followed_over_a_detached_month(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ledger.make_months(at("2026-12-15T00:00:00Z"), 1).await.expect("made");
        let folder = tempfile::tempdir().expect("a folder");
        let (journal, _) =
            Journal::open(JournalConfig::new(folder.path()), Arc::new(SystemClock)).expect("a journal");
        for day in ["2026-11-11", "2026-12-01", "2026-11-12", "2026-11-13"] {
            close(&journal, record(&acme, 5, at(&format!("{day}T00:00:00Z")))).await;
        }
        Shipper::new(ledger.clone(), journal.clone()).ship_all().await.expect("shipped");
        let period = november("UTC");
        invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        ledger.detach_month("2026-11", at("2028-01-15T00:00:00Z")).await.expect("detached");
        let scope = Scope { journal: Some(folder.path().to_owned()), ..Scope::default() };
        let report = reconcile(ledger, &scope, &mut Quiet).await.expect("compared");
        assert_eq!((report.findings, report.compared[0]), (vec![], 4));
        // A record that is neither there nor detached is missed.
        let statement = match database.is_sqlite() {
            true => "DROP TRIGGER usage_records_keep_delete; DELETE FROM usage_records",
            false => "ALTER TABLE usage_records DISABLE TRIGGER ALL; DELETE FROM usage_records",
        };
        database.raw(statement).await.expect("damaged");
        let report = reconcile(ledger, &scope, &mut Quiet).await.expect("compared");
        let finding = &report.findings[0];
        assert_eq!((finding.hand_over, finding.after.as_str()), (HandOver::JournalToLedger, "not there"));
        assert!(finding.before.starts_with("record 2 of journal"), "{finding}");
    }
}

/// Opens and closes a request as a gateway does.
async fn close(journal: &Journal, record: UsageRecord) {
    open(journal, &record);
    let _ = journal.close(record).await.expect("closed");
}

fn open(journal: &Journal, record: &UsageRecord) {
    let entry = OpenEntry {
        request_id: record.request_id,
        tenant_id: record.tenant_id,
        key_id: record.key_id.clone(),
        model: record.model.clone(),
        backend: record.backend.clone(),
        slo: record.slo,
        prompt_tokens: record.prompt_tokens,
        started_at: record.started_at,
        price_version: record.price_version.clone(),
        project_id: record.project_id,
    };
    journal.open_request(entry).expect("open");
}

//! Statements of issued invoices over real usage: made once for each key, bound to what was issued, never changed.
//! Never a signature's mathematics; that is tested beside the code.
//! Run on both databases.

use billing::{
    invoice,
    ledger::{Ledger, LedgerError, StoredRecord, Tenant},
    plan::Plan,
    statement::{self, PublicKey, SigningKey, Statement},
    verify::{Proof, Verified, VerifyError, verify},
};
use domain::Period;
use serde_json::json;

use crate::records::{Chain, NOW, at, november, record, some_records, tenant};

fn key() -> SigningKey {
    SigningKey::generate().expect("a key").0
}

/// The usage export of a period, as `tallygate usage --records --format json` prints it.
pub(crate) async fn export(ledger: &Ledger, tenant: &Tenant, period: &Period) -> String {
    let mut text = String::new();
    let mut after = None;
    loop {
        let page = ledger.records_page(tenant.id, period, None, after, 100).await.expect("a page");
        for StoredRecord { journaled, hash } in &page.records {
            let mut line = json!(journaled);
            line["hash"] = json!(hash);
            text.push_str(&(line.to_string() + "\n"));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return text,
        }
    }
}

fn check(invoice: &str, usage: &str, statement: &str, keys: &[PublicKey]) -> Result<Verified, VerifyError> {
    let plan = Plan::demo().expect("a plan");
    verify(invoice, usage.as_bytes(), vec![plan], Some(&Proof { statement, keys }))
}

on_each_database! {
    async fn an_issued_invoice_is_stated_once_by_each_key(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "Asia/Kolkata").await;
        let period = november("Asia/Kolkata");
        let mut chain = Chain::new();
        let records = some_records(&acme, 250);
        ledger.ship(chain.journal_id, &chain.add_all(records)).await.expect("shipped");
        let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        let (number, body) = (issued.number.clone().expect("a number"), issued.to_json().expect("json"));
        assert!(ledger.find_statement(&number).await.expect("read").is_none(), "nothing is signed by itself");
        let (old, new) = (key(), key());
        let first = statement::state(ledger, &number, &old, period.end()).await.expect("signed");
        let again = statement::state(ledger, &number, &old, at("2027-05-05T05:05:05Z")).await.expect("the same");
        assert_eq!(first, again);
        let usage = export(ledger, &acme, &period).await;
        let verified = check(&body, &usage, &first.body, &[old.public()]).expect("good");
        assert_eq!((verified.records, verified.key_id), (250, Some(old.public().id())));
        // What comes later is on no statement, and the old one stays good.
        let late = record(&acme, 3, at("2026-11-20T00:00:00Z"));
        ledger.ship(chain.journal_id, &chain.add_all([late])).await.expect("shipped");
        let rotated = statement::state(ledger, &number, &new, at("2027-01-01T00:00:00Z")).await.expect("signed");
        let usage = export(ledger, &acme, &period).await;
        for (statement, key) in [(&first, old.public()), (&rotated, new.public())] {
            let verified = check(&body, &usage, &statement.body, &[key]).expect("good");
            assert_eq!((verified.records, verified.records_late), (250, 1));
        }
        let stated = Statement::from_json(&rotated.body).expect("a statement");
        assert_eq!(stated.usage, Statement::from_json(&first.body).expect("a statement").usage);
        assert_eq!(ledger.find_statement(&number).await.expect("read"), Some(rotated));
        let keys = ledger.statement_keys().await.expect("read");
        let ids: Vec<_> = keys.iter().map(|key| (key.key_id.clone(), key.statements)).collect();
        assert_eq!(ids, [(old.public().id(), 1), (new.public().id(), 1)]);
        let missing = statement::state(ledger, "TG-000009", &old, NOW).await;
        assert!(matches!(missing, Err(LedgerError::Missing { what: "invoice", .. })));
    }

    async fn many_who_state_an_invoice_get_one_statement(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        ledger.ship(chain.journal_id, &chain.add_all(some_records(&acme, 20))).await.expect("shipped");
        let period = november("UTC");
        let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        let number = issued.number.expect("a number");
        let key = std::sync::Arc::new(key());
        let tasks = (0..8).map(|second| {
            let (ledger, number, key) = (ledger.clone(), number.clone(), std::sync::Arc::clone(&key));
            let now = domain::Timestamp::from_unix_micros(NOW.unix_micros() + second);
            tokio::spawn(async move { statement::state(&ledger, &number, &key, now).await.expect("signed") })
        });
        let mut bodies = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            bodies.push(task.await.expect("it ran").body);
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1);
    }

    async fn seals_and_statements_never_change(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let period = november("UTC");
        let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        let number = issued.number.expect("a number");
        let stored = statement::state(ledger, &number, &key(), NOW).await.expect("signed");
        let changes = [
            "UPDATE invoice_seals SET body = '{}'",
            "DELETE FROM invoice_seals",
            "UPDATE statements SET made_unix_us = 0",
            "DELETE FROM statements",
        ];
        for change in changes {
            assert!(database.raw(change).await.is_err(), "{change}");
        }
        assert_eq!(ledger.find_statement(&number).await.expect("read"), Some(stored));
        let noted = "SELECT COUNT(*) FROM audit_log WHERE action = 'statement.created'";
        assert_eq!(database.number(noted).await, 1);
    }

    async fn an_invoice_from_before_there_were_seals_is_stated_if_nothing_came_late(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        ledger.ship(chain.journal_id, &chain.add_all(some_records(&acme, 10))).await.expect("shipped");
        let (october, november) = (Period::month("2026-10", "UTC").expect("a month"), november("UTC"));
        for period in [&october, &november] {
            let early = record(&acme, 5, at("2026-10-05T00:00:00Z"));
            if *period == october {
                ledger.ship(chain.journal_id, &chain.add_all([early])).await.expect("shipped");
            }
            invoice::issue(ledger, &acme, period, november.end()).await.expect("issued");
        }
        let forget = match database.is_sqlite() {
            true => "DROP TRIGGER invoice_seals_keep_delete; DELETE FROM invoice_seals",
            false => "ALTER TABLE invoice_seals DISABLE TRIGGER ALL; DELETE FROM invoice_seals",
        };
        database.raw(forget).await.expect("as before");
        ledger.ship(chain.journal_id, &chain.add_all([record(&acme, 6, at("2026-10-06T00:00:00Z"))])).await.expect("late");
        let refused = statement::state(ledger, "TG-000001", &key(), NOW).await;
        assert!(matches!(refused, Err(LedgerError::CannotSeal { counted: 1, records: 2, .. })), "{refused:?}");
        assert!(statement::state(ledger, "TG-000002", &key(), NOW).await.is_ok());
    }
}

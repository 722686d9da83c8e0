//! Lists come in pages that miss nothing and repeat nothing, and journals say how complete they are.
//! Never a list without a bound.
//! Run on both databases.

use std::{collections::BTreeSet, time::Duration};

use billing::{
    invoice,
    ledger::{
        Complete, Key, LedgerError, LimitScope, Limits, LimitsPlace, NewGrant, NewKey, NewOperator,
        OperatorRole, Rotation, SecretHash,
    },
    plan::Plan,
};
use domain::{Currency, JournalId, KeyId, ModelName, Money, Period, Timestamp};

use crate::records::{Chain, NOW, at, november, record, tenant};

fn id(text: &str) -> KeyId {
    KeyId::new(text).expect("a key id")
}

fn hash(number: u8) -> SecretHash {
    SecretHash::from_bytes([number; 32])
}

on_each_database! {
    async fn keys_of_a_page_have_the_limits_of_their_lines(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        let limits = Limits { concurrency: Some(3), ..Limits::default() };
        let new = |text: &str, number| NewKey { limits, ..NewKey::unlimited(id(text), "k", hash(number)) };
        for (number, text) in (1..).zip(["E5", "B2", "C3"]) {
            ledger.create_key(acme.id, &new(text, number), NOW).await.expect("a key");
        }
        ledger.create_key(zeta.id, &new("D4", 9), NOW).await.expect("a key");
        for (number, (old, next)) in (20..).zip([("E5", "A1"), ("A1", "F6")]) {
            let overlap = Duration::from_secs(9);
            let rotation = Rotation { id: id(next), secret_hash: hash(number), overlap, expires_at: None };
            ledger.rotate_key(&id(old), &rotation, NOW).await.expect("rotated");
        }
        ledger.set_limits(acme.id, &LimitScope::Key(id("B2")), None, Limits::default()).await.expect("set");
        let mut all: Vec<Key> = ledger.keys(Some(acme.id)).await.expect("read");
        all.sort_by(|left, right| left.id.cmp(&right.id));
        let names: Vec<_> = all.iter().map(|key| key.id.as_str()).collect();
        assert_eq!(names, ["A1", "B2", "C3", "E5", "F6"]);
        for rows in 1..=6 {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = ledger.keys_page(acme.id, after.as_ref(), rows).await.expect("a page");
                let Some(last) = page.last() else { break };
                assert!(page.len() <= rows);
                after = Some(last.id.clone());
                found.extend(page);
            }
            assert_eq!(found, all, "pages of {rows}");
        }
        for key in all {
            assert_eq!(ledger.find_key(&key.id).await.expect("read"), Some(key));
        }
    }

    async fn limits_grants_plans_operators_and_invoices_come_in_pages(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let demo: ModelName = "demo".parse().expect("a model");
        let limits = Limits { concurrency: Some(3), ..Limits::default() };
        for (number, text) in (1..).zip(["A1", "B2"]) {
            ledger.create_key(acme.id, &NewKey::unlimited(id(text), "k", hash(number)), NOW).await.expect("a key");
            let scope = LimitScope::Key(id(text));
            ledger.set_limits(acme.id, &scope, None, limits).await.expect("set");
            ledger.set_limits(acme.id, &scope, Some(&demo), limits).await.expect("set");
        }
        ledger.set_limits(acme.id, &LimitScope::Tenant, None, limits).await.expect("set");
        let all = ledger.limits(acme.id).await.expect("read");
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = ledger.limits_page(acme.id, after.as_ref(), 2).await.expect("a page");
            let Some(last) = page.last() else { break };
            after = Some(LimitsPlace { scope: last.scope.clone(), model: last.model.clone() });
            found.extend(page);
        }
        assert_eq!((found.len(), found), (5, all));
        for number in 1..=3_i64 {
            let (key, amount) = (format!("g{number}"), Money::from_nanos(number.into(), Currency::USD));
            let new = NewGrant::paid(amount, &key, "");
            let when = Timestamp::from_unix_micros(NOW.unix_micros() + number * 1_000);
            ledger.add_grant(acme.id, &new, when).await.expect("granted");
        }
        let all = ledger.grants(acme.id).await.expect("read");
        assert_eq!(ledger.grants_page(acme.id, None, 2).await.expect("read"), all[..2]);
        assert_eq!(ledger.grants_page(acme.id, Some(all[1].id), 2).await.expect("read"), all[2..]);
        let source = Plan::demo().expect("the demo plan").source().to_owned();
        for version in [2, 10] {
            let source = source.replacen("version = 1", &format!("version = {version}"), 1);
            ledger.publish_plan(&Plan::from_text("t", &source).expect("a plan"), NOW).await.expect("published");
        }
        let ids = |plans: Vec<Plan>| plans.iter().map(|plan| plan.id().to_string()).collect::<Vec<_>>();
        assert_eq!(ids(ledger.plans_page(None, 2).await.expect("read")), ["demo@1", "demo@2"]);
        assert_eq!(ids(ledger.plans_page(Some(("demo", 2)), 2).await.expect("read")), ["demo@10"]);
        for (number, name) in (30..).zip(["carl", "anna", "bert"]) {
            let token_id = KeyId::new(format!("O{number}")).expect("an id");
            let new = NewOperator { name, token_id, secret_hash: hash(number), role: OperatorRole::Admin };
            ledger.create_operator(&new, NOW).await.expect("created");
        }
        let page = ledger.operators_page(Some("anna"), 1).await.expect("read");
        assert_eq!(page.iter().map(|operator| operator.name.as_str()).collect::<Vec<_>>(), ["bert"]);
        assert_eq!(ledger.find_operator("carl").await.expect("read").expect("there").name, "carl");
        assert_eq!(ledger.find_operator("dora").await.expect("read"), None);
        for month in ["2026-12", "2026-11"] {
            let period = Period::month(month, "UTC").expect("a month");
            invoice::issue(ledger, &acme, &period, at("2027-02-01T00:00:00Z")).await.expect("issued");
        }
        let page = ledger.invoices_page(acme.id, None, 1).await.expect("read");
        assert_eq!(page[0].period, november("UTC"), "by period, not by number");
        let rest = ledger.invoices_page(acme.id, Some(page[0].period.start()), 9).await.expect("read");
        assert_eq!(rest.iter().map(|one| one.number.as_str()).collect::<Vec<_>>(), ["TG-000001"]);
    }

    async fn a_month_waits_for_every_journal(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let end = november("UTC").end();
        let before = Timestamp::from_unix_micros(end.unix_micros() - 1);
        let none = BTreeSet::new();
        ledger.check_complete(end, &none).await.expect("no journal, nothing to wait for");
        // One that has shipped something and said nothing, as gateways of older versions do.
        let mut chain = Chain::new();
        let batch = chain.add_all([record(&acme, 1, NOW)]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let silent = chain.journal_id;
        let marked = JournalId::from_uuid(uuid::Uuid::new_v4());
        let behind = |outcome: Result<(), LedgerError>| {
            let Err(LedgerError::JournalsBehind { count, journals, .. }) = outcome else { panic!("{outcome:?}") };
            (count, journals)
        };
        let rows = [
            (Complete::Unknown, false),
            (Complete::Before(before), false),
            (Complete::Before(end), true),
            (Complete::ForGood, true),
            (Complete::Unknown, false),
        ];
        for (complete, is_complete) in rows {
            ledger.note_complete(marked, complete).await.expect("noted");
            let ignored = BTreeSet::from([silent]);
            match is_complete {
                true => ledger.check_complete(end, &ignored).await.expect("complete"),
                false => assert_eq!(behind(ledger.check_complete(end, &ignored).await), (1, marked.to_string())),
            }
            assert_eq!(behind(ledger.check_complete(end, &none).await).0, 2 - usize::from(is_complete));
        }
        let all = ledger.journals_page(None, 10).await.expect("read");
        let sequences: BTreeSet<_> = all.iter().map(|journal| (journal.id, journal.sequence)).collect();
        assert_eq!(sequences, BTreeSet::from([(silent, 1), (marked, 0)]));
        assert_eq!(ledger.journals_page(Some(all[0].id), 10).await.expect("read"), all[1..]);
    }
}

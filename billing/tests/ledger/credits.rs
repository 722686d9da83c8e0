//! The books of tenants: who paid for what, through late records, expiries, crowds of shippers and tampering.
//! Never an amount that is not proved again from the raw records.
//! Run on both databases.

use std::collections::BTreeSet;

use billing::ledger::{
    BillingMode, CreditTerms, GrantKind, Ledger, LedgerError, NewGrant, Overage, Tenant, TenantTerms,
};
use domain::{Currency, Fault, GrantId, ModelName, Money, Nanos, Timestamp, UsageRecord};

use crate::records::{Chain, HOUR_US, NOW, november, record, some_records, tenant};

pub(crate) const DOLLAR: u64 = 1_000_000_000;

pub(crate) fn dollars(text: &str) -> Money {
    Money::parse(text, Currency::USD).expect("an amount")
}

pub(crate) fn names(models: &[&str]) -> BTreeSet<ModelName> {
    models.iter().map(|name| name.parse().expect("a model")).collect()
}

pub(crate) fn later(micros: i64) -> Timestamp {
    Timestamp::from_unix_micros(NOW.unix_micros() + micros)
}

/// A record that began at an instant and was charged so much.
pub(crate) fn charged(tenant: &Tenant, model: &str, started_at: Timestamp, nanos: u64) -> UsageRecord {
    UsageRecord {
        model: model.parse().expect("a model"),
        started_at,
        charge: Nanos::new(nanos),
        ..record(tenant, 1, Timestamp::from_unix_micros(started_at.unix_micros() + 1_000_000))
    }
}

pub(crate) async fn ship(ledger: &Ledger, chain: &mut Chain, records: impl IntoIterator<Item = UsageRecord>) {
    let batch = chain.add_all(records);
    ledger.ship(chain.journal_id, &batch).await.expect("shipped");
}

/// What is left, is expired, and is owed.
pub(crate) async fn standing(ledger: &Ledger, tenant: &Tenant) -> [String; 3] {
    let balance = ledger.balance(tenant.id).await.expect("a balance");
    [balance.left(), balance.expired, balance.overage].map(|amount| amount.to_string())
}

/// Amounts and accounts of all transfers, grants by the order in which they were given.
async fn booked(ledger: &Ledger, tenant: &Tenant) -> Vec<String> {
    let ids: Vec<GrantId> =
        ledger.grants(tenant.id).await.expect("grants").into_iter().map(|grant| grant.id).collect();
    let transfers = ledger.transfers_page(tenant.id, None, 1_000).await.expect("transfers");
    let named = |text: String| {
        ids.iter().zip(1..).fold(text, |text, (id, number)| {
            text.replace(&id.as_uuid().simple().to_string(), &number.to_string())
        })
    };
    let line = |stored: billing::ledger::StoredTransfer| {
        let transfer = stored.transfer;
        named(format!("{} {} {} {}", stored.cause.as_str(), transfer.from, transfer.to, transfer.amount))
    };
    transfers.into_iter().map(line).collect()
}

on_each_database! {
    async fn grants_are_drawn_as_records_arrive_and_every_record_names_who_paid(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let demo = names(&["demo"]);
        let end = later(30 * 24 * HOUR_US);
        let rows = [
            NewGrant::paid(dollars("5"), "one", "order 1"),
            NewGrant { kind: GrantKind::Promotional, expires_at: Some(end), ..NewGrant::paid(dollars("3"), "two", "") },
            NewGrant { models: Some(&demo), ..NewGrant::paid(dollars("2"), "three", "") },
        ];
        for (new, micros) in rows.iter().zip(0..) {
            ledger.add_grant(acme.id, new, later(micros)).await.expect("granted");
        }
        let mut chain = Chain::new();
        let records = [charged(&acme, "demo", NOW, DOLLAR), charged(&acme, "other", NOW, 2 * DOLLAR),
            charged(&acme, "demo", NOW, 3 * DOLLAR), charged(&acme, "other", NOW, 6 * DOLLAR)];
        ship(ledger, &mut chain, records.clone()).await;
        let expected = [
            "grant issued grant:1 5000000000",
            "grant issued grant:2 3000000000",
            "grant issued grant:3 2000000000",
            // What is for the model comes first, then what expires first, then the oldest.
            "usage grant:3 consumed:demo 2000000000",
            "usage grant:2 consumed:other 2000000000",
            "usage grant:2 consumed:demo 1000000000",
            "usage grant:1 consumed:demo 1000000000",
            "usage grant:1 consumed:other 4000000000",
            "usage overage consumed:other 2000000000",
        ];
        assert_eq!(booked(ledger, &acme).await, expected);
        assert_eq!(standing(ledger, &acme).await, ["-2.00", "0.00", "2.00"]);
        let grants = ledger.grants(acme.id).await.expect("grants");
        let traced = |request| async move {
            let parts = ledger.trace(acme.id, request).await.expect("a trace");
            parts.into_iter().map(|part| (part.grant, part.amount.get())).collect::<Vec<_>>()
        };
        let third = traced(records[2].request_id).await;
        assert_eq!(third, [(Some(grants[2].id), DOLLAR), (Some(grants[1].id), DOLLAR), (Some(grants[0].id), DOLLAR)]);
        assert_eq!(traced(records[3].request_id).await, [(Some(grants[0].id), 4 * DOLLAR), (None, 2 * DOLLAR)]);
        // The same batch again changes nothing.
        let again: Vec<_> = chain_of(ledger, &acme).await;
        ledger.ship(chain.journal_id, &again).await.expect("shipped again");
        assert_eq!(booked(ledger, &acme).await, expected);
        let proof = ledger.prove_credits(acme.id).await.expect("proved");
        assert_eq!((proof.transfers, proof.records, proof.charged.get()), (9, 4, 12 * DOLLAR));
        assert_eq!(database.number("SELECT CAST(SUM(balance_nanos) AS BIGINT) FROM credit_accounts").await, 0);
    }

    async fn a_top_up_is_one_whatever_differs_is_named(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let (demo, both) = (names(&["demo"]), names(&["demo", "other"]));
        let end = Some(later(HOUR_US));
        let first = NewGrant { expires_at: end, models: Some(&demo), priority: Some(3), ..NewGrant::paid(dollars("5"), "k", "") };
        let given = ledger.add_grant(acme.id, &first, NOW).await.expect("granted").0;
        assert_eq!((given.priority, given.expires_at, given.models.as_ref()), (3, end, Some(&demo)));
        // Also after it expired: a repeat is no new grant.
        assert_eq!(ledger.add_grant(acme.id, &first, later(2 * HOUR_US)).await.expect("again").0, given);
        let rows = [
            ("kind", NewGrant { kind: GrantKind::Refund, ..first }),
            ("priority", NewGrant { priority: None, ..first }),
            ("expires_at", NewGrant { expires_at: None, ..first }),
            ("models", NewGrant { models: Some(&both), ..first }),
        ];
        for (expected, new) in rows {
            let error = ledger.add_grant(acme.id, &new, NOW).await.expect_err("a conflict");
            assert!(matches!(error, LedgerError::GrantConflict { field, .. } if field == expected), "{error}");
        }
        let plain = NewGrant::paid(dollars("1"), "new", "");
        let minus = NewGrant::paid(dollars("-1"), "new", "");
        let overlap = names(&["other", "demo"]);
        let none = names(&[]);
        let rows = [
            (NewGrant { expires_at: Some(NOW), ..plain }, Fault::Invalid),
            (NewGrant { priority: Some(49), ..plain }, Fault::Invalid),
            (NewGrant { priority: Some(100), ..plain }, Fault::Invalid),
            (NewGrant { priority: Some(50), models: Some(&demo), ..plain }, Fault::Invalid),
            (NewGrant { models: Some(&none), ..plain }, Fault::Invalid),
            (NewGrant { models: Some(&overlap), ..plain }, Fault::Conflict),
            (NewGrant { models: Some(&demo), ..minus }, Fault::Invalid),
            (NewGrant { expires_at: end, ..minus }, Fault::Invalid),
        ];
        for (new, fault) in rows {
            let error = ledger.add_grant(acme.id, &new, NOW).await.expect_err("refused");
            assert_eq!(error.fault(), fault, "{new:?}: {error}");
        }
        for name in ["b", "c"] {
            let models = names(&[name]);
            let new = NewGrant { models: Some(&models), ..NewGrant::paid(dollars("1"), name, "") };
            ledger.add_grant(acme.id, &new, NOW).await.expect("granted");
        }
        let fourth = names(&["d"]);
        let new = NewGrant { models: Some(&fourth), ..plain };
        assert!(matches!(ledger.add_grant(acme.id, &new, NOW).await, Err(LedgerError::GrantScopes { .. })));
        assert_eq!(ledger.grants(acme.id).await.expect("grants").len(), 3);
        ledger.prove_credits(acme.id).await.expect("proved");
    }

    async fn what_expired_is_breakage_at_its_instant_and_late_records_still_use_it(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ledger.set_tenant_terms(acme.id, TenantTerms { billing: BillingMode::Prepaid, ..TenantTerms::default() }).await.expect("set");
        let end = later(HOUR_US);
        let short = NewGrant { expires_at: Some(end), ..NewGrant::paid(dollars("10"), "short", "") };
        ledger.add_grant(acme.id, &short, NOW).await.expect("granted");
        ledger.add_grant(acme.id, &NewGrant::paid(dollars("10"), "long", ""), NOW).await.expect("granted");
        let mut chain = Chain::new();
        ship(ledger, &mut chain, [charged(&acme, "demo", NOW, 4 * DOLLAR)]).await;
        assert_eq!(ledger.tend_credits(later(HOUR_US - 1), NOW).await.expect("nothing"), 0);
        let limit = |now| async move {
            let snapshot = ledger.access_snapshot().await.expect("a snapshot");
            snapshot.tenants[0].balance[0].limit_at(now)
        };
        let billion = |dollars: u64| i64::try_from(dollars * DOLLAR).expect("it fits");
        assert_eq!((limit(NOW).await, limit(end).await), (billion(20), billion(14)), "not booked, and not spent");
        let before = ledger.revision().await.expect("read");
        assert_eq!(ledger.tend_credits(later(2 * HOUR_US), NOW).await.expect("booked"), 1);
        assert!(ledger.revision().await.expect("read") > before, "servers must see it");
        assert_eq!(ledger.tend_credits(later(2 * HOUR_US), NOW).await.expect("once"), 0);
        assert_eq!(standing(ledger, &acme).await, ["10.00", "6.00", "0.00"]);
        assert_eq!(limit(end).await, billion(14));
        let booked_at = ledger.transfers_page(acme.id, None, 10).await.expect("read").last().map(|stored| stored.at);
        assert_eq!(booked_at, Some(end));
        // One began a moment before the end, one at it.
        let before = ledger.revision().await.expect("read");
        ship(ledger, &mut chain, [charged(&acme, "demo", later(HOUR_US - 1), DOLLAR), charged(&acme, "demo", end, DOLLAR)]).await;
        assert_eq!(standing(ledger, &acme).await, ["9.00", "5.00", "0.00"]);
        ledger.tend_credits(later(2 * HOUR_US), NOW).await.expect("nothing");
        assert!(ledger.revision().await.expect("read") > before, "more may be spent than they knew");
        assert_eq!(limit(end).await, billion(15));
        ledger.prove_credits(acme.id).await.expect("proved");
    }

    async fn sixty_four_shippers_at_once_spend_no_credit_twice(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        for (tenant, number) in [(&acme, 0), (&acme, 1), (&acme, 2), (&zeta, 0)] {
            let key = number.to_string();
            ledger.add_grant(tenant.id, &NewGrant::paid(dollars("0.5"), &key, ""), NOW).await.expect("granted");
        }
        let shippers: Vec<_> = (0..64_u64).map(|number| {
            let (ledger, acme, zeta) = (ledger.clone(), acme.clone(), zeta.clone());
            tokio::spawn(async move {
                let mut chain = Chain::new();
                for round in 0..3 {
                    let nanos = 10_000_000 + number + round;
                    ship(&ledger, &mut chain, [charged(&acme, "demo", NOW, nanos), charged(&zeta, "demo", NOW, nanos)]).await;
                }
                if number == 7 {
                    ledger.add_grant(acme.id, &NewGrant::paid(dollars("0.1"), "meanwhile", ""), NOW).await.expect("granted");
                }
            })
        }).collect();
        for shipper in shippers {
            shipper.await.expect("no panic");
        }
        let spent: u64 = (0..64_u64).map(|number| (0..3).map(|round| 10_000_000 + number + round).sum::<u64>()).sum();
        for (tenant, granted) in [(&acme, 1_600_000_000), (&zeta, 500_000_000)] {
            let balance = ledger.balance(tenant.id).await.expect("a balance");
            let left = i128::from(granted) - i128::from(spent);
            assert_eq!((balance.charged.nanos(), balance.left().nanos()), (spent.into(), left));
            ledger.prove_credits(tenant.id).await.expect("proved");
        }
        assert_eq!(database.number("SELECT CAST(SUM(balance_nanos) AS BIGINT) FROM credit_accounts").await, 0);
        let overage = ledger.balance(zeta.id).await.expect("a balance").overage;
        assert_eq!(overage.nanos(), i128::from(spent) - 500_000_000, "all of the grant is used, and no more");
    }

    async fn falling_below_the_threshold_is_told_once_each_time(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let told = || async { ledger.events_page(acme.id, None, 100).await.expect("events") };
        ledger.add_grant(acme.id, &NewGrant::paid(dollars("10"), "first", ""), NOW).await.expect("granted");
        let terms = CreditTerms { recharge_below: Some(Nanos::new(4 * DOLLAR)), ..CreditTerms::default() };
        ledger.set_credit_terms(acme.id, terms, NOW).await.expect("set");
        assert_eq!(ledger.credit_terms(acme.id).await.expect("read"), terms);
        let mut chain = Chain::new();
        ship(ledger, &mut chain, [charged(&acme, "demo", NOW, 6 * DOLLAR)]).await;
        assert_eq!(told().await.len(), 0, "at the threshold is not below it");
        for nanos in [1, DOLLAR, DOLLAR] {
            ship(ledger, &mut chain, [charged(&acme, "demo", NOW, nanos)]).await;
        }
        let events = told().await;
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].kind.as_str(), &events[0].body["balance"], &events[0].body["threshold"]),
            ("credit.low", &"3.999999999".into(), &"4.00".into()));
        ledger.add_grant(acme.id, &NewGrant::paid(dollars("9"), "second", ""), NOW).await.expect("granted");
        assert_eq!(told().await.len(), 1);
        ledger.add_grant(acme.id, &NewGrant::paid(dollars("-8"), "back", ""), NOW).await.expect("taken back");
        assert_eq!(told().await.len(), 2, "money taken back counts as well");
        let nothing = CreditTerms { overage: Overage::Allow(Some(Nanos::ZERO)), ..CreditTerms::default() };
        assert!(matches!(ledger.set_credit_terms(acme.id, nothing, NOW).await, Err(LedgerError::BadCreditTerms)));
    }

    async fn books_are_proved_from_raw_records_and_tampering_is_found(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        for number in 0..4 {
            let key = number.to_string();
            let expires_at = (number % 2 == 0).then(|| later(number * HOUR_US + HOUR_US));
            let new = NewGrant { expires_at, ..NewGrant::paid(dollars("0.001"), &key, "") };
            ledger.add_grant(acme.id, &new, NOW).await.expect("granted");
        }
        let mut chain = Chain::new();
        let batch = chain.add_all(some_records(&acme, 120));
        for part in batch.chunks(17) {
            ledger.ship(chain.journal_id, part).await.expect("shipped");
            ledger.ship(chain.journal_id, part).await.expect("shipped again");
            ledger.tend_credits(later(9 * HOUR_US), NOW).await.expect("booked");
        }
        let proof = ledger.prove_credits(acme.id).await.expect("proved");
        assert_eq!(proof.records, 119, "one of them was charged nothing");
        let forged = if database.is_sqlite() {
            "DROP TRIGGER credit_transfers_keep_update;
             UPDATE credit_transfers SET amount_nanos = amount_nanos + 1 WHERE cause = 'usage' AND sequence = 6"
        } else {
            "ALTER TABLE credit_transfers DISABLE TRIGGER USER;
             UPDATE credit_transfers SET amount_nanos = amount_nanos + 1 WHERE cause = 'usage' AND sequence = 6"
        };
        database.raw(forged).await.expect("somebody with all rights");
        let error = ledger.prove_credits(acme.id).await.expect_err("found");
        assert!(matches!(error, LedgerError::CreditsDiffer { .. }), "{error}");
        assert_eq!(error.fault(), Fault::Broken);
    }

    async fn sql_keeps_the_books_whole(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ledger.add_grant(acme.id, &NewGrant::paid(dollars("1"), "k", ""), NOW).await.expect("granted");
        let mut chain = Chain::new();
        ship(ledger, &mut chain, [charged(&acme, "demo", NOW, DOLLAR / 2)]).await;
        let transfer = |from: &str, to: &str, amount: &str| format!(
            "INSERT INTO credit_transfers (tenant_id, sequence, posting, cause, at_unix_us, from_account, to_account, amount_nanos)
             SELECT tenant_id, 3, 3, 'grant', 0, {from}, {to}, {amount} FROM credit_transfers WHERE sequence = 1");
        let rows = [
            ("UPDATE credit_transfers SET amount_nanos = 1".to_owned(), "a transfer never changes"),
            ("DELETE FROM credit_transfers".to_owned(), "a transfer"),
            ("UPDATE credit_accounts SET balance_nanos = balance_nanos + 1".to_owned(), "only a transfer changes an account"),
            ("UPDATE credit_accounts SET balance_nanos = balance_nanos + 1, last_transfer = 2".to_owned(), "only a transfer changes an account"),
            ("UPDATE credit_accounts SET last_transfer = 9".to_owned(), "only a transfer changes an account"),
            ("DELETE FROM credit_accounts".to_owned(), "an account is never deleted"),
            ("INSERT INTO credit_accounts SELECT tenant_id, 'overage', -5, 0 FROM credit_books".to_owned(), "only a transfer changes an account"),
            // More than is left of the grant, nothing, to itself, to nowhere, out of turn.
            (transfer("to_account", "'breakage:00'", "500000001"), "check"),
            (transfer("to_account", "'issued'", "0"), "check"),
            (transfer("to_account", "to_account", "1"), "check"),
            (transfer("to_account", "'elsewhere'", "1"), "check"),
            (transfer("to_account", "'issued'", "1").replace("SELECT tenant_id, 3", "SELECT tenant_id, 4"), "transfers are only added to"),
            // What a gateway of before would do.
            ("UPDATE journal_cursors SET sequence = sequence + 1".to_owned(), "grants pay for records as they come"),
            ("INSERT INTO grants (grant_id, tenant_id, amount_nanos, idempotency_key, note, created_unix_us)
              SELECT tenant_id, tenant_id, 5, 'other', '', 0 FROM credit_books".to_owned(), "a grant is booked as it is given"),
        ];
        for (statement, reason) in &rows {
            let error = database.raw(statement).await.expect_err(statement).to_string();
            assert!(error.to_lowercase().contains(reason), "{statement}: {error}");
        }
        if database.is_sqlite() {
            let replace = "INSERT OR REPLACE INTO credit_accounts SELECT tenant_id, account, 0, 0 FROM credit_accounts";
            assert!(database.raw(replace).await.is_err());
        }
        ledger.prove_credits(acme.id).await.expect("proved");
        assert_eq!(standing(ledger, &acme).await[0], "0.50");
    }

    async fn books_are_proved_over_detached_months(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ledger.make_months(later(0), 2).await.expect("made");
        let mut chain = Chain::new();
        ship(ledger, &mut chain, [charged(&acme, "demo", NOW, DOLLAR)]).await;
        let end = Some(later(2 * HOUR_US));
        let ending = NewGrant { expires_at: end, ..NewGrant::paid(dollars("5"), "k", "") };
        ledger.add_grant(acme.id, &ending, NOW).await.expect("granted");
        ledger.add_grant(acme.id, &NewGrant::paid(dollars("9"), "l", ""), NOW).await.expect("granted");
        // In December, too, so that a batch has records of both months.
        let december = later(40 * 24 * HOUR_US);
        ship(ledger, &mut chain, [charged(&acme, "demo", NOW, 2 * DOLLAR), charged(&acme, "demo", december, DOLLAR)]).await;
        ledger.tend_credits(later(3 * HOUR_US), NOW).await.expect("booked");
        // A late one draws on what was booked as breakage.
        ship(ledger, &mut chain, [charged(&acme, "demo", NOW, DOLLAR)]).await;
        let before = ledger.prove_credits(acme.id).await.expect("proved");
        assert_eq!((before.taken, before.records), (0, 3));
        let period = november("UTC");
        billing::invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        ledger.detach_month("2026-11", later(400 * 24 * HOUR_US)).await.expect("detached");
        let after = ledger.prove_credits(acme.id).await.expect("proved");
        assert_eq!(after.records, 1, "December's");
        assert!(after.taken >= 3 && after.transfers >= before.transfers, "{after:?}");
        // What is new is proved as ever.
        ship(ledger, &mut chain, [charged(&acme, "demo", december, DOLLAR)]).await;
        let next = ledger.prove_credits(acme.id).await.expect("proved");
        assert_eq!((next.records, next.taken), (2, after.taken));
        let forged = match database.is_sqlite() {
            true => "DROP TRIGGER usage_records_keep_update; UPDATE usage_records SET charge_nanos = charge_nanos + 1",
            false => "ALTER TABLE usage_records DISABLE TRIGGER ALL; UPDATE usage_records SET charge_nanos = charge_nanos + 1",
        };
        database.raw(forged).await.expect("somebody with all rights");
        assert!(ledger.prove_credits(acme.id).await.is_err(), "the records that are left still count");
    }

    async fn charges_from_before_the_first_grant_are_owed_by_invoice(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        ship(ledger, &mut chain, [charged(&acme, "demo", NOW, 7 * DOLLAR)]).await;
        let billed = async || ledger.balance(acme.id).await.expect("a balance").billed;
        assert_eq!((standing(ledger, &acme).await[0].as_str(), billed().await), ("0.00", dollars("7")));
        ledger.add_grant(acme.id, &NewGrant::paid(dollars("5"), "k", ""), NOW).await.expect("granted");
        assert_eq!(standing(ledger, &acme).await, ["5.00", "0.00", "0.00"]);
        ship(ledger, &mut chain, [charged(&acme, "demo", NOW, DOLLAR)]).await;
        assert_eq!(billed().await, dollars("7"));
        assert_eq!(booked(ledger, &acme).await, [
            "opening billed consumed:demo 7000000000",
            "grant issued grant:1 5000000000",
            "usage grant:1 consumed:demo 1000000000",
        ]);
        ledger.prove_credits(acme.id).await.expect("proved");
    }
}

/// A tenant's records as its journal has them.
async fn chain_of(ledger: &Ledger, tenant: &Tenant) -> Vec<crate::records::Entry> {
    let page = ledger.records_page(tenant.id, &november("UTC"), None, None, 1_000).await.expect("records");
    let mut records: Vec<_> =
        page.records.into_iter().map(|stored| (stored.journaled, stored.hash)).collect();
    records.sort_by_key(|(journaled, _)| journaled.sequence);
    records
}

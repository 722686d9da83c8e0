//! What was spent, by scope, model and window, against charges added up one by one.
//! Never a limit.
//! Run on both databases.

use billing::ledger::{Ledger, LimitScope, SPENT_QUESTIONS_MAX, SpentQuestion, Tenant};
use domain::{ModelName, Nanos, Timestamp, UsageRecord};

use crate::records::{Chain, HOUR_US, NOW, project, record, some_records, tenant};

fn question(scope: LimitScope, model: Option<&str>, since: Timestamp) -> SpentQuestion {
    SpentQuestion { scope, model: model.map(|name| name.parse().expect("a model")), since }
}

async fn spent(ledger: &Ledger, tenant: &Tenant, question: SpentQuestion) -> u64 {
    ledger.spent_since(tenant.id, &[question]).await.expect("an answer")[0].get()
}

/// Charges of the records that fit, one by one.
fn add_up(records: &[UsageRecord], fits: impl Fn(&UsageRecord) -> bool) -> u64 {
    records.iter().filter(|record| fits(record)).map(|record| record.charge.get()).sum()
}

on_each_database! {
    async fn spending_is_the_sum_of_charges(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        let other: ModelName = "other".parse().expect("a model");
        let mut records = some_records(&acme, 120);
        for record in records.iter_mut().skip(80) {
            record.model = other.clone();
        }
        let mut chain = Chain::new();
        let batch = chain.add_all(records.clone().into_iter().chain(some_records(&zeta, 7)));
        for part in batch.chunks(23) {
            ledger.ship(chain.journal_id, part).await.expect("shipped");
            // Shipped again, nothing is counted again.
            ledger.ship(chain.journal_id, part).await.expect("shipped");
        }
        let start = Timestamp::from_unix_micros(0);
        let later = Timestamp::from_unix_micros(records[40].started_at.unix_quarter() * HOUR_US / 4);
        let key: domain::KeyId = "key1".parse().expect("a key id");
        for since in [start, later, Timestamp::from_unix_micros(i64::MAX)] {
            let is_since = |record: &UsageRecord| record.started_at >= since;
            for model in [None, Some("demo"), Some("other"), Some("unknown")] {
                let fits = |record: &UsageRecord| is_since(record) && model.is_none_or(|name| record.model.as_str() == name);
                let found = spent(ledger, &acme, question(LimitScope::Tenant, model, since)).await;
                assert_eq!(found, add_up(&records, fits), "{since} {model:?}");
                let found = spent(ledger, &acme, question(LimitScope::Key(key.clone()), model, since)).await;
                let fits = |record: &UsageRecord| fits(record) && record.key_id.as_str() == "key1";
                assert_eq!(found, add_up(&records, fits), "key1 {since} {model:?}");
            }
        }
        let stored = database.number("SELECT CAST(SUM(charge_nanos) AS BIGINT) FROM usage_records").await;
        assert_eq!(stored, database.number("SELECT CAST(SUM(charge_nanos) AS BIGINT) FROM spend_quarters").await);
        assert_eq!(database.number("SELECT CAST(SUM(requests) AS BIGINT) FROM spend_quarters").await, 127);
    }

    async fn windows_count_whole_quarters_of_an_hour_by_the_start(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let quarter = NOW.unix_quarter() * (HOUR_US / 4);
        let at = |micros: i64| Timestamp::from_unix_micros(quarter + micros);
        let mut chain = Chain::new();
        // It began in the quarter before and ended in this one.
        let early = UsageRecord { started_at: at(-1), charge: Nanos::new(1), ..record(&acme, 1, at(HOUR_US)) };
        let late = UsageRecord { started_at: at(0), charge: Nanos::new(10), ..record(&acme, 1, at(HOUR_US)) };
        let batch = chain.add_all([early, late]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let rows = [(-1, 11), (0, 10), (1, 10), (HOUR_US / 4 - 1, 10), (HOUR_US / 4, 0)];
        for (micros, expected) in rows {
            let found = spent(ledger, &acme, question(LimitScope::Tenant, None, at(micros))).await;
            assert_eq!(found, expected, "{micros}");
        }
    }

    async fn questions_are_bounded(database: &Database) {
        let acme = tenant(&database.ledger, "acme", "UTC").await;
        // A project that the ledger does not have was never spent on by anybody.
        let asked = vec![question(LimitScope::Project(project(1)), None, NOW); SPENT_QUESTIONS_MAX];
        let answers = database.ledger.spent_since(acme.id, &asked).await.expect("answers");
        assert_eq!(answers, vec![Nanos::ZERO; SPENT_QUESTIONS_MAX]);
        let asked = vec![question(LimitScope::Tenant, None, NOW); SPENT_QUESTIONS_MAX + 1];
        assert!(database.ledger.spent_since(acme.id, &asked).await.is_err());
    }
}

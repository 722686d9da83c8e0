//! Sums over periods of any zone, against records added up one by one.
//! Never a price.
//! Run on both databases.

use std::collections::BTreeMap;

use billing::ledger::{Tenant, UsageGroup, UsageSum, UsageTotals};
use domain::{Period, Timestamp, Tokens, UsageRecord};

use crate::records::{Chain, HOUR_US, at, record, tenant};

/// Sums as the ledger should give them, by plain addition.
pub(crate) fn add_up(records: &[UsageRecord]) -> Vec<UsageSum> {
    let mut sums: BTreeMap<(String, String, String, String, String), UsageSum> = BTreeMap::new();
    for record in records {
        let names = (
            record.price_version.to_string(),
            record.model.to_string(),
            record.slo.class.to_string(),
            record.reason.as_str().to_owned(),
            record.energy_source.as_str().to_owned(),
        );
        let sum = sums.entry(names).or_insert_with(|| UsageSum {
            price_version: record.price_version.clone(),
            model: record.model.clone(),
            slo_class: record.slo.class,
            reason: record.reason,
            energy_source: record.energy_source,
            totals: UsageTotals::default(),
        });
        sum.totals = plus(&sum.totals, record);
    }
    sums.into_values().collect()
}

fn plus(totals: &UsageTotals, record: &UsageRecord) -> UsageTotals {
    let add = |left: Tokens, right: Tokens| Tokens::new(left.get() + right.get());
    UsageTotals {
        requests: totals.requests + 1,
        requests_slo_met: totals.requests_slo_met + u64::from(record.slo_met),
        prompt_tokens: add(totals.prompt_tokens, record.prompt_tokens),
        cached_prompt_tokens: add(totals.cached_prompt_tokens, record.cached_prompt_tokens),
        output_tokens: add(totals.output_tokens, record.output_tokens),
        reasoning_tokens: add(totals.reasoning_tokens, record.reasoning_tokens),
        tokens_in_slo: add(totals.tokens_in_slo, record.tokens_in_slo),
        late_tokens: add(
            totals.late_tokens,
            Tokens::new(record.output_tokens.get() - record.tokens_in_slo.get()),
        ),
        energy: domain::Millijoules::new(totals.energy.get() + record.energy.get()),
        embeddings_tokens: add(totals.embeddings_tokens, record.embeddings_tokens),
    }
}

/// Records on, just before and just after every quarter of an hour around both ends of November, anywhere on Earth.
fn around_the_month(tenant: &Tenant) -> Vec<UsageRecord> {
    let ends = [at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z")];
    let quarter = HOUR_US / 4;
    let instants = ends.iter().flat_map(|end| {
        (-60..=60_i64)
            .flat_map(move |step| [-1, 0, 1].map(|nudge| end.unix_micros() + step * quarter + nudge))
    });
    instants
        .zip(0..)
        .map(|(instant, number)| record(tenant, number, Timestamp::from_unix_micros(instant)))
        .collect()
}

fn within(records: &[UsageRecord], period: &Period) -> Vec<UsageRecord> {
    records.iter().filter(|record| period.contains(record.finished_at)).cloned().collect()
}

on_each_database! {
    async fn months_are_exact_in_every_zone(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let records = around_the_month(&acme);
        let mut chain = Chain::new();
        let batch = chain.add_all(records.clone());
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let zones = [
            "UTC", "Asia/Kolkata", "Asia/Kathmandu", "Europe/Berlin", "America/New_York", "America/St_Johns",
            "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Marquesas",
        ];
        for zone in zones {
            for month in ["2026-10", "2026-11", "2026-12"] {
                let period = Period::month(month, zone).expect("a month");
                let expected = add_up(&within(&records, &period));
                assert_eq!(ledger.usage_sums(acme.id, &period).await.expect("sums"), expected, "{zone} {month}");
            }
        }
    }

    async fn periods_of_any_length_are_exact(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let records = around_the_month(&acme);
        let mut chain = Chain::new();
        let batch = chain.add_all(records.clone());
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let rows = [
            // Within one hour; one microsecond; across one full hour; edges on and off the hour.
            ("2026-11-01T00:10:00Z", "2026-11-01T00:50:00Z"),
            ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00.000001Z"),
            ("2026-11-01T00:10:00Z", "2026-11-01T01:10:00Z"),
            ("2026-11-01T00:00:00Z", "2026-11-01T01:00:00Z"),
            ("2026-11-01T00:00:00Z", "2026-11-01T00:30:00Z"),
            ("2026-11-01T00:30:00Z", "2026-11-01T01:00:00Z"),
            ("2026-10-31T23:59:59.999999Z", "2026-11-01T02:00:00.000001Z"),
            ("2026-11-01T00:30:00Z", "2026-11-01T03:15:00Z"),
        ];
        for (start, end) in rows {
            let period = Period::new(at(start), at(end), "UTC").expect("a period");
            let expected = add_up(&within(&records, &period));
            assert!(!expected.is_empty(), "{start}");
            assert_eq!(ledger.usage_sums(acme.id, &period).await.expect("sums"), expected, "{start} to {end}");
        }
    }

    async fn groups_add_up_to_the_whole(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "Asia/Kathmandu").await;
        let other = tenant(ledger, "other", "UTC").await;
        let records = around_the_month(&acme);
        let mut chain = Chain::new();
        let batch = chain.add_all(records.iter().cloned().chain([record(&other, 5, at("2026-11-15T00:00:00Z"))]));
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let period = Period::month("2026-11", "Asia/Kathmandu").expect("a month");
        let mine = within(&records, &period);
        let whole = mine.iter().fold(UsageTotals::default(), |totals, record| plus(&totals, record));
        let groups =
            [UsageGroup::Hour, UsageGroup::Day, UsageGroup::Model, UsageGroup::SloClass, UsageGroup::Reason, UsageGroup::Key, UsageGroup::Project];
        for group in groups {
            let rows = ledger.usage_by(acme.id, &period, group, None).await.expect("groups");
            let sum = rows.iter().fold(UsageTotals::default(), |sum, row| sum.checked_add(&row.totals).expect("it fits"));
            assert_eq!(sum, whole, "{group:?}");
            let mut names: Vec<_> = rows.iter().map(|row| &row.name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), rows.len(), "{group:?}");
        }
        let days = ledger.usage_by(acme.id, &period, UsageGroup::Day, None).await.expect("days");
        assert_eq!((days[0].name.as_str(), days[days.len() - 1].name.as_str()), ("2026-11-01", "2026-11-30"));
        let first = Period::new(period.start(), at("2026-11-01T18:15:00Z"), "UTC").expect("a day of Kathmandu");
        let expected = within(&records, &first).iter().fold(UsageTotals::default(), |totals, record| plus(&totals, record));
        assert_eq!(days[0].totals, expected);
        let hours = ledger.usage_by(acme.id, &period, UsageGroup::Hour, None).await.expect("hours");
        assert_eq!(hours[0].name, "2026-11-01 00:00 +05:45");
        let years = Period::new(at("2020-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"), "UTC").expect("a period");
        assert!(ledger.usage_by(acme.id, &years, UsageGroup::Day, None).await.is_err());
    }

    async fn an_hour_that_comes_twice_is_two_hours(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "Europe/Berlin").await;
        let mut chain = Chain::new();
        // 02:30 summer time and 02:30 winter time of the day on which daylight saving ends.
        let instants = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"];
        let batch = chain.add_all(instants.iter().zip(1..).map(|(instant, number)| record(&acme, number, at(instant))));
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let october = Period::month("2026-10", "Europe/Berlin").expect("a month");
        let hours = ledger.usage_by(acme.id, &october, UsageGroup::Hour, None).await.expect("hours");
        let names: Vec<_> = hours.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["2026-10-25 02:00 +02:00", "2026-10-25 02:00 +01:00"]);
        let days = ledger.usage_by(acme.id, &october, UsageGroup::Day, None).await.expect("days");
        assert_eq!((days.len(), days[0].totals.requests), (1, 2));
    }
}

//! Months of usage records: made ahead, detached when all of them is on invoices, one record for a request for ever.
//! Never a plan of a query on SQLite: only PostgreSQL has partitions to leave out.
//! Run on both databases.

use billing::{
    invoice,
    ledger::{Ledger, LedgerError, MonthState, Shipped, Tenant},
};
use domain::{EndReason, Period, Timestamp, Tokens, UsageRecord};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{
    databases::{Database, Place},
    records::{Chain, Entry, NOW, at, record, tenant},
};

/// Long after every month below.
const LATER: &str = "2028-01-15T00:00:00Z";

/// Records of each of some days, at noon.
fn of_days(chain: &mut Chain, tenant: &Tenant, days: &[&str]) -> Vec<Entry> {
    let records =
        days.iter().zip(0..).map(|(day, number)| record(tenant, number, at(&format!("{day}T12:00:00Z"))));
    chain.add_all(records)
}

async fn issue(ledger: &Ledger, tenant: &Tenant, months: &[&str]) {
    for month in months {
        let period = Period::month(month, "UTC").expect("a month");
        invoice::issue(ledger, tenant, &period, at(LATER)).await.expect("issued");
    }
}

/// What the ledger says of a month: `None`, nothing.
async fn state(ledger: &Ledger, month: &str) -> Vec<MonthState> {
    let months = ledger.months().await.expect("months");
    months.into_iter().filter(|found| found.month == month).map(|found| found.state).collect()
}

const COUNT: &str = "SELECT COUNT(*) FROM usage_records";

on_each_database! {
    async fn a_month_is_detached_only_when_all_of_it_is_invoiced(database: &Database) {
        let ledger = &database.ledger;
        let (acme, zeta) = (tenant(ledger, "acme", "UTC").await, tenant(ledger, "zeta", "UTC").await);
        ledger.make_months(at("2026-12-15T00:00:00Z"), 3).await.expect("made");
        let mut chain = Chain::new();
        let batch = of_days(&mut chain, &acme, &["2026-11-11", "2026-11-30", "2026-12-01", "2027-01-01"]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        // Written a moment ago, and counted all the same.
        let months = ledger.months().await.expect("months");
        let november = months.iter().find(|found| found.month == "2026-11").expect("there");
        assert_eq!(november.records, 2);
        let later = at(LATER);
        let refused = async |month: &str| ledger.detach_month(month, later).await.expect_err(month).to_string();
        assert!(refused("2026-11").await.contains("not all of it is on issued invoices of acme, zeta"));
        issue(ledger, &acme, &["2026-11"]).await;
        assert!(refused("2026-11").await.contains("invoices of zeta;"));
        issue(ledger, &zeta, &["2026-11"]).await;
        // The month itself is over, but not for somebody whose clock says otherwise; and what is no month is none.
        let early = ledger.detach_month("2026-11", at("2026-11-30T23:59:59Z")).await.expect_err("it runs");
        assert!(matches!(early, LedgerError::PeriodRunning { .. }), "{early}");
        assert!(matches!(ledger.detach_month("2026-13", later).await, Err(LedgerError::Period(_))));
        let sums = ledger.usage_sums(acme.id, &Period::month("2026-11", "UTC").expect("a month")).await.expect("sums");
        let detached = ledger.detach_month("2026-11", later).await.expect("detached");
        assert_eq!((database.number(COUNT).await, detached.month.as_str()), (2, "2026-11"));
        let kept = format!("SELECT COUNT(*) FROM {}", detached.place);
        assert_eq!(database.number(&kept).await, 2, "they are kept in {}", detached.place);
        assert_eq!(state(ledger, "2026-11").await, [MonthState::Detached(later)]);
        let after = ledger.usage_sums(acme.id, &Period::month("2026-11", "UTC").expect("a month")).await.expect("sums");
        assert_eq!(sums, after, "sums stay");
        // Nobody can change what is kept, or forget its sums.
        for statement in [
            format!("UPDATE {} SET output_tokens = 0", detached.place),
            format!("DELETE FROM {}", detached.place),
            "DELETE FROM tallies_hourly".to_owned(),
            "DELETE FROM detached_months".to_owned(),
            "UPDATE detached_months SET records = 1".to_owned(),
        ] {
            database.raw(&statement).await.expect_err(&statement);
        }
        assert!(matches!(ledger.detach_month("2026-11", later).await, Err(LedgerError::Missing { .. })));
        assert_eq!(ledger.drop_month("2026-11", later).await.expect("dropped"), 2);
        assert_eq!(state(ledger, "2026-11").await, [MonthState::Dropped(later)]);
        assert!(matches!(ledger.drop_month("2026-11", later).await, Err(LedgerError::Missing { .. })));
        let noted = database.number("SELECT COUNT(*) FROM audit_log WHERE object_kind = 'month'").await;
        assert_eq!(noted, 2, "detached and dropped");
    }

    async fn sql_refuses_what_is_not_invoiced(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        ledger.ship(chain.journal_id, &of_days(&mut chain, &acme, &["2026-11-11"])).await.expect("shipped");
        let november = Period::month("2026-11", "UTC").expect("a month");
        let note = format!(
            "INSERT INTO detached_months VALUES ('2026-11', 1, {}, {}, 'usage_records_detached', 1, {}, NULL)",
            november.start().unix_micros(), november.end().unix_micros(), at(LATER).unix_micros()
        );
        let error = database.raw(&note).await.expect_err("not invoiced").to_string();
        assert!(error.contains("a month is detached only when all of it is on issued invoices"), "{error}");
        let own = match database.is_sqlite() {
            true => "INSERT INTO usage_records_detached SELECT * FROM usage_records".to_owned(),
            false => format!("SELECT tallygate_detach_month({}, {})", november.start().unix_micros(), at(LATER).unix_micros()),
        };
        database.raw(&own).await.expect_err(&own);
        assert_eq!(database.number(COUNT).await, 1);
    }

    async fn a_request_has_one_record_also_when_its_month_is_gone(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ledger.make_months(at("2026-12-15T00:00:00Z"), 1).await.expect("made");
        let mut chain = Chain::new();
        let batch = of_days(&mut chain, &acme, &["2026-11-11", "2026-11-12", "2026-12-02"]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        issue(ledger, &acme, &["2026-11"]).await;
        ledger.detach_month("2026-11", at(LATER)).await.expect("detached");
        for is_dropped in [false, true] {
            let again = ledger.ship(chain.journal_id, &batch).await.expect("known");
            assert_eq!(again, Shipped { inserted: 0, duplicates: 3 }, "dropped: {is_dropped}");
            // The same request from another journal, in another month.
            let mut other = Chain::new();
            let twin = domain::UsageRecord { finished_at: at("2026-12-03T00:00:00Z"), ..batch[0].0.record.clone() };
            let twin = other.add(twin);
            let error = ledger.ship(other.journal_id, &[twin]).await.expect_err("it has a record");
            assert!(matches!(error, LedgerError::RequestConflict { .. }), "{error}");
            assert_eq!(database.number(COUNT).await, 1);
            if !is_dropped {
                ledger.drop_month("2026-11", at(LATER)).await.expect("dropped");
            }
        }
        // What comes late for that month is kept, beside what was detached, and can be detached as well.
        let late = chain.add(record(&acme, 5, at("2026-11-20T00:00:00Z")));
        ledger.ship(chain.journal_id, std::slice::from_ref(&late)).await.expect("shipped");
        let found = ledger.find_record(late.0.record.request_id).await.expect("read").expect("there");
        assert_eq!(found.hash, late.1);
        ledger.make_months_of_outside().await.expect("moved");
        assert_eq!(ledger.records_outside_months().await.expect("a count"), 0);
        // It is due on the next invoice, and waits for that.
        let behind = ledger.detach_month("2026-11", at(LATER)).await.expect_err("it is on no invoice");
        assert!(matches!(&behind, LedgerError::MonthOpen { tenants, .. } if tenants == "acme"), "{behind}");
        issue(ledger, &acme, &["2026-12"]).await;
        ledger.detach_month("2026-11", at(LATER)).await.expect("its second part");
        assert_eq!(state(ledger, "2026-11").await.len(), 2);
        assert_eq!(database.number(COUNT).await, 1);
    }

    async fn retention_goes_as_far_as_invoices_do(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ledger.make_months(at("2026-12-15T00:00:00Z"), 3).await.expect("made");
        let mut chain = Chain::new();
        let batch = of_days(&mut chain, &acme, &["2026-11-11", "2026-12-11", "2027-01-11", "2027-02-11"]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        issue(ledger, &acme, &["2026-11", "2027-01"]).await;
        // A month before the tenant's time has nothing on it that could be owed.
        let names = async |kept| {
            let (detached, why) = ledger.detach_older(kept, at("2027-03-01T00:00:00Z")).await.expect("looked");
            let names: Vec<_> = detached.into_iter().map(|month| month.month).filter(|month| month != "2026-10").collect();
            (names, why.map(|why| why.to_string()).unwrap_or_default())
        };
        assert_eq!(names(4).await, (vec![], String::new()), "November is the fourth before March");
        let (detached, why) = names(1).await;
        assert_eq!(detached, ["2026-11"]);
        assert!(why.contains("the month 2026-12 stays where it is"), "{why}");
        issue(ledger, &acme, &["2026-12"]).await;
        assert_eq!(names(1).await, (vec!["2026-12".to_owned(), "2027-01".to_owned()], String::new()));
        assert_eq!(database.number(COUNT).await, 1, "February and March are kept");
    }

    async fn what_was_detached_is_not_given_back(database: &Database) {
        let ledger = &database.ledger;
        // Months there begin at half past: their edges are in the records alone.
        let acme = tenant(ledger, "acme", "Asia/Kolkata").await;
        ledger.make_months(at("2026-12-15T00:00:00Z"), 1).await.expect("made");
        let month = |name: &str| Period::month(name, "Asia/Kolkata").expect("a month");
        let issue = async |name| invoice::issue(ledger, &acme, &month(name), at(LATER)).await.expect("issued");
        let used = |number, time: &str| UsageRecord { output_tokens: Tokens::new(5_000_000), tokens_in_slo: Tokens::new(5_000_000),
            reason: EndReason::Completed, ..record(&acme, number, at(time)) };
        let mut chain = Chain::new();
        let batch = chain.add_all([used(1, "2026-11-11T12:00:00Z"), used(2, "2026-11-30T18:10:00Z")]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let november = issue("2026-11").await;
        assert_eq!((november.total.as_str(), november.records), ("6.00", 2));
        issue("2026-12").await;
        let late = chain.add_all([used(3, "2026-11-12T12:00:00Z")]);
        ledger.ship(chain.journal_id, &late).await.expect("shipped");
        let behind = ledger.detach_month("2026-11", at(LATER)).await.expect_err("the late one is on no invoice");
        assert!(matches!(behind, LedgerError::MonthOpen { .. }), "{behind}");
        assert_eq!(issue("2027-01").await.total, "3.00");
        ledger.detach_month("2026-11", at(LATER)).await.expect("detached");
        // What it comes to cannot be said any more, so nothing of it is corrected, and nothing is guessed.
        let next = invoice::preview(ledger, &acme, &month("2027-02"), at(LATER)).await.expect("a draft");
        assert_eq!((next.total.as_str(), next.lines.iter().filter(|line| line.correction.is_some()).count()), ("0.00", 0));
        let again = invoice::preview(ledger, &acme, &month("2026-11"), at(LATER)).await;
        assert!(matches!(again, Err(LedgerError::RecordsDetached { .. })), "{again:?}");
        let void = ledger.void_invoice("TG-000001", "a mistake", at(LATER)).await.expect_err("it cannot be billed again");
        assert!(void.to_string().contains("usage records of its period were detached"), "{void}");
    }

    async fn records_without_a_month_are_counted_and_put_in_order(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut chain = Chain::new();
        let days = ["2031-05-05", "2031-05-06", "2033-01-01", "1999-01-01"];
        let batch = of_days(&mut chain, &acme, &days);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let outside = if database.is_sqlite() { 0 } else { 4 };
        assert_eq!(ledger.records_outside_months().await.expect("a count"), outside);
        ledger.make_months_of_outside().await.expect("moved");
        assert_eq!(ledger.records_outside_months().await.expect("a count"), outside.min(1), "a clock of 1999");
        for (journaled, hash) in &batch {
            let found = ledger.find_record(journaled.record.request_id).await.expect("read").expect("there");
            assert_eq!((&found.journaled, &found.hash), (journaled, hash));
        }
        assert_eq!(ledger.ship(chain.journal_id, &batch).await.expect("known").duplicates, 4);
        assert_eq!(state(ledger, "2031-05").await, [MonthState::Attached]);
    }
}

/// What PostgreSQL would do for a query, as one text. Scans of whole tables cost it so much that it takes them only
/// where it has no index.
async fn plan(database: &Database, query: &str) -> String {
    let mut connection = PgConnection::connect(database.url()).await.expect("the server answers");
    sqlx::raw_sql("SET enable_seqscan = off; SET enable_bitmapscan = off")
        .execute(&mut connection)
        .await
        .expect("set");
    let explain = AssertSqlSafe(format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {query}"));
    let lines: Vec<(String,)> = sqlx::query_as(explain).fetch_all(&mut connection).await.expect("a plan");
    lines.into_iter().map(|(line,)| line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn important_queries_use_indexes_and_leave_other_months_out() {
    let Some(place) = Place::postgres().await else { return };
    let database = Database::open(place).await;
    let ledger = &database.ledger;
    let acme = tenant(ledger, "acme", "UTC").await;
    ledger.make_months(at("2026-12-15T00:00:00Z"), 6).await.expect("made");
    // Enough of several models, keys and months, so that one index is better than another.
    let mut chain = Chain::new();
    let days = ["2026-11-11", "2026-12-11", "2027-01-11", "2027-02-11"];
    let records = (0..4_000_u64).map(|number| {
        let day = at(&format!("{}T00:00:00Z", days[usize::try_from(number % 4).expect("small")]));
        let finished = Timestamp::from_unix_micros(day.unix_micros() + i64::try_from(number).expect("small"));
        let model = format!("m{}", number % 23).parse().expect("a model");
        domain::UsageRecord { model, ..record(&acme, number, finished) }
    });
    let batch = chain.add_all(records);
    ledger.ship(chain.journal_id, &batch).await.expect("shipped");
    database.raw("ANALYZE").await.expect("analyzed");
    let request = batch[1].0.record.request_id;
    let december = Period::month("2026-12", "UTC").expect("a month");
    let (start, end) = (december.start().unix_micros(), december.end().unix_micros());
    let of_tenant = format!("tenant_id = '{}'", acme.id);
    let of_month = format!("{of_tenant} AND finished_unix_us >= {start} AND finished_unix_us < {end}");
    let after = format!("(finished_unix_us, request_id) > ({start}, '00000000-0000-0000-0000-000000000000')");
    let order = "ORDER BY finished_unix_us, request_id LIMIT 100";
    let rows = [
        // Portal and rating: a tenant's month, a page of it, the same of a key and of a model.
        (format!("SELECT SUM(output_tokens) FROM usage_records WHERE {of_month}"), "2026_12_pkey"),
        (format!("SELECT * FROM usage_records WHERE {of_month} AND {after} {order}"), "2026_12_pkey"),
        (
            format!("SELECT * FROM usage_records WHERE {of_month} AND {after} AND key_id = 'key1' {order}"),
            "2026_12_tenant_id_key_id_",
        ),
        (
            format!("SELECT * FROM usage_records WHERE {of_month} AND {after} AND model = 'm5' {order}"),
            "2026_12_tenant_id_model_",
        ),
        (
            format!(
                "SELECT * FROM usage_records WHERE request_id = '{request}'
                   AND tenant_id = (SELECT tenant_id FROM usage_record_keys WHERE request_id = '{request}')
                   AND finished_unix_us = (SELECT finished_unix_us FROM usage_record_keys WHERE request_id = '{request}')"
            ),
            "2026_12_pkey",
        ),
    ];
    for (query, index) in rows {
        let plan = plan(&database, &query).await;
        assert!(plan.contains(index), "{query}\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{query}\n{plan}");
        let other = |line: &&str| {
            line.contains(" on usage_records_")
                && !line.contains("2026_12")
                && !line.contains("never executed")
        };
        assert_eq!(plan.lines().filter(other).collect::<Vec<_>>(), Vec::<&str>::new(), "{query}\n{plan}");
    }
    // A journal's own order.
    let journal = format!(
        "SELECT sequence FROM usage_records WHERE journal_id = '{}' AND sequence > 0 ORDER BY sequence LIMIT 100",
        chain.journal_id
    );
    assert!(plan(&database, &journal).await.contains("journal_id_sequence_idx"));
    database.remove().await;
}

#[tokio::test]
async fn a_record_comes_with_its_key_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    let database = Database::open(place).await;
    let acme = tenant(&database.ledger, "acme", "UTC").await;
    database.ledger.make_months(NOW, 1).await.expect("made");
    let mut chain = Chain::new();
    let batch = chain.add_all([record(&acme, 1, NOW)]);
    database.ledger.ship(chain.journal_id, &batch).await.expect("shipped");
    let columns = "journal_id, sequence + 1, previous_hash, record_hash, tenant_id, key_id, model, backend, slo_class,
        ttft_target_us, ttft_target_us_per_1k_prompt, tpot_target_us, reason, prompt_tokens, cached_prompt_tokens,
        output_tokens, reasoning_tokens, ttft_us, tpot_us, slo_met, tokens_in_slo, energy_mj, energy_source,
        client_stall_us, queue_us, started_unix_us";
    let rest = "price_version, project_id, usage_source, charge_nanos FROM usage_records";
    let rows = [
        // A request of its own, without a key; the known one at another time; into a partition behind the table's back.
        format!("INSERT INTO usage_records SELECT gen_random_uuid(), {columns}, finished_unix_us, {rest}"),
        format!("INSERT INTO usage_records SELECT request_id, {columns}, finished_unix_us + 1, {rest}"),
        format!(
            "INSERT INTO usage_records_2026_11 SELECT gen_random_uuid(), {columns}, finished_unix_us, {rest}"
        ),
        "TRUNCATE usage_records_2026_11".to_owned(),
        "UPDATE usage_records_2026_11 SET output_tokens = 0".to_owned(),
        "DELETE FROM usage_record_keys".to_owned(),
        "UPDATE usage_record_keys SET sequence = 7".to_owned(),
        "TRUNCATE usage_record_keys".to_owned(),
    ];
    for statement in rows {
        database.raw(&statement).await.expect_err(&statement);
    }
    assert_eq!(database.number(COUNT).await, 1);
    database.remove().await;
}

#[tokio::test]
async fn months_are_made_once_by_many() {
    let Some(place) = Place::postgres().await else { return };
    let database = Database::open(place).await;
    let now = Timestamp::from_unix_micros(at("2030-06-15T00:00:00Z").unix_micros());
    let tasks = (0..6).map(|_| {
        let ledger = database.ledger.clone();
        tokio::spawn(async move { ledger.make_months(now, 2).await.expect("made") })
    });
    let mut made = 0;
    for task in tasks.collect::<Vec<_>>() {
        made += task.await.expect("no panic");
    }
    assert_eq!(made, 4, "May to August");
    database.remove().await;
}

//! How many usage records a second the ledger takes, and how long an invoice over them takes.
//! Never an assertion about time: it prints a table.
//! Run by `cargo bench -p billing --bench ledger`; SQLite always, PostgreSQL where it can be started.
#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

mod server;

use std::time::{Duration, Instant};

use billing::{
    invoice,
    ledger::{Ledger, Limits, NewGrant, NewTenant, Tenant, TenantTerms},
    plan::Plan,
};
use domain::{
    EndReason, EnergySource, JournalId, JournaledRecord, Micros, Millijoules, Money, Nanos, Period,
    RecordHash, RequestId, Slo, SloClass, Timestamp, Tokens, UsageRecord, UsageSource,
};
use server::{Outcome, Server, fresh};
use sha2::{Digest as _, Sha256};

/// Records for each row of the table: some seconds of shipping.
const RECORDS: u64 = 60_000;
/// Records in a batch, and hours they are spread over.
const RUNS: [(usize, i64); 4] = [(1_000, 1), (5_000, 1), (1_000, 720), (5_000, 720)];
/// 2026-11-01T00:00:00Z.
const NOVEMBER: i64 = 1_793_491_200_000_000;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir()?;
    println!("{RECORDS} records of 29 columns, 20 keys, each paid from a grant; fsync as in production");
    println!(
        "spread over 1 hour: a busy gateway; over 720: a quiet one that catches up, with many tallies to touch"
    );
    let titles = ("database", "batch", "hours", "records/s", "again/s", "invoice");
    println!(
        "{:<12} {:>7} {:>7} {:>12} {:>12} {:>14}",
        titles.0, titles.1, titles.2, titles.3, titles.4, titles.5
    );
    for (batch, hours) in RUNS {
        let url = format!("sqlite://{}/{batch}-{hours}.db", folder.path().display());
        runtime.block_on(measure("SQLite", &url, batch, hours))?;
    }
    let url = std::env::var("TALLYGATE_TEST_POSTGRES_URL").ok();
    let server = if url.is_none() { Server::start(folder.path()) } else { Err("a URL was given".into()) };
    let url = url.or_else(|| server.as_ref().ok().map(Server::url));
    match (url, &server) {
        (Some(url), _) => {
            for (batch, hours) in RUNS {
                let url = runtime.block_on(fresh(&url))?;
                runtime.block_on(measure("PostgreSQL", &url, batch, hours))?;
            }
        }
        (None, Err(reason)) => println!("PostgreSQL skipped: {reason}"),
        (None, Ok(_)) => {}
    }
    Ok(())
}

async fn measure(name: &str, url: &str, batch: usize, hours: i64) -> Outcome<()> {
    let ledger = Ledger::connect(url).await?;
    let now = Timestamp::from_unix_micros(NOVEMBER);
    ledger.publish_plan(&Plan::demo()?, now).await?;
    let (limits, terms) = (Limits::default(), TenantTerms::default());
    let new = NewTenant { name: "bench", plan_name: "demo", zone: "Asia/Kolkata", limits, terms };
    let tenant = ledger.create_tenant(&new, now).await?;
    // Two grants, of which the first is used up on the way: every record is paid for.
    for (number, nanos) in [(1, 1_000_000), (2, 1_000_000_000_000)] {
        let (key, amount) = (format!("grant {number}"), Money::from_nanos(nanos, tenant.currency));
        ledger.add_grant(tenant.id, &NewGrant::paid(amount, &key, ""), now).await?;
    }
    let journal = chain(&tenant, hours)?;
    let journal_id = journal[0].0.journal_id;
    let began = Instant::now();
    for part in journal.chunks(batch) {
        ledger.ship(journal_id, part).await?;
    }
    let first = began.elapsed();
    let began = Instant::now();
    for part in journal.chunks(batch) {
        ledger.ship(journal_id, part).await?;
    }
    let again = began.elapsed();
    let period = Period::month("2026-11", "Asia/Kolkata")?;
    let began = Instant::now();
    let invoice = invoice::preview(&ledger, &tenant, &period, now).await?;
    let billed = began.elapsed();
    assert!(invoice.records > 0, "the invoice covers what was shipped");
    let rate = |span: Duration| u128::from(RECORDS) * 1_000_000 / span.as_micros().max(1);
    println!(
        "{name:<12} {batch:>7} {hours:>7} {:>12} {:>12} {:>11} µs",
        rate(first),
        rate(again),
        billed.as_micros()
    );
    ledger.close().await;
    Ok(())
}

fn chain(tenant: &Tenant, hours: i64) -> Outcome<Vec<(JournaledRecord, RecordHash)>> {
    let journal_id = JournalId::from_uuid(uuid::Uuid::new_v4());
    let mut hash = RecordHash::GENESIS;
    let mut entries = Vec::new();
    let step = hours * 3_600_000_000 / i64::try_from(RECORDS)?;
    for sequence in 1..=RECORDS {
        let finished_at = Timestamp::from_unix_micros(NOVEMBER + i64::try_from(sequence)? * step);
        let record = record(tenant, sequence, finished_at)?;
        let journaled = JournaledRecord { journal_id, sequence, previous_hash: hash, record };
        hash = RecordHash::from_bytes(Sha256::digest(serde_json::to_vec(&journaled)?).into());
        entries.push((journaled, hash));
    }
    Ok(entries)
}

fn record(tenant: &Tenant, number: u64, finished_at: Timestamp) -> Outcome<UsageRecord> {
    Ok(UsageRecord {
        request_id: RequestId::generate(finished_at),
        tenant_id: tenant.id,
        key_id: format!("key{}", number % 20).parse()?,
        model: "demo".parse()?,
        backend: "local".to_owned(),
        slo: Slo::of_class(SloClass::Interactive),
        reason: EndReason::Completed,
        prompt_tokens: Tokens::new(500 + number % 100),
        cached_prompt_tokens: Tokens::new(number % 100),
        output_tokens: Tokens::new(200 + number % 7),
        reasoning_tokens: Tokens::ZERO,
        ttft: Some(Micros::new(120_000)),
        tpot: Some(Micros::new(20_000)),
        slo_met: !number.is_multiple_of(50),
        tokens_in_slo: Tokens::new(200),
        energy: Millijoules::new(number % 5_000),
        energy_source: EnergySource::Modelled,
        client_stall: Micros::ZERO,
        queue: Micros::new(900),
        started_at: finished_at,
        finished_at,
        price_version: "demo@1".parse()?,
        project_id: None,
        usage_source: UsageSource::Engine,
        charge: Nanos::new(number),
        embeddings_tokens: Tokens::ZERO,
    })
}

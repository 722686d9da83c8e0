//! What a month of many usage records costs in PostgreSQL: shipping, tallies, the invoice, exports, and verifying it.
//! Never an assertion about time: it prints a table beside the budgets of the design.
//! Run by `cargo xtask bench billing`, with `--records N` for another number than a million.
#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

mod server;

use std::{
    fs,
    io::{BufReader, Write as _},
    time::{Duration, Instant},
};

use billing::{
    export::{Dataset, Export, Format, Request, Whose},
    invoice,
    ledger::{Ledger, Limits, NewTenant, RecordFilter, SHIP_RECORDS_MAX, Tenant, TenantTerms},
    plan::Plan,
    verify,
};
use domain::{
    EndReason, EnergySource, JournalId, JournaledRecord, Micros, Millijoules, Nanos, Period, RecordHash,
    RequestId, Slo, SloClass, Timestamp, Tokens, UsageRecord, UsageSource,
};
use server::{Outcome, Server, fresh};
use sha2::{Digest as _, Sha256};

/// Records unless told otherwise: minutes on two cores.
const RECORDS_DEFAULT: u64 = 1_000_000;
/// 2026-11-01T00:00:00Z, and the month's length.
const NOVEMBER: i64 = 1_793_491_200_000_000;
const MONTH_US: i64 = 30 * 86_400_000_000;

/// One row of the table.
struct Step {
    name: &'static str,
    took: Duration,
    /// The process's largest resident memory during the step. Unit: KiB.
    peak_kib: u64,
    /// Records it went over, for a rate; 0 where a rate says nothing.
    records: u64,
    budget: &'static str,
}

fn main() -> Outcome<()> {
    let records = wanted()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let url = std::env::var("TALLYGATE_TEST_POSTGRES_URL").ok();
    // Held until the end: dropping it stops the server.
    let server = match url {
        None => Some(Server::start(folder.path())?),
        Some(_) => None,
    };
    let url = url.or_else(|| server.as_ref().map(Server::url)).ok_or("no PostgreSQL")?;
    println!("{records} usage records of one tenant and month, 50 keys; PostgreSQL, fsync as in production");
    let steps = runtime.block_on(async { measure(&fresh(&url).await?, records).await })?;
    println!("| step | time ms | records/s | peak memory MiB | budget |");
    println!("|---|---|---|---|---|");
    for Step { name, took, peak_kib, records, budget } in steps {
        let rate = u128::from(records) * 1_000_000 / took.as_micros().max(1);
        let rate = if records == 0 { String::new() } else { rate.to_string() };
        println!("| {name} | {} | {rate} | {} | {budget} |", took.as_millis(), peak_kib / 1_024);
    }
    Ok(())
}

/// The number after `--records`. What cargo passes to every benchmark is nothing to this one.
fn wanted() -> Outcome<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--records");
    match arguments.nth(1) {
        Some(number) => {
            Ok(number.parse::<u64>().map_err(|error| format!("--records {number}: {error}"))?.max(1))
        }
        None => Ok(RECORDS_DEFAULT),
    }
}

async fn measure(url: &str, records: u64) -> Outcome<Vec<Step>> {
    let ledger = Ledger::connect(url).await?;
    let now = Timestamp::from_unix_micros(NOVEMBER + MONTH_US);
    ledger.make_months(now, 1).await?;
    let plan = Plan::demo()?;
    ledger.publish_plan(&plan, Timestamp::from_unix_micros(NOVEMBER)).await?;
    let (limits, terms) = (Limits::default(), TenantTerms::default());
    let new = NewTenant { name: "bench", plan_name: "demo", zone: "Asia/Kolkata", limits, terms };
    let tenant = ledger.create_tenant(&new, Timestamp::from_unix_micros(NOVEMBER)).await?;
    let period = Period::month("2026-11", "Asia/Kolkata")?;
    let mut steps = vec![ship(&ledger, &tenant, records).await?];
    let mut note = |name, began: Instant, records, budget| {
        steps.push(Step { name, took: began.elapsed(), peak_kib: peak_kib(), records, budget });
        forget_peak();
    };

    let began = Instant::now();
    let sums = ledger.usage_sums(tenant.id, &period).await?;
    note("sums from tallies", began, 0, "");
    assert!(!sums.is_empty(), "the sums cover what was shipped");
    let began = Instant::now();
    let draft = invoice::preview(&ledger, &tenant, &period, now).await?;
    note("invoice from tallies (draft)", began, 0, "< 1000 ms for 10 million");
    let began = Instant::now();
    let issued = invoice::issue(&ledger, &tenant, &period, now).await?;
    note("issue, raw records counted", began, draft.records, "");
    for (format, name) in [
        (Format::JsonLines, "export of records, JSON Lines"),
        (Format::Parquet, "export of records, Parquet"),
    ] {
        let mut export = usage(&ledger, &tenant, &period, format)?;
        let (began, mut bytes) = (Instant::now(), 0);
        while let Some(piece) = export.next().await? {
            bytes += piece.len();
        }
        note(name, began, draft.records, "constant memory");
        println!("{name}: {bytes} bytes");
    }
    let number = issued.number.as_deref().unwrap_or_default();
    let body = ledger.find_invoice(number).await?.ok_or("the invoice was issued")?.body;
    let began = Instant::now();
    let verified = verified(usage(&ledger, &tenant, &period, Format::JsonLines)?, body, plan).await?;
    note("export through a pipe to verify", began, verified, "constant memory");
    ledger.close().await;
    Ok(steps)
}

/// Ships all records in batches as large as a shipper's; making and hashing them is not counted.
async fn ship(ledger: &Ledger, tenant: &Tenant, records: u64) -> Outcome<Step> {
    let journal_id = JournalId::from_uuid(uuid::Uuid::new_v4());
    let (mut hash, mut number, mut took) = (RecordHash::GENESIS, 0, Duration::ZERO);
    forget_peak();
    while number < records {
        let mut batch = Vec::with_capacity(SHIP_RECORDS_MAX);
        while number < records && batch.len() < SHIP_RECORDS_MAX {
            number += 1;
            let record = record(tenant, number, records)?;
            let journaled = JournaledRecord { journal_id, sequence: number, previous_hash: hash, record };
            hash = RecordHash::from_bytes(Sha256::digest(serde_json::to_vec(&journaled)?).into());
            batch.push((journaled, hash));
        }
        let began = Instant::now();
        ledger.ship(journal_id, &batch).await?;
        took += began.elapsed();
    }
    let step = Step {
        name: "shipping, with tallies",
        took,
        peak_kib: peak_kib(),
        records,
        budget: ">= 20000 records/s",
    };
    forget_peak();
    Ok(step)
}

/// What `tallygate export usage` writes.
fn usage(ledger: &Ledger, tenant: &Tenant, period: &Period, format: Format) -> Outcome<Export> {
    let whose = Whose::Tenant(Box::new(tenant.clone()), period.clone());
    let (dataset, filter) = (Dataset::Usage, RecordFilter::default());
    let request = Request { dataset, format, whose, filter, provider: "Tallygate".to_owned() };
    Ok(Export::new(ledger.clone(), request)?)
}

/// Verifies an invoice against records that are exported meanwhile, so that no disk has to hold them.
async fn verified(mut export: Export, invoice: String, plan: Plan) -> Outcome<u64> {
    let (reader, mut writer) = std::io::pipe()?;
    let verifying = tokio::task::spawn_blocking(move || {
        verify::verify(&invoice, BufReader::with_capacity(1 << 16, reader), vec![plan], None)
    });
    while let Some(piece) = export.next().await? {
        // The runtime has another thread for the database; the pipe holds this one up until the other end has read.
        writer.write_all(&piece)?;
    }
    drop(writer);
    Ok(verifying.await??.records)
}

fn record(tenant: &Tenant, number: u64, records: u64) -> Outcome<UsageRecord> {
    let share = i128::from(MONTH_US) * i128::from(number) / i128::from(records + 1);
    let finished_at = Timestamp::from_unix_micros(NOVEMBER + i64::try_from(share)?);
    Ok(UsageRecord {
        request_id: RequestId::generate(finished_at),
        tenant_id: tenant.id,
        key_id: format!("key{}", number % 50).parse()?,
        model: "demo".parse()?,
        backend: format!("backend{}", number % 4),
        slo: Slo::of_class(SloClass::Interactive),
        reason: EndReason::Completed,
        prompt_tokens: Tokens::new(400 + number % 1_000),
        cached_prompt_tokens: Tokens::new(number % 300),
        output_tokens: Tokens::new(200),
        reasoning_tokens: Tokens::ZERO,
        ttft: Some(Micros::new(180_000)),
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

/// The largest resident memory since it was last forgotten. Unit: KiB; 0 where the system does not tell.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Begins to measure anew. Where the system refuses, the figure is the largest so far.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").ok();
}

//! Measures the usage journal beside a bare append file and SQLite, in one run on one disk.
//! Never asserts a figure: a benchmark that fails on a busy machine teaches people to ignore it.
//! Run with `cargo bench -p billing --bench journal`; `docs/adr/0001-journal-store.md` holds the figures.

#![expect(clippy::print_stdout, reason = "a benchmark's table is its result")]

use std::{
    error::Error,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use billing::journal::{self, Journal, JournalConfig, OpenEntry};
use domain::{
    Clock as _, EndReason, EnergySource, KeyId, Micros, Millijoules, ModelName, Nanos, PlanVersionId,
    RequestId, Slo, SloClass, SystemClock, TenantId, Tokens, UsageRecord, UsageSource,
};
use sqlx::{
    QueryBuilder,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};

/// How long each row of the table is measured. Seven rows and the checks stay below 30 seconds.
const MEASURE: Duration = Duration::from_secs(3);

/// Records in one commit of the stores that are compared.
const BATCHES: [usize; 2] = [1, 64];

/// Tasks that open and close requests at the same time.
const WRITERS: [usize; 3] = [1, 64, 512];

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    // `cargo test --benches` runs this program too; only `cargo bench` means it.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not measured: run it with `cargo bench -p billing --bench journal`");
        return Ok(());
    }
    let folder = Folder::new()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let record = Template::new()?;
    println!("record: {} bytes of JSON; each row runs {} s", record.json()?.len(), MEASURE.as_secs());
    println!("{:<40}{:>12}{:>12}{:>12}{:>14}", "way", "records/s", "p50 µs", "p99 µs", "records/sync");
    for batch in BATCHES {
        append_file(&folder.0.join(format!("append-{batch}")), &record, batch)?
            .print(&format!("file append + fdatasync, batch of {batch}"));
    }
    for batch in BATCHES {
        let path = folder.0.join(format!("sqlite-{batch}"));
        let measured = runtime.block_on(sqlite(&path, &record, batch))?;
        measured.print(&format!("SQLite WAL FULL, batch of {batch}"));
    }
    for writers in WRITERS {
        let path = folder.0.join(format!("journal-{writers}"));
        let measured = runtime.block_on(journal(&path, &record, writers))?;
        measured.print(&format!("journal, {writers} writers"));
        let began = Instant::now();
        let report = journal::verify(&path, |_| {})?;
        println!("  verified: {} records, {} bytes in {:?}", report.records, report.bytes, began.elapsed());
    }
    Ok(())
}

/// A folder on the disk that is measured; removed at the end. `TALLYGATE_BENCH_FOLDER` names another disk.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Outcome<Self> {
        let parent =
            std::env::var_os("TALLYGATE_BENCH_FOLDER").map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = parent.join(format!("tallygate-journal-bench-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind in the temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a row shows. `spans` are one for each commit, or for each close of the journal.
struct Measured {
    records: usize,
    took: Duration,
    spans: Vec<Duration>,
    syncs: u64,
}

impl Measured {
    fn print(mut self, way: &str) {
        self.spans.sort_unstable();
        let at = |percent: usize| {
            let index = (self.spans.len() * percent / 100).min(self.spans.len().saturating_sub(1));
            self.spans.get(index).map_or(0, Duration::as_micros)
        };
        let rate = self.records as u128 * 1_000_000 / self.took.as_micros().max(1);
        let grouped = self.records as u64 / self.syncs.max(1);
        println!("{way:<40}{rate:>12}{:>12}{:>12}{grouped:>14}", at(50), at(99));
    }
}

struct Template {
    tenant_id: TenantId,
    key_id: KeyId,
    model: ModelName,
    price_version: PlanVersionId,
}

impl Template {
    fn new() -> Outcome<Self> {
        Ok(Self {
            tenant_id: TenantId::generate(SystemClock.now()),
            key_id: KeyId::new("k3y9zq7bmd5w")?,
            model: ModelName::new("meta-llama/Llama-3.1-8B-Instruct")?,
            price_version: PlanVersionId::new("standard@3")?,
        })
    }

    fn open(&self) -> OpenEntry {
        let now = SystemClock.now();
        OpenEntry {
            request_id: RequestId::generate(now),
            tenant_id: self.tenant_id,
            key_id: self.key_id.clone(),
            model: self.model.clone(),
            backend: "local".to_owned(),
            slo: Slo::of_class(SloClass::Interactive),
            prompt_tokens: Tokens::new(812),
            started_at: now,
            price_version: self.price_version.clone(),
            project_id: None,
        }
    }

    fn close(&self, open: OpenEntry) -> UsageRecord {
        UsageRecord {
            request_id: open.request_id,
            tenant_id: open.tenant_id,
            key_id: open.key_id,
            model: open.model,
            backend: open.backend,
            slo: open.slo,
            reason: EndReason::Completed,
            prompt_tokens: open.prompt_tokens,
            cached_prompt_tokens: Tokens::new(512),
            output_tokens: Tokens::new(240),
            reasoning_tokens: Tokens::ZERO,
            ttft: Some(Micros::new(183_412)),
            tpot: Some(Micros::new(21_733)),
            slo_met: true,
            tokens_in_slo: Tokens::new(240),
            energy: Millijoules::new(51_734),
            energy_source: EnergySource::NvmlEnergy,
            client_stall: Micros::new(1_204),
            queue: Micros::new(9_312),
            started_at: open.started_at,
            finished_at: SystemClock.now(),
            price_version: open.price_version,
            project_id: open.project_id,
            usage_source: UsageSource::Engine,
            charge: Nanos::new(4_200),
            embeddings_tokens: Tokens::ZERO,
        }
    }

    fn json(&self) -> Outcome<Vec<u8>> {
        Ok(serde_json::to_vec(&self.close(self.open()))?)
    }
}

/// The floor: no checksum, no chain, no thread; one write and one sync for each batch.
fn append_file(path: &Path, template: &Template, batch: usize) -> Outcome<Measured> {
    let mut file = OpenOptions::new().append(true).create_new(true).open(path)?;
    let json = template.json()?;
    let mut buffer = Vec::new();
    for _ in 0..batch {
        buffer.extend_from_slice(&json);
        buffer.push(b'\n');
    }
    let (began, mut spans) = (Instant::now(), Vec::new());
    while began.elapsed() < MEASURE {
        let start = Instant::now();
        file.write_all(&buffer)?;
        file.sync_data()?;
        spans.push(start.elapsed());
    }
    let syncs = spans.len() as u64;
    Ok(Measured { records: spans.len() * batch, took: began.elapsed(), spans, syncs })
}

/// SQLite as the journal would use it: one writer, one transaction and one statement for each batch.
async fn sqlite(path: &Path, template: &Template, batch: usize) -> Outcome<Measured> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool: SqlitePool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    sqlx::query("CREATE TABLE usage (sequence INTEGER PRIMARY KEY, record BLOB NOT NULL)")
        .execute(&pool)
        .await?;
    let json = template.json()?;
    let mut sequence = 0_i64;
    let (began, mut spans) = (Instant::now(), Vec::new());
    while began.elapsed() < MEASURE {
        let start = Instant::now();
        let mut statement = QueryBuilder::<sqlx::Sqlite>::new("INSERT INTO usage (sequence, record) ");
        statement.push_values(0..batch, |mut row, _| {
            sequence += 1;
            row.push_bind(sequence).push_bind(json.as_slice());
        });
        statement.build().execute(&pool).await?;
        spans.push(start.elapsed());
    }
    let took = began.elapsed();
    pool.close().await;
    let syncs = spans.len() as u64;
    Ok(Measured { records: spans.len() * batch, took, spans, syncs })
}

/// The journal as the gateway uses it: each task opens a request, closes it, and waits until it is durable.
async fn journal(path: &Path, template: &Template, writers: usize) -> Outcome<Measured> {
    let (journal, _) = Journal::open(JournalConfig::new(path), Arc::new(SystemClock))?;
    let template = Arc::new(Template { key_id: template.key_id.clone(), ..Template::new()? });
    let began = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (journal, template) = (journal.clone(), Arc::clone(&template));
            tokio::spawn(async move {
                let mut spans = Vec::new();
                while began.elapsed() < MEASURE {
                    let open = template.open();
                    journal.open_request(open.clone())?;
                    let record = template.close(open);
                    let start = Instant::now();
                    // The proof is what the gateway waits for; here only the time matters.
                    drop(journal.close(record).await?);
                    spans.push(start.elapsed());
                }
                Outcome::Ok(spans)
            })
        })
        .collect();
    let mut spans = Vec::new();
    for task in tasks {
        spans.extend(task.await??);
    }
    let took = began.elapsed();
    let syncs = journal.status().commits;
    journal.shutdown().await?;
    Ok(Measured { records: spans.len(), took, spans, syncs })
}

//! `tallygate verify-journal`: every line and link of the journal, and its end against the ledger.
//! Never changes anything and takes no lock.
//! Called by `Cli::run`; auditors may run it beside a serving gateway.

use std::path::{Path, PathBuf};

use billing::{
    journal::{self, VerifyProgress, VerifyReport},
    ledger::{JournalCursor, Ledger},
};
use clap::Args;
use domain::Timestamp;

use super::{CliError, out};
use crate::config::Config;

/// Walks over one journal. Each more needs a server that shipped and removed segments during the one before.
const STARTS_MAX: usize = 3;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The journal's folder, when it is not the configured one. Then the ledger is not compared.
    folder: Option<PathBuf>,
    /// Leave the ledger out: check the files alone.
    #[arg(long)]
    without_ledger: bool,
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<(), CliError> {
    let folder = arguments.folder.clone().unwrap_or_else(|| config.journal_folder());
    if arguments.without_ledger || arguments.folder.is_some() {
        show(&journal::verify(&folder, progress)?);
        return Ok(());
    }
    let ledger = super::open::existing_ledger(config).await?;
    let (report, cursor) = verify_with(&ledger, &folder).await?;
    show(&report);
    compare(&report, &cursor)
}

fn progress(progress: VerifyProgress) {
    if progress.records > 0 {
        out::complain(&format!("segment {}: {} records checked", progress.segment, progress.records));
    }
}

/// Walks the journal with the ledger's cursor in mind.
///
/// The cursor is read before the files: the ledger may only be behind them. A server that ships and removes
/// segments meanwhile may take away the place of an old cursor; then the newer one is taken.
async fn verify_with(ledger: &Ledger, folder: &Path) -> Result<(VerifyReport, JournalCursor), CliError> {
    let journal_id = journal::identity(folder)?;
    let mut cursor = ledger.journal_cursor(journal_id).await?;
    for _ in 1..STARTS_MAX {
        let report = journal::verify_at(folder, cursor.sequence, progress)?;
        let now = ledger.journal_cursor(journal_id).await?;
        if report.hash_at.is_some() || now == cursor {
            return Ok((report, cursor));
        }
        cursor = now;
    }
    Ok((journal::verify_at(folder, cursor.sequence, progress)?, cursor))
}

fn show(report: &VerifyReport) {
    let at = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let rows = [
        ("journal", report.journal_id.to_string()),
        ("segments", report.segments.to_string()),
        ("records", report.records.to_string()),
        ("first sequence", number(report.first_sequence)),
        ("last sequence", number(report.last_sequence)),
        ("last hash", report.last_hash.to_string()),
        ("open requests", report.open_requests.to_string()),
        ("first finished", at(report.first_finished_at)),
        ("last finished", at(report.last_finished_at)),
        ("bytes", report.bytes.to_string()),
    ];
    for (name, text) in rows {
        out::say(&format!("{name:<15} {text}"));
    }
    if let Some(torn) = &report.torn_tail {
        let place = torn.file.display();
        out::say(&format!("torn tail       {} bytes after byte {} of {place}", torn.bytes, torn.offset));
    }
    out::say("The hash chain is whole.");
}

/// A chain cannot prove that its own end is there, nor that it is the chain that was shipped; the ledger remembers
/// how far it came and the hash there, which covers every record before.
///
/// Errors: an end that was removed, records that were removed before the ledger had them, a rewritten record.
fn compare(report: &VerifyReport, cursor: &JournalCursor) -> Result<(), CliError> {
    let shipped = cursor.sequence;
    // After its records were shipped and removed, a journal may hold none; its next header says where it stands.
    let last = report.last_sequence.unwrap_or(match report.hash_at {
        Some(_) => shipped,
        None => 0,
    });
    let message = match (report.hash_at, report.first_sequence) {
        (Some(hash), _) if hash != cursor.hash => format!(
            "journal: record {shipped} has the hash {hash}, but the ledger has {} for it: \
             it, or a record before it, was rewritten",
            cursor.hash
        ),
        (None, Some(first)) if shipped < first => format!(
            "journal: it begins at record {first}, but the ledger has records only up to {shipped}: \
             those between were removed before they were shipped"
        ),
        (None, _) => format!(
            "journal: it ends at record {last}, but the ledger has records up to {shipped} of it: \
             its end was removed"
        ),
        (Some(_), _) => {
            let behind = last.saturating_sub(shipped);
            out::say(&format!("The ledger has it up to record {shipped}; {behind} not yet shipped."));
            return Ok(());
        }
    };
    Err(CliError::Usage(message))
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use billing::journal::{Journal, JournalConfig, OpenEntry};
    use domain::{
        EndReason, EnergySource, Micros, Millijoules, Nanos, RequestId, Slo, SloClass, SystemClock, TenantId,
        Tokens, UsageRecord, UsageSource,
    };

    use super::*;

    /// Appends one record for each count of output tokens.
    async fn write(folder: &Path, counts: &[u64]) {
        let config = JournalConfig::new(folder);
        let (journal, _) = Journal::open(config, Arc::new(SystemClock)).expect("a journal");
        let at = Timestamp::from_unix_micros(1_794_268_800_000_000);
        for count in counts {
            let output_tokens = Tokens::new(*count);
            let entry = OpenEntry {
                request_id: RequestId::generate(at),
                tenant_id: TenantId::generate(at),
                key_id: "K1".parse().expect("a key id"),
                model: "demo".parse().expect("a model"),
                backend: "local".to_owned(),
                slo: Slo::of_class(SloClass::Standard),
                prompt_tokens: Tokens::new(3),
                started_at: at,
                price_version: "demo@1".parse().expect("a version"),
                project_id: None,
            };
            journal.open_request(entry.clone()).expect("open");
            let record = UsageRecord {
                request_id: entry.request_id,
                tenant_id: entry.tenant_id,
                key_id: entry.key_id,
                model: entry.model,
                backend: entry.backend,
                slo: entry.slo,
                reason: EndReason::Completed,
                prompt_tokens: entry.prompt_tokens,
                cached_prompt_tokens: Tokens::ZERO,
                output_tokens,
                reasoning_tokens: Tokens::ZERO,
                ttft: None,
                tpot: None,
                slo_met: true,
                tokens_in_slo: output_tokens,
                energy: Millijoules::new(1),
                energy_source: EnergySource::Modelled,
                client_stall: Micros::ZERO,
                queue: Micros::ZERO,
                started_at: at,
                finished_at: at,
                price_version: entry.price_version,
                project_id: entry.project_id,
                usage_source: UsageSource::Engine,
                charge: Nanos::ZERO,
                embeddings_tokens: Tokens::ZERO,
            };
            drop(journal.close(record).await.expect("close"));
        }
        journal.shutdown().await.expect("shutdown");
    }

    fn copy(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
        }
    }

    /// What the command says of a folder, as of a ledger that took all records of another.
    async fn verdict(ledger: &Ledger, folder: &Path) -> String {
        let (report, cursor) = verify_with(ledger, folder).await.expect("a whole chain");
        compare(&report, &cursor).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_rewritten_record_is_found_also_behind_unshipped_ones() {
        let folders = [(); 4].map(|()| tempfile::tempdir().expect("a folder"));
        let [genuine, forged, shortened, place] = folders.each_ref().map(tempfile::TempDir::path);
        let url = format!("sqlite://{}", place.join("ledger.db").display());
        let ledger = Ledger::connect(&url).await.expect("a ledger");
        // Journals of one identity, all empty.
        write(genuine, &[]).await;
        copy(genuine, forged);
        copy(genuine, shortened);
        for folder in [genuine, forged, shortened] {
            assert_eq!(verdict(&ledger, folder).await, "", "nothing was shipped, nothing is there");
        }

        write(genuine, &[900]).await;
        let shipped: Vec<_> =
            journal::read_all(genuine).expect("a journal").collect::<Result<_, _>>().expect("whole");
        ledger.ship(shipped[0].0.journal_id, &shipped).await.expect("shipped");
        assert_eq!(verdict(&ledger, genuine).await, "");
        write(genuine, &[5]).await;
        assert_eq!(verdict(&ledger, genuine).await, "", "a record more is not yet shipped");

        // Fewer tokens in the record that was shipped, with right hashes from there on.
        write(forged, &[9]).await;
        assert!(verdict(&ledger, forged).await.contains("was rewritten"));
        write(forged, &[5]).await;
        let found = verdict(&ledger, forged).await;
        assert!(found.contains("record 1 has the hash") && found.contains("was rewritten"), "{found}");

        assert!(
            verdict(&ledger, shortened)
                .await
                .contains("it ends at record 0, but the ledger has records up to 1")
        );
    }
}

//! `tallygate verify-journal`: every line and link of the journal, and its end against the ledger.
//! Never changes anything and takes no lock.
//! Called by `Cli::run`; auditors may run it beside a serving gateway.

use std::path::PathBuf;

use billing::{
    journal::{self, VerifyReport},
    ledger::{JournalCursor, Ledger},
};
use clap::Args;
use domain::Timestamp;

use super::{CliError, out};
use crate::config::Config;

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
    // Read before the files: the ledger may only be behind them.
    let is_alone = arguments.without_ledger || arguments.folder.is_some();
    let ledger = if is_alone { None } else { Some(super::open::existing_ledger(config).await?) };
    let before = match &ledger {
        Some(ledger) => cursor(ledger, &folder).await?,
        None => None,
    };
    let report = journal::verify(&folder, |progress| {
        if progress.records > 0 {
            out::complain(&format!("segment {}: {} records checked", progress.segment, progress.records));
        }
    })?;
    show(&report);
    match before {
        Some(cursor) => compare(&report, &cursor),
        None => Ok(()),
    }
}

/// What the ledger has of the journal in this folder.
async fn cursor(ledger: &Ledger, folder: &std::path::Path) -> Result<Option<JournalCursor>, CliError> {
    let journal_id = journal::identity(folder)?;
    Ok(Some(ledger.journal_cursor(journal_id).await?))
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

/// A chain cannot prove that its own end is there; the ledger remembers it.
fn compare(report: &VerifyReport, cursor: &JournalCursor) -> Result<(), CliError> {
    let last = report.last_sequence.unwrap_or(0);
    if cursor.sequence > last {
        let message = format!(
            "journal: it ends at record {last}, but the ledger has records up to {} of it: its end was removed",
            cursor.sequence
        );
        return Err(CliError::Usage(message));
    }
    if cursor.sequence == last && last > 0 && cursor.hash != report.last_hash {
        let message = format!(
            "journal: record {last} has the hash {}, but the ledger has {} for it: it was rewritten",
            report.last_hash, cursor.hash
        );
        return Err(CliError::Usage(message));
    }
    let behind = last - cursor.sequence;
    out::say(&format!("The ledger has it up to record {}; {behind} not yet shipped.", cursor.sequence));
    Ok(())
}

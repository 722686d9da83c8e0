//! Tests of the journal, and what they share: entries to write, folders to break, a disk that fails.
//! Never a fixed sleep where an event can be waited for, and never an unseeded chance.
//! One file for each question: round trip, recovery, tampering, faults, bounds, killed processes.

mod bound;
mod crash;
mod faults;
mod recovery;
mod round_trip;
mod tamper;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{
    EndReason, EnergySource, JournaledRecord, KeyId, ManualClock, Micros, Millijoules, ModelName, Nanos,
    PlanVersionId, ProjectId, RecordHash, RequestId, Slo, SloClass, SystemClock, TenantId, Timestamp, Tokens,
    UsageRecord, UsageSource,
};
use uuid::Uuid;

use super::{
    CheckpointEntry, Journal, JournalConfig, JournalError, OpenEntry, Recovery, VerifyReport, disk::Disk,
    read_after, read_all, verify, verify_at,
};

const NOW: Timestamp = Timestamp::from_unix_micros(1_780_000_000_000_000);

fn clock() -> ManualClock {
    ManualClock::new(NOW)
}

fn id(number: u128) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(0x7000_8000_0000_0000_0000 + number))
}

fn opened(request_id: RequestId) -> OpenEntry {
    OpenEntry {
        request_id,
        tenant_id: TenantId::from_uuid(Uuid::from_u128(7)),
        key_id: KeyId::new("k1").expect("key id"),
        model: ModelName::new("demo").expect("model"),
        backend: "local".to_owned(),
        slo: Slo::of_class(SloClass::Interactive),
        prompt_tokens: Tokens::new(12),
        started_at: NOW,
        price_version: PlanVersionId::new("demo@1").expect("plan version"),
        project_id: Some(ProjectId::from_uuid(Uuid::from_u128(8))),
    }
}

fn checkpointed(request_id: RequestId, output_tokens: u64) -> CheckpointEntry {
    CheckpointEntry {
        request_id,
        at: Timestamp::from_unix_micros(NOW.unix_micros() + i64::try_from(output_tokens).expect("small")),
        output_tokens: Tokens::new(output_tokens),
        tokens_in_slo: Tokens::new(output_tokens / 2),
        cached_prompt_tokens: Tokens::new(4),
        ttft: Some(Micros::new(300)),
        energy: Millijoules::new(output_tokens * 10),
        energy_source: EnergySource::Rapl,
        client_stall: Micros::new(5),
        queue: Micros::new(6),
    }
}

fn closed(request_id: RequestId) -> UsageRecord {
    let open = opened(request_id);
    UsageRecord {
        request_id,
        tenant_id: open.tenant_id,
        key_id: open.key_id,
        model: open.model,
        backend: open.backend,
        slo: open.slo,
        reason: EndReason::Completed,
        prompt_tokens: open.prompt_tokens,
        cached_prompt_tokens: Tokens::ZERO,
        output_tokens: Tokens::new(34),
        reasoning_tokens: Tokens::new(1),
        ttft: Some(Micros::new(1_000)),
        tpot: Some(Micros::new(100)),
        slo_met: true,
        tokens_in_slo: Tokens::new(34),
        energy: Millijoules::new(56_789),
        energy_source: EnergySource::Modelled,
        client_stall: Micros::ZERO,
        queue: Micros::new(3),
        started_at: NOW,
        finished_at: Timestamp::from_unix_micros(NOW.unix_micros() + 4_400),
        price_version: open.price_version,
        project_id: open.project_id,
        usage_source: UsageSource::Upstream,
        charge: Nanos::new(77),
        embeddings_tokens: Tokens::ZERO,
    }
}

fn config(folder: &Path) -> JournalConfig {
    JournalConfig::new(folder)
}

/// Segments of the smallest size: some seven records each.
fn small_segments(folder: &Path) -> JournalConfig {
    JournalConfig { segment_bytes_max: 8_192, ..JournalConfig::new(folder) }
}

fn open(config: JournalConfig) -> Result<(Journal, Recovery), JournalError> {
    Journal::open(config, Arc::new(SystemClock))
}

fn open_on(config: JournalConfig, disk: Arc<dyn Disk>) -> Result<(Journal, Recovery), JournalError> {
    Journal::open_on(config, &clock(), disk)
}

/// Opens and closes requests `numbers`, one after the other.
async fn write(journal: &Journal, numbers: std::ops::Range<u128>) {
    for number in numbers {
        journal.open_request(opened(id(number))).expect("open");
        drop(journal.close(closed(id(number))).await.expect("close"));
    }
}

fn segment(folder: &Path, number: u64) -> PathBuf {
    super::disk::segment_path(folder, number)
}

fn read(folder: &Path) -> Vec<(JournaledRecord, RecordHash)> {
    read_all(folder).expect("journal").collect::<Result<_, _>>().expect("records")
}

fn request_ids(folder: &Path) -> Vec<RequestId> {
    read(folder).into_iter().map(|(record, _)| record.record.request_id).collect()
}

fn check(folder: &Path) -> VerifyReport {
    verify(folder, |_| {}).expect("a whole journal")
}

/// The lines of a segment, without newlines.
fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).expect("text").lines().map(str::to_owned).collect()
}

fn write_lines(path: &Path, lines: &[String]) {
    fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).expect("write");
}

/// The line with a checksum that fits what it says now: what a careful forger would do.
fn reseal(line: &str) -> String {
    let body = &line[9..];
    format!("{:08x} {body}", crc32c::crc32c(body.as_bytes()))
}

/// Where the lines of `kind` are.
fn indexes(lines: &[String], kind: &str) -> Vec<usize> {
    (0..lines.len()).filter(|index| lines[*index][9..].starts_with(&format!("{kind} "))).collect()
}

/// A copy of a journal folder, to be broken.
fn copy(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("temp dir");
    for entry in fs::read_dir(folder).expect("folder") {
        let entry = entry.expect("entry");
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copy");
    }
    copy
}

//! Reads a tenant's export of usage records, checks each, and sums them up as an invoice needs them.
//! Never holds more than one record: what is kept are the sums.
//! Called by `verify`, and by `reconcile` for records that come from the ledger.

use std::{collections::BTreeMap, io::BufRead};

use domain::{
    EndReason, EnergySource, JournaledRecord, ModelName, Period, PlanVersionId, ProjectId, QuantityError,
    RecordHash, RequestId, SloClass, TenantId, Timestamp, UsageRecord,
};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use super::{VerifyError, lines::each_line};
use crate::{
    invoice::{Days, ProjectUse},
    journal::hash_of,
    ledger::{NO_PROJECT, UsageSum, UsageTotals},
    statement::{Seal, SealBuilder},
};

/// A record has less than a kilobyte; beyond this a line is something else. Unit: bytes.
const LINE_BYTES_MAX: usize = 64 * 1_024;
/// Fields that a record leaves out where they say the usual.
const USUAL_FIELDS: [&str; 4] = ["project_id", "usage_source", "charge_nanos", "embeddings_tokens"];

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordProblem {
    /// Too long for a record.
    #[error("more than {LINE_BYTES_MAX} bytes: this is no record")]
    TooLong,
    /// Not a record.
    #[error("not a usage record: {0}")]
    NotARecord(#[from] serde_json::Error),
    /// Not what was measured.
    #[error("request {request_id}: the record hashes to {computed}, and says {stated}: it was changed")]
    WrongHash {
        /// Which request.
        request_id: RequestId,
        /// What its fields give.
        computed: RecordHash,
        /// What it says.
        stated: RecordHash,
    },
    /// Somebody else's.
    #[error("request {0} is another tenant's")]
    OtherTenant(RequestId),
    /// Of another time.
    #[error("request {0} finished outside the invoice's period")]
    OtherPeriod(RequestId),
    /// Twice, or sorted in another way.
    #[error("request {0} is there twice, or not in the order of the export")]
    OutOfOrder(RequestId),
    /// One project, two names.
    #[error("request {0} names its project by another path than the records before it")]
    OtherPath(RequestId),
    /// Such a path would be on no invoice, and no hash covers it.
    #[error("request {0} names the path of a project, and belongs to none")]
    PathWithoutProject(RequestId),
    /// Something that no record has.
    #[error("a record has no field {0:?}")]
    UnknownField(String),
    /// More than can be counted.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
}

#[derive(Deserialize)]
struct ExportLine {
    #[serde(flatten)]
    journaled: JournaledRecord,
    hash: RecordHash,
    #[serde(default)]
    project_path: Option<String>,
}

/// What usage is summed by.
type SumKey = (PlanVersionId, ModelName, SloClass, EndReason, EnergySource);

/// The sums of usage records, by project, and their seal.
#[derive(Debug)]
pub(crate) struct ReadUsage {
    days: Days,
    by_project: BTreeMap<Option<ProjectId>, ProjectUse>,
    /// The records in short.
    pub(crate) seal: Seal,
    /// Records that a statement says came too late for the invoice; they are in no sum.
    pub(crate) records_late: u64,
}

impl ReadUsage {
    /// The tokens of each day.
    pub(super) fn days(&self) -> &Days {
        &self.days
    }

    /// Every sum.
    pub(crate) fn sums(&self) -> impl Iterator<Item = &UsageSum> {
        self.by_project.values().flat_map(|used| &used.sums)
    }

    /// What of it was used by requests that missed a target.
    pub(super) fn late(&self) -> impl Iterator<Item = &UsageSum> {
        self.by_project.values().flat_map(|used| &used.late)
    }

    /// The same by project, by path; nothing where no request belonged to one.
    pub(super) fn projects(&self) -> Vec<ProjectUse> {
        if self.by_project.keys().all(Option::is_none) {
            return Vec::new();
        }
        let mut uses: Vec<_> = self.by_project.values().cloned().collect();
        uses.sort_by(|left, right| left.path.cmp(&right.path));
        uses
    }
}

/// Takes the records of one tenant and period, one after another.
pub(crate) struct UsageReader<'a> {
    tenant: TenantId,
    period: &'a Period,
    /// What a statement says is on the invoice.
    stated: Option<&'a Seal>,
    projects: BTreeMap<Option<ProjectId>, ProjectTotals>,
    days: Days,
    zone: TimeZone,
    seal: SealBuilder,
    records_late: u64,
    last: Option<(Timestamp, RequestId)>,
}

impl<'a> UsageReader<'a> {
    /// With a seal, records that came after it was made are left out.
    pub(crate) fn new(tenant: TenantId, period: &'a Period, stated: Option<&'a Seal>) -> Self {
        Self {
            tenant,
            period,
            stated,
            projects: BTreeMap::new(),
            days: Days::default(),
            zone: TimeZone::get(period.zone()).unwrap_or(TimeZone::UTC),
            seal: SealBuilder::default(),
            records_late: 0,
            last: None,
        }
    }

    /// Takes a record that is what was measured, of this tenant and period, and after the one before.
    ///
    /// Errors: it is not; nothing is taken.
    pub(crate) fn take(
        &mut self,
        journaled: JournaledRecord,
        stated: RecordHash,
        project_path: Option<String>,
    ) -> Result<(), RecordProblem> {
        let computed = hash_of(&journaled)?;
        let (journal_id, sequence) = (journaled.journal_id, journaled.sequence);
        let record = journaled.record;
        let request_id = record.request_id;
        if computed != stated {
            return Err(RecordProblem::WrongHash { request_id, computed, stated });
        }
        if record.tenant_id != self.tenant {
            return Err(RecordProblem::OtherTenant(request_id));
        }
        if !self.period.contains(record.finished_at) {
            return Err(RecordProblem::OtherPeriod(request_id));
        }
        // The export is sorted by the end of requests and their ids, so what comes twice does not come after itself.
        let place = (record.finished_at, request_id);
        if self.last.is_some_and(|last| place <= last) {
            return Err(RecordProblem::OutOfOrder(request_id));
        }
        self.last = Some(place);
        if self.stated.is_some_and(|seal| seal.is_late(journal_id, sequence)) {
            self.records_late += 1;
            return Ok(());
        }
        if record.project_id.is_none() && project_path.is_some() {
            return Err(RecordProblem::PathWithoutProject(request_id));
        }
        let unnamed = || record.project_id.map_or_else(|| NO_PROJECT.to_owned(), |id| id.to_string());
        let path = project_path.unwrap_or_else(unnamed);
        let start = || ProjectTotals { path: path.clone(), ..ProjectTotals::default() };
        let project = self.projects.entry(record.project_id).or_insert_with(start);
        if project.path != path {
            return Err(RecordProblem::OtherPath(request_id));
        }
        self.seal.add((journal_id, sequence, stated), &UsageTotals::of(&record))?;
        project.add(&record)?;
        self.days.add(record.finished_at, &self.zone, &UsageTotals::of(&record));
        Ok(())
    }

    /// All that were taken.
    pub(crate) fn finish(self) -> ReadUsage {
        let by_project = self.projects.into_iter().map(|(id, ProjectTotals { path, all, late })| {
            (id, ProjectUse { id, path, sums: sums(all), late: sums(late) })
        });
        ReadUsage {
            days: self.days,
            by_project: by_project.collect(),
            seal: self.seal.finish(),
            records_late: self.records_late,
        }
    }
}

/// Reads all of an export.
///
/// Errors: the first record that is not good, by its line.
pub(super) fn read(usage: impl BufRead, mut reader: UsageReader<'_>) -> Result<ReadUsage, VerifyError> {
    each_line(usage, LINE_BYTES_MAX, |line, text| {
        let taken = match text {
            Some(text) => take_line(&mut reader, text),
            None => Err(RecordProblem::TooLong),
        };
        taken.map_err(|problem| VerifyError::BadRecord { line, problem })
    })?;
    Ok(reader.finish())
}

/// Takes one line of an export.
///
/// Errors: it is no record, or no good one.
pub(crate) fn take_line(reader: &mut UsageReader<'_>, text: &[u8]) -> Result<(), RecordProblem> {
    let ExportLine { journaled, hash, project_path } = serde_json::from_slice(text)?;
    if let Some(name) = unknown_field(text, &journaled)? {
        return Err(RecordProblem::UnknownField(name));
    }
    reader.take(journaled, hash, project_path)
}

/// The first field that no record has: its hash would not cover it, and a field that is misspelt is one that is missing.
fn unknown_field(text: &[u8], journaled: &JournaledRecord) -> Result<Option<String>, serde_json::Error> {
    let (given, known): (Value, Value) = (serde_json::from_slice(text)?, serde_json::to_value(journaled)?);
    let unknown = |given: &Value, known: &Value, more: &[&str]| {
        let is_known = |name: &str| known.get(name).is_some() || more.contains(&name);
        let mut names = given.as_object().into_iter().flat_map(serde_json::Map::keys);
        names.find(|name| !is_known(name)).cloned()
    };
    Ok(unknown(&given, &known, &["hash", "project_path"])
        // What is left out where it is the usual may be written out as well.
        .or_else(|| unknown(&given["record"], &known["record"], &USUAL_FIELDS))
        .or_else(|| unknown(&given["record"]["slo"], &known["record"]["slo"], &[])))
}

fn sums(totals: BTreeMap<SumKey, UsageTotals>) -> Vec<UsageSum> {
    let sum = |((price_version, model, slo_class, reason, energy_source), totals)| UsageSum {
        price_version,
        model,
        slo_class,
        reason,
        energy_source,
        totals,
    };
    totals.into_iter().map(sum).collect()
}

/// What was used in a project: all of it, and by requests that missed a target.
#[derive(Default)]
struct ProjectTotals {
    path: String,
    all: BTreeMap<SumKey, UsageTotals>,
    late: BTreeMap<SumKey, UsageTotals>,
}

impl ProjectTotals {
    fn add(&mut self, record: &UsageRecord) -> Result<(), QuantityError> {
        let used = UsageTotals::of(record);
        let sides = [Some(&mut self.all), (!record.slo_met).then_some(&mut self.late)];
        for side in sides.into_iter().flatten() {
            let totals = side.entry(key(record)).or_default();
            *totals = totals.checked_add(&used)?;
        }
        Ok(())
    }
}

fn key(record: &UsageRecord) -> SumKey {
    let (version, model) = (record.price_version.clone(), record.model.clone());
    (version, model, record.slo.class, record.reason, record.energy_source)
}

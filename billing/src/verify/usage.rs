//! Reads a tenant's export of usage records, checks each, and sums them up as an invoice needs them.
//! Never holds more than one record: what is kept are the sums.
//! Called by `verify`.

use std::{
    collections::BTreeMap,
    io::{BufRead, Read as _},
};

use domain::{
    EndReason, EnergySource, JournaledRecord, ModelName, Period, PlanVersionId, ProjectId, QuantityError,
    RecordHash, RequestId, SloClass, Timestamp, UsageRecord,
};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::VerifyError;
use crate::{
    invoice::{Days, ProjectUse},
    journal::hash_of,
    ledger::{NO_PROJECT, Tenant, UsageSum, UsageTotals},
};

/// A record has less than a kilobyte; beyond this a line is something else. Unit: bytes.
const LINE_BYTES_MAX: u64 = 64 * 1_024;

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

/// The sums of an export, by project.
#[derive(Debug, Default)]
pub(super) struct ReadUsage {
    days: Days,
    by_project: BTreeMap<Option<ProjectId>, ProjectUse>,
}

impl ReadUsage {
    /// The tokens of each day.
    pub(super) fn days(&self) -> &Days {
        &self.days
    }

    /// Every sum.
    pub(super) fn sums(&self) -> impl Iterator<Item = &UsageSum> {
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

/// Reads all of it.
///
/// Errors: the first record that is not good, by its line.
pub(super) fn read(
    mut usage: impl BufRead,
    tenant: &Tenant,
    period: &Period,
) -> Result<ReadUsage, VerifyError> {
    let mut projects: BTreeMap<Option<ProjectId>, ProjectTotals> = BTreeMap::new();
    let mut last: Option<(Timestamp, RequestId)> = None;
    let mut text = Vec::new();
    let (mut days, zone) = (Days::default(), TimeZone::get(period.zone()).unwrap_or(TimeZone::UTC));
    for line in 1.. {
        text.clear();
        let length = usage.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
        if length == 0 {
            break;
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let bad = |problem| VerifyError::BadRecord { line, problem };
        let is_cut =
            text.last() != Some(&b'\n') && u64::try_from(length).unwrap_or(u64::MAX) == LINE_BYTES_MAX;
        if is_cut {
            return Err(bad(RecordProblem::TooLong));
        }
        let (record, project_path) = checked(&text, tenant, period, &mut last).map_err(bad)?;
        let unnamed = || record.project_id.map_or_else(|| NO_PROJECT.to_owned(), |id| id.to_string());
        let path = project_path.unwrap_or_else(unnamed);
        let start = || ProjectTotals { path, ..ProjectTotals::default() };
        let project = projects.entry(record.project_id).or_insert_with(start);
        project.add(&record).map_err(|error| bad(error.into()))?;
        days.add(record.finished_at, &zone, &UsageTotals::of(&record));
    }
    let by_project = projects.into_iter().map(|(id, ProjectTotals { path, all, late })| {
        (id, ProjectUse { id, path, sums: sums(all), late: sums(late) })
    });
    Ok(ReadUsage { days, by_project: by_project.collect() })
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

/// A record that is what was measured, of this tenant and period, and after the one before.
fn checked(
    text: &[u8],
    tenant: &Tenant,
    period: &Period,
    last: &mut Option<(Timestamp, RequestId)>,
) -> Result<(UsageRecord, Option<String>), RecordProblem> {
    let ExportLine { journaled, hash: stated, project_path } = serde_json::from_slice(text)?;
    let computed = hash_of(&journaled)?;
    let record = journaled.record;
    let request_id = record.request_id;
    if computed != stated {
        return Err(RecordProblem::WrongHash { request_id, computed, stated });
    }
    if record.tenant_id != tenant.id {
        return Err(RecordProblem::OtherTenant(request_id));
    }
    if !period.contains(record.finished_at) {
        return Err(RecordProblem::OtherPeriod(request_id));
    }
    // The export is sorted by the end of requests and their ids, so what comes twice does not come after itself.
    let place = (record.finished_at, request_id);
    if last.is_some_and(|last| place <= last) {
        return Err(RecordProblem::OutOfOrder(request_id));
    }
    *last = Some(place);
    Ok((record, project_path))
}

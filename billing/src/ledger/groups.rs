//! Usage of a period by hours, days, models, classes, reasons, keys or projects, also of one part of a tenant's tree.
//! Never a rate and never a sum of its own: everything is added up from what `tallies` gives.
//! Called by `tallygate usage` and the operators' interface.

use std::collections::{BTreeMap, HashSet};

use domain::{Period, ProjectId, TenantId, Timestamp};
use jiff::{ToSpan, tz::TimeZone};
use uuid::Uuid;

use super::{
    Ledger, LedgerError, Transaction, UsageSum, UsageTotals, projects, sql,
    tallies::{TotalsRow, span_values, sums_by_project},
};

/// Hours or days in one answer: a month of hours is 745. A longer period is asked for by day.
const SPANS_MAX: usize = 1_000;

/// What stands in the place of a project's path for keys that have none. No path looks like this.
pub const NO_PROJECT: &str = "(no project)";

/// What a usage summary is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageGroup {
    /// Hours of the period, from its start.
    Hour,
    /// Days of the period's zone.
    Day,
    /// Models.
    Model,
    /// Latency classes.
    SloClass,
    /// Reasons.
    Reason,
    /// Keys.
    Key,
    /// Projects by their paths, each without those below it; [`NO_PROJECT`] for keys that have none.
    Project,
}

/// What one group used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupUsage {
    /// The hour, day, model, class, reason, key, or the project's path.
    pub name: String,
    /// The project, where usage is grouped by projects and this is one.
    pub project_id: Option<ProjectId>,
    /// The sums.
    pub totals: UsageTotals,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    key_id: String,
    project_id: Uuid,
    #[sqlx(flatten)]
    totals: TotalsRow,
}

/// Whose usage is looked at: all of a tenant, or a part of its tree of projects.
struct Part {
    tenant: TenantId,
    /// A project and all below it. `None`: everything.
    projects: Option<HashSet<ProjectId>>,
}

impl Part {
    fn has(&self, project: Option<ProjectId>) -> bool {
        let Some(projects) = &self.projects else { return true };
        project.is_some_and(|project| projects.contains(&project))
    }

    /// One statement, so the sums are of one moment.
    async fn sums(
        &self,
        transaction: &mut Transaction,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<(Option<ProjectId>, UsageSum)>, LedgerError> {
        let mut sums = sums_by_project(transaction, self.tenant, start, end).await?;
        sums.retain(|(project, _)| self.has(*project));
        Ok(sums)
    }
}

impl Ledger {
    /// What a tenant used in a period, grouped; with each group's name. Groups without usage are left out.
    ///
    /// With a project, only what was used in it and in all projects below it.
    /// Errors: more than 1,000 hours or days; the tenant has no such project.
    pub async fn usage_by(
        &self,
        tenant: TenantId,
        period: &Period,
        group: UsageGroup,
        within: Option<ProjectId>,
    ) -> Result<Vec<GroupUsage>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let projects = match within {
            Some(project) => Some(projects::with_those_below(&mut transaction, tenant, project).await?),
            None => None,
        };
        let part = Part { tenant, projects };
        let named = match group {
            UsageGroup::Key => by_key(&mut transaction, &part, period).await?,
            UsageGroup::Project => return by_project(&mut transaction, &part, period).await,
            UsageGroup::Hour => by_span(&mut transaction, &part, hours(period)?).await?,
            UsageGroup::Day => by_span(&mut transaction, &part, days(period)?).await?,
            UsageGroup::Model => {
                by_name(&mut transaction, &part, period, |sum| sum.model.to_string()).await?
            }
            UsageGroup::SloClass => {
                by_name(&mut transaction, &part, period, |sum| sum.slo_class.to_string()).await?
            }
            UsageGroup::Reason => {
                by_name(&mut transaction, &part, period, |sum| sum.reason.as_str().to_owned()).await?
            }
        };
        Ok(named.into_iter().map(|(name, totals)| GroupUsage { name, project_id: None, totals }).collect())
    }
}

/// Named sums.
type Named = Vec<(String, UsageTotals)>;

async fn by_name(
    transaction: &mut Transaction,
    part: &Part,
    period: &Period,
    name: fn(&UsageSum) -> String,
) -> Result<Named, LedgerError> {
    let mut groups: BTreeMap<String, UsageTotals> = BTreeMap::new();
    for (_, sum) in part.sums(transaction, period.start(), period.end()).await? {
        let totals = groups.entry(name(&sum)).or_default();
        *totals = totals.checked_add(&sum.totals)?;
    }
    Ok(groups.into_iter().collect())
}

async fn by_key(transaction: &mut Transaction, part: &Part, period: &Period) -> Result<Named, LedgerError> {
    let values = span_values(part.tenant, period.start(), period.end());
    let rows: Vec<KeyRow> = transaction.rows(sql::USAGE_BY_KEY, &values).await?;
    let mut groups: BTreeMap<String, UsageTotals> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| part.has(projects::of_column(row.project_id))) {
        let own = UsageTotals::from_row(&row.totals)?;
        let totals = groups.entry(row.key_id).or_default();
        *totals = totals.checked_add(&own)?;
    }
    Ok(groups.into_iter().collect())
}

async fn by_project(
    transaction: &mut Transaction,
    part: &Part,
    period: &Period,
) -> Result<Vec<GroupUsage>, LedgerError> {
    let mut groups: BTreeMap<Option<ProjectId>, UsageTotals> = BTreeMap::new();
    for (project, sum) in part.sums(transaction, period.start(), period.end()).await? {
        let totals = groups.entry(project).or_default();
        *totals = totals.checked_add(&sum.totals)?;
    }
    let all = projects::of(transaction, Some(part.tenant)).await?;
    let named = groups.into_iter().map(|(project_id, totals)| GroupUsage {
        name: projects::name_of(project_id, &all),
        project_id,
        totals,
    });
    let mut named: Vec<_> = named.collect();
    named.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(named)
}

/// A named span of time.
type Span = (String, Timestamp, Timestamp);

async fn by_span(transaction: &mut Transaction, part: &Part, spans: Vec<Span>) -> Result<Named, LedgerError> {
    let mut groups = Vec::new();
    for (name, start, end) in spans {
        let sums = part.sums(transaction, start, end).await?;
        let add =
            |totals: UsageTotals, (_, sum): &(Option<ProjectId>, UsageSum)| totals.checked_add(&sum.totals);
        let totals = sums.iter().try_fold(UsageTotals::default(), add)?;
        if totals.requests > 0 {
            groups.push((name, totals));
        }
    }
    Ok(groups)
}

fn hours(period: &Period) -> Result<Vec<Span>, LedgerError> {
    spans(period, |at| at.checked_add(1.hour()).ok(), |at| at.strftime("%Y-%m-%d %H:%M %:z").to_string())
}

fn days(period: &Period) -> Result<Vec<Span>, LedgerError> {
    let next_day = |at: &jiff::ZonedDateTime| at.start_of_day().ok()?.tomorrow().ok()?.start_of_day().ok();
    spans(period, next_day, |at| at.date().to_string())
}

fn spans(
    period: &Period,
    next: impl Fn(&jiff::ZonedDateTime) -> Option<jiff::ZonedDateTime>,
    name: impl Fn(&jiff::ZonedDateTime) -> String,
) -> Result<Vec<Span>, LedgerError> {
    let out_of_range = || LedgerError::Period(domain::PeriodError::OutOfRange);
    let zone = TimeZone::get(period.zone()).map_err(|error| LedgerError::corrupt("time zone", &error))?;
    let start =
        jiff::Timestamp::from_microsecond(period.start().unix_micros()).map_err(|_| out_of_range())?;
    let mut at = start.to_zoned_datetime(zone);
    let mut spans = Vec::new();
    let mut from = period.start();
    while from < period.end() {
        if spans.len() == SPANS_MAX {
            return Err(out_of_range());
        }
        let following = next(&at).ok_or_else(out_of_range)?;
        let to = Timestamp::from_unix_micros(following.timestamp().as_microsecond()).min(period.end());
        if to <= from {
            return Err(out_of_range());
        }
        spans.push((name(&at), from, to));
        (at, from) = (following, to);
    }
    Ok(spans)
}

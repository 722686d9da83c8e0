//! The tokens of each day of a period, for the chart on an invoice.
//! Never an amount: nothing is charged by the day.
//! Called by `issue`, and by `verify`, which counts the same from the records.

use std::collections::BTreeMap;

use domain::{Period, Timestamp};
use jiff::{civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::Invoice;
use crate::ledger::{LedgerError, Tenant, Transaction, UsageTotals, usage_sums_by_project};

/// Days of one chart: more are no bars any more.
const DAYS_MAX: usize = 62;

/// What was used on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayTokens {
    /// The day, in the tenant's zone.
    pub day: String,
    /// Prompt and output tokens of all requests that ended on it, billed or not.
    pub tokens: u64,
}

/// The tokens of each day that was used, by day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Days(BTreeMap<Date, u64>);

/// The day of an instant in a zone.
fn day_of(at: Timestamp, zone: &TimeZone) -> Option<Date> {
    let instant = jiff::Timestamp::from_microsecond(at.unix_micros()).ok()?;
    Some(instant.to_zoned_datetime(zone.clone()).date())
}

impl Days {
    /// Counts usage of which all ended at one day.
    pub(crate) fn add(&mut self, at: Timestamp, zone: &TimeZone, totals: &UsageTotals) {
        let tokens = totals.prompt_tokens.get().saturating_add(totals.output_tokens.get());
        if let Some(day) = day_of(at, zone) {
            let sum = self.0.entry(day).or_default();
            *sum = sum.saturating_add(tokens);
        }
    }

    /// Every day of a period, also those without usage; none where the period is too long for a chart.
    pub(crate) fn of(&self, period: &Period) -> Vec<DayTokens> {
        let days = days(period);
        if self.0.is_empty() || days.len() > DAYS_MAX {
            return Vec::new();
        }
        let day = |day: &Date| DayTokens {
            day: day.to_string(),
            tokens: self.0.get(day).copied().unwrap_or_default(),
        };
        days.iter().map(day).collect()
    }
}

/// The days that a period touches; at most one more than a chart has.
fn days(period: &Period) -> Vec<Date> {
    let Ok(zone) = TimeZone::get(period.zone()) else { return Vec::new() };
    let last = Timestamp::from_unix_micros(period.end().unix_micros().saturating_sub(1));
    let (Some(first), Some(last)) = (day_of(period.start(), &zone), day_of(last, &zone)) else {
        return Vec::new();
    };
    first.series(jiff::Span::new().days(1)).take_while(|day| *day <= last).take(DAYS_MAX + 1).collect()
}

/// Reads the tokens of each day of a period.
pub(super) async fn daily(
    transaction: &mut Transaction,
    tenant: &Tenant,
    period: &Period,
) -> Result<Vec<DayTokens>, LedgerError> {
    let (all, mut counted) = (days(period), Days::default());
    if all.len() > DAYS_MAX {
        return Ok(Vec::new());
    }
    let zone = TimeZone::get(period.zone()).unwrap_or(TimeZone::UTC);
    for day in all {
        let Ok(next) = day.tomorrow() else { break };
        let whole = Period::days(day, next, period.zone())?;
        let (start, end) = (whole.start().max(period.start()), whole.end().min(period.end()));
        for (_, sum) in usage_sums_by_project(transaction, tenant.id, start, end).await? {
            counted.add(start, &zone, &sum.totals);
        }
    }
    Ok(counted.of(period))
}

impl Invoice {
    /// Whether somebody said who issues it or who is billed: then it also shows each day.
    pub(crate) fn is_between_parties(&self) -> bool {
        self.issuer.is_some() || self.customer.is_some()
    }
}

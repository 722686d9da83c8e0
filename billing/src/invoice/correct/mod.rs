//! Lines about what was invoiced before: corrections of earlier periods, and parts of this one that are billed already.
//! Never a change of an issued invoice: what it missed comes onto the next one, exactly once.
//! Called by `issue`, which puts them among the lines that it rated.
//!
//! A period comes to what its usage, rated as a whole, comes to now. What was invoiced of it is what its own invoice
//! and the correction lines of later ones say, unless those became void. The difference, line by line, is due now; as it
//! is always the whole difference, nothing is due twice, whatever came late and however often an invoice was made.

mod place;

use std::collections::{BTreeMap, BTreeSet};

use domain::{Period, PlanVersionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    BilledPeriod, BilledSubscription, Invoice, Line, LineKind,
    build::Built,
    is_zero,
    issue::{rate, usage},
};
use crate::{
    ledger::{Document, LedgerError, Tenant, Transaction, check_event_tallies, check_tallies, documents},
    rate::ExactAmount,
};

pub(super) use place::exact_of;

/// What a correction line corrects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The first instant of the original period, in local time with offset.
    pub start: String,
    /// The first instant after it, in local time with offset.
    pub end: String,
    /// Its first instant. Unit: microseconds since 1970.
    pub start_unix_us: i64,
    /// The first instant after it. Unit: microseconds since 1970.
    pub end_unix_us: i64,
    /// The invoice of that period.
    pub invoice: String,
    /// What kind of line is corrected.
    pub kind: LineKind,
    /// What the line comes to now, with all digits.
    pub now: String,
    /// What of it was invoiced before, with all digits.
    pub invoiced: String,
    /// Usage records of that period by now.
    pub records: u64,
    /// Usage events of that period by now; left out where there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub events: u64,
}

/// What tells one line of a period from another. Lines that are told apart by nothing of this are taken together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: LineKind,
    item: String,
    model: Option<String>,
    price_version: Option<String>,
}

/// A line of a period, added up over all documents that have it.
#[derive(Clone, Debug, Default)]
struct Sum {
    exact: Option<ExactAmount>,
    quantity: u64,
    requests: u64,
    unit: String,
    description: String,
}

impl Sum {
    fn exact(&self) -> ExactAmount {
        self.exact.clone().unwrap_or_else(ExactAmount::zero)
    }

    fn add(&mut self, line: &Line) -> Result<(), LedgerError> {
        self.exact = Some(self.exact().plus(&exact_of(&line.exact)?));
        let overflow = domain::QuantityError::Overflow { unit: "quantity" };
        self.quantity = self.quantity.checked_add(line.quantity).ok_or(overflow)?;
        self.requests = self.requests.max(line.requests);
        if self.description.is_empty() {
            (self.unit, self.description) = (line.unit.clone(), line.description.clone());
        } else if self.description != line.description {
            // Several lines of one charge: tiers, for example.
            self.description.clone_from(&line.item);
        }
        Ok(())
    }
}

type Sums = BTreeMap<Key, Sum>;

/// A line that is not rated from this period's usage.
#[derive(Clone, Debug)]
pub(super) struct Extra {
    pub(super) line: Line,
    pub(super) exact: ExactAmount,
}

/// Everything that goes onto the invoice of a period beside what its usage comes to.
pub(super) async fn extras(
    transaction: &mut Transaction,
    tenant: &Tenant,
    period: &Period,
    now: Timestamp,
) -> Result<Vec<Extra>, LedgerError> {
    let all = documents(transaction, tenant.id).await?;
    let mut lines = invoiced_parts(&all, tenant, period)?;
    let mut seen = BTreeSet::new();
    for original in all.iter().filter(|document| !document.is_of_part) {
        if original.period.end() <= period.start() && seen.insert(original.period.start()) {
            lines.extend(corrections(transaction, tenant, (&all, original), now).await?);
        }
    }
    Ok(lines)
}

/// The lines that take off what was invoiced of a period while it ran; for who has the documents.
pub(crate) fn part_lines(
    all: &[Document],
    tenant: &Tenant,
    period: &Period,
) -> Result<Vec<Line>, LedgerError> {
    Ok(invoiced_parts(all, tenant, period)?.into_iter().map(|extra| extra.line).collect())
}

/// Whether something of a tenant's time is on no invoice yet although all of that time is: usage that came late, or
/// what a void invoice billed.
pub(crate) async fn is_behind(
    transaction: &mut Transaction,
    tenant: &Tenant,
    span: &Period,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let all = documents(transaction, tenant.id).await?;
    let mut seen = BTreeSet::new();
    for original in all.iter().filter(|document| !document.is_of_part) {
        let is_within = original.period.start() < span.end() && original.period.end() > span.start();
        if is_within
            && seen.insert(original.period.start())
            && !corrections(transaction, tenant, (&all, original), now).await?.is_empty()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What was invoiced of a period while it ran, taken off.
pub(super) fn invoiced_parts(
    all: &[Document],
    tenant: &Tenant,
    period: &Period,
) -> Result<Vec<Extra>, LedgerError> {
    let is_its = |document: &&Document| {
        document.is_of_part && !document.is_void && document.period.start() == period.start()
    };
    let line = |document: &Document| {
        let invoice = Invoice::from_issued(&document.body)?;
        let exact = exact_of(&invoice.subtotal)?.negated();
        let line = Line {
            description: format!("Invoiced before as {} up to {}", document.number, invoice.period.end),
            exact: exact.to_text(tenant.currency),
            ..Line::blank(LineKind::Invoiced, &document.number)
        };
        Ok(Extra { line, exact })
    };
    all.iter().filter(is_its).map(line).collect()
}

/// What an earlier period comes to now, less what was invoiced of it.
async fn corrections(
    transaction: &mut Transaction,
    tenant: &Tenant,
    (all, original): (&[Document], &Document),
    now: Timestamp,
) -> Result<Vec<Extra>, LedgerError> {
    let period = &original.period;
    let found = match usage(transaction, tenant, period, None).await {
        // What it comes to cannot be said any more. Nothing of it was due when its records were detached, and it
        // cannot become void since.
        Err(LedgerError::RecordsDetached { .. }) => return Ok(Vec::new()),
        found => found?,
    };
    let overflow = domain::QuantityError::Overflow { unit: "records" };
    let records = found.sums.iter().try_fold(0_u64, |sum, row| sum.checked_add(row.totals.requests));
    let records = records.ok_or(overflow)?;
    let counted = (records, found.events.1);
    let (invoiced, is_touched) = invoiced_of(all, original, counted)?;
    if !is_touched {
        return Ok(Vec::new());
    }
    check_tallies(transaction, tenant.id, period).await?;
    check_event_tallies(transaction, tenant.id, period).await?;
    // What the subscription was is as the original says: later changes of it have their own lines.
    let stated = Invoice::from_issued(&original.body)?.subscription;
    let facts = stated.as_ref().map(BilledSubscription::to_facts).transpose();
    let facts = facts.map_err(|error| LedgerError::corrupt("subscription of an invoice", &error))?;
    let Built { invoice, .. } = rate(transaction, tenant, (period, now), (&found, facts)).await?;
    differences(tenant, (all, original), &invoiced, (&invoice, counted), now)
}

/// What an earlier period comes to as it is rated now, less what was invoiced of it; for who has the documents.
pub(crate) fn correction_lines(
    tenant: &Tenant,
    (all, original): (&[Document], &Document),
    (rated, counted): (&Invoice, (u64, u64)),
    now: Timestamp,
) -> Result<Vec<Line>, LedgerError> {
    let (invoiced, _) = invoiced_of(all, original, counted)?;
    let lines = differences(tenant, (all, original), &invoiced, (rated, counted), now)?;
    Ok(lines.into_iter().map(|extra| extra.line).collect())
}

fn differences(
    tenant: &Tenant,
    (all, original): (&[Document], &Document),
    invoiced: &Sums,
    (rated, counted): (&Invoice, (u64, u64)),
    now: Timestamp,
) -> Result<Vec<Extra>, LedgerError> {
    let mut due = Sums::new();
    for line in &rated.lines {
        due.entry(key_of(line)).or_default().add(line)?;
    }
    for part in invoiced_parts(all, tenant, &original.period)? {
        due.entry(key_of(&part.line)).or_default().add(&part.line)?;
    }
    let keys: BTreeSet<&Key> = due.keys().chain(invoiced.keys()).collect();
    let nothing = Sum::default();
    let of = |sums: &'_ Sums, key: &Key| sums.get(key).cloned().unwrap_or_else(|| nothing.clone());
    let lines = keys.into_iter().map(|key| {
        let (now_due, before) = (of(&due, key), of(invoiced, key));
        line(tenant, original, (key, &now_due, &before), counted, now)
    });
    Ok(lines.flatten().collect())
}

/// One correction line; none where nothing is due and nothing to be given back.
fn line(
    tenant: &Tenant,
    original: &Document,
    (key, due, before): (&Key, &Sum, &Sum),
    (records, events): (u64, u64),
    now: Timestamp,
) -> Option<Extra> {
    let exact = due.exact().plus(&before.exact().negated());
    if exact.is_zero() {
        return None;
    }
    let shown = BilledPeriod::of(&original.period, now);
    let (due_text, before_text) =
        (due.exact().to_text(tenant.currency), before.exact().to_text(tenant.currency));
    let about = if due.description.is_empty() { before } else { due };
    let line = Line {
        description: format!(
            "Correction of {} ({} to {}): {}",
            original.number, shown.start, shown.end, about.description
        ),
        model: key.model.clone(),
        price_version: key.price_version.clone(),
        // What was not on a line before; nothing where less is due than was.
        requests: due.requests.saturating_sub(before.requests),
        quantity: due.quantity.saturating_sub(before.quantity),
        unit: about.unit.clone(),
        formula: Some(format!("{due_text} - {before_text}")),
        exact: exact.to_text(tenant.currency),
        correction: Some(Correction {
            start: shown.start,
            end: shown.end,
            start_unix_us: shown.start_unix_us,
            end_unix_us: shown.end_unix_us,
            invoice: original.number.clone(),
            kind: key.kind,
            now: due_text,
            invoiced: before_text,
            records,
            events,
        }),
        ..Line::blank(LineKind::Correction, &key.item)
    };
    Some(Extra { line, exact })
}

/// What was invoiced of an original's period, and whether that may be something else than what is due now.
fn invoiced_of(
    all: &[Document],
    original: &Document,
    counted: (u64, u64),
) -> Result<(Sums, bool), LedgerError> {
    let mut sums = Sums::new();
    // Records and events that the documents know of.
    let mut known = (0, 0);
    let period = &original.period;
    // A part of the period that became void is owed again by the whole.
    let mut is_touched = all
        .iter()
        .any(|document| document.is_void && document.is_of_part && document.period.start() == period.start());
    for document in all.iter().filter(|document| document.period.start() >= period.start()) {
        let is_whole = !document.is_of_part && document.period.start() == period.start();
        let invoice = Invoice::from_issued(&document.body)?;
        let mut has_its_lines = is_whole;
        for line in &invoice.lines {
            let (is_its, key) = match &line.correction {
                None => (is_whole, key_of(line)),
                Some(of) => {
                    (of.start_unix_us == period.start().unix_micros(), Key { kind: of.kind, ..key_of(line) })
                }
            };
            has_its_lines |= is_its;
            if !is_its || document.is_void {
                continue;
            }
            sums.entry(key).or_default().add(line)?;
            let of = line.correction.as_ref().map_or((0, 0), |of| (of.records, of.events));
            known = (known.0.max(of.0), known.1.max(of.1));
        }
        if is_whole && !document.is_void {
            known = (known.0.max(document.records), known.1.max(invoice.events));
        }
        is_touched |= has_its_lines && document.is_void;
    }
    Ok((sums, is_touched || known != counted))
}

fn key_of(line: &Line) -> Key {
    Key {
        kind: line.kind,
        item: line.item.clone(),
        model: line.model.clone(),
        price_version: line.price_version.clone(),
    }
}

impl Line {
    /// Whether it is about what was invoiced before, and so not of this period's usage.
    pub(crate) fn is_extra(&self) -> bool {
        matches!(self.kind, LineKind::Correction | LineKind::Invoiced)
    }

    /// Checks what a line about earlier invoices says against itself: its difference, and that it names its plan.
    ///
    /// Errors: in words, the first thing that is wrong.
    pub(crate) fn check_extra(&self) -> Result<(), String> {
        let Some(of) = &self.correction else { return Ok(()) };
        let read = |text: &str| exact_of(text).map_err(|error| error.to_string());
        let difference = read(&of.now)?.plus(&read(&of.invoiced)?.negated());
        if difference != read(&self.exact)? {
            return Err(format!(
                "the correction on line {} is not {} - {}",
                self.position, of.now, of.invoiced
            ));
        }
        let version = self.price_version.as_deref().map(str::parse::<PlanVersionId>).transpose();
        version.map(drop).map_err(|error| error.to_string())
    }
}

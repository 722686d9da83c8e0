//! Recomputes an issued invoice from a tenant's own export of usage and the published plans, without any server.
//! Never trusts a sum: every record's hash is checked, and everything else is counted and rated again.
//! Called by `tallygate verify`; records are read one after another, so memory stays flat.

mod amounts;
mod difference;
mod earlier;
mod events;
mod lines;
mod usage;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead},
};

use bigdecimal::Zero as _;
use domain::{Currency, Period, PlanVersionId, TenantId, Timestamp};

use crate::{
    invoice::{BilledSubscription, Invoice, InvoiceParts, SCHEMA, Subscribed},
    ledger::{Limits, Tenant, TenantTerms},
    plan::Plan,
    rate::{MinorUnits, RateError},
    statement::{PublicKey, Seal, Statement, StatementError},
    subscription::PeriodFacts,
};

pub use difference::Difference;
pub use earlier::{Corrections, Earlier, verify_corrections};
pub use events::EventLineProblem;
pub(crate) use events::{EventReader, ReadEvents};
pub use usage::RecordProblem;
pub(crate) use usage::{ReadUsage, UsageReader, take_line};

/// What was looked at, all of it good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The invoice's number; none for a draft.
    pub number: Option<String>,
    /// Records whose hashes were checked, and that make the invoice.
    pub records: u64,
    /// Lines that were computed again.
    pub lines: usize,
    /// The invoice's total, with its currency.
    pub total: String,
    /// The key that signed the statement; none where no statement was given.
    pub key_id: Option<String>,
    /// Records that came after the invoice was issued, as the statement tells; they were left out.
    pub records_late: u64,
    /// Usage events whose hashes were checked, and that were counted again.
    pub events: u64,
    /// Usage events that came after the invoice was issued, as the statement tells; they were left out.
    pub events_late: u64,
}

/// Why an invoice is not what its usage and plans come to, or could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The invoice does not read.
    #[error("the invoice cannot be read: {0}")]
    BadInvoice(String),
    /// Its plans are not all here.
    #[error("the invoice needs plan {0}: give its file with --plan")]
    MissingPlan(PlanVersionId),
    /// Two files say different things under one name.
    #[error("plan {0} was given twice with different terms")]
    PlanTwice(PlanVersionId),
    /// The usage does not read.
    #[error("the usage cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A record is not good.
    #[error("usage, line {line}: {problem}")]
    BadRecord {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: RecordProblem,
    },
    /// A usage event is not good.
    #[error("events, line {line}: {problem}")]
    BadEvent {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: Box<EventLineProblem>,
    },
    /// The invoice counts events that were not given.
    #[error("the invoice counts {0} usage events: give their export with --events")]
    MissingEvents(u64),
    /// The usage cannot be rated.
    #[error("the usage cannot be rated by these plans: {0}")]
    Rate(#[from] RateError),
    /// The invoice says something else than its usage and plans.
    #[error("the invoice is not what its usage and plans come to: {0}")]
    Differs(Difference),
    /// A line about an earlier invoice says something else than that invoice and its usage.
    #[error("what the invoice says of {number} is not what that invoice and its usage come to: {difference}")]
    CorrectionDiffers {
        /// The earlier invoice.
        number: String,
        /// Where.
        difference: Difference,
    },
    /// The usage of an earlier period is not that of the day on which the correction was made.
    #[error(
        "the correction of {number} counts {records} usage records and {events} events, and {found_records} and {found_events} were given: \
         it takes the export of the day on which the invoice was made"
    )]
    EarlierUsage {
        /// The earlier invoice.
        number: String,
        /// What the correction says.
        records: u64,
        /// What the correction says.
        events: u64,
        /// What was given.
        found_records: u64,
        /// What was given.
        found_events: u64,
    },
    /// Something is wrong with what was given for an earlier invoice.
    #[error("{number}: {problem}")]
    Earlier {
        /// The earlier invoice.
        number: String,
        /// What.
        problem: Box<Self>,
    },
    /// The statement is none, or its signature does not fit.
    #[error("the statement: {0}")]
    Statement(#[from] StatementError),
    /// The statement says something else than the invoice and its usage.
    #[error("the statement is not of this invoice and usage: {0}")]
    StatementDiffers(Difference),
}

/// An issuer's signed word on an invoice, and the keys that its reader trusts.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// The statement, byte for byte.
    pub statement: &'a str,
    /// Public keys of the issuer.
    pub keys: &'a [PublicKey],
}

/// Computes an invoice again and compares it with what was issued, byte for byte.
///
/// `usage` are the lines of `tallygate usage TENANT --period … --records --format json`, in their order. With a proof,
/// records that came after the invoice was issued are left out, and the statement must fit all the rest.
/// Errors: the first thing that is not good, named.
pub fn verify(
    invoice: &str,
    usage: impl BufRead,
    plans: Vec<Plan>,
    proof: Option<&Proof<'_>>,
) -> Result<Verified, VerifyError> {
    verify_with_events(invoice, usage, None, plans, proof)
}

/// The same with the usage events that an invoice counts: the lines of `tallygate usage TENANT --events --format json`.
///
/// Errors: the first thing that is not good, named.
pub fn verify_with_events(
    invoice: &str,
    usage: impl BufRead,
    events: Option<&mut dyn BufRead>,
    plans: Vec<Plan>,
    proof: Option<&Proof<'_>>,
) -> Result<Verified, VerifyError> {
    let stated = proof.map(|proof| Statement::from_json(proof.statement)).transpose()?;
    let issued = read_invoice(invoice)?;
    let (tenant, period) = (tenant(&issued)?, period(&issued)?);
    let plans = by_version(plans)?;
    let reader = UsageReader::new(tenant.id, &period, stated.as_ref().map(|stated| &stated.usage));
    let read = usage::read(usage, reader)?;
    let reader =
        EventReader::new(tenant.id, &period, stated.as_ref().map(|stated| stated.usage.events.as_ref()));
    let events = match events {
        Some(events) => events::read(events, reader, &plans)?,
        None if issued.events > 0 => return Err(VerifyError::MissingEvents(issued.events)),
        None => ReadEvents::default(),
    };
    let issued = compare(invoice, (&read, &events), &plans)?;
    if let Some((stated, proof)) = stated.as_ref().zip(proof) {
        let seal = Seal { events: events.seal.clone(), ..read.seal };
        check_statement(stated, proof, &Statement::of(&issued, invoice, &period, seal))?;
    }
    Ok(Verified {
        number: issued.number.clone(),
        records: issued.records,
        lines: issued.lines.len(),
        total: format!("{} {}", issued.total, issued.currency),
        key_id: stated.map(|stated| stated.key_id),
        records_late: read.records_late,
        events: events.count(),
        events_late: events.late,
    })
}

/// Computes an issued invoice again from its usage and plans.
///
/// Errors: the first thing in which it differs; a plan that is missing.
pub(crate) fn compare(
    invoice: &str,
    (read, events): (&ReadUsage, &ReadEvents),
    plans: &BTreeMap<PlanVersionId, Plan>,
) -> Result<Invoice, VerifyError> {
    let issued = read_invoice(invoice)?;
    let (tenant, period) = (tenant(&issued)?, period(&issued)?);
    let mut computed = rated(&issued, (read, events), plans, made_at(&issued)?)?;
    // What only the issuer says: there is nothing to compute it from.
    (computed.status, computed.number) = (issued.status, issued.number.clone());
    (computed.made_at, computed.issued_as) = (issued.made_at.clone(), issued.issued_as.clone());
    computed.late_records = issued.late_records;
    for line in issued.lines.iter().filter(|line| line.is_extra()) {
        line.check_extra().map_err(VerifyError::BadInvoice)?;
    }
    // Lines about other invoices are taken as stated; what they add up to is computed.
    computed = computed
        .with_stated_extras(&issued, tenant.currency)
        .map_err(|error| VerifyError::BadInvoice(error.to_string()))?;
    let subtotal = MinorUnits::parse(&computed.subtotal, tenant.currency).unwrap_or_default();
    let made_at = made_at(&issued)?;
    computed = computed
        .dressed_as(&issued, (subtotal, tenant.currency), made_at)
        .map_err(|error| VerifyError::BadInvoice(error.to_string()))?;
    if computed.is_between_parties() {
        computed.daily_tokens = read.days().of(&period);
    }
    let text = computed.to_json().map_err(|error| VerifyError::BadInvoice(error.to_string()))?;
    match Difference::between(invoice, &text) {
        Some(difference) => Err(VerifyError::Differs(difference)),
        None => Ok(issued),
    }
}

/// What the period of an issued invoice comes to by usage that is given, as it would be rated at an instant.
///
/// Errors: a plan that is missing; usage that cannot be rated.
fn rated(
    issued: &Invoice,
    (read, events): (&ReadUsage, &ReadEvents),
    plans: &BTreeMap<PlanVersionId, Plan>,
    now: Timestamp,
) -> Result<Invoice, VerifyError> {
    let (tenant, period) = (tenant(issued)?, period(issued)?);
    let needed = Needed::of(issued, (read, events))?;
    if let Some(version) = needed.versions().find(|version| !plans.contains_key(version)) {
        return Err(VerifyError::MissingPlan(version.clone()));
    }
    let Needed { used, at_end, facts, of_fees } = needed;
    let of = |ids: &BTreeSet<PlanVersionId>| -> BTreeMap<_, _> {
        let plans = plans.iter().filter(|(id, _)| ids.contains(*id));
        plans.map(|(id, plan)| (id.clone(), plan.clone())).collect()
    };
    let (used, subscribed) = (of(&used), of(&of_fees));
    let (sums, projects) = (read.sums().cloned().collect::<Vec<_>>(), read.projects());
    let late: Vec<_> = match used.values().any(|plan| !plan.late_requests_percent().value().is_zero()) {
        true => read.late().cloned().collect(),
        false => Vec::new(),
    };
    Ok(Invoice::build(&InvoiceParts {
        tenant: &tenant,
        period: &period,
        now,
        sums: &sums,
        late: &late,
        events: &events.sums,
        events_count: events.count(),
        plans: &used,
        projects: &projects,
        plan_at_end: at_end.as_ref().and_then(|id| plans.get(id)),
        subscription: facts.as_ref().map(|facts| Subscribed { facts, plans: &subscribed }),
    })?)
}

/// The plan versions that an invoice needs, and what for.
struct Needed {
    /// By its usage.
    used: BTreeSet<PlanVersionId>,
    /// At the end of its period.
    at_end: Option<PlanVersionId>,
    /// Its subscription.
    facts: Option<PeriodFacts>,
    /// By that for its fees.
    of_fees: BTreeSet<PlanVersionId>,
}

impl Needed {
    /// Errors: an invoice that does not name them well.
    fn of(issued: &Invoice, (read, events): (&ReadUsage, &ReadEvents)) -> Result<Self, VerifyError> {
        let of_events = events.sums.iter().map(|sum| &sum.price_version);
        let used = read.sums().map(|sum| &sum.price_version).chain(of_events).cloned().collect();
        let at_end = issued.plan_at_end.as_deref().map(str::parse::<PlanVersionId>).transpose();
        let at_end = at_end.map_err(|error| VerifyError::BadInvoice(error.to_string()))?;
        let facts = issued.subscription.as_ref().map(BilledSubscription::to_facts).transpose();
        let facts = facts.map_err(|error| VerifyError::BadInvoice(format!("subscription: {error}")))?;
        let of_fees = facts.iter().flat_map(PeriodFacts::plans).cloned().collect();
        Ok(Self { used, at_end, facts, of_fees })
    }

    fn versions(&self) -> impl Iterator<Item = &PlanVersionId> {
        self.used.iter().chain(&self.at_end).chain(&self.of_fees)
    }
}

/// The plan versions that an invoice needs: of its usage, of the end of its period, and of its fees.
///
/// Errors: an invoice that does not name them well.
pub(crate) fn plans_of(
    issued: &Invoice,
    read: (&ReadUsage, &ReadEvents),
) -> Result<BTreeSet<PlanVersionId>, VerifyError> {
    Ok(Needed::of(issued, read)?.versions().cloned().collect())
}

/// Compares what a statement says with what was computed, then its signature, then its very bytes.
fn check_statement(stated: &Statement, proof: &Proof<'_>, computed: &Statement) -> Result<(), VerifyError> {
    // What only the issuer says; the signature covers it.
    let computed = Statement {
        made_at: stated.made_at.clone(),
        key_id: stated.key_id.clone(),
        signature: stated.signature.clone(),
        ..computed.clone()
    };
    let text = computed.to_json()?;
    if *stated != computed
        && let Some(difference) = Difference::between(&stated.to_json()?, &text)
    {
        return Err(VerifyError::StatementDiffers(difference));
    }
    stated.check_signature(proof.keys)?;
    // The same values, written in another way: somebody touched the file.
    match Difference::between(proof.statement, &text) {
        Some(difference) => Err(VerifyError::StatementDiffers(difference)),
        None => Ok(()),
    }
}

fn read_invoice(text: &str) -> Result<Invoice, VerifyError> {
    let issued = Invoice::from_json(text).map_err(|error| VerifyError::BadInvoice(error.to_string()))?;
    if issued.schema != SCHEMA {
        let reason = format!("its form is {:?}; this program knows {SCHEMA}", issued.schema);
        return Err(VerifyError::BadInvoice(reason));
    }
    amounts::check(&issued, currency(&issued)?).map_err(VerifyError::BadInvoice)?;
    Ok(issued)
}

fn currency(issued: &Invoice) -> Result<Currency, VerifyError> {
    issued.currency.parse().map_err(|error| VerifyError::BadInvoice(format!("currency: {error}")))
}

fn by_version(plans: Vec<Plan>) -> Result<BTreeMap<PlanVersionId, Plan>, VerifyError> {
    let mut by_version: BTreeMap<PlanVersionId, Plan> = BTreeMap::new();
    for plan in plans {
        let id = plan.id().clone();
        match by_version.get(&id) {
            Some(known) if !known.has_same_terms(&plan) => return Err(VerifyError::PlanTwice(id)),
            Some(_) => {}
            None => drop(by_version.insert(id, plan)),
        }
    }
    Ok(by_version)
}

/// Who the invoice is for, as far as it says.
fn tenant(issued: &Invoice) -> Result<Tenant, VerifyError> {
    let bad = |what: &str, error: &dyn std::fmt::Display| VerifyError::BadInvoice(format!("{what}: {error}"));
    let id: TenantId = issued.tenant.id.parse().map_err(|error| bad("tenant.id", &error))?;
    Ok(Tenant {
        id,
        name: issued.tenant.name.clone(),
        plan_name: String::new(),
        currency: currency(issued)?,
        zone: issued.period.zone.clone(),
        limits: Limits::default(),
        terms: TenantTerms::default(),
        created_at: Timestamp::from_unix_micros(0),
        disabled_at: None,
    })
}

fn period(issued: &Invoice) -> Result<Period, VerifyError> {
    let period = &issued.period;
    let (start, end) = (period.start_unix_us, period.end_unix_us);
    let instant = Timestamp::from_unix_micros;
    Period::new(instant(start), instant(end), &period.zone)
        .map_err(|error| VerifyError::BadInvoice(format!("period: {error}")))
}

fn made_at(issued: &Invoice) -> Result<Timestamp, VerifyError> {
    let made: Result<jiff::Timestamp, _> = issued.made_at.parse();
    made.map(|made| Timestamp::from_unix_micros(made.as_microsecond()))
        .map_err(|error| VerifyError::BadInvoice(format!("made_at: {error}")))
}

#[cfg(test)]
mod tests;

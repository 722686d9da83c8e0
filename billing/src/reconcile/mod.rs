//! Follows usage from what engines counted to what is exported, and names the first difference at each hand-over.
//! Never changes anything, and never takes what has not arrived yet for a difference.
//! Called by `tallygate reconcile`, also while gateways run.

mod chain;
mod events;
mod invoices;
mod journal;
mod stripe;
mod sums;

use std::{fmt, path::PathBuf};

use domain::{Period, TenantId, Timestamp};
use serde::Serialize;

pub use stripe::compare_with_stripe;

use crate::{
    journal::VerifyError as JournalProblem,
    ledger::{Ledger, LedgerError, Tenant},
    verify::Difference,
};

/// Tenants read at once.
const TENANTS_PAGE: usize = 100;
/// How often a walk over the journal starts over because a running gateway removed the segment it came to.
const STARTS_MAX: usize = 3;

/// From whom to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HandOver {
    /// What was admitted and what an engine had counted, against the record in the journal.
    EngineToJournal,
    /// The journal's record against the ledger's, and the ledger's own hash chain.
    JournalToLedger,
    /// The ledger's records against the hourly sums.
    LedgerToTallies,
    /// Hourly sums and records against the issued invoice, its stored lines and its statement.
    TalliesToInvoice,
    /// The issued invoice and its records against what is exported of them.
    InvoiceToExport,
    /// The issued invoice against the one at Stripe.
    ExportToStripe,
}

impl HandOver {
    /// All of them, in the order in which usage goes through them.
    pub const ALL: [Self; 6] = [
        Self::EngineToJournal,
        Self::JournalToLedger,
        Self::LedgerToTallies,
        Self::TalliesToInvoice,
        Self::InvoiceToExport,
        Self::ExportToStripe,
    ];
}

impl fmt::Display for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EngineToJournal => "engine -> journal",
            Self::JournalToLedger => "journal -> ledger",
            Self::LedgerToTallies => "ledger -> tallies",
            Self::TalliesToInvoice => "tallies -> invoice",
            Self::InvoiceToExport => "invoice -> export",
            Self::ExportToStripe => "export -> Stripe",
        })
    }
}

/// One thing that the two sides of a hand-over say differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Between whom.
    pub hand_over: HandOver,
    /// Which record, tally or invoice.
    pub subject: String,
    /// Which field of it.
    pub field: String,
    /// What the side before says.
    pub before: String,
    /// What the side after says.
    pub after: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hand_over, subject, field, before, after } = self;
        write!(f, "{hand_over}: {subject}: {field} is {before} before and {after} after")
    }
}

/// What was compared, and what differed first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The first difference of each hand-over that has one, in their order.
    pub findings: Vec<Finding>,
    /// How much was compared at each: requests, records, days of tallies, invoices, exported records,
    /// invoices at Stripe.
    pub compared: [u64; 6],
    /// Records of the journal that the ledger has not taken yet. No difference.
    pub records_not_shipped: u64,
    /// Records that came after their invoices were issued. No difference.
    pub records_late: u64,
    /// Records whose months were detached; their hashes hold the chain together. No difference.
    pub records_detached: u64,
    /// Invoices that could not be recomputed: records of theirs were detached, or some came late and nothing was sealed
    /// when they were issued.
    pub invoices_not_compared: u64,
    /// Invoices of which something is still to be done at Stripe. No difference.
    pub stripe_pending: u64,
}

/// Why a comparison could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The journal cannot be read, or is damaged.
    #[error("journal: {0}")]
    Journal(#[from] JournalProblem),
    /// The ledger's database failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The month of the scope is none in a tenant's zone.
    #[error(transparent)]
    Period(#[from] domain::PeriodError),
}

/// What to compare.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The folder of a journal on this machine; without it, the first hand-over is left out.
    pub journal: Option<PathBuf>,
    /// One tenant; without it, all.
    pub tenant: Option<Tenant>,
    /// A month, YYYY-MM, in each tenant's zone; without it, all time.
    pub month: Option<String>,
}

/// Is told now and then how far a hand-over is.
pub trait Progress {
    /// So much of this hand-over was compared.
    fn compared(&mut self, hand_over: HandOver, count: u64);
}

/// A comparison under way.
struct Walk<'a> {
    ledger: &'a Ledger,
    scope: &'a Scope,
    progress: &'a mut dyn Progress,
    report: Report,
}

/// Compares everything that the scope names, in constant memory.
///
/// Errors: what cannot be read; a difference is no error.
pub async fn reconcile(
    ledger: &Ledger,
    scope: &Scope,
    progress: &mut dyn Progress,
) -> Result<Report, ReconcileError> {
    let mut walk = Walk { ledger, scope, progress, report: Report::default() };
    if let Some(folder) = &scope.journal {
        journal::compare(&mut walk, folder).await?;
    }
    if scope.tenant.is_none() && scope.month.is_none() {
        chain::compare(&mut walk).await?;
        sums::serials(&mut walk).await?;
    }
    let mut after: Option<TenantId> = None;
    loop {
        let page = match &scope.tenant {
            Some(tenant) => vec![tenant.clone()],
            None => ledger.tenants_page(after, TENANTS_PAGE).await?,
        };
        for tenant in &page {
            let period = scope.month.as_ref().map(|month| Period::month(month, &tenant.zone)).transpose()?;
            of_tenant(&mut walk, tenant, period.as_ref()).await?;
        }
        after = page.last().map(|tenant| tenant.id);
        if scope.tenant.is_some() || page.len() < TENANTS_PAGE {
            let mut report = walk.report;
            report.findings.sort_by_key(|finding| finding.hand_over);
            return Ok(report);
        }
    }
}

async fn of_tenant(
    walk: &mut Walk<'_>,
    tenant: &Tenant,
    period: Option<&Period>,
) -> Result<(), ReconcileError> {
    let span = match period {
        Some(period) => (period.start(), period.end()),
        None => (Timestamp::from_unix_micros(i64::MIN), Timestamp::from_unix_micros(i64::MAX)),
    };
    sums::compare(walk, tenant, span).await?;
    if period.is_none() {
        events::chain(walk, tenant).await?;
    }
    invoices::compare(walk, tenant, period).await
}

impl Walk<'_> {
    /// Takes note of so much more that was compared.
    fn count(&mut self, hand_over: HandOver, count: u64) {
        let place = HandOver::ALL.iter().position(|other| *other == hand_over).unwrap_or(0);
        self.report.compared[place] = self.report.compared[place].saturating_add(count);
        self.progress.compared(hand_over, self.report.compared[place]);
    }

    /// Takes note of a difference, if it is the first of its hand-over.
    fn note(&mut self, finding: Finding) {
        if !self.has(finding.hand_over) {
            self.report.findings.push(finding);
        }
    }

    fn has(&self, hand_over: HandOver) -> bool {
        self.report.findings.iter().any(|finding| finding.hand_over == hand_over)
    }

    /// Compares two things of one form; `before` is the side that handed over.
    fn equal<T: Serialize + PartialEq>(
        &mut self,
        (hand_over, subject): (HandOver, &str),
        before: &T,
        after: &T,
    ) {
        if before == after {
            return;
        }
        let text = |value: &T| serde_json::to_string(value).unwrap_or_default();
        if let Some(difference) = Difference::between(&text(before), &text(after)) {
            self.differs((hand_over, subject), difference);
        }
    }

    /// A difference that was found already: what is stated came first.
    fn differs(&mut self, (hand_over, subject): (HandOver, &str), difference: Difference) {
        let Difference { path: field, stated: before, computed: after } = difference;
        self.note(Finding { hand_over, subject: subject.to_owned(), field, before, after });
    }
}

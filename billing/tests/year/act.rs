//! Everything that is done in the simulated world, as it was asked for: the raw facts that the auditor reckons from.
//! Never anything that billing computed, but the numbers that it gave to documents.
//! Told by the world, heard by the auditor.

use domain::{TenantId, UsageRecord};
use jiff::civil::Date;

/// Microseconds since 1970.
pub(crate) type Instant = i64;

/// One thing that was done.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A plan version was published.
    Publish { text: String, at: Instant },
    /// The issuer's taxes: each with its percentage, and whether it is contained.
    IssuerTaxes(Vec<(String, bool)>),
    /// A tenant was made.
    Tenant { tenant: TenantId, zone: String, plan: String, at: Instant },
    /// A tenant took another plan.
    Plan { tenant: TenantId, plan: String, at: Instant },
    /// A subscription was begun.
    Start { tenant: TenantId, day: Date, is_anniversary: bool, trial_days: Option<u32>, at: Instant },
    /// A trial got another end.
    TrialUntil { tenant: TenantId, day: Date, at: Instant },
    /// A subscription was paused.
    Pause { tenant: TenantId, at: Instant },
    /// It was resumed.
    Resume { tenant: TenantId, at: Instant },
    /// It was cancelled: at once, or with its period.
    Cancel { tenant: TenantId, is_at_once: bool, at: Instant },
    /// How the tenant is taxed, and from how much on running periods are billed.
    Billing {
        tenant: TenantId,
        status: &'static str,
        taxes: Option<Vec<(String, bool)>>,
        threshold: Option<i64>,
    },
    /// A record reached the ledger.
    Arrive { record: Box<UsageRecord> },
    /// Money was granted, or taken back where it is below zero.
    Grant(GrantAct),
    /// Terms of credit were agreed.
    CreditTerms { tenant: TenantId },
    /// Somebody paid.
    Pay { number: String, minor: i64 },
    /// An invoice became void.
    Void { number: String },
    /// Nobody expects an invoice's money any more.
    WriteOff { number: String },
}

/// A grant.
#[derive(Clone, Debug)]
pub(crate) struct GrantAct {
    pub(crate) tenant: TenantId,
    /// Billionths.
    pub(crate) nanos: i128,
    pub(crate) kind: &'static str,
    pub(crate) priority: Option<u8>,
    pub(crate) expires: Option<Instant>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) at: Instant,
}

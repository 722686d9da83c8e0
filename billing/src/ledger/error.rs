//! What can go wrong with the ledger, and which kind of failure each is.
//! Never a secret, a prompt or a connection URL in any message.
//! Returned by every function of the ledger and by issuing invoices.
//!
//! Long because every way in which the ledger can refuse or fail has its words here, where they are read side by side.

use std::{fmt::Display, path::PathBuf, str::FromStr};

use domain::{
    Currency, Fault, GrantId, IdError, JournalId, KeyId, MoneyError, PeriodError, PlanVersionId,
    QuantityError, RecordHash, RequestId, SloClass, TenantId, Timestamp,
};

use jiff::civil::Date;

use super::{GRANT_NANOS_MAX, InvoiceState};
use crate::{plan::PlanError, rate::RateError, subscription::State, tax::TaxError, usage_event::EventError};

/// Why the ledger did not do what was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A usage event that is refused.
    #[error(transparent)]
    Event(EventError),
    /// The URL names no database we know.
    #[error("a ledger URL must be sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE")]
    BadUrl,
    /// The SQLite file could not be created or opened.
    #[error("cannot open the ledger file {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No connection.
    #[error("cannot reach the ledger at {place}: {source}")]
    Unreachable {
        /// The SQLite file, or "PostgreSQL".
        place: String,
        /// What the database driver said.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("cannot bring the ledger's tables up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Migrations are missing, and this role may not run them.
    #[error(
        "the ledger's tables are older than this program (migration {missing} is not there), and the role {role} may \
         not change tables; run `tallygate migrate` as their owner, then `tallygate database grant --role {role}`"
    )]
    Outdated {
        /// The first migration that is missing.
        missing: i64,
        /// Who was to use the ledger.
        role: String,
    },
    /// A table that this role has no rights to.
    #[error(
        "the role {role} may not read the ledger's table {table}; run `tallygate database grant --role {role}` as the \
         owner of the tables"
    )]
    NotGranted {
        /// Who was to use the ledger.
        role: String,
        /// The first such table.
        table: String,
    },
    /// What needs more than a gateway's rights.
    #[error("only the owner of the ledger's tables may {what}: run this with the owner's database URL")]
    OwnerOnly {
        /// What it is.
        what: &'static str,
    },
    /// What the other database does.
    #[error("{0}")]
    OtherDatabase(&'static str),
    /// A statement failed.
    #[error("the ledger's database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// Stored text that does not read back.
    #[error("what the ledger holds as {what} does not read back: {detail}")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// Why it does not read.
        detail: String,
    },
    /// A name outside the allowed set.
    #[error("a {what} name must be {allowed}, not {name:?}")]
    BadName {
        /// What was to be named.
        what: &'static str,
        /// The name given.
        name: String,
        /// The rule, in words.
        allowed: &'static str,
    },
    /// A text outside its bounds.
    #[error("{what} must be {allowed}")]
    BadText {
        /// Which text.
        what: &'static str,
        /// The rule, in words.
        allowed: &'static str,
    },
    /// A grant of nothing, or of more than there can be.
    #[error("a grant must be an amount other than zero, of at most {} currency units", GRANT_NANOS_MAX / 1_000_000_000)]
    BadGrant,
    /// Terms of a grant that do not go together.
    #[error("{field}: {why}")]
    BadGrantTerms {
        /// Which of them.
        field: &'static str,
        /// The rule, in words.
        why: &'static str,
    },
    /// A grant for models that share some, and not all, with those of another grant.
    #[error(
        "models: grant {other} is for some of these models and not the same; the models of two grants must be equal \
         or have nothing in common, and at most {max} different sets can be open at one time"
    )]
    GrantScopes {
        /// Another open grant.
        other: GrantId,
        /// Most sets at one time.
        max: usize,
    },
    /// An allowance or a threshold of nothing.
    #[error("an amount of credit terms must be more than zero; leave it out for none")]
    BadCreditTerms,
    /// The books are not what records and grants come to.
    #[error("the books of tenant {tenant} differ at transfer {sequence}: {why}")]
    CreditsDiffer {
        /// Whose books.
        tenant: TenantId,
        /// The transfer.
        sequence: u64,
        /// What differs.
        why: &'static str,
    },
    /// One idempotency key, two grants.
    #[error(
        "there already is a grant with the idempotency key {idempotency_key:?} and another {field}; \
         nothing was granted"
    )]
    GrantConflict {
        /// The key.
        idempotency_key: String,
        /// The first field that differs.
        field: &'static str,
    },
    /// An expiry that has passed.
    #[error("a key must expire after the time at which it is made ({now}), not at {expires_at}")]
    BadExpiry {
        /// The expiry asked for.
        expires_at: Timestamp,
        /// When it was asked for.
        now: Timestamp,
    },
    /// A grant that has expired already.
    #[error(
        "expires_at: a grant must expire after the time at which it is given ({now}), not at {expires_at}"
    )]
    BadGrantExpiry {
        /// The expiry asked for.
        expires_at: Timestamp,
        /// When it was asked for.
        now: Timestamp,
    },
    /// A latency class that promises more than the plan.
    #[error(
        "class {class} is stricter than {plan_class}, which the tenant's plan promises; the tenant may have none such"
    )]
    StricterClass {
        /// The class asked for.
        class: SloClass,
        /// The plan's.
        plan_class: SloClass,
    },
    /// A revoked key comes back in no way.
    #[error("the key {0} is revoked for good; create another")]
    Revoked(KeyId),
    /// A key that another took the place of ends when its owner was told.
    #[error("the key {0} was replaced by another: it may end earlier, not later")]
    Replaced(KeyId),
    /// Records that belong to the period may still come.
    #[error(
        "usage from before {end} may still be on its way from {count} journals: {journals}; start their gateways, \
         which ship what they have, and try again; ignore a journal only if it is lost"
    )]
    JournalsBehind {
        /// The instant up to which all must have come.
        end: Timestamp,
        /// How many journals are not complete.
        count: usize,
        /// Some of them.
        journals: String,
    },
    /// A month of which not everything is on issued invoices.
    #[error(
        "the month {month} stays where it is: not all of it is on issued invoices of {tenants}; issue them first (what came \
         late, and what a void invoice billed, comes onto the next one)"
    )]
    MonthOpen {
        /// Which month.
        month: String,
        /// Some of the tenants.
        tenants: String,
    },
    /// Records that are not with the others any more: what is left of a period is not all of it.
    #[error(
        "the usage records of {month} were detached and cannot be listed: {}; sums and invoices of the month stay",
        .place.as_ref().map_or_else(|| "they were dropped".to_owned(), |place| format!("they are in the table {place}"))
    )]
    RecordsDetached {
        /// Which month, of UTC.
        month: String,
        /// The table that has them. `None`: they were dropped.
        place: Option<String>,
    },
    /// A key that has expired already has no successor.
    #[error("the key {key_id} expired at {expired_at}; create another")]
    Expired {
        /// The key.
        key_id: KeyId,
        /// When it expired.
        expired_at: Timestamp,
    },
    /// A project below the lowest level.
    #[error("projects can be nested {0} levels deep")]
    ProjectTooDeep(u32),
    /// One more than there may be.
    #[error("there may be at most {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A limit of zero.
    #[error("a limit must be at least 1 and at most {max}; leave it out for no limit", max = i64::MAX)]
    BadLimit,
    /// An empty list of models.
    #[error("a list of allowed models must name 1 to {0} models; leave it out to allow every priced model")]
    BadModelList(usize),
    /// A response that is too large to be stored, or expires before it was made.
    #[error("a response can be stored with at most {bytes_max} bytes, and until a time after it was made")]
    BadResponse {
        /// Most bytes of its body, and of its conversation.
        bytes_max: usize,
    },
    /// A name or id that is taken.
    #[error("there already is a {what} called {name:?}")]
    Taken {
        /// A tenant, a key, an operator.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A name or id that names nothing.
    #[error("there is no {what} called {name:?}")]
    Missing {
        /// A tenant, a key, a plan.
        what: &'static str,
        /// What was looked for.
        name: String,
    },
    /// A disabled tenant or a revoked key cannot be changed.
    #[error("the {what} {name:?} is disabled")]
    Disabled {
        /// A tenant or a key.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Without an operator who may change things, nobody could make one.
    #[error("this is the last operator who may change things; create another one first")]
    LastOperator,
    /// A published plan version never changes.
    #[error("plan version {0} is already published with other terms; raise `version` to publish new ones")]
    PlanChanged(PlanVersionId),
    /// Every version of a plan has one currency, and so has a tenant.
    #[error("{what} {name:?} is in {current}, not {wanted}; a currency never changes")]
    CurrencyChange {
        /// A plan or a tenant.
        what: &'static str,
        /// Its name.
        name: String,
        /// The currency it has.
        current: Currency,
        /// The currency that was asked for.
        wanted: Currency,
    },
    /// A batch does not continue its journal's chain.
    #[error(
        "journal {journal_id}: record {sequence} does not continue the chain: {detail}; \
         nothing of this batch was taken"
    )]
    ChainBroken {
        /// Which journal.
        journal_id: JournalId,
        /// The first record that does not fit.
        sequence: u64,
        /// What does not fit.
        detail: ChainBreak,
    },
    /// One request, two different records.
    #[error("request {request_id} is already in the ledger with another usage record; nothing was taken")]
    RequestConflict {
        /// The request.
        request_id: RequestId,
    },
    /// A record whose quantities contradict each other.
    #[error("the usage record of request {request_id} is impossible: {why}; nothing was taken")]
    ImpossibleRecord {
        /// The request.
        request_id: RequestId,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// A batch beyond the bound.
    #[error("a batch holds {records} records; at most {records_max} are taken at once")]
    BatchTooLarge {
        /// How many were given.
        records: usize,
        /// The bound.
        records_max: usize,
    },
    /// The period has not ended.
    #[error("the period runs until {end}; it can be previewed now and issued from then on")]
    PeriodRunning {
        /// Its end.
        end: Timestamp,
    },
    /// Another invoice covers part of the period.
    #[error("invoice {number} already covers part of this period ({start} to {end})")]
    PeriodOverlaps {
        /// The other invoice.
        number: String,
        /// Its first instant.
        start: Timestamp,
        /// The first instant after it.
        end: Timestamp,
    },
    /// The hourly tallies are not the sums of the usage records.
    #[error(
        "the tally of the hour from {hour} ({group}) has {tally} {count}, and its usage records come to {records}; \
         nothing is issued until they agree"
    )]
    TallyDiffers {
        /// The first instant of the hour.
        hour: Timestamp,
        /// Model, plan version, latency class, reason, energy source and key of the tally.
        group: String,
        /// What differs.
        count: &'static str,
        /// What the tally says; `no` where there is no such tally.
        tally: String,
        /// What the records come to.
        records: i64,
    },
    /// The records of an invoice's period are not those that the invoice counts.
    #[error(
        "invoice {number} counts {counted} usage records, and the ledger has {records} of its period: it cannot be \
         stated which are on it"
    )]
    CannotSeal {
        /// The invoice.
        number: String,
        /// Records on the invoice.
        counted: u64,
        /// Records in the ledger.
        records: u64,
    },
    /// A period in which there was no such tenant yet.
    #[error(
        "the period ended at {end}, before tenant {name:?} was created ({created_at}), and holds no usage records; \
         there is nothing to issue"
    )]
    PeriodBeforeTenant {
        /// The tenant.
        name: String,
        /// When it was created.
        created_at: Timestamp,
        /// The period's end.
        end: Timestamp,
    },
    /// An invoice that stands where the step asked for does not lead from.
    #[error("invoice {number} is {state} and cannot {action}: {why}", state = state.as_str())]
    InvoiceState {
        /// The invoice.
        number: String,
        /// Where it stands.
        state: InvoiceState,
        /// The step that was asked for.
        action: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// One reference, two payments.
    #[error(
        "there already is a payment of this invoice with the reference {reference:?} and another {field}; nothing was \
         recorded"
    )]
    PaymentConflict {
        /// The reference.
        reference: String,
        /// The first field that differs.
        field: &'static str,
    },
    /// More money than is owed.
    #[error(
        "a payment of {amount} is more than the {due} that is due of invoice {number}; nothing was recorded"
    )]
    PaymentTooLarge {
        /// The invoice.
        number: String,
        /// The payment.
        amount: String,
        /// What is due.
        due: String,
    },
    /// One reference, two refunds.
    #[error(
        "there already is a refund of this invoice with the reference {reference:?} and another {field}; nothing was \
         recorded"
    )]
    RefundConflict {
        /// The reference.
        reference: String,
        /// The first field that differs.
        field: &'static str,
    },
    /// More money than the tenant is owed.
    #[error(
        "a refund of {amount} is more than the {owed} that the tenant is owed of invoice {number}; nothing was recorded"
    )]
    RefundTooLarge {
        /// The invoice.
        number: String,
        /// The refund.
        amount: String,
        /// What the tenant is owed.
        owed: String,
    },
    /// Not one of the tenant's billing periods.
    #[error("the tenant's billing period at this time is from {start} to {end}")]
    NoBillingPeriod {
        /// Its first instant.
        start: Timestamp,
        /// The first instant after it.
        end: Timestamp,
    },
    /// More than one period begins in the month.
    #[error(
        "several billing periods begin in this month, on {days} ({zone}); name one by a day in it, as YYYY-MM-DD"
    )]
    SeveralPeriods {
        /// The day on which each begins.
        days: String,
        /// The tenant's zone, whose days those are.
        zone: String,
    },
    /// A change that does not fit how a subscription stands.
    #[error("the subscription cannot be {to_be}: {}", standing(*state))]
    SubscriptionState {
        /// What was asked for.
        to_be: &'static str,
        /// How it stands.
        state: State,
    },
    /// A day that has passed, or is too far away.
    #[error("{what} on {earliest} or later, at most a year ahead, not on {day}")]
    BadDay {
        /// What was to be on that day.
        what: &'static str,
        /// The day asked for.
        day: Date,
        /// The first day that can be.
        earliest: Date,
    },
    /// A trial beyond its bound.
    #[error("a trial has at most {days_max} days")]
    TrialTooLong {
        /// The bound.
        days_max: u32,
    },
    /// A credit note that the invoice does not bear.
    #[error("no credit note was issued: {why}")]
    BadCredit {
        /// Why not.
        why: String,
    },
    /// One idempotency key, two credit notes.
    #[error(
        "there already is a credit note of this invoice with the idempotency key {idempotency_key:?} for another \
         request; none was issued"
    )]
    CreditConflict {
        /// The key.
        idempotency_key: String,
    },
    /// What is linked to Stripe stays as it is.
    #[error("{what}; nothing was changed")]
    StripeConflict {
        /// What stands against it.
        what: String,
    },
    /// The usage could not be rated.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// A tax that is none.
    #[error(transparent)]
    Tax(#[from] TaxError),
    /// A plan that does not read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A period that is none, or an unknown zone.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// A quantity that does not fit.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
}

/// How a batch fails to continue a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// A record of another journal.
    #[error("it belongs to journal {0}")]
    OtherJournal(JournalId),
    /// A gap or a step back.
    #[error("record {expected} was expected here")]
    Gap {
        /// The sequence that should have come.
        expected: u64,
    },
    /// The hash of the record before does not match.
    #[error("it follows a record with hash {found}, but the record before has {expected}")]
    Hash {
        /// The hash of the record before.
        expected: RecordHash,
        /// The hash that the record names.
        found: RecordHash,
    },
    /// A record that was shipped before, with other contents.
    #[error("it was taken before with another hash")]
    Rewritten,
}

impl LedgerError {
    /// Which kind of failure this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::BadUrl
            | Self::BadName { .. }
            | Self::BadLimit
            | Self::BadText { .. }
            | Self::BadGrant
            | Self::BadGrantTerms { .. }
            | Self::BadGrantExpiry { .. }
            | Self::BadCreditTerms
            | Self::BadExpiry { .. }
            | Self::StricterClass { .. }
            | Self::ProjectTooDeep(_)
            | Self::BadModelList(_)
            | Self::BadResponse { .. }
            | Self::BatchTooLarge { .. }
            | Self::ImpossibleRecord { .. }
            | Self::PeriodBeforeTenant { .. }
            | Self::Tax(_)
            | Self::BadDay { .. }
            | Self::TrialTooLong { .. }
            | Self::SeveralPeriods { .. }
            | Self::NoBillingPeriod { .. }
            | Self::BadCredit { .. }
            | Self::Period(_)
            | Self::Quantity(_) => Fault::Invalid,
            Self::Missing { .. } => Fault::Missing,
            Self::Taken { .. }
            | Self::Disabled { .. }
            | Self::LastOperator
            | Self::GrantConflict { .. }
            | Self::InvoiceState { .. }
            | Self::CreditConflict { .. }
            | Self::StripeConflict { .. }
            | Self::PaymentConflict { .. }
            | Self::PaymentTooLarge { .. }
            | Self::RefundConflict { .. }
            | Self::RefundTooLarge { .. }
            | Self::GrantScopes { .. }
            | Self::Revoked(_)
            | Self::Replaced(_)
            | Self::JournalsBehind { .. }
            | Self::MonthOpen { .. }
            | Self::RecordsDetached { .. }
            | Self::OtherDatabase(_)
            | Self::OwnerOnly { .. }
            | Self::Expired { .. }
            | Self::TooMany { .. }
            | Self::PlanChanged(_)
            | Self::CurrencyChange { .. }
            | Self::ChainBroken { .. }
            | Self::RequestConflict { .. }
            | Self::PeriodRunning { .. }
            | Self::SubscriptionState { .. }
            | Self::CannotSeal { .. }
            | Self::PeriodOverlaps { .. } => Fault::Conflict,
            Self::File { .. }
            | Self::Unreachable { .. }
            | Self::Migrate(_)
            | Self::Outdated { .. }
            | Self::NotGranted { .. }
            | Self::Database(_)
            | Self::Corrupt { .. }
            | Self::TallyDiffers { .. }
            | Self::CreditsDiffer { .. } => Fault::Broken,
            Self::Rate(error) => error.fault(),
            Self::Plan(error) => error.fault(),
            Self::Event(error) => error.fault(),
        }
    }

    /// A stored value that does not read back.
    pub(crate) fn corrupt(what: &'static str, detail: &dyn Display) -> Self {
        Self::Corrupt { what, detail: detail.to_string() }
    }

    /// Whether the database refused a row because its name or id exists already.
    pub(crate) fn is_taken(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        error.is_unique_violation() || error.message() == TAKEN
    }
}

/// What SQLite's guards against INSERT OR REPLACE say before the index of a name or an id can refuse it.
const TAKEN: &str = "this id or name is taken";

impl From<IdError> for LedgerError {
    fn from(error: IdError) -> Self {
        Self::corrupt("id", &error)
    }
}

impl From<MoneyError> for LedgerError {
    fn from(error: MoneyError) -> Self {
        Self::corrupt("currency", &error)
    }
}

/// How a subscription stands, in words.
fn standing(state: State) -> String {
    match state {
        State::None => "there is none".to_owned(),
        State::Planned(at) => format!("it begins at {at}"),
        State::Trial(until) => format!("it is on trial until {until}"),
        State::Active => "it is active".to_owned(),
        State::Paused(since) => format!("it is paused since {since}"),
        State::Ended(at) => format!("it ended at {at}"),
    }
}

/// Reads a name that we stored ourselves.
pub(crate) fn read_back<T: FromStr<Err: Display>>(what: &'static str, text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|error| LedgerError::corrupt(what, &error))
}

//! The ledger: tenants, keys, plans, usage, tallies and issued invoices, in SQLite or PostgreSQL.
//! Never on the request path: gateways work from a snapshot and the shipper writes behind them.
//! Called by the gateway's start, the shipper, the command line and invoices.

mod access;
mod audit;
mod billing_details;
mod bookings;
mod credit_notes;
mod credits;
mod documents;
mod error;
mod grants;
mod groups;
mod idempotency;
mod invoices;
mod journals;
mod key_change;
mod key_rules;
mod keys;
mod lifecycle;
mod limits;
mod migrations;
mod months;
mod operators;
mod plans;
mod pool;
mod projects;
mod rebuild;
mod records;
mod refunds;
mod responses;
mod roles;
mod rotate;
mod serials;
mod spend_check;
mod spending;
mod sql;
mod statements;
mod stripe;
mod subscriptions;
mod tallies;
mod tenants;
mod usage;
mod usage_events;
mod users;
mod walk;
mod webhooks;

pub use access::{AccessSnapshot, KeyAccess, PlanSchedule, TenantAccess};
pub use audit::{Actor, ActorKind, AuditEntry, AuditQuestion};
pub use billing_details::{ADDRESS_LINES_MAX, IssuerDetails, PAYMENT_DAYS_MAX, Party, TenantBilling};
pub use bookings::{Booking, BookingKind, BookingList, BookingPosition};
pub use credits::{Cause, CreditProof, CreditTerms, Event, Overage, StoredTransfer, TracePart};
pub use error::{ChainBreak, LedgerError};
pub use grants::{Balance, GRANT_NANOS_MAX, Grant, GrantKind, Granted, NewGrant};
pub use groups::{GroupUsage, NO_PROJECT, UsageGroup};
pub use idempotency::{Claim, Claimed, EXPIRED_ROWS_MAX, IdempotencyKey, Outcome, StoredAnswer};
pub use invoices::IssuedInvoice;
pub use journals::{Complete, JournalState};
pub use key_change::KeyChange;
pub use keys::{Key, NewKey, SecretHash};
pub use lifecycle::{InvoiceEvent, InvoiceEventKind, InvoiceStanding, InvoiceState, NewPayment, Recorded};
pub use limits::{Budget, Limits, LimitsPlace, ScopeLimits};
pub use months::{DetachedMonth, Month, MonthState};
pub use operators::{FirstStart, NewOperator, Operator, OperatorRole, UnknownRole};
pub use plans::Published;
pub use projects::{NewProject, PROJECT_DEPTH_MAX, PROJECTS_MAX, Project};
pub use rebuild::{REBUILD_HOURS, Rebuilt, TallyDifference};
pub use records::{RecordPosition, RecordsPage, StoredRecord};
pub use refunds::{InvoiceRefund, NewRefund, RefundKind};
pub use responses::{EXPIRED_RESPONSES_MAX, RESPONSE_BYTES_MAX, StoredResponse};
pub use roles::GrantedRights;
pub use rotate::Rotation;
pub use serials::SerialDifference;
pub use spend_check::SpendDifference;
pub use spending::{LimitScope, SPENT_QUESTIONS_MAX, SpentQuestion};
pub use statements::{StatementKeyUse, StoredStatement};
pub use stripe::{
    Collection, SessionKind, StepEnd, StepKind, StepState, StripeEvent, StripeSession, StripeStep,
    StripeTenant, Told,
};
pub use subscriptions::{
    NewSubscription, PeriodChoice, Subscription, SubscriptionChange, SubscriptionStanding, TenantChange,
};
pub use tallies::{UsageSum, UsageTotals};
pub use tenants::{BillingMode, NewTenant, Tenant, TenantTerms};
pub use usage::{JournalCursor, SHIP_RECORDS_MAX, Shipped};
pub use usage_events::{EventSum, HashedEvent, MeterSum};
pub use users::{NewUser, UnknownUserRole, User, UserRole};
pub use walk::{LinePart, RecordFilter};
pub use webhooks::{
    AlertRound, Attempt, AttemptOutcome, Delivery, DeliveryAttempt, DueDelivery, Endpoint, EventKind,
    NewEndpoint, SECRETS_MAX, WebhookSecret,
};

pub(crate) use billing_details::{Parties, parties};
pub(crate) use credits::{GrantPayment, Settlement, beyond, insert_event, paid_by_grants, settle_invoice};
pub(crate) use documents::{Document, documents, note_part};
pub(crate) use invoices::{
    LineColumns, find_for_period as find_issued, insert as store_invoice,
    lock_numbers as lock_invoice_numbers, number as invoice_number,
};
pub(crate) use lifecycle::settle;
pub(crate) use plans::{find as find_plan, in_force as plan_in_force};
pub(crate) use pool::Transaction;
pub(crate) use projects::{name_of as project_name, of as projects_of};
pub(crate) use statements::{
    find_by_key as find_statement_by_key, find_seal, hold_still, insert_seal, insert_statement, sealed_page,
};
pub(crate) use subscriptions::{facts as period_facts, settle as settle_periods};
pub(crate) use tallies::{
    ProjectSums, check as check_tallies, is_of_whole_hours, split_by_project as usage_split_by_project,
    sums_by_project as usage_sums_by_project,
};
pub(crate) use usage_events::{check_event_tallies, count_events, event_sums, events_page};
pub(crate) use walk::require_attached;

use pool::{Pool, Value};

/// The open ledger. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Ledger {
    pool: Pool,
}

impl Ledger {
    /// Opens the ledger and brings its tables up to date.
    ///
    /// `sqlite://PATH` opens a file (created for its owner alone when missing), `postgres://…` a server.
    /// Errors: a URL that is neither, a database that cannot be reached, migrations that fail.
    pub async fn connect(url: &str) -> Result<Self, LedgerError> {
        let pool = Pool::connect(url).await?;
        pool.migrate().await?;
        Ok(Self { pool })
    }

    /// Copies a SQLite ledger, as it is at one moment, into a file that is not there yet, for its owner alone.
    ///
    /// Errors: a PostgreSQL ledger, a file that is there already or cannot be written.
    pub async fn backup(&self, path: &std::path::Path) -> Result<(), LedgerError> {
        self.pool.backup(path).await
    }

    /// A number that grows with every change of tenants, keys and plans.
    pub async fn revision(&self) -> Result<i64, LedgerError> {
        let mut transaction = self.pool.read().await?;
        read_revision(&mut transaction).await
    }

    /// A transaction for parts of billing outside the ledger that only read.
    pub(crate) async fn read(&self) -> Result<Transaction, LedgerError> {
        self.pool.read().await
    }

    /// A transaction for parts of billing outside the ledger that write.
    pub(crate) async fn write(&self) -> Result<Transaction, LedgerError> {
        self.pool.write().await
    }

    /// Waits for what is running and closes the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn read_revision(transaction: &mut Transaction) -> Result<i64, LedgerError> {
    let (revision,): (i64,) = transaction.row(sql::REVISION, &[]).await?;
    Ok(revision)
}

/// Tells gateways to take a new snapshot. Its row lock also puts changes of access in one order.
async fn raise_revision(transaction: &mut Transaction) -> Result<(), LedgerError> {
    transaction.execute(sql::RAISE_REVISION, &[]).await.map(|_| ())
}

//! The books of tenants in the ledger: who paid for what, kept in the transaction that brings records or grants.
//! Never decides what a grant pays for: `crate::credit` does; here are locks, rows and the order of events.
//! Called by shipping, by grants, by invoices, and by a task that books what expired.

mod events;
mod invoiced;
mod locked;
mod proof;
mod sql;
mod terms;
mod views;

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Clock as _, GrantId, JournalId, JournaledRecord, ModelName, Nanos, SystemClock, TenantId, Timestamp,
};
use uuid::Uuid;

pub use events::Event;
pub(crate) use events::insert as insert_event;
pub(crate) use invoiced::{GrantPayment, Settlement, beyond, paid_by_grants, settle_invoice};
pub(super) use locked::{LockedBook, lock};
use locked::{Posting, lock_without};
pub use proof::CreditProof;
pub use terms::{CreditTerms, Overage};
pub(super) use views::rules_of_all;
pub use views::{StoredTransfer, TracePart};

use super::{
    Ledger, LedgerError, Transaction, Value, raise_revision,
    usage::{hex_id, to_json},
};
use crate::credit::{Debit, DebitPlace, OpenGrant};

/// Why transfers were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// What was granted and charged before there were books.
    Opening,
    /// Money was granted.
    Grant,
    /// Money was taken back.
    TakeBack,
    /// Records arrived.
    Usage,
    /// A grant's time was over.
    Expiry,
    /// An invoice has what was consumed without a grant.
    Invoice,
}

impl Cause {
    const ALL: [Self; 6] =
        [Self::Opening, Self::Grant, Self::TakeBack, Self::Usage, Self::Expiry, Self::Invoice];

    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Grant => "grant",
            Self::TakeBack => "take_back",
            Self::Usage => "usage",
            Self::Expiry => "expiry",
            Self::Invoice => "invoice",
        }
    }

    fn read_back(text: &str) -> Result<Self, LedgerError> {
        let found = Self::ALL.into_iter().find(|cause| cause.as_str() == text);
        found.ok_or_else(|| LedgerError::corrupt("cause", &text))
    }
}

#[derive(sqlx::FromRow)]
struct GrantRow {
    tenant_id: Uuid,
    grant_id: Uuid,
    amount_nanos: i64,
    priority: i64,
    expires_unix_us: Option<i64>,
    created_unix_us: i64,
    models: Option<String>,
    remaining_nanos: i64,
    lapsed_nanos: i64,
}

impl GrantRow {
    fn open(&self) -> Result<OpenGrant, LedgerError> {
        Ok(OpenGrant {
            id: GrantId::from_uuid(self.grant_id),
            priority: u8::try_from(self.priority)
                .map_err(|error| LedgerError::corrupt("priority", &error))?,
            expires_at: self.expires_unix_us.map(Timestamp::from_unix_micros),
            created_at: Timestamp::from_unix_micros(self.created_unix_us),
            models: models_from_column(self.models.as_deref())?,
            remaining: Nanos::from_i64(self.remaining_nanos)?,
            lapsed: Nanos::from_i64(self.lapsed_nanos)?,
        })
    }
}

/// The models of a grant as stored: in order, with commas between.
pub(super) fn models_from_column(column: Option<&str>) -> Result<Option<BTreeSet<ModelName>>, LedgerError> {
    let names = |text: &str| text.split(',').map(ModelName::new).collect::<Result<BTreeSet<_>, _>>();
    column.map(names).transpose().map_err(LedgerError::from)
}

impl Ledger {
    /// Opens books that an earlier version left to be opened, books what expired since an instant, and has gateways
    /// look again where more may be spent. Says how many grants expired.
    ///
    /// Errors: a database that fails.
    pub async fn tend_credits(&self, now: Timestamp, since: Timestamp) -> Result<usize, LedgerError> {
        let mut reading = self.pool.read().await?;
        let unopened: Vec<(Uuid,)> = reading.rows(sql::UNOPENED, &[]).await?;
        let bounds = [Value::Int(now.unix_micros()), Value::Int(since.unix_micros())];
        let expired: Vec<(Uuid,)> = reading.rows(sql::EXPIRED, &bounds).await?;
        let (stale,): (i64,) = reading.row(sql::STALE, &[]).await?;
        drop(reading);
        let mut count = 0;
        for (tenant,) in unopened.into_iter().chain(expired) {
            let mut transaction = self.pool.write().await?;
            raise_revision(&mut transaction).await?;
            let mut locked = lock(&mut transaction, TenantId::from_uuid(tenant), now, now).await?;
            count += locked.expire(&mut transaction, now).await?;
            locked.close(&mut transaction, now).await?;
            transaction.commit().await?;
        }
        if stale > 0 {
            let mut transaction = self.pool.write().await?;
            raise_revision(&mut transaction).await?;
            transaction.execute(sql::REFRESH, &[]).await?;
            transaction.commit().await?;
        }
        Ok(count)
    }
}

/// Pays for records that are new, from the grants of their tenants, in the order of their journal.
///
/// Called after what they were charged was added to what was spent: then an opening book either counts them there
/// or is seen here.
pub(super) async fn pay<'a>(
    transaction: &mut Transaction,
    journal_id: JournalId,
    records: impl Iterator<Item = &'a JournaledRecord>,
) -> Result<(), LedgerError> {
    let mut debits: BTreeMap<Uuid, Vec<Debit>> = BTreeMap::new();
    for JournaledRecord { sequence, record, .. } in records {
        if !record.charge.is_zero() {
            let place = DebitPlace { sequence: *sequence, quarter: record.finished_at.unix_quarter() };
            let (model, charge, started_at) = (record.model.clone(), record.charge, record.started_at);
            let debit = Debit { model, charge, started_at, place: Some(place) };
            debits.entry(record.tenant_id.as_uuid()).or_default().push(debit);
        }
    }
    if debits.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = debits.keys().map(|id| hex_id(*id)).collect();
    let tenants: Vec<(Uuid,)> =
        transaction.rows(sql::TENANTS_WITH_BOOKS, &[Value::Text(&to_json(&ids)?)]).await?;
    let now = SystemClock.now();
    for (tenant,) in tenants {
        let Some(debits) = debits.get(&tenant) else { continue };
        let since = debits.iter().map(|debit| debit.started_at).min().unwrap_or(now);
        let mut locked = lock_without(transaction, TenantId::from_uuid(tenant), (since, now), debits).await?;
        locked.pay(transaction, debits, (journal_id, now)).await?;
        locked.close(transaction, now).await?;
    }
    Ok(())
}

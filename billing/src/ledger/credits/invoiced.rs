//! What grants paid for in an invoice's period, and what the books say once the invoice is issued.
//! Never an invoice's amount: what it comes to is an argument.
//! Called by invoices, in the transaction that issues them.

use domain::{GrantId, Nanos, Period, QuantityError, TenantId, Timestamp};
use uuid::Uuid;

use super::{Cause, LockedBook, Posting, lock, sql};
use crate::{
    credit::{Account, Transfer},
    ledger::{
        GrantKind, LedgerError, NewGrant, Tenant, Transaction, Value, error::read_back, grants,
        raise_revision,
    },
};

/// Microseconds in a quarter of an hour: months of every zone begin on one.
const QUARTER_US: i64 = 900_000_000;

/// What one grant paid for requests of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrantPayment {
    pub(crate) id: GrantId,
    pub(crate) kind: GrantKind,
    pub(crate) note: String,
    pub(crate) paid: Nanos,
}

/// What an issued invoice says that the books must follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settlement<'a> {
    pub(crate) number: &'a str,
    /// By how much grants paid more than the invoice comes to.
    pub(crate) paid_too_much: Nanos,
    pub(crate) issued_at: Timestamp,
}

/// What grants paid for requests that ended in a period, and for late ones of what was invoiced before, as far as no
/// invoice says so already; the oldest grant first.
pub(crate) async fn paid_by_grants(
    transaction: &mut Transaction,
    tenant: TenantId,
    period: &Period,
) -> Result<Vec<GrantPayment>, LedgerError> {
    let values = in_quarters(tenant, period);
    let rows: Vec<(Uuid, String, String, i64)> = transaction.rows(sql::PAID_BY_GRANTS, &values).await?;
    let payment = |(id, kind, note, paid): (Uuid, String, String, i64)| {
        Ok(GrantPayment {
            id: GrantId::from_uuid(id),
            kind: read_back("grant kind", &kind)?,
            note,
            paid: Nanos::from_i64(paid)?,
        })
    };
    rows.into_iter().map(payment).collect()
}

/// Books that an invoice has what was consumed without a grant, and gives back what grants paid too much.
pub(crate) async fn settle_invoice(
    transaction: &mut Transaction,
    tenant: &Tenant,
    period: &Period,
    settlement: Settlement<'_>,
) -> Result<(), LedgerError> {
    let id = Value::Id(tenant.id.as_uuid());
    if transaction.find::<(i64,)>(sql::BOOK, &[id]).await?.is_none() {
        return Ok(());
    }
    raise_revision(transaction).await?;
    let now = settlement.issued_at;
    let mut locked = lock(transaction, tenant.id, now, now).await?;
    locked.bill_overage(transaction, period, now).await?;
    let [id, start, end] = in_quarters(tenant.id, period);
    let noted = [id, start, end, Value::Text(settlement.number)];
    transaction.execute(sql::NOTE_INVOICED, &noted).await?;
    if !settlement.paid_too_much.is_zero() {
        let nanos = i128::from(settlement.paid_too_much.get());
        let idempotency_key = format!("invoice {}", settlement.number);
        let note = format!("paid more than invoice {} comes to", settlement.number);
        let amount = domain::Money::from_nanos(nanos, tenant.currency);
        let new = NewGrant { kind: GrantKind::Refund, ..NewGrant::paid(amount, &idempotency_key, &note) };
        grants::insert(transaction, &mut locked, tenant, &new, now).await?;
    }
    locked.close(transaction, now).await
}

impl LockedBook {
    async fn bill_overage(
        &mut self,
        transaction: &mut Transaction,
        period: &Period,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let (nanos,): (i64,) = transaction.row(sql::OVERAGE_IN, &in_quarters(self.tenant, period)).await?;
        let amount = Nanos::from_i64(nanos)?;
        if amount.is_zero() {
            return Ok(());
        }
        let (from, to) = (Account::Billed, Account::Overage);
        let transfer = Transfer { from, to, grant: None, amount, span: None };
        let posting = Posting { cause: Cause::Invoice, at: now, journal_id: None };
        self.post(transaction, posting, vec![transfer]).await
    }
}

/// A tenant, and the quarters of an hour that begin in a period.
fn in_quarters(tenant: TenantId, period: &Period) -> [Value<'static>; 3] {
    let first = |at: Timestamp| {
        let micros = at.unix_micros();
        micros.div_euclid(QUARTER_US) + i64::from(micros.rem_euclid(QUARTER_US) != 0)
    };
    [Value::Id(tenant.as_uuid()), Value::Int(first(period.start())), Value::Int(first(period.end()))]
}

/// How much more was paid than was due.
pub(crate) fn beyond(paid: Nanos, due: i128) -> Result<Nanos, QuantityError> {
    let more = (i128::from(paid.get()) - due.max(0)).max(0);
    let overflow = |_| QuantityError::Overflow { unit: "billionths of a currency unit" };
    u64::try_from(more).map(Nanos::new).map_err(overflow)
}

//! A tenant's book while its row is locked: opened, written into, closed.
//! Never decides what a grant pays for: `crate::credit` does.
//! Called by shipping, grants, invoices and the task that books what expired.

use std::collections::{BTreeMap, BTreeSet};

use domain::{GrantId, JournalId, ModelName, Nanos, QuantityError, TenantId, Timestamp};
use serde::Serialize;

use super::{Cause, CreditTerms, GrantRow, events, sql, terms};
use crate::{
    credit::{Account, Book, Debit, OpenGrant, Transfer},
    ledger::{
        BillingMode, LedgerError, Transaction, Value, tenants,
        usage::{hex_id, to_json},
    },
};

/// A tenant's book, locked until the transaction ends.
pub(in crate::ledger) struct LockedBook {
    pub(super) tenant: TenantId,
    book: Book,
    transfers: i64,
    postings: i64,
    is_low: bool,
    /// Whether more may be spent now than gateways know.
    is_stale: bool,
    /// What was consumed without a grant and is on no invoice yet.
    overage: i128,
    terms: CreditTerms,
}

/// What the transfers of one posting have in common.
#[derive(Clone, Copy)]
pub(super) struct Posting {
    pub(super) cause: Cause,
    pub(super) at: Timestamp,
    pub(super) journal_id: Option<JournalId>,
}

/// As the bulk insert reads it. Named like the columns.
#[derive(Serialize)]
struct TransferColumns {
    tenant_id: String,
    sequence: i64,
    posting: i64,
    cause: &'static str,
    at_unix_us: i64,
    from_account: String,
    to_account: String,
    amount_nanos: Nanos,
    grant_id: Option<String>,
    journal_id: Option<String>,
    unix_quarter: Option<i64>,
    first_sequence: Option<u64>,
    last_sequence: Option<u64>,
    records: Option<u64>,
    first_part_nanos: Option<Nanos>,
    last_part_nanos: Option<Nanos>,
}

/// Locks a tenant's book, and opens it if it is new. Of what lapsed, it has what was open at `since`.
pub(in crate::ledger) async fn lock(
    transaction: &mut Transaction,
    tenant: TenantId,
    since: Timestamp,
    now: Timestamp,
) -> Result<LockedBook, LedgerError> {
    lock_without(transaction, tenant, (since, now), &[]).await
}

/// The same, where these debits are among what was spent already and are still to be paid.
pub(super) async fn lock_without(
    transaction: &mut Transaction,
    tenant: TenantId,
    (since, now): (Timestamp, Timestamp),
    debits: &[Debit],
) -> Result<LockedBook, LedgerError> {
    let id = Value::Id(tenant.as_uuid());
    let values = [id, Value::Flag(false), Value::Int(now.unix_micros())];
    let (transfers, postings, is_low): (i64, i64, bool) = transaction.row(sql::LOCK_BOOK, &values).await?;
    let rows: Vec<GrantRow> =
        transaction.rows(sql::OPEN_GRANTS, &[id, Value::Int(since.unix_micros())]).await?;
    let grants = rows.iter().map(GrantRow::open).collect::<Result<_, _>>()?;
    let overage: Option<(i64,)> = transaction.find(sql::OVERAGE, &[id]).await?;
    let mut locked = LockedBook {
        tenant,
        book: Book::new(grants),
        transfers,
        postings,
        is_low,
        is_stale: false,
        overage: -i128::from(overage.map_or(0, |(nanos,)| nanos)),
        terms: terms::of(transaction, tenant).await?,
    };
    if locked.postings == 0 {
        locked.open(transaction, debits, now).await?;
    }
    Ok(locked)
}

impl LockedBook {
    pub(in crate::ledger) fn grants(&self) -> &[OpenGrant] {
        self.book.grants()
    }

    /// The number of the posting that comes next.
    pub(in crate::ledger) fn next_posting(&self) -> i64 {
        self.postings + 1
    }

    /// Books what was granted and spent before there was a book, but for some debits.
    ///
    /// Grants of an earlier version paid for all that a tenant with prepaid billing was ever charged. Everybody else
    /// owes it by invoice.
    async fn open(
        &mut self,
        transaction: &mut Transaction,
        debits: &[Debit],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let tenant = tenants::find_by_id(transaction, self.tenant).await?;
        transaction.execute(sql::HOLD_SPENDING, &[]).await?;
        let id = Value::Id(self.tenant.as_uuid());
        let unbooked: Vec<GrantRow> = transaction.rows(sql::UNBOOKED_GRANTS, &[id]).await?;
        let is_legacy = !unbooked.is_empty();
        let (given, taken): (Vec<_>, Vec<_>) = unbooked.iter().partition(|row| row.amount_nanos > 0);
        let mut transfers = Vec::new();
        for row in given {
            transfers.extend(self.book.issue(row.open()?, Nanos::from_i64(row.amount_nanos)?)?);
        }
        for row in taken {
            let amount = Nanos::new(row.amount_nanos.unsigned_abs());
            transfers.extend(self.book.take_back(amount, GrantId::from_uuid(row.grant_id))?);
        }
        let spent = spent_before(transaction, self.tenant, debits).await?;
        if is_legacy && tenant.terms.billing == BillingMode::Prepaid {
            let earlier = spent.into_iter();
            let earlier: Vec<_> = earlier
                .map(|(model, charge)| Debit { model, charge, started_at: now, place: None })
                .collect();
            transfers.extend(self.book.draw(&earlier)?);
        } else {
            transfers.extend(spent.into_iter().map(|(model, amount)| Transfer {
                from: Account::Billed,
                to: Account::Consumed(model),
                grant: None,
                amount,
                span: None,
            }));
        }
        self.post(transaction, Posting { cause: Cause::Opening, at: now, journal_id: None }, transfers).await
    }

    /// Books what expired, each grant at its own instant; says how many.
    pub(in crate::ledger) async fn expire(
        &mut self,
        transaction: &mut Transaction,
        now: Timestamp,
    ) -> Result<usize, LedgerError> {
        let mut instants: BTreeSet<Timestamp> = BTreeSet::new();
        let open = self.book.grants().iter().filter(|grant| !grant.remaining.is_zero());
        instants.extend(open.filter_map(|grant| grant.expires_at).filter(|at| *at <= now));
        let mut count = 0;
        for at in instants {
            let transfers = self.book.expire(at)?;
            count += transfers.len();
            self.post(transaction, Posting { cause: Cause::Expiry, at, journal_id: None }, transfers).await?;
        }
        Ok(count)
    }

    /// Books a grant that was given now.
    pub(in crate::ledger) async fn give(
        &mut self,
        transaction: &mut Transaction,
        grant: OpenGrant,
        amount: Nanos,
    ) -> Result<(), LedgerError> {
        let posting = Posting { cause: Cause::Grant, at: grant.created_at, journal_id: None };
        let transfers = self.book.issue(grant, amount)?;
        self.post(transaction, posting, transfers).await
    }

    /// Books that money was taken back.
    pub(in crate::ledger) async fn take_back(
        &mut self,
        transaction: &mut Transaction,
        amount: Nanos,
        (why, now): (GrantId, Timestamp),
    ) -> Result<(), LedgerError> {
        let transfers = self.book.take_back(amount, why)?;
        self.post(transaction, Posting { cause: Cause::TakeBack, at: now, journal_id: None }, transfers).await
    }

    /// Pays for records of a journal, in its order.
    pub(super) async fn pay(
        &mut self,
        transaction: &mut Transaction,
        debits: &[Debit],
        (journal_id, at): (JournalId, Timestamp),
    ) -> Result<(), LedgerError> {
        let transfers = self.book.draw(debits)?;
        let posting = Posting { cause: Cause::Usage, at, journal_id: Some(journal_id) };
        self.post(transaction, posting, transfers).await
    }

    /// Stores transfers as one posting.
    pub(super) async fn post(
        &mut self,
        transaction: &mut Transaction,
        posting: Posting,
        transfers: Vec<Transfer>,
    ) -> Result<(), LedgerError> {
        if transfers.is_empty() {
            return Ok(());
        }
        self.postings += 1;
        let mut columns = Vec::with_capacity(transfers.len());
        for transfer in transfers {
            self.transfers += 1;
            self.note(&transfer);
            columns.push(self.columns(posting, &transfer));
        }
        transaction.execute(sql::INSERT_TRANSFERS, &[Value::Text(&to_json(&columns)?)]).await.map(drop)
    }

    /// What a transfer changes beside the grants.
    fn note(&mut self, transfer: &Transfer) {
        let amount = i128::from(transfer.amount.get());
        if transfer.from == Account::Overage {
            self.overage += amount;
        }
        if transfer.to == Account::Overage {
            self.overage -= amount;
            self.is_stale = true;
        }
        // What lapsed is used after all: it does not count against what may still be spent.
        self.is_stale |= matches!(transfer.from, Account::Breakage(_));
    }

    fn columns(&self, posting: Posting, transfer: &Transfer) -> TransferColumns {
        let Transfer { from, to, grant, amount, span } = transfer;
        TransferColumns {
            tenant_id: hex_id(self.tenant.as_uuid()),
            sequence: self.transfers,
            posting: self.postings,
            cause: posting.cause.as_str(),
            at_unix_us: posting.at.unix_micros(),
            from_account: from.to_string(),
            to_account: to.to_string(),
            amount_nanos: *amount,
            grant_id: grant.map(|grant| hex_id(grant.as_uuid())),
            journal_id: posting.journal_id.map(|journal| hex_id(journal.as_uuid())),
            unix_quarter: span.map(|span| span.quarter),
            first_sequence: span.map(|span| span.first),
            last_sequence: span.map(|span| span.last),
            records: span.map(|span| span.records),
            first_part_nanos: span.map(|span| span.first_part),
            last_part_nanos: span.map(|span| span.last_part),
        }
    }

    /// What may still be spent, without what is allowed beyond it.
    fn left(&self) -> Result<i128, QuantityError> {
        Ok(i128::from(self.book.remaining()?.get()) - self.overage)
    }

    /// Writes the book's own row, and an event when the balance fell below the threshold.
    pub(in crate::ledger) async fn close(
        self,
        transaction: &mut Transaction,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let left = self.left()?;
        let below = self.terms.recharge_below.filter(|below| left < i128::from(below.get()));
        if let Some(threshold) = below.filter(|_| !self.is_low) {
            events::low(transaction, self.tenant, (left, threshold), now).await?;
        }
        let values = [
            Value::Id(self.tenant.as_uuid()),
            Value::Int(self.transfers),
            Value::Int(self.postings),
            Value::Flag(below.is_some()),
            Value::Flag(self.is_stale),
        ];
        transaction.execute(sql::WRITE_BOOK, &values).await.map(drop)
    }
}

/// What was spent, ever, by model, but for some debits.
async fn spent_before(
    transaction: &mut Transaction,
    tenant: TenantId,
    debits: &[Debit],
) -> Result<BTreeMap<ModelName, Nanos>, LedgerError> {
    let rows: Vec<(String, i64)> =
        transaction.rows(sql::SPENT_BY_MODEL, &[Value::Id(tenant.as_uuid())]).await?;
    let mut spent = BTreeMap::new();
    for (model, nanos) in rows {
        let model = ModelName::new(model)?;
        let own = debits.iter().filter(|debit| debit.model == model);
        let own = own.map(|debit| i128::from(debit.charge.get())).sum::<i128>();
        let nanos = i64::try_from(i128::from(nanos) - own).map_err(|_| overflow())?;
        if nanos > 0 {
            spent.insert(model, Nanos::from_i64(nanos)?);
        }
    }
    Ok(spent)
}

fn overflow() -> QuantityError {
    QuantityError::Overflow { unit: "billionths of a currency unit" }
}

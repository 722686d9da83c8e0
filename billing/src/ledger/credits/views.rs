//! What the books say: balances, what may be spent, transfers, and which grants paid for a request.
//! Never a change.
//! Called by snapshots of access, the command line and the operators' interface.

use std::collections::{BTreeMap, HashMap};

use domain::{GrantId, JournalId, ModelName, Nanos, RequestId, TenantId, Timestamp};
use uuid::Uuid;

use super::{Cause, GrantRow, sql, terms};
use crate::{
    credit::{Account, BalanceRule, OpenGrant, RuleParts, Span, Transfer, balance_rules},
    ledger::{
        Balance, BillingMode, Ledger, LedgerError, LimitScope, SpentQuestion, Tenant, Transaction, Value,
        error::read_back, grants, spending, tenants,
    },
};

/// Transfers in one page.
const PAGE_TRANSFERS_MAX: usize = 1_000;

/// A transfer in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTransfer {
    /// Its place among the tenant's transfers: 1, 2, 3, … without a gap.
    pub sequence: u64,
    /// The posting it belongs to.
    pub posting: u64,
    /// Why it was made.
    pub cause: Cause,
    /// When; of an expiry, when the grant expired.
    pub at: Timestamp,
    /// The journal whose records it is for.
    pub journal_id: Option<JournalId>,
    /// What moved.
    pub transfer: Transfer,
}

/// A part of what one request was charged, and who paid it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracePart {
    /// The transfer it is in.
    pub sequence: u64,
    /// The account it came from.
    pub from: Account,
    /// The grant that paid. `None`: it is owed.
    pub grant: Option<GrantId>,
    /// How much.
    pub amount: Nanos,
}

#[derive(sqlx::FromRow)]
pub(super) struct TransferRow {
    sequence: i64,
    posting: i64,
    cause: String,
    at_unix_us: i64,
    from_account: String,
    to_account: String,
    amount_nanos: i64,
    grant_id: Option<Uuid>,
    journal_id: Option<Uuid>,
    unix_quarter: Option<i64>,
    first_sequence: Option<i64>,
    last_sequence: Option<i64>,
    records: Option<i64>,
    first_part_nanos: Option<i64>,
    last_part_nanos: Option<i64>,
}

impl TransferRow {
    fn span(&self) -> Result<Option<Span>, LedgerError> {
        let Some(quarter) = self.unix_quarter else { return Ok(None) };
        let absent = || LedgerError::corrupt("transfer", &"a part of its records is absent");
        let count = |column: Option<i64>| {
            let column = column.ok_or_else(absent)?;
            u64::try_from(column).map_err(|error| LedgerError::corrupt("transfer", &error))
        };
        Ok(Some(Span {
            quarter,
            first: count(self.first_sequence)?,
            last: count(self.last_sequence)?,
            records: count(self.records)?,
            first_part: Nanos::new(count(self.first_part_nanos)?),
            last_part: Nanos::new(count(self.last_part_nanos)?),
        }))
    }
}

impl StoredTransfer {
    pub(super) fn from_row(row: &TransferRow) -> Result<Self, LedgerError> {
        let number =
            |number: i64| u64::try_from(number).map_err(|error| LedgerError::corrupt("number", &error));
        Ok(Self {
            sequence: number(row.sequence)?,
            posting: number(row.posting)?,
            cause: Cause::read_back(&row.cause)?,
            at: Timestamp::from_unix_micros(row.at_unix_us),
            journal_id: row.journal_id.map(JournalId::from_uuid),
            transfer: Transfer {
                from: read_back("account", &row.from_account)?,
                to: read_back("account", &row.to_account)?,
                grant: row.grant_id.map(GrantId::from_uuid),
                amount: Nanos::from_i64(row.amount_nanos)?,
                span: row.span()?,
            },
        })
    }

    /// What of a record's charge is in it.
    fn part(&self, sequence: u64, charge: Nanos) -> Nanos {
        match self.transfer.span {
            Some(span) if span.first == sequence => span.first_part,
            Some(span) if span.last == sequence => span.last_part,
            Some(_) | None => charge,
        }
    }
}

impl Ledger {
    /// What a tenant was granted and charged up to now: the records that have arrived.
    ///
    /// Errors: no such tenant.
    pub async fn balance(&self, tenant: TenantId) -> Result<Balance, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let tenant = tenants::find_by_id(&mut transaction, tenant).await?;
        let accounts = accounts(&mut transaction, tenant.id).await?;
        let mut sums = match accounts.is_empty() {
            true => unopened(&mut transaction, &tenant).await?,
            false => Sums::default(),
        };
        for (account, nanos) in accounts {
            let nanos = i128::from(nanos);
            match account {
                Account::Issued => sums.granted -= nanos,
                Account::Grant(_) => sums.left += nanos,
                Account::Breakage(_) => sums.expired += nanos,
                Account::Consumed(_) => sums.charged += nanos,
                Account::Overage => {
                    sums.left += nanos;
                    sums.overage -= nanos;
                }
                Account::Billed => sums.billed -= nanos,
            }
        }
        let money = |nanos| domain::Money::from_nanos(nanos, tenant.currency);
        Ok(Balance {
            granted: money(sums.granted),
            charged: money(sums.charged),
            expired: money(sums.expired),
            overage: money(sums.overage),
            billed: money(sums.billed),
            left: money(sums.left),
        })
    }

    /// What is left of each grant of a tenant, and what was left when it expired, less what late records used.
    ///
    /// Errors: a database that fails.
    pub async fn open_grants(&self, tenant: TenantId) -> Result<Vec<OpenGrant>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let rows: Vec<GrantRow> = transaction.rows(sql::ALL_GRANTS, &[Value::Id(tenant.as_uuid())]).await?;
        rows.iter().map(GrantRow::open).collect()
    }

    /// The first transfers of a tenant after one, in their order; at most 1,000.
    ///
    /// Errors: a database that fails.
    pub async fn transfers_page(
        &self,
        tenant: TenantId,
        after: Option<u64>,
        rows_max: usize,
    ) -> Result<Vec<StoredTransfer>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        page(&mut transaction, tenant, after.unwrap_or(0), rows_max).await
    }

    /// Who paid what of a request's charge; nothing where it was charged nothing or its tenant has no grants.
    ///
    /// Errors: no such record.
    pub async fn trace(&self, tenant: TenantId, request: RequestId) -> Result<Vec<TracePart>, LedgerError> {
        let missing = || LedgerError::Missing { what: "usage record", name: request.to_string() };
        let found =
            self.find_record(request).await?.filter(|found| found.journaled.record.tenant_id == tenant);
        let journaled = found.ok_or_else(missing)?.journaled;
        let (record, sequence) = (&journaled.record, journaled.sequence);
        let account = Account::Consumed(record.model.clone()).to_string();
        let values = [
            Value::Id(tenant.as_uuid()),
            Value::Id(journaled.journal_id.as_uuid()),
            Value::Int(i64::try_from(sequence).unwrap_or(i64::MAX)),
            Value::Int(record.finished_at.unix_quarter()),
            Value::Text(&account),
        ];
        let mut transaction = self.pool.read().await?;
        let rows: Vec<TransferRow> = transaction.rows(sql::TRANSFERS_OF_RECORD, &values).await?;
        if record.charge.is_zero() {
            return Ok(Vec::new());
        }
        let part = |row: &TransferRow| {
            let stored = StoredTransfer::from_row(row)?;
            let amount = stored.part(sequence, record.charge);
            let (from, grant) = (stored.transfer.from, stored.transfer.grant);
            Ok(TracePart { sequence: stored.sequence, from, grant, amount })
        };
        rows.iter().map(part).collect()
    }
}

/// Sums of accounts. Unit: billionths of the tenant's currency.
#[derive(Default)]
struct Sums {
    granted: i128,
    charged: i128,
    expired: i128,
    overage: i128,
    billed: i128,
    left: i128,
}

/// The balance of a tenant without a book: nothing was granted, or by an earlier version and not booked yet.
async fn unopened(transaction: &mut Transaction, tenant: &Tenant) -> Result<Sums, LedgerError> {
    let granted = i128::from(grants::granted(transaction, tenant.id).await?);
    let since = Timestamp::from_unix_micros(i64::MIN);
    let question = SpentQuestion { scope: LimitScope::Tenant, model: None, since };
    let charged = i128::from(spending::spent(transaction, tenant.id, &question).await?.get());
    // Without a grant all of it is owed by invoice, as when the book is opened.
    let (billed, left) = if granted == 0 { (charged, 0) } else { (0, granted - charged) };
    Ok(Sums { granted, charged, billed, left, ..Sums::default() })
}

pub(super) async fn accounts(
    transaction: &mut Transaction,
    tenant: TenantId,
) -> Result<Vec<(Account, i64)>, LedgerError> {
    let rows: Vec<(String, i64)> = transaction.rows(sql::ACCOUNTS, &[Value::Id(tenant.as_uuid())]).await?;
    rows.into_iter().map(|(account, nanos)| Ok((read_back("account", &account)?, nanos))).collect()
}

pub(super) async fn page(
    transaction: &mut Transaction,
    tenant: TenantId,
    after: u64,
    rows_max: usize,
) -> Result<Vec<StoredTransfer>, LedgerError> {
    let rows_max = i64::try_from(rows_max.min(PAGE_TRANSFERS_MAX + 1)).unwrap_or(1);
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let values = [Value::Id(tenant.as_uuid()), Value::Int(after), Value::Int(rows_max)];
    let rows: Vec<TransferRow> = transaction.rows(sql::TRANSFERS_PAGE, &values).await?;
    rows.iter().map(StoredTransfer::from_row).collect()
}

/// What tenants with prepaid billing may spend.
pub(in crate::ledger) async fn rules_of_all(
    transaction: &mut Transaction,
    tenants: &[Tenant],
) -> Result<HashMap<TenantId, Vec<BalanceRule>>, LedgerError> {
    let mut grants: HashMap<TenantId, Vec<OpenGrant>> = HashMap::new();
    let rows: Vec<GrantRow> = transaction.rows(sql::OPEN_GRANTS_OF_ALL, &[]).await?;
    for row in &rows {
        grants.entry(TenantId::from_uuid(row.tenant_id)).or_default().push(row.open()?);
    }
    let mut consumed: HashMap<TenantId, BTreeMap<ModelName, Nanos>> = HashMap::new();
    let mut overage: HashMap<TenantId, i64> = HashMap::new();
    let rows: Vec<(Uuid, String, i64)> = transaction.rows(sql::SHARED_ACCOUNTS_OF_ALL, &[]).await?;
    for (tenant, account, nanos) in rows {
        let tenant = TenantId::from_uuid(tenant);
        match read_back("account", &account)? {
            Account::Consumed(model) => {
                consumed.entry(tenant).or_default().insert(model, Nanos::from_i64(nanos)?);
            }
            Account::Overage => drop(overage.insert(tenant, nanos)),
            Account::Issued | Account::Grant(_) | Account::Breakage(_) | Account::Billed => {}
        }
    }
    let terms = terms::of_all(transaction).await?;
    let (no_grants, nothing) = (Vec::new(), BTreeMap::new());
    let prepaid = tenants.iter().filter(|tenant| tenant.terms.billing == BillingMode::Prepaid);
    let rules = prepaid.map(|tenant| {
        let room = terms.get(&tenant.id).copied().unwrap_or_default().room_nanos();
        let rules = balance_rules(&RuleParts {
            grants: grants.get(&tenant.id).unwrap_or(&no_grants),
            consumed: consumed.get(&tenant.id).unwrap_or(&nothing),
            // The account is below zero by what is owed. Without a bound it is counted all the same: there may be one
            // again.
            room_nanos: room.unwrap_or(i128::from(i64::MAX))
                + i128::from(overage.get(&tenant.id).copied().unwrap_or(0)),
        });
        (tenant.id, rules)
    });
    Ok(rules.collect())
}

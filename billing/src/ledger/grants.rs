//! Grants: money given to tenants or taken back, and what is left of it after all they were charged.
//! Never changed and never deleted: a correction is a further grant, below zero.
//! Called by the command line and the operators' interface; balances also by who shows a tenant.

use domain::{GrantId, Money, QuantityError, TenantId, Timestamp};
use uuid::Uuid;

use super::{
    Ledger, LedgerError, LimitScope, SpentQuestion, Tenant, Transaction, Value, raise_revision, spending,
    sql, tenants,
};

/// The largest grant, either way: a thousand million units. Nine of them fit one balance. Unit: billionths.
pub const GRANT_NANOS_MAX: i64 = 1_000_000_000_000_000_000;
/// Longest idempotency key, as other interfaces have it. Unit: characters.
const KEY_LENGTH_MAX: usize = 255;
/// Longest note: a sentence or two. Unit: characters.
const NOTE_LENGTH_MAX: usize = 500;

/// Money given to a tenant, or taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who got it.
    pub tenant_id: TenantId,
    /// How much; below zero it takes back.
    pub amount: Money,
    /// What makes giving it twice one grant.
    pub idempotency_key: String,
    /// Why, for people.
    pub note: String,
    /// When.
    pub created_at: Timestamp,
}

/// A grant to add.
#[derive(Clone, Copy, Debug)]
pub struct NewGrant<'a> {
    /// How much, in the tenant's currency; below zero it takes back.
    pub amount: Money,
    /// What makes giving it twice one grant.
    pub idempotency_key: &'a str,
    /// Why, for people; may be empty.
    pub note: &'a str,
}

/// What adding a grant did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The grant is new.
    New,
    /// It was there before; nothing changed.
    Already,
}

/// What a tenant was given and what it was charged, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// All grants together.
    pub granted: Money,
    /// All charges together, as caps count them.
    pub charged: Money,
}

#[derive(sqlx::FromRow)]
struct GrantRow {
    grant_id: Uuid,
    amount_nanos: i64,
    idempotency_key: String,
    note: String,
    created_unix_us: i64,
}

impl Balance {
    /// What is left; below zero for a tenant that was charged more than it was given.
    pub fn left(&self) -> Money {
        // Both are sums that fitted 64 bits, so that their difference fits many times over.
        Money::from_nanos(self.granted.nanos() - self.charged.nanos(), self.granted.currency())
    }
}

impl Grant {
    fn from_row(row: GrantRow, tenant: &Tenant) -> Self {
        Self {
            id: GrantId::from_uuid(row.grant_id),
            tenant_id: tenant.id,
            amount: Money::from_nanos(i128::from(row.amount_nanos), tenant.currency),
            idempotency_key: row.idempotency_key,
            note: row.note,
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
        }
    }

    /// The first field in which another grant under the same key differs.
    fn difference(&self, new: &NewGrant<'_>) -> Option<&'static str> {
        if self.amount != new.amount {
            return Some("amount");
        }
        (self.note != new.note).then_some("note")
    }
}

impl Ledger {
    /// Adds a grant, once for each idempotency key of a tenant.
    ///
    /// Errors: no such tenant, another currency, an amount of zero or beyond [`GRANT_NANOS_MAX`], a key or note that
    /// is too long, the same key with another amount or note, grants that would not fit together.
    pub async fn add_grant(
        &self,
        tenant: TenantId,
        new: &NewGrant<'_>,
        now: Timestamp,
    ) -> Result<(Grant, Granted), LedgerError> {
        let nanos = check(new)?;
        let mut transaction = self.pool.write().await?;
        // Its row lock lets the second of two equal grants see the first.
        raise_revision(&mut transaction).await?;
        let tenant = tenants::find_by_id(&mut transaction, tenant).await?;
        if tenant.currency != new.amount.currency() {
            let (current, wanted) = (tenant.currency, new.amount.currency());
            return Err(LedgerError::CurrencyChange { what: "tenant", name: tenant.name, current, wanted });
        }
        let named = [Value::Id(tenant.id.as_uuid()), Value::Text(new.idempotency_key)];
        if let Some(row) = transaction.find(sql::GRANT_BY_KEY, &named).await? {
            let found = Grant::from_row(row, &tenant);
            return match found.difference(new) {
                None => Ok((found, Granted::Already)),
                Some(field) => {
                    Err(LedgerError::GrantConflict { idempotency_key: found.idempotency_key, field })
                }
            };
        }
        let sum = granted(&mut transaction, tenant.id).await?;
        sum.checked_add(nanos).ok_or(QuantityError::Overflow { unit: "billionths of a currency unit" })?;
        let grant = Grant {
            id: GrantId::generate(now),
            tenant_id: tenant.id,
            amount: new.amount,
            idempotency_key: new.idempotency_key.to_owned(),
            note: new.note.to_owned(),
            created_at: now,
        };
        let values = [
            Value::Id(grant.id.as_uuid()),
            named[0],
            Value::Int(nanos),
            named[1],
            Value::Text(new.note),
            Value::Int(now.unix_micros()),
        ];
        transaction.execute(sql::INSERT_GRANT, &values).await?;
        transaction.commit().await?;
        Ok((grant, Granted::New))
    }

    /// The grants of a tenant, oldest first.
    ///
    /// Errors: no such tenant.
    pub async fn grants(&self, tenant: TenantId) -> Result<Vec<Grant>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let tenant = tenants::find_by_id(&mut transaction, tenant).await?;
        let rows = transaction.rows(sql::GRANTS_OF_TENANT, &[Value::Id(tenant.id.as_uuid())]).await?;
        Ok(rows.into_iter().map(|row| Grant::from_row(row, &tenant)).collect())
    }

    /// The first grants of a tenant after one, by id and so by age; at most `rows_max`.
    ///
    /// Errors: no such tenant.
    pub async fn grants_page(
        &self,
        tenant: TenantId,
        after: Option<GrantId>,
        rows_max: usize,
    ) -> Result<Vec<Grant>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let tenant = tenants::find_by_id(&mut transaction, tenant).await?;
        let after = after.map_or(uuid::Uuid::nil(), |after| after.as_uuid());
        let values = [Value::Id(tenant.id.as_uuid()), Value::Id(after), Value::rows_max(rows_max)];
        let rows = transaction.rows(sql::GRANTS_PAGE, &values).await?;
        Ok(rows.into_iter().map(|row| Grant::from_row(row, &tenant)).collect())
    }

    /// What a tenant was given and charged up to now: the records that have arrived.
    ///
    /// Errors: no such tenant.
    pub async fn balance(&self, tenant: TenantId) -> Result<Balance, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let tenant = tenants::find_by_id(&mut transaction, tenant).await?;
        let granted = granted(&mut transaction, tenant.id).await?;
        let since = Timestamp::from_unix_micros(i64::MIN);
        let question = SpentQuestion { scope: LimitScope::Tenant, model: None, since };
        let charged = spending::spent(&mut transaction, tenant.id, &question).await?;
        Ok(Balance {
            granted: Money::from_nanos(i128::from(granted), tenant.currency),
            charged: Money::from_nanos(i128::from(charged.get()), tenant.currency),
        })
    }
}

async fn granted(transaction: &mut Transaction, tenant: TenantId) -> Result<i64, LedgerError> {
    let (sum,): (i64,) = transaction.row(sql::GRANTED, &[Value::Id(tenant.as_uuid())]).await?;
    Ok(sum)
}

/// Everything about a grant that can be seen without the database; gives its billionths.
fn check(new: &NewGrant<'_>) -> Result<i64, LedgerError> {
    let is_text = |text: &str, least: usize, most: usize| {
        (least..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
    };
    if !is_text(new.idempotency_key, 1, KEY_LENGTH_MAX) {
        let (what, allowed) = ("a grant's idempotency key", "1 to 255 printable characters");
        return Err(LedgerError::BadText { what, allowed });
    }
    if !is_text(new.note, 0, NOTE_LENGTH_MAX) {
        let (what, allowed) = ("a grant's note", "at most 500 printable characters");
        return Err(LedgerError::BadText { what, allowed });
    }
    match new.amount.to_i64_nanos() {
        Ok(nanos) if nanos != 0 && nanos.unsigned_abs() <= GRANT_NANOS_MAX.unsigned_abs() => Ok(nanos),
        _ => Err(LedgerError::BadGrant),
    }
}

//! Grants: money given to tenants or taken back, what it is for and how long it lasts.
//! Never changed and never deleted: a correction is a further grant, below zero.
//! Called by the command line and the operators' interface, and by invoices that give back.

use std::{collections::BTreeSet, str::FromStr};

use domain::{Currency, GrantId, ModelName, Money, Nanos, QuantityError, TenantId, Timestamp};
use uuid::Uuid;

use super::{
    Ledger, LedgerError, Tenant, Transaction, Value,
    credits::{self, LockedBook, models_from_column},
    error::read_back,
    raise_revision, sql, tenants,
};
use crate::credit::{
    OpenGrant, PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_OF_MODELS_DEFAULT, PRIORITY_OF_MODELS_MAX, SCOPES_MAX,
};

/// The largest grant, either way: a thousand million units. Nine of them fit one balance. Unit: billionths.
pub const GRANT_NANOS_MAX: i64 = 1_000_000_000_000_000_000;
/// Longest idempotency key, as other interfaces have it. Unit: characters.
const KEY_LENGTH_MAX: usize = 255;
/// Longest note: a sentence or two. Unit: characters.
const NOTE_LENGTH_MAX: usize = 500;
/// Most models one grant names: a family of models, not a list of all.
const MODELS_MAX: usize = 16;

/// Where the money of a grant comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantKind {
    /// It was paid for.
    #[default]
    Paid,
    /// It was given away.
    Promotional,
    /// It was given back.
    Refund,
}

impl GrantKind {
    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Promotional => "promotional",
            Self::Refund => "refund",
        }
    }
}

impl FromStr for GrantKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found =
            [Self::Paid, Self::Promotional, Self::Refund].into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("a grant's kind must be paid, promotional or refund, not {text:?}"))
    }
}

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
    /// Where the money comes from.
    pub kind: GrantKind,
    /// Grants with lower ones are used first; of equal ones the one that expires first, then the oldest.
    pub priority: u8,
    /// From when on it pays for nothing new.
    pub expires_at: Option<Timestamp>,
    /// The only models it pays for, in order. `None`: all.
    pub models: Option<BTreeSet<ModelName>>,
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
    /// Where the money comes from.
    pub kind: GrantKind,
    /// Grants with lower ones are used first: 0 to 49 for named models, 50 to 99 for all. `None`: 25 or 50.
    pub priority: Option<u8>,
    /// From when on it pays for nothing new.
    pub expires_at: Option<Timestamp>,
    /// The only models it pays for. `None`: all.
    pub models: Option<&'a BTreeSet<ModelName>>,
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
    /// What was left of grants when they expired.
    pub expired: Money,
    /// What was charged beyond the grants and is on no invoice yet.
    pub overage: Money,
    /// What was charged without a grant and is owed by invoice: before the first grant, or beyond the grants.
    pub billed: Money,
    pub(super) left: Money,
}

#[derive(sqlx::FromRow)]
struct GrantRow {
    grant_id: Uuid,
    amount_nanos: i64,
    idempotency_key: String,
    note: String,
    kind: String,
    priority: i64,
    expires_unix_us: Option<i64>,
    models: Option<String>,
    created_unix_us: i64,
}

impl Balance {
    /// What is left of the grants, less what was charged beyond them; may be below zero.
    pub fn left(&self) -> Money {
        self.left
    }
}

impl<'a> NewGrant<'a> {
    /// Money that was paid, for all models and without an end.
    pub const fn paid(amount: Money, idempotency_key: &'a str, note: &'a str) -> Self {
        Self {
            amount,
            idempotency_key,
            note,
            kind: GrantKind::Paid,
            priority: None,
            expires_at: None,
            models: None,
        }
    }

    fn priority(&self) -> u8 {
        let default = if self.models.is_some() { PRIORITY_OF_MODELS_DEFAULT } else { PRIORITY_DEFAULT };
        self.priority.unwrap_or(default)
    }
}

impl Grant {
    fn from_row(row: GrantRow, currency: Currency, tenant_id: TenantId) -> Result<Self, LedgerError> {
        Ok(Self {
            id: GrantId::from_uuid(row.grant_id),
            tenant_id,
            amount: Money::from_nanos(i128::from(row.amount_nanos), currency),
            idempotency_key: row.idempotency_key,
            note: row.note,
            kind: read_back("grant kind", &row.kind)?,
            priority: u8::try_from(row.priority).map_err(|error| LedgerError::corrupt("priority", &error))?,
            expires_at: row.expires_unix_us.map(Timestamp::from_unix_micros),
            models: models_from_column(row.models.as_deref())?,
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
        })
    }

    /// The first field in which another grant under the same key differs.
    fn difference(&self, new: &NewGrant<'_>) -> Option<&'static str> {
        let rows = [
            ("amount", self.amount != new.amount),
            ("note", self.note != new.note),
            ("kind", self.kind != new.kind),
            ("priority", self.priority != new.priority()),
            ("expires_at", self.expires_at != new.expires_at),
            ("models", self.models.as_ref() != new.models),
        ];
        rows.into_iter().find_map(|(field, is_other)| is_other.then_some(field))
    }
}

impl Ledger {
    /// Adds a grant, once for each idempotency key of a tenant.
    ///
    /// Errors: no such tenant, another currency, an amount of zero or beyond [`GRANT_NANOS_MAX`], a key or note that
    /// is too long, terms that do not go together, an expiry that has passed, the same key with anything else
    /// different, grants that would not fit together.
    pub async fn add_grant(
        &self,
        tenant: TenantId,
        new: &NewGrant<'_>,
        now: Timestamp,
    ) -> Result<(Grant, Granted), LedgerError> {
        check(new)?;
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
            let found = Grant::from_row(row, tenant.currency, tenant.id)?;
            return match found.difference(new) {
                None => Ok((found, Granted::Already)),
                Some(field) => {
                    Err(LedgerError::GrantConflict { idempotency_key: found.idempotency_key, field })
                }
            };
        }
        if let Some(expires_at) = new.expires_at.filter(|expires_at| *expires_at <= now) {
            return Err(LedgerError::BadGrantExpiry { expires_at, now });
        }
        let mut locked = credits::lock(&mut transaction, tenant.id, now, now).await?;
        locked.expire(&mut transaction, now).await?;
        let grant = insert(&mut transaction, &mut locked, &tenant, new, now).await?;
        locked.close(&mut transaction, now).await?;
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
        rows.into_iter().map(|row| Grant::from_row(row, tenant.currency, tenant.id)).collect()
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
        rows.into_iter().map(|row| Grant::from_row(row, tenant.currency, tenant.id)).collect()
    }
}

/// Stores a grant that has been checked, and books it.
pub(super) async fn insert(
    transaction: &mut Transaction,
    locked: &mut LockedBook,
    tenant: &Tenant,
    new: &NewGrant<'_>,
    now: Timestamp,
) -> Result<Grant, LedgerError> {
    let nanos = check(new)?;
    check_scopes(new, locked.grants(), now)?;
    let sum = granted(transaction, tenant.id).await?;
    sum.checked_add(nanos).ok_or(QuantityError::Overflow { unit: "billionths of a currency unit" })?;
    let grant = Grant {
        id: GrantId::generate(now),
        tenant_id: tenant.id,
        amount: new.amount,
        idempotency_key: new.idempotency_key.to_owned(),
        note: new.note.to_owned(),
        kind: new.kind,
        priority: new.priority(),
        expires_at: new.expires_at,
        models: new.models.cloned(),
        created_at: now,
    };
    let names =
        |models: &BTreeSet<ModelName>| models.iter().map(ModelName::as_str).collect::<Vec<_>>().join(",");
    let models = grant.models.as_ref().map(names);
    let values = [
        Value::Id(grant.id.as_uuid()),
        Value::Id(tenant.id.as_uuid()),
        Value::Int(nanos),
        Value::Text(new.idempotency_key),
        Value::Text(new.note),
        Value::Text(grant.kind.as_str()),
        Value::Int(i64::from(grant.priority)),
        Value::MaybeInt(grant.expires_at.map(Timestamp::unix_micros)),
        Value::MaybeText(models.as_deref()),
        Value::Int(now.unix_micros()),
        Value::Int(locked.next_posting()),
    ];
    transaction.execute(sql::INSERT_GRANT, &values).await?;
    let amount = Nanos::new(nanos.unsigned_abs());
    if nanos < 0 {
        locked.take_back(transaction, amount, (grant.id, now)).await?;
    } else {
        let (id, priority, models) = (grant.id, grant.priority, grant.models.clone());
        let (remaining, lapsed) = (Nanos::ZERO, Nanos::ZERO);
        let (expires_at, created_at) = (grant.expires_at, now);
        let open = OpenGrant { id, priority, expires_at, created_at, models, remaining, lapsed };
        locked.give(transaction, open, amount).await?;
    }
    Ok(grant)
}

pub(super) async fn granted(transaction: &mut Transaction, tenant: TenantId) -> Result<i64, LedgerError> {
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
    let nanos = match new.amount.to_i64_nanos() {
        Ok(nanos) if nanos != 0 && nanos.unsigned_abs() <= GRANT_NANOS_MAX.unsigned_abs() => nanos,
        _ => return Err(LedgerError::BadGrant),
    };
    let bad = |field, why| Err(LedgerError::BadGrantTerms { field, why });
    match new.models {
        Some(_) if nanos < 0 => return bad("models", "what takes money back is for no models"),
        Some(models) if !(1..=MODELS_MAX).contains(&models.len()) => {
            return bad("models", "1 to 16 models can be named; leave it out for all");
        }
        Some(_) if new.priority() > PRIORITY_OF_MODELS_MAX => {
            return bad("priority", "0 to 49 for a grant for named models: it is used before those for all");
        }
        None if !(PRIORITY_OF_MODELS_MAX + 1..=PRIORITY_MAX).contains(&new.priority()) => {
            return bad("priority", "50 to 99 for a grant for all models; lower ones are for named models");
        }
        Some(_) | None => {}
    }
    if nanos < 0 && new.expires_at.is_some() {
        return bad("expires_at", "what takes money back does not expire");
    }
    Ok(nanos)
}

/// Scopes that overlap could leave money over while the tenant owes, whatever the order.
fn check_scopes(new: &NewGrant<'_>, open: &[OpenGrant], now: Timestamp) -> Result<(), LedgerError> {
    let Some(models) = new.models else { return Ok(()) };
    let is_open = |grant: &&OpenGrant| {
        !grant.remaining.is_zero() && grant.expires_at.is_none_or(|expires_at| expires_at > now)
    };
    let mut scopes = BTreeSet::from([models]);
    for grant in open.iter().filter(is_open) {
        let Some(other) = &grant.models else { continue };
        scopes.insert(other);
        if (other != models && !other.is_disjoint(models)) || scopes.len() > SCOPES_MAX {
            return Err(LedgerError::GrantScopes { other: grant.id, max: SCOPES_MAX });
        }
    }
    Ok(())
}

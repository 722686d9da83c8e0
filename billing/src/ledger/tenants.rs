//! Tenants: who is billed, under which plan and terms, within which limits.
//! Never a key and never usage.
//! Called by the command line and, later, the operator console.

use std::str::FromStr;

use domain::{Currency, TenantId, Timestamp};
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::{
    Ledger, LedgerError, LimitScope, Limits, Transaction, Value,
    error::read_back,
    limits::{self, LimitColumns},
    plans, raise_revision, sql,
};

const NAME_LENGTH_MAX: usize = 63;
const NAME_ALLOWED: &str =
    "1 to 63 lower-case letters, digits and -, starting with a letter or digit, and no UUID";

/// When a tenant pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BillingMode {
    /// By invoice, after the month.
    #[default]
    Postpaid,
    /// From what it was granted: at a balance of zero nothing more is served.
    Prepaid,
}

impl BillingMode {
    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postpaid => "postpaid",
            Self::Prepaid => "prepaid",
        }
    }
}

impl FromStr for BillingMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Postpaid, Self::Prepaid].into_iter().find(|mode| mode.as_str() == text);
        found.ok_or_else(|| format!("billing must be postpaid or prepaid, not {text:?}"))
    }
}

/// What was agreed with a tenant beside its plan. A plan is sold to many; these are of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantTerms {
    /// When it pays.
    pub billing: BillingMode,
    /// Whether its requests may be served in a looser class when their own cannot be met, and billed as that.
    pub allow_slo_downgrade: bool,
    /// Whether keys and requests may ask for a stricter class than the plan's.
    pub allow_stricter_slo: bool,
}

/// Who is billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The id in usage records.
    pub id: TenantId,
    /// A unique short name.
    pub name: String,
    /// The plan; which version applies depends on the day.
    pub plan_name: String,
    /// The plan's currency; it never changes.
    pub currency: Currency,
    /// The IANA zone whose months are billed.
    pub zone: String,
    /// Limits over all keys, for all models together.
    pub limits: Limits,
    /// What was agreed beside the plan.
    pub terms: TenantTerms,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was shut out; its keys are refused from then on.
    pub disabled_at: Option<Timestamp>,
}

/// A tenant to create.
#[derive(Clone, Debug)]
pub struct NewTenant<'a> {
    /// A short name that no other tenant has.
    pub name: &'a str,
    /// The name of a published plan.
    pub plan_name: &'a str,
    /// The IANA zone whose months are billed.
    pub zone: &'a str,
    /// Limits over all keys.
    pub limits: Limits,
    /// What was agreed beside the plan.
    pub terms: TenantTerms,
}

#[derive(sqlx::FromRow)]
pub(super) struct TenantRow {
    tenant_id: Uuid,
    name: String,
    plan_name: String,
    currency: String,
    zone: String,
    billing: String,
    allow_slo_downgrade: bool,
    allow_stricter_slo: bool,
    created_unix_us: i64,
    disabled_unix_us: Option<i64>,
    #[sqlx(flatten)]
    limits: LimitColumns,
}

impl Tenant {
    pub(super) fn from_row(row: TenantRow) -> Result<Self, LedgerError> {
        Ok(Self {
            id: TenantId::from_uuid(row.tenant_id),
            name: row.name,
            plan_name: row.plan_name,
            currency: row.currency.parse()?,
            zone: row.zone,
            limits: Limits::from_columns(row.limits)?,
            terms: TenantTerms {
                billing: read_back("billing mode", &row.billing)?,
                allow_slo_downgrade: row.allow_slo_downgrade,
                allow_stricter_slo: row.allow_stricter_slo,
            },
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
            disabled_at: row.disabled_unix_us.map(Timestamp::from_unix_micros),
        })
    }
}

impl Ledger {
    /// Creates a tenant. Its currency is its plan's.
    ///
    /// Errors: a name that is taken or not allowed, an unknown plan or zone, a limit of zero.
    pub async fn create_tenant(&self, new: &NewTenant<'_>, now: Timestamp) -> Result<Tenant, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let tenant = create(&mut transaction, new, now).await?;
        transaction.commit().await?;
        Ok(tenant)
    }

    /// Every tenant, by name.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        all(&mut transaction).await
    }

    /// The first tenants after one, by id and so by age; at most `rows_max`.
    pub async fn tenants_page(
        &self,
        after: Option<TenantId>,
        rows_max: usize,
    ) -> Result<Vec<Tenant>, LedgerError> {
        let after = after.map_or(Uuid::nil(), |after| after.as_uuid());
        let values = [Value::Id(after), Value::rows_max(rows_max)];
        let mut transaction = self.pool.read().await?;
        let rows = transaction.rows(sql::TENANTS_PAGE, &values).await?;
        rows.into_iter().map(Tenant::from_row).collect()
    }

    /// The tenant with this name or this id.
    pub async fn find_tenant(&self, name_or_id: &str) -> Result<Option<Tenant>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        find_by_name_or_id(&mut transaction, name_or_id).await
    }

    /// Shuts a tenant out. Its usage and invoices stay. Doing it twice keeps the first time.
    ///
    /// Errors: no such tenant.
    pub async fn disable_tenant(&self, tenant: TenantId, now: Timestamp) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let values = [Value::Id(tenant.as_uuid()), Value::Int(now.unix_micros())];
        let changed = transaction.execute(sql::DISABLE_TENANT, &values).await?;
        expect_tenant(changed, tenant)?;
        transaction.commit().await
    }

    /// Lets a tenant in again, with the keys it had. One that is not shut out stays as it is.
    ///
    /// Errors: no such tenant.
    pub async fn enable_tenant(&self, tenant: TenantId) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let changed = transaction.execute(sql::ENABLE_TENANT, &[Value::Id(tenant.as_uuid())]).await?;
        expect_tenant(changed, tenant)?;
        transaction.commit().await
    }
}

pub(super) async fn create(
    transaction: &mut Transaction,
    new: &NewTenant<'_>,
    now: Timestamp,
) -> Result<Tenant, LedgerError> {
    check_short_name("tenant", new.name)?;
    let zone = zone_name(new.zone)?;
    raise_revision(transaction).await?;
    let currency = plans::currency_of(transaction, new.plan_name).await?;
    let tenant = Tenant {
        id: TenantId::generate(now),
        name: new.name.to_owned(),
        plan_name: new.plan_name.to_owned(),
        currency,
        zone,
        limits: new.limits,
        terms: new.terms,
        created_at: now,
        disabled_at: None,
    };
    let values = [
        Value::Id(tenant.id.as_uuid()),
        Value::Text(&tenant.name),
        Value::Text(&tenant.plan_name),
        Value::Text(tenant.currency.as_str()),
        Value::Text(&tenant.zone),
        Value::Int(now.unix_micros()),
        Value::Text(tenant.terms.billing.as_str()),
        Value::Flag(tenant.terms.allow_slo_downgrade),
        Value::Flag(tenant.terms.allow_stricter_slo),
    ];
    match transaction.execute(sql::INSERT_TENANT, &values).await {
        Err(error) if error.is_taken() => {
            return Err(LedgerError::Taken { what: "tenant", name: tenant.name });
        }
        inserted => inserted?,
    };
    limits::put(transaction, tenant.id, (&LimitScope::Tenant, None), new.limits).await?;
    Ok(tenant)
}

pub(super) async fn all(transaction: &mut Transaction) -> Result<Vec<Tenant>, LedgerError> {
    let rows = transaction.rows(sql::TENANTS, &[]).await?;
    rows.into_iter().map(Tenant::from_row).collect()
}

pub(super) async fn find_by_name_or_id(
    transaction: &mut Transaction,
    name_or_id: &str,
) -> Result<Option<Tenant>, LedgerError> {
    let row = match TenantId::from_str(name_or_id) {
        Ok(id) => transaction.find(sql::TENANT_BY_ID, &[Value::Id(id.as_uuid())]).await?,
        Err(_) => transaction.find(sql::TENANT_BY_NAME, &[Value::Text(name_or_id)]).await?,
    };
    row.map(Tenant::from_row).transpose()
}

pub(super) async fn find_by_id(transaction: &mut Transaction, id: TenantId) -> Result<Tenant, LedgerError> {
    let row = transaction.find(sql::TENANT_BY_ID, &[Value::Id(id.as_uuid())]).await?;
    let missing = || LedgerError::Missing { what: "tenant", name: id.to_string() };
    Tenant::from_row(row.ok_or_else(missing)?)
}

/// The tenant with this id, when it is not shut out.
///
/// Errors: there is none, or it is disabled.
pub(super) async fn find_active(transaction: &mut Transaction, id: TenantId) -> Result<Tenant, LedgerError> {
    let found = find_by_id(transaction, id).await?;
    match found.disabled_at {
        Some(_) => Err(LedgerError::Disabled { what: "tenant", name: found.name }),
        None => Ok(found),
    }
}

fn expect_tenant(changed: u64, tenant: TenantId) -> Result<(), LedgerError> {
    match changed {
        0 => Err(LedgerError::Missing { what: "tenant", name: tenant.to_string() }),
        _ => Ok(()),
    }
}

/// Whether a text may name a tenant or a project.
///
/// Errors: it is empty, too long, has other characters, or reads as an id.
pub(super) fn check_short_name(what: &'static str, name: &str) -> Result<(), LedgerError> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_good = !name.is_empty()
        && name.len() <= NAME_LENGTH_MAX
        && !name.starts_with('-')
        && name.bytes().all(is_allowed)
        && TenantId::from_str(name).is_err();
    if is_good {
        return Ok(());
    }
    Err(LedgerError::BadName { what, name: name.chars().take(80).collect(), allowed: NAME_ALLOWED })
}

/// The zone as the IANA database spells it.
fn zone_name(zone: &str) -> Result<String, LedgerError> {
    let found = TimeZone::get(zone).ok();
    let name = found.as_ref().and_then(|found| found.iana_name()).map(str::to_owned);
    name.ok_or_else(|| domain::PeriodError::BadZone(zone.to_owned()).into())
}

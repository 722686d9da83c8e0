//! What was agreed with a tenant about its credit: what may be spent beyond it, and when somebody is told.
//! Never a balance.
//! Called by the command line, the operators' interface, and whoever writes into a book.

use std::{collections::HashMap, str::FromStr};

use domain::{Nanos, TenantId, Timestamp};
use uuid::Uuid;

use super::{lock, sql};
use crate::ledger::{Ledger, LedgerError, Transaction, Value, error::read_back, raise_revision, tenants};

/// What happens to a tenant with prepaid billing when its grants are used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overage {
    /// Nothing more is served.
    #[default]
    Refuse,
    /// It is served on; what it consumes beyond its grants is owed by invoice, up to this much between two invoices.
    /// `None`: any amount.
    Allow(Option<Nanos>),
}

/// What was agreed with a tenant about its credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreditTerms {
    /// What happens when the grants are used up.
    pub overage: Overage,
    /// Somebody is told when the balance falls below this, once for each time that it does. `None`: nobody is.
    pub recharge_below: Option<Nanos>,
}

#[derive(sqlx::FromRow)]
struct TermsRow {
    overage: String,
    overage_nanos: Option<i64>,
    recharge_below_nanos: Option<i64>,
}

/// The two kinds as stored.
#[derive(Clone, Copy)]
enum OverageKind {
    Refuse,
    Allow,
}

impl FromStr for OverageKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "allow" => Ok(Self::Allow),
            _ => Err(format!("overage must be refuse or allow, not {text:?}")),
        }
    }
}

impl CreditTerms {
    fn from_row(row: &TermsRow) -> Result<Self, LedgerError> {
        let amount = |nanos: Option<i64>| nanos.map(Nanos::from_i64).transpose();
        let overage = match read_back("overage policy", &row.overage)? {
            OverageKind::Refuse => Overage::Refuse,
            OverageKind::Allow => Overage::Allow(amount(row.overage_nanos)?),
        };
        Ok(Self { overage, recharge_below: amount(row.recharge_below_nanos)? })
    }

    /// What may be spent beyond the grants. `None`: any amount.
    pub(super) fn room_nanos(&self) -> Option<i128> {
        match self.overage {
            Overage::Refuse => Some(0),
            Overage::Allow(most) => most.map(|most| i128::from(most.get())),
        }
    }
}

impl Ledger {
    /// What was agreed with a tenant about its credit.
    ///
    /// Errors: a database that fails.
    pub async fn credit_terms(&self, tenant: TenantId) -> Result<CreditTerms, LedgerError> {
        let mut transaction = self.pool.read().await?;
        of(&mut transaction, tenant).await
    }

    /// Sets what is agreed with a tenant about its credit, from now on.
    ///
    /// Errors: no such tenant, amounts of zero.
    pub async fn set_credit_terms(
        &self,
        tenant: TenantId,
        terms: CreditTerms,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let (kind, most) = match terms.overage {
            Overage::Refuse => ("refuse", None),
            Overage::Allow(most) => ("allow", most),
        };
        if [most, terms.recharge_below].into_iter().flatten().any(|amount| amount.is_zero()) {
            return Err(LedgerError::BadCreditTerms);
        }
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        tenants::find_by_id(&mut transaction, tenant).await?;
        let amount = |nanos: Option<Nanos>| nanos.map(Nanos::to_i64).transpose();
        let values = [
            Value::Id(tenant.as_uuid()),
            Value::Text(kind),
            Value::MaybeInt(amount(most)?),
            Value::MaybeInt(amount(terms.recharge_below)?),
        ];
        transaction.execute(sql::PUT_TERMS, &values).await?;
        let mut locked = lock(&mut transaction, tenant, now, now).await?;
        locked.expire(&mut transaction, now).await?;
        locked.close(&mut transaction, now).await?;
        transaction.commit().await
    }
}

pub(super) async fn of(transaction: &mut Transaction, tenant: TenantId) -> Result<CreditTerms, LedgerError> {
    let row: Option<TermsRow> = transaction.find(sql::TERMS, &[Value::Id(tenant.as_uuid())]).await?;
    row.map_or(Ok(CreditTerms::default()), |row| CreditTerms::from_row(&row))
}

pub(super) async fn of_all(
    transaction: &mut Transaction,
) -> Result<HashMap<TenantId, CreditTerms>, LedgerError> {
    #[derive(sqlx::FromRow)]
    struct Row {
        tenant_id: Uuid,
        #[sqlx(flatten)]
        terms: TermsRow,
    }
    let rows: Vec<Row> = transaction.rows(sql::TERMS_OF_ALL, &[]).await?;
    let terms = |row: Row| Ok((TenantId::from_uuid(row.tenant_id), CreditTerms::from_row(&row.terms)?));
    rows.into_iter().map(terms).collect()
}

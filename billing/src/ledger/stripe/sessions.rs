//! Pages at Stripe on which a tenant leaves a card, pays in advance, or looks after its account; and what came of them.
//! Never money twice: a page gives one grant, and what was refunded of it is taken back once.
//! Called by the gateway where such a page is made, and by its worker when Stripe told that it was used.

use std::str::FromStr;

use domain::{Currency, Money, TenantId, Timestamp};
use uuid::Uuid;

use super::{Ledger, LedgerError, Value, check_id, read_back, sql};
use crate::{
    ledger::{Granted, NewGrant},
    rate::MinorUnits,
};

/// Decimals of a billionth.
const NANO_DECIMALS: u32 = 9;

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// A card is left, for invoices to come.
    Card,
    /// Something is paid in advance.
    TopUp,
    /// The tenant looks after its cards and invoices.
    Portal,
}

impl SessionKind {
    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::TopUp => "top_up",
            Self::Portal => "portal",
        }
    }
}

impl FromStr for SessionKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Card, Self::TopUp, Self::Portal].into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("a page is for a card, a top_up or the portal, not {text:?}"))
    }
}

/// A page at Stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripeSession {
    /// Stripe's id.
    pub session_id: String,
    /// Whose.
    pub tenant_id: TenantId,
    /// What for.
    pub kind: SessionKind,
    /// What is paid in advance.
    pub amount: Option<MinorUnits>,
    /// When it was used.
    pub completed_at: Option<Timestamp>,
    /// Stripe's payment.
    pub payment_id: Option<String>,
    /// What of it was taken back.
    pub refunded: MinorUnits,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    session_id: String,
    tenant_id: Uuid,
    kind: String,
    amount_minor: Option<i64>,
    completed_unix_us: Option<i64>,
    payment_id: Option<String>,
    refunded_minor: i64,
}

impl StripeSession {
    fn from_row(row: SessionRow) -> Result<Self, LedgerError> {
        Ok(Self {
            session_id: row.session_id,
            tenant_id: TenantId::from_uuid(row.tenant_id),
            kind: read_back("kind of page", &row.kind)?,
            amount: row.amount_minor.map(MinorUnits::new),
            completed_at: row.completed_unix_us.map(Timestamp::from_unix_micros),
            payment_id: row.payment_id,
            refunded: MinorUnits::new(row.refunded_minor),
        })
    }
}

fn money(amount: MinorUnits, currency: Currency) -> Money {
    let per_minor = 10_i128.pow(NANO_DECIMALS.saturating_sub(currency.exponent()));
    Money::from_nanos(i128::from(amount.get()) * per_minor, currency)
}

impl Ledger {
    /// Keeps a page that was made. The same again changes nothing.
    ///
    /// Errors: an id that is none, an amount where there must be none, or none where there must be one.
    pub async fn add_stripe_session(
        &self,
        (session_id, tenant): (&str, TenantId),
        (kind, amount): (SessionKind, Option<MinorUnits>),
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        check_id("session_id", "", session_id)?;
        let mut transaction = self.pool.write().await?;
        let known: Option<SessionRow> = transaction.find(sql::SESSION, &[Value::Text(session_id)]).await?;
        if known.is_some() {
            return Ok(());
        }
        let values = [
            Value::Text(session_id),
            Value::Id(tenant.as_uuid()),
            Value::Text(kind.as_str()),
            Value::MaybeInt(amount.map(MinorUnits::get)),
            Value::Int(now.unix_micros()),
        ];
        transaction.execute(sql::INSERT_SESSION, &values).await?;
        transaction.commit().await
    }

    /// The page with this id. `None`: it is none of ours.
    pub async fn stripe_session(&self, session_id: &str) -> Result<Option<StripeSession>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let row = transaction.find(sql::SESSION, &[Value::Text(session_id)]).await?;
        row.map(StripeSession::from_row).transpose()
    }

    /// The page on which something was paid with this payment.
    pub async fn stripe_session_of_payment(
        &self,
        payment_id: &str,
    ) -> Result<Option<StripeSession>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let row = transaction.find(sql::SESSION_BY_PAYMENT, &[Value::Text(payment_id)]).await?;
        row.map(StripeSession::from_row).transpose()
    }

    /// Notes that a page was used, and gives what was paid on it, once.
    ///
    /// Errors: a grant that cannot be given; a database that fails.
    pub async fn complete_stripe_session(
        &self,
        session: &StripeSession,
        payment_id: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Granted>, LedgerError> {
        // The effect first: its key makes it happen once, however often this is asked.
        let granted = match session.amount {
            None => None,
            Some(amount) => {
                let currency = self.currency_of(session.tenant_id).await?;
                let key = format!("stripe:{}", session.session_id);
                let new = NewGrant::paid(money(amount, currency), &key, "paid in advance at Stripe");
                Some(self.add_grant(session.tenant_id, &new, now).await?.1)
            }
        };
        let mut transaction = self.pool.write().await?;
        let values =
            [Value::Text(&session.session_id), Value::Int(now.unix_micros()), Value::MaybeText(payment_id)];
        transaction.execute(sql::COMPLETE_SESSION, &values).await?;
        if session.kind == SessionKind::Card {
            let values = [Value::Id(session.tenant_id.as_uuid()), Value::Int(now.unix_micros())];
            transaction.execute(sql::WAKE_COLLECTING, &values).await?;
        }
        transaction.commit().await?;
        Ok(granted)
    }

    /// Takes back what was refunded in all of what was paid on a page; less than before changes nothing.
    ///
    /// Errors: more than was paid; a database that fails.
    pub async fn refund_stripe_session(
        &self,
        session: &StripeSession,
        refunded: MinorUnits,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        if refunded <= session.refunded {
            return Ok(());
        }
        if Some(refunded) > session.amount {
            let what = format!("more was refunded than was paid on {}", session.session_id);
            return Err(LedgerError::StripeConflict { what });
        }
        let currency = self.currency_of(session.tenant_id).await?;
        let more = session.refunded.checked_sub(refunded)?;
        // From how much to how much: a second try takes the same step once.
        let key = format!("stripe:{}:{}-{}", session.session_id, session.refunded.get(), refunded.get());
        let new = NewGrant::paid(money(more, currency), &key, "refunded at Stripe");
        self.add_grant(session.tenant_id, &new, now).await?;
        let mut transaction = self.pool.write().await?;
        let values = [Value::Text(&session.session_id), Value::Int(refunded.get())];
        transaction.execute(sql::NOTE_REFUNDED, &values).await?;
        transaction.commit().await
    }

    async fn currency_of(&self, tenant: TenantId) -> Result<Currency, LedgerError> {
        let found = self.find_tenant(&tenant.to_string()).await?;
        let missing = || LedgerError::Missing { what: "tenant", name: tenant.to_string() };
        Ok(found.ok_or_else(missing)?.currency)
    }
}

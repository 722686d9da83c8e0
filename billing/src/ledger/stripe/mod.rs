//! Which tenants are billed through Stripe, what is still to be done there, and which objects there are ours.
//! Never a connection: steps are handed out under a lease, and how each went is noted.
//! Called by the gateway's worker and webhook for Stripe, the command line and the operators' interface.

mod events;
mod objects;
mod sessions;
mod sql;
mod steps;

use std::str::FromStr;

use domain::{TenantId, Timestamp};
use uuid::Uuid;

pub use events::{StripeEvent, Told};
pub use sessions::{SessionKind, StripeSession};
pub use steps::{StepEnd, StepKind, StepState, StripeStep};

use super::{
    Ledger, LedgerError, Transaction, Value, error::read_back, invoices::lock_numbers, raise_revision,
    tenants,
};

/// Longest id of Stripe's that is taken. Unit: bytes; theirs have at most 255.
const ID_BYTES_MAX: usize = 255;

/// How a tenant pays at Stripe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collection {
    /// Its card is charged.
    #[default]
    Charge,
    /// The invoice is sent by mail, with a page on which it can be paid.
    Send,
}

impl Collection {
    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Send => "send",
        }
    }
}

impl FromStr for Collection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Charge, Self::Send].into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("collection must be charge or send, not {text:?}"))
    }
}

/// A tenant that is billed through Stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripeTenant {
    /// Who.
    pub tenant_id: TenantId,
    /// How it pays.
    pub collection: Collection,
    /// Its customer at Stripe. `None`: not made yet.
    pub customer_id: Option<String>,
    /// Since when.
    pub linked_at: Timestamp,
    /// Since when further invoices do not go to Stripe.
    pub unlinked_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct TenantRow {
    tenant_id: Uuid,
    collection: String,
    customer_id: Option<String>,
    linked_unix_us: i64,
    unlinked_unix_us: Option<i64>,
}

impl StripeTenant {
    fn from_row(row: TenantRow) -> Result<Self, LedgerError> {
        Ok(Self {
            tenant_id: TenantId::from_uuid(row.tenant_id),
            collection: read_back("collection", &row.collection)?,
            customer_id: row.customer_id,
            linked_at: Timestamp::from_unix_micros(row.linked_unix_us),
            unlinked_at: row.unlinked_unix_us.map(Timestamp::from_unix_micros),
        })
    }
}

/// An id of Stripe's: letters, digits, `_` and `-`, beginning as its kind does.
fn check_id(what: &'static str, prefix: &str, id: &str) -> Result<(), LedgerError> {
    let is_good = id.starts_with(prefix)
        && id.len() > prefix.len()
        && id.len() <= ID_BYTES_MAX
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    match is_good {
        true => Ok(()),
        false => Err(LedgerError::BadText { what, allowed: "an id as Stripe gives it, such as cus_…" }),
    }
}

impl Ledger {
    /// Bills a tenant through Stripe from its next invoice on. A customer is made there unless one is named.
    ///
    /// Asked again, it changes how the tenant pays, and sends its details to Stripe once more.
    /// Errors: no such tenant; a text that is no customer's id; a customer other than the one it has, or that another
    /// tenant has.
    pub async fn link_stripe(
        &self,
        tenant: TenantId,
        (collection, customer_id): (Collection, Option<&str>),
        now: Timestamp,
    ) -> Result<StripeTenant, LedgerError> {
        if let Some(id) = customer_id {
            check_id("customer_id", "cus_", id)?;
        }
        let mut transaction = self.pool.write().await?;
        // Its row lock puts steps of one tenant in one order.
        raise_revision(&mut transaction).await?;
        let name = tenants::find_by_id(&mut transaction, tenant).await?.name;
        let (id, collection) = (Value::Id(tenant.as_uuid()), Value::Text(collection.as_str()));
        let linked = match find(&mut transaction, tenant).await? {
            None => {
                let values = [id, collection, Value::MaybeText(customer_id), Value::Int(now.unix_micros())];
                transaction.execute(sql::INSERT_TENANT, &values).await
            }
            Some(StripeTenant { customer_id: Some(current), .. })
                if customer_id.is_some_and(|wanted| wanted != current) =>
            {
                let what = format!("tenant {name} is the customer {current} at Stripe, and stays it");
                return Err(LedgerError::StripeConflict { what });
            }
            Some(_) => {
                let values = [id, collection, Value::MaybeText(customer_id)];
                transaction.execute(sql::LINK_AGAIN, &values).await
            }
        };
        match linked {
            Err(error) if error.is_taken() => {
                let what = format!("{} is another tenant's customer", customer_id.unwrap_or_default());
                return Err(LedgerError::StripeConflict { what });
            }
            linked => linked?,
        };
        let subject = tenant.to_string();
        steps::insert(&mut transaction, (&subject, tenant), (StepKind::Customer, ""), now).await?;
        let linked = existing(&mut transaction, tenant).await?;
        transaction.commit().await?;
        Ok(linked)
    }

    /// Bills a tenant without Stripe from its next invoice on. What went there goes on there.
    ///
    /// Errors: it is not billed through Stripe.
    pub async fn unlink_stripe(&self, tenant: TenantId, now: Timestamp) -> Result<StripeTenant, LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let values = [Value::Id(tenant.as_uuid()), Value::Int(now.unix_micros())];
        transaction.execute(sql::UNLINK, &values).await?;
        let unlinked = existing(&mut transaction, tenant).await?;
        transaction.commit().await?;
        Ok(unlinked)
    }

    /// How a tenant is billed through Stripe, if it is or was.
    pub async fn stripe_tenant(&self, tenant: TenantId) -> Result<Option<StripeTenant>, LedgerError> {
        find(&mut self.pool.read().await?, tenant).await
    }

    /// Keeps the customer that was made for a tenant. The same again changes nothing.
    ///
    /// Errors: the tenant has another one; another tenant has it.
    pub async fn note_stripe_customer(&self, tenant: TenantId, customer_id: &str) -> Result<(), LedgerError> {
        check_id("customer_id", "cus_", customer_id)?;
        let mut transaction = self.pool.write().await?;
        let values = [Value::Id(tenant.as_uuid()), Value::Text(customer_id)];
        transaction.execute(sql::SET_CUSTOMER, &values).await?;
        let linked = existing(&mut transaction, tenant).await?;
        if linked.customer_id.as_deref() != Some(customer_id) {
            let current = linked.customer_id.unwrap_or_default();
            let what = format!("a second customer {customer_id} beside {current}");
            return Err(LedgerError::StripeConflict { what });
        }
        transaction.commit().await
    }
}

async fn find(transaction: &mut Transaction, tenant: TenantId) -> Result<Option<StripeTenant>, LedgerError> {
    let row = transaction.find(sql::TENANT, &[Value::Id(tenant.as_uuid())]).await?;
    row.map(StripeTenant::from_row).transpose()
}

async fn existing(transaction: &mut Transaction, tenant: TenantId) -> Result<StripeTenant, LedgerError> {
    let missing = || LedgerError::Missing { what: "link to Stripe of tenant", name: tenant.to_string() };
    find(transaction, tenant).await?.ok_or_else(missing)
}

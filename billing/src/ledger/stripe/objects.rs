//! Which object at Stripe is which invoice or credit note of ours.
//! Never changed once it is known: a second object for the same number is refused.
//! Called by the gateway's worker and webhook for Stripe, and by reconciling.

use domain::{TenantId, Timestamp};
use uuid::Uuid;

use super::{Ledger, LedgerError, Value, sql};

/// What invoices are called among objects.
const INVOICE: &str = "invoice";
/// What credit notes are called.
const CREDIT_NOTE: &str = "credit_note";

impl Ledger {
    /// Keeps which invoice at Stripe is ours. The same again changes nothing.
    ///
    /// Errors: there is another one for this number.
    pub async fn note_stripe_invoice(
        &self,
        (number, tenant): (&str, TenantId),
        stripe_id: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.note_object((INVOICE, number), tenant, stripe_id, now).await
    }

    /// Keeps which credit note at Stripe is ours. The same again changes nothing.
    ///
    /// Errors: there is another one for this number.
    pub async fn note_stripe_credit_note(
        &self,
        (number, tenant): (&str, TenantId),
        stripe_id: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.note_object((CREDIT_NOTE, number), tenant, stripe_id, now).await
    }

    /// Which invoice at Stripe is the one with this number.
    pub async fn stripe_invoice(&self, number: &str) -> Result<Option<String>, LedgerError> {
        self.find_object(INVOICE, number).await
    }

    /// Which credit note at Stripe is the one with this number.
    pub async fn stripe_credit_note(&self, number: &str) -> Result<Option<String>, LedgerError> {
        self.find_object(CREDIT_NOTE, number).await
    }

    /// The number and tenant of an invoice at Stripe. `None`: it is none of ours.
    pub async fn invoice_of_stripe(
        &self,
        stripe_id: &str,
    ) -> Result<Option<(String, TenantId)>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let values = [Value::Text(INVOICE), Value::Text(stripe_id)];
        let row: Option<(String, Uuid)> = transaction.find(sql::OWNER_OF_OBJECT, &values).await?;
        Ok(row.map(|(number, tenant)| (number, TenantId::from_uuid(tenant))))
    }

    /// The first of a tenant's invoices at Stripe after a number: number and Stripe's id.
    pub async fn stripe_invoices_page(
        &self,
        tenant: TenantId,
        after: &str,
        rows_max: usize,
    ) -> Result<Vec<(String, String)>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let values = [Value::Id(tenant.as_uuid()), Value::Text(after), Value::rows_max(rows_max)];
        transaction.rows(sql::INVOICES_PAGE, &values).await
    }

    /// Whether something is still to be done at Stripe for an invoice.
    pub async fn is_stripe_pending(&self, number: &str) -> Result<bool, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let (count,): (i64,) = transaction.row(sql::PENDING_OF_INVOICE, &[Value::Text(number)]).await?;
        Ok(count > 0)
    }

    async fn find_object(&self, kind: &str, number: &str) -> Result<Option<String>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let row: Option<(String,)> =
            transaction.find(sql::OBJECT, &[Value::Text(kind), Value::Text(number)]).await?;
        Ok(row.map(|(id,)| id))
    }

    async fn note_object(
        &self,
        (kind, number): (&str, &str),
        tenant: TenantId,
        stripe_id: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        let named = [Value::Text(kind), Value::Text(number)];
        let row: Option<(String,)> = transaction.find(sql::OBJECT, &named).await?;
        match row {
            Some((known,)) if known == stripe_id => return Ok(()),
            Some((known,)) => {
                let what = format!("a second object {stripe_id} for {number} beside {known}");
                return Err(LedgerError::StripeConflict { what });
            }
            None => {}
        }
        let values = [
            Value::Text(kind),
            Value::Text(number),
            Value::Id(tenant.as_uuid()),
            Value::Text(stripe_id),
            Value::Int(now.unix_micros()),
        ];
        transaction.execute(sql::INSERT_OBJECT, &values).await?;
        transaction.commit().await
    }
}

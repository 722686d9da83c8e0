//! Issued invoices as they are stored: numbered without gaps, one per tenant and instant, never changed.
//! Never computes an amount: it stores what `invoice` built.
//! Called by `invoice` and by those who show issued invoices.

use domain::{Currency, Period, TenantId, Timestamp};
use uuid::Uuid;

use super::{Ledger, LedgerError, Transaction, Value, sql};
use crate::rate::MinorUnits;

/// The issuer whose numbers are used. Several issuers come with several legal entities.
pub(super) const ISSUER: &str = "TG";

/// An invoice that was issued, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedInvoice {
    /// Its number, such as `TG-000001`.
    pub number: String,
    /// Who owes it.
    pub tenant_id: TenantId,
    /// What it covers.
    pub period: Period,
    /// What its amounts are in.
    pub currency: Currency,
    /// What is owed.
    pub total: MinorUnits,
    /// Usage records in the period when it was issued.
    pub records: u64,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The invoice as JSON, exactly as issued.
    pub body: String,
}

/// A line as stored beside the body, for SQL to sum.
pub(crate) struct LineColumns<'a> {
    pub(crate) position: i64,
    pub(crate) kind: &'a str,
    pub(crate) item: &'a str,
    pub(crate) model: Option<&'a str>,
    pub(crate) price_version: Option<&'a str>,
    pub(crate) quantity: i64,
    pub(crate) unit: &'a str,
    pub(crate) unit_price: Option<&'a str>,
    pub(crate) exact: &'a str,
    pub(crate) displayed_minor: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct InvoiceRow {
    number: String,
    tenant_id: Uuid,
    period_start_unix_us: i64,
    period_end_unix_us: i64,
    zone: String,
    currency: String,
    total_minor: i64,
    records: i64,
    issued_unix_us: i64,
    body: String,
}

impl IssuedInvoice {
    pub(super) fn from_row(row: InvoiceRow) -> Result<Self, LedgerError> {
        let start = Timestamp::from_unix_micros(row.period_start_unix_us);
        let end = Timestamp::from_unix_micros(row.period_end_unix_us);
        Ok(Self {
            number: row.number,
            tenant_id: TenantId::from_uuid(row.tenant_id),
            period: Period::new(start, end, &row.zone)?,
            currency: row.currency.parse()?,
            total: MinorUnits::new(row.total_minor),
            records: u64::try_from(row.records).map_err(|error| LedgerError::corrupt("count", &error))?,
            issued_at: Timestamp::from_unix_micros(row.issued_unix_us),
            body: row.body,
        })
    }
}

impl Ledger {
    /// The first issued invoices of a tenant whose period begins after an instant, by period; at most `rows_max`.
    pub async fn invoices_page(
        &self,
        tenant: TenantId,
        after: Option<Timestamp>,
        rows_max: usize,
    ) -> Result<Vec<IssuedInvoice>, LedgerError> {
        let after = after.map_or(i64::MIN, Timestamp::unix_micros);
        let values = [Value::Id(tenant.as_uuid()), Value::Int(after), Value::rows_max(rows_max)];
        let mut transaction = self.pool.read().await?;
        let rows = transaction.rows(sql::INVOICES_PAGE, &values).await?;
        rows.into_iter().map(IssuedInvoice::from_row).collect()
    }

    /// The first issued invoices of parts of a tenant's periods that end after an instant, by their end; at most
    /// `rows_max`.
    pub async fn invoice_parts_page(
        &self,
        tenant: TenantId,
        after: Option<Timestamp>,
        rows_max: usize,
    ) -> Result<Vec<IssuedInvoice>, LedgerError> {
        let after = after.map_or(i64::MIN, Timestamp::unix_micros);
        let values = [Value::Id(tenant.as_uuid()), Value::Int(after), Value::rows_max(rows_max)];
        let mut transaction = self.pool.read().await?;
        let rows = transaction.rows(sql::INVOICE_PARTS_PAGE, &values).await?;
        rows.into_iter().map(IssuedInvoice::from_row).collect()
    }

    /// The issued invoice with this number.
    pub async fn find_invoice(&self, number: &str) -> Result<Option<IssuedInvoice>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        find_by_number(&mut transaction, number).await
    }
}

pub(super) async fn find_by_number(
    transaction: &mut Transaction,
    number: &str,
) -> Result<Option<IssuedInvoice>, LedgerError> {
    let row = transaction.find(sql::INVOICE_BY_NUMBER, &[Value::Text(number)]).await?;
    row.map(IssuedInvoice::from_row).transpose()
}

/// The number with this place among the issuer's numbers.
pub(crate) fn number(serial: i64) -> String {
    format!("{ISSUER}-{serial:06}")
}

/// Waits for other issuers and says which number is next. Nobody else issues until this transaction ends.
pub(crate) async fn lock_numbers(transaction: &mut Transaction) -> Result<i64, LedgerError> {
    let (serial,): (i64,) = transaction.row(sql::LOCK_ISSUER, &[Value::Text(ISSUER)]).await?;
    Ok(serial)
}

/// The invoice of exactly this period, if it was issued.
///
/// Errors: an invoice that covers a part of it only, or more.
pub(crate) async fn find_for_period(
    transaction: &mut Transaction,
    tenant: TenantId,
    period: &Period,
) -> Result<Option<IssuedInvoice>, LedgerError> {
    let values = [
        Value::Id(tenant.as_uuid()),
        Value::Int(period.start().unix_micros()),
        Value::Int(period.end().unix_micros()),
    ];
    let rows = transaction.rows(sql::INVOICES_OVERLAPPING, &values).await?;
    let mut found = rows.into_iter().map(IssuedInvoice::from_row).collect::<Result<Vec<_>, _>>()?;
    match found.pop() {
        None => Ok(None),
        Some(other) if other.period.start() == period.start() && other.period.end() == period.end() => {
            Ok(Some(other))
        }
        Some(other) => Err(LedgerError::PeriodOverlaps {
            number: other.number,
            start: other.period.start(),
            end: other.period.end(),
        }),
    }
}

/// Stores an issued invoice and uses up its number.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    serial: i64,
    invoice: &IssuedInvoice,
    subtotal: (&str, MinorUnits),
    lines: &[LineColumns<'_>],
) -> Result<(), LedgerError> {
    let (subtotal_exact, subtotal_minor) = subtotal;
    let records = i64::try_from(invoice.records).map_err(|error| LedgerError::corrupt("count", &error))?;
    let line_count = i64::try_from(lines.len()).map_err(|error| LedgerError::corrupt("count", &error))?;
    let values = [
        Value::Text(&invoice.number),
        Value::Text(ISSUER),
        Value::Int(serial),
        Value::Id(invoice.tenant_id.as_uuid()),
        Value::Int(invoice.period.start().unix_micros()),
        Value::Int(invoice.period.end().unix_micros()),
        Value::Text(invoice.period.zone()),
        Value::Text(invoice.currency.as_str()),
        Value::Text(subtotal_exact),
        Value::Int(subtotal_minor.get()),
        Value::Int(invoice.total.get()),
        Value::Int(records),
        Value::Int(line_count),
        Value::Int(invoice.issued_at.unix_micros()),
        Value::Text(&invoice.body),
    ];
    transaction.execute(sql::INSERT_INVOICE, &values).await?;
    for line in lines {
        let values = [
            Value::Text(&invoice.number),
            Value::Int(line.position),
            Value::Text(line.kind),
            Value::Text(line.item),
            Value::MaybeText(line.model),
            Value::MaybeText(line.price_version),
            Value::Int(line.quantity),
            Value::Text(line.unit),
            Value::MaybeText(line.unit_price),
            Value::Text(line.exact),
            Value::Int(line.displayed_minor),
        ];
        transaction.execute(sql::INSERT_INVOICE_LINE, &values).await?;
    }
    transaction.execute(sql::TAKE_SERIAL, &[Value::Text(ISSUER)]).await?;
    Ok(())
}

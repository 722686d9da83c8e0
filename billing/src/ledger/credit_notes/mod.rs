//! Credit notes as they are stored: numbered without gaps in a series of their own, never changed, never more than
//! their invoice.
//! Never an amount that is computed here: `invoice::credit` does that from the invoice and the notes before.
//! Called by the command line and the operators' interface.

mod sql;

use domain::Timestamp;

use super::{
    InvoiceState, Ledger, LedgerError, Transaction, Value,
    invoices::{ISSUER, find_by_number},
    lifecycle::{check_text, existing, settle},
    refunds::give_back_by_note,
};
use crate::invoice::{CreditNote, CreditRequest, Invoice, credit};

/// Longest idempotency key, as other interfaces have it. Unit: characters.
const KEY_LENGTH_MAX: usize = 255;
/// Longest reason: a sentence or two. Unit: characters.
const REASON_LENGTH_MAX: usize = 500;

#[derive(sqlx::FromRow)]
struct NoteRow {
    idempotency_key: String,
    body: String,
}

impl Ledger {
    /// Gives back a part of an issued invoice, or all that is left of it; once for each idempotency key of an invoice.
    ///
    /// What is due of it gets less; where nothing is due any more, it is paid. What grants had paid of what is beyond
    /// that is given back as a grant at once; the rest is owed to the tenant until somebody records a refund.
    /// Errors: no such invoice, one that is void, a line that is not there or has less left, nothing to give back, the
    /// same key with another request.
    pub async fn issue_credit_note(
        &self,
        number: &str,
        (request, key): (&CreditRequest, &str),
        now: Timestamp,
    ) -> Result<CreditNote, LedgerError> {
        check_text("idempotency_key", key, 1, KEY_LENGTH_MAX)?;
        check_text("reason", &request.reason, 1, REASON_LENGTH_MAX)?;
        let mut transaction = self.pool.write().await?;
        let values = [Value::Text(ISSUER)];
        // The lock of the series: also no other note of this invoice comes in between.
        let (serial,): (i64,) = transaction.row(sql::LOCK_SERIAL, &values).await?;
        let standing = existing(&mut transaction, number, now).await?;
        let (notes, known) = notes_of(&mut transaction, number, key).await?;
        if let Some(note) = known {
            return match note.asked == *request {
                true => Ok(note),
                false => Err(LedgerError::CreditConflict { idempotency_key: key.to_owned() }),
            };
        }
        if standing.state == InvoiceState::Void {
            let (state, why) = (standing.state, "nobody owes it");
            return Err(LedgerError::InvoiceState {
                number: standing.number,
                state,
                action: "be credited",
                why,
            });
        }
        let issued = find_by_number(&mut transaction, number).await?;
        let issued = issued.ok_or_else(|| LedgerError::corrupt("invoice", &number))?;
        let invoice = Invoice::from_issued(&issued.body)?;
        let credited = credit(&invoice, issued.currency, &notes, request)?;
        let note = CreditNote {
            number: format!("{ISSUER}-CN-{serial:06}"),
            made_at: now.to_string(),
            ..credited.note
        };
        let body = note.to_json()?;
        let values = [
            Value::Text(&note.number),
            Value::Text(ISSUER),
            Value::Int(serial),
            Value::Text(number),
            Value::Id(issued.tenant_id.as_uuid()),
            Value::Text(issued.currency.as_str()),
            Value::Int(credited.subtotal.get()),
            Value::Int(credited.total.get()),
            Value::Text(&request.reason),
            Value::Text(key),
            Value::Int(now.unix_micros()),
            Value::Text(&body),
        ];
        transaction.execute(sql::INSERT, &values).await?;
        transaction.execute(sql::TAKE_SERIAL, &[Value::Text(ISSUER)]).await?;
        let settled = settle(&mut transaction, number, now).await?;
        give_back_by_note(&mut transaction, &settled, &note.number, now).await?;
        transaction.commit().await?;
        Ok(note)
    }

    /// The credit note with this number.
    pub async fn find_credit_note(&self, number: &str) -> Result<Option<CreditNote>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let row: Option<NoteRow> = transaction.find(sql::BY_NUMBER, &[Value::Text(number)]).await?;
        row.map(|row| CreditNote::from_issued(&row.body)).transpose()
    }

    /// The credit notes of an invoice, oldest first.
    pub async fn credit_notes(&self, number: &str) -> Result<Vec<CreditNote>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        notes_of(&mut transaction, number, "").await.map(|(notes, _)| notes)
    }
}

/// The notes of an invoice, and the one that was asked for with this key.
async fn notes_of(
    transaction: &mut Transaction,
    number: &str,
    key: &str,
) -> Result<(Vec<CreditNote>, Option<CreditNote>), LedgerError> {
    let rows: Vec<NoteRow> = transaction.rows(sql::OF_INVOICE, &[Value::Text(number)]).await?;
    let (mut notes, mut known) = (Vec::with_capacity(rows.len()), None);
    for row in rows {
        let note = CreditNote::from_issued(&row.body)?;
        if row.idempotency_key == key {
            known = Some(note.clone());
        }
        notes.push(note);
    }
    Ok((notes, known))
}

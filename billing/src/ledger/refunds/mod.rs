//! What is given back to a tenant of an issued invoice: paid out, or as credit that it may spend.
//! Never more than the tenant is owed, and never a change of the invoice: each refund is a row that is only added.
//! Called by the command line, the operators' interface, and the issuing of credit notes.

mod sql;

use std::str::FromStr;

use domain::{Currency, GrantId, Money, TenantId, Timestamp};
use uuid::Uuid;

use super::{
    GRANT_NANOS_MAX, GrantKind, InvoiceStanding, Ledger, LedgerError, NewGrant, Recorded, Transaction, Value,
    credits,
    error::read_back,
    grants,
    invoices::lock_numbers,
    lifecycle::{NOTE_LENGTH_MAX, REFERENCE_LENGTH_MAX, check_text, existing},
    raise_revision, tenants,
};
use crate::rate::MinorUnits;

/// Decimals of a billionth.
const NANO_DECIMALS: u32 = 9;

/// How a refund reaches the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundKind {
    /// Money was paid out, outside of Tallygate.
    Payout,
    /// A grant of kind `refund`: credit that it may spend.
    Grant,
}

impl RefundKind {
    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payout => "payout",
            Self::Grant => "grant",
        }
    }
}

impl FromStr for RefundKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Payout, Self::Grant].into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("a refund's kind must be payout or grant, not {text:?}"))
    }
}

/// A refund with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceRefund {
    /// Its place: 1, 2, 3, …
    pub sequence: u64,
    /// How it reached the tenant.
    pub kind: RefundKind,
    /// How much.
    pub amount: MinorUnits,
    /// What makes recording it twice one refund. `None`: a credit note gave it.
    pub reference: Option<String>,
    /// The number of the credit note that gave it by itself.
    pub credit_note: Option<String>,
    /// Of credit: the grant.
    pub grant_id: Option<GrantId>,
    /// Why, for people.
    pub note: String,
    /// When.
    pub at: Timestamp,
    /// What kind of somebody did it; see [`super::ActorKind`].
    pub actor_kind: String,
    /// Who.
    pub actor: String,
}

/// A refund to record.
#[derive(Clone, Copy, Debug)]
pub struct NewRefund<'a> {
    /// How it reaches the tenant.
    pub kind: RefundKind,
    /// How much, above zero and at most what the tenant is owed.
    pub amount: MinorUnits,
    /// The bank's or provider's reference: recording it twice is one refund.
    pub reference: &'a str,
    /// For people; may be empty.
    pub note: &'a str,
}

#[derive(sqlx::FromRow)]
struct RefundRow {
    sequence: i64,
    kind: String,
    amount_minor: i64,
    reference: Option<String>,
    credit_note: Option<String>,
    grant_id: Option<Uuid>,
    note: String,
    at_unix_us: i64,
    actor_kind: String,
    actor: String,
}

impl InvoiceRefund {
    fn from_row(row: RefundRow) -> Result<Self, LedgerError> {
        Ok(Self {
            sequence: u64::try_from(row.sequence)
                .map_err(|error| LedgerError::corrupt("sequence", &error))?,
            kind: read_back("kind of refund", &row.kind)?,
            amount: MinorUnits::new(row.amount_minor),
            reference: row.reference,
            credit_note: row.credit_note,
            grant_id: row.grant_id.map(GrantId::from_uuid),
            note: row.note,
            at: Timestamp::from_unix_micros(row.at_unix_us),
            actor_kind: row.actor_kind,
            actor: row.actor,
        })
    }

    /// The first field in which another refund under the same reference differs.
    fn difference(&self, new: &NewRefund<'_>) -> Option<&'static str> {
        let rows = [
            ("amount", self.amount != new.amount),
            ("kind", self.kind != new.kind),
            ("note", self.note != new.note),
        ];
        rows.into_iter().find_map(|(field, is_other)| is_other.then_some(field))
    }
}

/// Where a refund comes from: somebody who records it, or a credit note.
#[derive(Clone, Copy)]
enum Source<'a> {
    Recorded { reference: &'a str, note: &'a str },
    CreditNote(&'a str),
}

impl Ledger {
    /// Records what was given back of what a tenant is owed of an invoice, once for each reference: as paid out, or as a
    /// grant, which is given in the same transaction.
    ///
    /// Errors: no such invoice; more than the tenant is owed; a reference that was used for another amount, kind or note.
    pub async fn record_refund(
        &self,
        number: &str,
        new: &NewRefund<'_>,
        now: Timestamp,
    ) -> Result<(InvoiceStanding, Recorded), LedgerError> {
        check_text("reference", new.reference, 1, REFERENCE_LENGTH_MAX)?;
        check_text("note", new.note, 0, NOTE_LENGTH_MAX)?;
        if new.amount <= MinorUnits::ZERO {
            return Err(LedgerError::BadText { what: "amount", allowed: "above zero" });
        }
        let mut transaction = self.pool.write().await?;
        lock_numbers(&mut transaction).await?;
        let found = existing(&mut transaction, number, now).await?;
        let same = found.refunds.iter().find(|refund| refund.reference.as_deref() == Some(new.reference));
        if let Some(refund) = same {
            return match refund.difference(new) {
                None => Ok((found, Recorded::Already)),
                Some(field) => {
                    Err(LedgerError::RefundConflict { reference: new.reference.to_owned(), field })
                }
            };
        }
        if new.amount > found.owed_to_tenant {
            let (amount, owed) =
                (new.amount.to_text(found.currency), found.owed_to_tenant.to_text(found.currency));
            return Err(LedgerError::RefundTooLarge { number: found.number, amount, owed });
        }
        let source = Source::Recorded { reference: new.reference, note: new.note };
        give(&mut transaction, &found, (new.kind, new.amount), source, now).await?;
        let given = existing(&mut transaction, number, now).await?;
        transaction.commit().await?;
        Ok((given, Recorded::New))
    }
}

/// The refunds of an invoice, in order.
pub(super) async fn of_invoice(
    transaction: &mut Transaction,
    number: &str,
) -> Result<Vec<InvoiceRefund>, LedgerError> {
    let rows: Vec<RefundRow> = transaction.rows(sql::OF_INVOICE, &[Value::Text(number)]).await?;
    rows.into_iter().map(InvoiceRefund::from_row).collect()
}

/// Gives back, as a grant, what a credit note leaves the tenant owed, as far as grants had paid the invoice and no note
/// gave it back before. What was paid otherwise stays owed until somebody records how it was given back.
pub(super) async fn give_back_by_note(
    transaction: &mut Transaction,
    found: &InvoiceStanding,
    note: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let by_notes = found.refunds.iter().filter(|refund| refund.credit_note.is_some());
    let before = by_notes.map(|refund| refund.amount).try_fold(MinorUnits::ZERO, MinorUnits::checked_add)?;
    let most = MinorUnits::new(GRANT_NANOS_MAX / nanos_per_minor(found.currency));
    let amount = found.owed_to_tenant.min(found.granted.checked_sub(before)?).min(most);
    match amount > MinorUnits::ZERO {
        true => give(transaction, found, (RefundKind::Grant, amount), Source::CreditNote(note), now).await,
        false => Ok(()),
    }
}

async fn give(
    transaction: &mut Transaction,
    found: &InvoiceStanding,
    (kind, amount): (RefundKind, MinorUnits),
    source: Source<'_>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sequence =
        i64::try_from(found.refunds.len()).map_err(|error| LedgerError::corrupt("count", &error))? + 1;
    let (key, why, reference, credit_note, note) = match source {
        Source::Recorded { reference, note } => {
            let key = format!("refund {sequence} of invoice {}", found.number);
            (key, format!("given back of invoice {}", found.number), Some(reference), None, note)
        }
        Source::CreditNote(number) => {
            let why = format!("given back of invoice {} by {number}", found.number);
            (format!("credit note {number}"), why, None, Some(number), "")
        }
    };
    let grant = match kind {
        RefundKind::Payout => None,
        RefundKind::Grant => {
            let nanos = i128::from(amount.get()) * i128::from(nanos_per_minor(found.currency));
            let amount = Money::from_nanos(nanos, found.currency);
            let new = NewGrant { kind: GrantKind::Refund, ..NewGrant::paid(amount, &key, &why) };
            Some(grant(transaction, found.tenant_id, &new, now).await?)
        }
    };
    let values = [
        Value::Text(&found.number),
        Value::Int(sequence),
        Value::Id(found.tenant_id.as_uuid()),
        Value::Text(kind.as_str()),
        Value::Int(amount.get()),
        Value::MaybeText(reference),
        Value::MaybeText(credit_note),
        Value::MaybeId(grant.map(|id| id.as_uuid())),
        Value::Text(note),
        Value::Int(now.unix_micros()),
    ];
    transaction.execute(sql::INSERT, &values).await.map(drop)
}

/// Books a grant, as `add_grant` does, in a transaction that runs.
async fn grant(
    transaction: &mut Transaction,
    tenant: TenantId,
    new: &NewGrant<'_>,
    now: Timestamp,
) -> Result<GrantId, LedgerError> {
    raise_revision(transaction).await?;
    let tenant = tenants::find_by_id(transaction, tenant).await?;
    let mut locked = credits::lock(transaction, tenant.id, now, now).await?;
    locked.expire(transaction, now).await?;
    let grant = grants::insert(transaction, &mut locked, &tenant, new, now).await?;
    locked.close(transaction, now).await?;
    Ok(grant.id)
}

/// Billionths in the smallest unit of a currency.
fn nanos_per_minor(currency: Currency) -> i64 {
    10_i64.pow(NANO_DECIMALS.saturating_sub(currency.exponent()))
}

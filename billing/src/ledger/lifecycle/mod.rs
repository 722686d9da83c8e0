//! What becomes of an issued invoice: payments, and its end as paid, void or uncollectible.
//! Never a change of the invoice: each step is a row that is only added, with who took it and when.
//! Called by the command line, the operators' interface, and the issuing of invoices and credit notes.

mod kinds;
mod sql;

pub use kinds::{InvoiceEventKind, InvoiceState};

use domain::{Currency, TenantId, Timestamp};
use serde::Deserialize;

use super::{
    InvoiceRefund, IssuedInvoice, Ledger, LedgerError, Transaction, Value,
    error::read_back,
    invoices::{find_by_number, lock_numbers},
    refunds,
    walk::is_invoice_detached,
};
use crate::rate::MinorUnits;

/// Longest reference of a payment. Unit: characters.
pub(super) const REFERENCE_LENGTH_MAX: usize = 255;
/// Longest note: a sentence or two. Unit: characters.
pub(super) const NOTE_LENGTH_MAX: usize = 500;

/// A step with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceEvent {
    /// Its place: 1, 2, 3, …
    pub sequence: u64,
    /// What happened.
    pub kind: InvoiceEventKind,
    /// Of payments: how much.
    pub amount: Option<MinorUnits>,
    /// Of payments: what makes recording it twice one payment.
    pub reference: Option<String>,
    /// Why, for people.
    pub note: String,
    /// When.
    pub at: Timestamp,
    /// What kind of somebody did it; see [`super::ActorKind`].
    pub actor_kind: String,
    /// Who.
    pub actor: String,
}

/// Where an invoice stands, and how it came there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceStanding {
    /// Its number.
    pub number: String,
    /// Who owes it.
    pub tenant_id: TenantId,
    /// What its amounts are in.
    pub currency: Currency,
    /// Where it stands.
    pub state: InvoiceState,
    /// What it came to.
    pub total: MinorUnits,
    /// What grants had paid when it was issued.
    pub granted: MinorUnits,
    /// All payments since.
    pub paid: MinorUnits,
    /// All credit notes.
    pub credited: MinorUnits,
    /// What is still owed; nothing once it is paid or void.
    pub due: MinorUnits,
    /// All that was given back of what the tenant was owed.
    pub refunded: MinorUnits,
    /// What the tenant is still owed: what it paid and was credited beyond what the invoice came to.
    pub owed_to_tenant: MinorUnits,
    /// When it is due. `None`: without terms of payment.
    pub due_at: Option<Timestamp>,
    /// Whether that time is over and something is owed.
    pub is_overdue: bool,
    /// Every step, in order.
    pub events: Vec<InvoiceEvent>,
    /// Every refund, in order.
    pub refunds: Vec<InvoiceRefund>,
}

/// A payment to record.
#[derive(Clone, Copy, Debug)]
pub struct NewPayment<'a> {
    /// How much, above zero and at most what is due.
    pub amount: MinorUnits,
    /// The bank's or provider's reference: recording it twice is one payment.
    pub reference: &'a str,
    /// For people; may be empty.
    pub note: &'a str,
}

/// What recording a payment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The payment is new.
    New,
    /// It was there before; nothing changed.
    Already,
}

#[derive(sqlx::FromRow)]
struct EventRow {
    sequence: i64,
    kind: String,
    amount_minor: Option<i64>,
    reference: Option<String>,
    note: String,
    at_unix_us: i64,
    actor_kind: String,
    actor: String,
}

impl InvoiceEvent {
    fn from_row(row: EventRow) -> Result<Self, LedgerError> {
        Ok(Self {
            sequence: u64::try_from(row.sequence)
                .map_err(|error| LedgerError::corrupt("sequence", &error))?,
            kind: read_back("kind of event", &row.kind)?,
            amount: row.amount_minor.map(MinorUnits::new),
            reference: row.reference,
            note: row.note,
            at: Timestamp::from_unix_micros(row.at_unix_us),
            actor_kind: row.actor_kind,
            actor: row.actor,
        })
    }
}

/// What of an issued invoice's own text says how much is owed of it and when.
#[derive(Deserialize)]
struct Owed {
    total: String,
    amount_due: Option<String>,
    due_at: Option<String>,
}

impl InvoiceStanding {
    fn new(
        issued: &IssuedInvoice,
        events: Vec<InvoiceEvent>,
        refunds: Vec<InvoiceRefund>,
        credited: MinorUnits,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let owed: Owed =
            serde_json::from_str(&issued.body).map_err(|error| LedgerError::corrupt("invoice", &error))?;
        let amount = |text: &str| {
            MinorUnits::parse(text, issued.currency)
                .ok_or_else(|| LedgerError::corrupt("amount of an invoice", &text))
        };
        let total = amount(&owed.total)?;
        let at_first = owed.amount_due.as_deref().map_or(Ok(total), amount)?;
        let payments = events.iter().filter_map(|event| event.amount);
        let paid = payments.into_iter().try_fold(MinorUnits::ZERO, MinorUnits::checked_add)?;
        let left = at_first.checked_sub(paid)?.checked_sub(credited)?;
        let given = refunds.iter().map(|refund| refund.amount);
        let refunded = given.into_iter().try_fold(MinorUnits::ZERO, MinorUnits::checked_add)?;
        let beyond = MinorUnits::ZERO.checked_sub(left.min(MinorUnits::ZERO))?;
        let mut state = InvoiceState::Issued;
        for event in &events {
            state = match event.kind {
                InvoiceEventKind::Issued | InvoiceEventKind::Payment => state,
                InvoiceEventKind::Paid => InvoiceState::Paid,
                InvoiceEventKind::Void => InvoiceState::Void,
                InvoiceEventKind::Uncollectible => InvoiceState::Uncollectible,
            };
        }
        let due = match state {
            InvoiceState::Issued | InvoiceState::Uncollectible => left.max(MinorUnits::ZERO),
            InvoiceState::Paid | InvoiceState::Void => MinorUnits::ZERO,
        };
        let due_at = owed.due_at.map(|text| text.parse::<jiff::Timestamp>()).transpose();
        let due_at = due_at.map_err(|error| LedgerError::corrupt("due time", &error))?;
        let due_at = due_at.map(|at| Timestamp::from_unix_micros(at.as_microsecond()));
        Ok(Self {
            number: issued.number.clone(),
            tenant_id: issued.tenant_id,
            currency: issued.currency,
            state,
            total,
            granted: total.checked_sub(at_first)?,
            paid,
            credited,
            due,
            refunded,
            owed_to_tenant: beyond.checked_sub(refunded)?,
            due_at,
            is_overdue: due > MinorUnits::ZERO && due_at.is_some_and(|at| at < now),
            events,
            refunds,
        })
    }

    fn refuse(&self, action: &'static str, why: &'static str) -> LedgerError {
        LedgerError::InvoiceState { number: self.number.clone(), state: self.state, action, why }
    }

    fn next(&self) -> i64 {
        i64::try_from(self.events.len()).unwrap_or(i64::MAX).saturating_add(1)
    }
}

impl Ledger {
    /// Where an issued invoice stands.
    pub async fn invoice_standing(
        &self,
        number: &str,
        now: Timestamp,
    ) -> Result<Option<InvoiceStanding>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        standing(&mut transaction, number, now).await
    }

    /// Records a payment, once for each reference of an invoice. The last one makes the invoice paid.
    ///
    /// Errors: no such invoice; one that is paid or void; more than is due; a reference that was used for another
    /// amount or note.
    pub async fn record_payment(
        &self,
        number: &str,
        new: &NewPayment<'_>,
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
        let same = found.events.iter().find(|event| event.reference.as_deref() == Some(new.reference));
        if let Some(event) = same {
            let field = match (event.amount == Some(new.amount), event.note == new.note) {
                (true, true) => return Ok((found, Recorded::Already)),
                (false, _) => "amount",
                (true, false) => "note",
            };
            return Err(LedgerError::PaymentConflict { reference: new.reference.to_owned(), field });
        }
        match found.state {
            InvoiceState::Issued | InvoiceState::Uncollectible => {}
            InvoiceState::Paid => return Err(found.refuse("be paid again", "nothing of it is owed")),
            InvoiceState::Void => return Err(found.refuse("be paid", "nobody owes it")),
        }
        if new.amount > found.due {
            let (amount, due) = (new.amount.to_text(found.currency), found.due.to_text(found.currency));
            return Err(LedgerError::PaymentTooLarge { number: found.number, amount, due });
        }
        let payment = (InvoiceEventKind::Payment, Some((new.amount, new.reference)), new.note);
        add(&mut transaction, &found, payment, now).await?;
        let settled = settle(&mut transaction, number, now).await?;
        transaction.commit().await?;
        Ok((settled, Recorded::New))
    }

    /// Makes an invoice void: it never should have been. What it billed comes onto the next invoice.
    ///
    /// Asked again, nothing changes.
    /// Errors: no such invoice; one that is paid, was paid in part or has credit notes; one of which usage records were
    /// detached; no reason.
    pub async fn void_invoice(
        &self,
        number: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<InvoiceStanding, LedgerError> {
        check_text("reason", reason, 1, NOTE_LENGTH_MAX)?;
        let mut transaction = self.pool.write().await?;
        lock_numbers(&mut transaction).await?;
        let found = existing(&mut transaction, number, now).await?;
        match found.state {
            InvoiceState::Void => return Ok(found),
            InvoiceState::Issued | InvoiceState::Uncollectible => {}
            InvoiceState::Paid => {
                return Err(found.refuse("become void", "issue a credit note for what is to be given back"));
            }
        }
        if [found.paid, found.credited, found.granted].iter().any(|amount| *amount != MinorUnits::ZERO) {
            let why = "a part of it was paid or credited; issue a credit note for the rest";
            return Err(found.refuse("become void", why));
        }
        if is_invoice_detached(&mut transaction, number).await? {
            let why = "usage records of its period were detached, and what it billed could not be billed again; issue \
                       a credit note";
            return Err(found.refuse("become void", why));
        }
        add(&mut transaction, &found, (InvoiceEventKind::Void, None, reason), now).await?;
        let ended = existing(&mut transaction, number, now).await?;
        transaction.commit().await?;
        Ok(ended)
    }

    /// Notes that nobody expects the money of an invoice any more. It may still be paid, or become void.
    ///
    /// Asked again, nothing changes.
    /// Errors: no such invoice; one that is paid or void; no reason.
    pub async fn write_off_invoice(
        &self,
        number: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<InvoiceStanding, LedgerError> {
        check_text("reason", reason, 1, NOTE_LENGTH_MAX)?;
        let mut transaction = self.pool.write().await?;
        lock_numbers(&mut transaction).await?;
        let found = existing(&mut transaction, number, now).await?;
        match found.state {
            InvoiceState::Uncollectible => return Ok(found),
            InvoiceState::Issued => {}
            InvoiceState::Paid => return Err(found.refuse("become uncollectible", "nothing of it is owed")),
            InvoiceState::Void => return Err(found.refuse("become uncollectible", "nobody owes it")),
        }
        add(&mut transaction, &found, (InvoiceEventKind::Uncollectible, None, reason), now).await?;
        let ended = existing(&mut transaction, number, now).await?;
        transaction.commit().await?;
        Ok(ended)
    }
}

/// A text of a step, without control characters.
pub(super) fn check_text(
    what: &'static str,
    text: &str,
    least: usize,
    most: usize,
) -> Result<(), LedgerError> {
    let allowed = match (least, most) {
        (0, _) => "at most 500 printable characters",
        (_, REFERENCE_LENGTH_MAX) => "1 to 255 printable characters",
        (_, _) => "1 to 500 printable characters",
    };
    match (least..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(LedgerError::BadText { what, allowed }),
    }
}

/// Where an invoice stands, in a transaction that runs.
pub(crate) async fn standing(
    transaction: &mut Transaction,
    number: &str,
    now: Timestamp,
) -> Result<Option<InvoiceStanding>, LedgerError> {
    let Some(issued) = find_by_number(transaction, number).await? else { return Ok(None) };
    let values = [Value::Text(number)];
    let rows: Vec<EventRow> = transaction.rows(sql::EVENTS, &values).await?;
    let events = rows.into_iter().map(InvoiceEvent::from_row).collect::<Result<_, _>>()?;
    let (credited,): (i64,) = transaction.row(sql::CREDITED, &values).await?;
    let refunds = refunds::of_invoice(transaction, number).await?;
    InvoiceStanding::new(&issued, events, refunds, MinorUnits::new(credited), now).map(Some)
}

pub(super) async fn existing(
    transaction: &mut Transaction,
    number: &str,
    now: Timestamp,
) -> Result<InvoiceStanding, LedgerError> {
    let missing = || LedgerError::Missing { what: "invoice", name: number.to_owned() };
    standing(transaction, number, now).await?.ok_or_else(missing)
}

async fn add(
    transaction: &mut Transaction,
    found: &InvoiceStanding,
    (kind, payment, note): (InvoiceEventKind, Option<(MinorUnits, &str)>, &str),
    now: Timestamp,
) -> Result<(), LedgerError> {
    let values = [
        Value::Text(&found.number),
        Value::Int(found.next()),
        Value::Id(found.tenant_id.as_uuid()),
        Value::Text(kind.as_str()),
        Value::MaybeInt(payment.map(|(amount, _)| amount.get())),
        Value::MaybeText(payment.map(|(_, reference)| reference)),
        Value::Text(note),
        Value::Int(now.unix_micros()),
    ];
    transaction.execute(sql::INSERT_EVENT, &values).await.map(drop)
}

/// Makes an invoice paid when nothing of it is owed any more. The caller holds the issuer's lock.
pub(crate) async fn settle(
    transaction: &mut Transaction,
    number: &str,
    now: Timestamp,
) -> Result<InvoiceStanding, LedgerError> {
    let found = existing(transaction, number, now).await?;
    let is_open = matches!(found.state, InvoiceState::Issued | InvoiceState::Uncollectible);
    if !is_open || found.due > MinorUnits::ZERO {
        return Ok(found);
    }
    add(transaction, &found, (InvoiceEventKind::Paid, None, "nothing is owed any more"), now).await?;
    existing(transaction, number, now).await
}

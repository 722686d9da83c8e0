//! What changed what a tenant owes: invoices of whole periods and of parts, their voiding, and credit notes.
//! Never an amount that is computed: the stored texts say how much.
//! Called by exports, by comparisons, and by those who list invoices.

mod sql;

use std::{fmt, str::FromStr};

use domain::{TenantId, Timestamp};

use super::{IssuedInvoice, Ledger, LedgerError, Value, invoices::InvoiceRow};
use crate::invoice::CreditNote;

/// Which list of bookings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookingList {
    /// Issued invoices, by the beginning of their periods.
    Invoices,
    /// Invoices that became void, by the time of that.
    Voided,
    /// Credit notes, by the time of their issuing.
    CreditNotes,
}

impl BookingList {
    /// The list after this one.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Invoices => Some(Self::Voided),
            Self::Voided => Some(Self::CreditNotes),
            Self::CreditNotes => None,
        }
    }
}

/// What a booking is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BookingKind {
    /// An invoice of a whole period.
    Invoice,
    /// An invoice of a part of a period that was running.
    Part,
    /// The end of an invoice that became void then.
    Void(Timestamp),
    /// A credit note that was issued then.
    CreditNote(Box<CreditNote>, Timestamp),
}

/// Something that changed what a tenant owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// What it is.
    pub kind: BookingKind,
    /// The invoice that it is, or that it is about.
    pub issued: IssuedInvoice,
    /// Where it stands in its list.
    pub position: BookingPosition,
}

/// A place in a list of bookings: an instant in microseconds, and the document's serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BookingPosition(i64, i64);

impl fmt::Display for BookingPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for BookingPosition {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || LedgerError::BadText { what: "cursor", allowed: "one that a page gave" };
        let (at, serial) = text.split_once('.').ok_or_else(bad)?;
        Ok(Self(at.parse().map_err(|_| bad())?, serial.parse().map_err(|_| bad())?))
    }
}

#[derive(sqlx::FromRow)]
struct BookingRow {
    #[sqlx(flatten)]
    invoice: InvoiceRow,
    of_part: i64,
    at_unix_us: i64,
    serial: i64,
    note: Option<String>,
}

impl Booking {
    fn from_row(row: BookingRow, list: BookingList) -> Result<Self, LedgerError> {
        let BookingRow { invoice, of_part, at_unix_us, serial, note } = row;
        let (at, is_of_part) = (Timestamp::from_unix_micros(at_unix_us), of_part != 0);
        let kind = match (list, note, is_of_part) {
            (BookingList::Invoices, _, false) => BookingKind::Invoice,
            (BookingList::Invoices, _, true) => BookingKind::Part,
            (BookingList::Voided, _, _) => BookingKind::Void(at),
            (BookingList::CreditNotes, Some(body), _) => {
                BookingKind::CreditNote(Box::new(CreditNote::from_issued(&body)?), at)
            }
            (BookingList::CreditNotes, None, _) => {
                return Err(LedgerError::corrupt("credit note", &"no text"));
            }
        };
        let issued = IssuedInvoice::from_row(invoice)?;
        Ok(Self { kind, issued, position: BookingPosition(at_unix_us, serial) })
    }
}

impl Ledger {
    /// The first bookings of a tenant's list within a span that come after a place; at most `rows_max`.
    pub async fn bookings_page(
        &self,
        tenant: TenantId,
        (list, after): (BookingList, Option<BookingPosition>),
        (from, to): (Timestamp, Timestamp),
        rows_max: usize,
    ) -> Result<Vec<Booking>, LedgerError> {
        let BookingPosition(at, serial) = after.unwrap_or(BookingPosition(i64::MIN, 0));
        let values = [
            Value::Id(tenant.as_uuid()),
            Value::Int(from.unix_micros()),
            Value::Int(to.unix_micros()),
            Value::Int(at),
            Value::Int(serial),
            Value::rows_max(rows_max),
        ];
        let statement = match list {
            BookingList::Invoices => sql::INVOICES,
            BookingList::Voided => sql::VOIDED,
            BookingList::CreditNotes => sql::CREDIT_NOTES,
        };
        let mut transaction = self.pool.read().await?;
        let rows: Vec<BookingRow> = transaction.rows(statement, &values).await?;
        rows.into_iter().map(|row| Booking::from_row(row, list)).collect()
    }
}

//! What is exported of an invoice, of its voiding or of a credit note: lines and taxes as that document bills them.
//! Never an amount of its own: a void invoice's are its own with the other sign, a note's are what it gives back.
//! Made by `Export` and `reconcile`; written by `lines` and `focus`.

use bigdecimal::BigDecimal;
use domain::{Period, Timestamp};

use super::{ExportError, fees::FeePeriods, lines::decimal, table::plain, taxes::taxes};
use crate::{
    invoice::{CreditLine, CreditNote, Invoice, Line},
    ledger::{Booking, BookingKind, LedgerError},
    tax::TaxMode,
};

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BookedKind {
    /// An invoice of a whole period.
    Invoice,
    /// An invoice of a part of a period that was running.
    Part,
    /// All of an invoice, taken back.
    Void,
    /// What a credit note gives back.
    CreditNote,
}

impl BookedKind {
    /// The name in exports.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::Part => "part",
            Self::Void => "void",
            Self::CreditNote => "credit_note",
        }
    }

    /// Whether it takes back what an invoice billed before.
    pub(super) const fn is_correction(self) -> bool {
        match self {
            Self::Invoice | Self::Part => false,
            Self::Void | Self::CreditNote => true,
        }
    }
}

/// A document's lines and taxes.
#[derive(Clone, Debug)]
pub(crate) struct Booked {
    pub(super) kind: BookedKind,
    /// The invoice that it is, or that it is about.
    pub(super) invoice: Invoice,
    /// Its own number; of a void invoice, the invoice's.
    pub(super) number: Option<String>,
    /// When it was issued, or the invoice became void.
    pub(super) at: Option<Timestamp>,
    /// The lines with the amounts of this document.
    pub(super) lines: Vec<Line>,
    /// The taxes that come on top, as lines after the others.
    pub(super) taxes: Vec<Line>,
    /// What time its base fees are for.
    pub(super) fees: FeePeriods,
    total: String,
}

impl Booked {
    /// What the ledger booked.
    ///
    /// Errors: texts that do not read back.
    pub(super) fn of(booking: &Booking) -> Result<Self, ExportError> {
        let invoice = Invoice::from_issued(&booking.issued.body)?;
        match &booking.kind {
            BookingKind::Invoice => Ok(Self::of_invoice(invoice, false)),
            BookingKind::Part => Ok(Self::of_invoice(invoice, true)),
            BookingKind::Void(at) => Self::of_void(invoice, *at),
            BookingKind::CreditNote(note, at) => Self::of_note(invoice, note, Some(*at)),
        }
    }

    /// An invoice as it was issued.
    pub(crate) fn of_invoice(invoice: Invoice, is_of_part: bool) -> Self {
        let made: Result<jiff::Timestamp, _> = invoice.made_at.parse();
        Self {
            kind: if is_of_part { BookedKind::Part } else { BookedKind::Invoice },
            number: invoice.number.clone(),
            at: made.ok().map(|at| Timestamp::from_unix_micros(at.as_microsecond())),
            lines: invoice.lines.clone(),
            taxes: taxes(&invoice).collect(),
            fees: FeePeriods::new(),
            total: invoice.total.clone(),
            invoice,
        }
    }

    /// The same with the other sign, at the time at which it became void.
    ///
    /// Errors: amounts that do not read.
    pub(super) fn of_void(invoice: Invoice, at: Timestamp) -> Result<Self, ExportError> {
        let issued = Self::of_invoice(invoice, false);
        let taken_back = |lines: &[Line]| lines.iter().map(taken_back).collect::<Result<Vec<_>, _>>();
        let (lines, taxes) = (taken_back(&issued.lines)?, taken_back(&issued.taxes)?);
        let total = opposite(&issued.total)?;
        Ok(Self { kind: BookedKind::Void, at: Some(at), lines, taxes, total, ..issued })
    }

    /// What a credit note gives back of the lines and taxes of its invoice.
    ///
    /// Errors: amounts that do not read, a line that the invoice does not have.
    pub(crate) fn of_note(
        invoice: Invoice,
        note: &CreditNote,
        at: Option<Timestamp>,
    ) -> Result<Self, ExportError> {
        let lines = note.lines.iter().map(|line| given_back(&invoice, line)).collect::<Result<_, _>>()?;
        let added = note.taxes.iter().filter(|tax| tax.mode == TaxMode::Exclusive);
        let taxes = taxes(&invoice).zip(added).map(|(line, tax)| with_amount(line, &tax.amount));
        Ok(Self {
            kind: BookedKind::CreditNote,
            number: Some(note.number.clone()),
            at,
            lines,
            taxes: taxes.collect::<Result<_, _>>()?,
            fees: FeePeriods::new(),
            total: opposite(&note.total)?,
            invoice,
        })
    }

    /// Whether lines and taxes add up to what the document changes of what is owed.
    ///
    /// Errors: they do not.
    pub(crate) fn check_sum(&self) -> Result<(), ExportError> {
        let displayed = self.lines.iter().chain(&self.taxes).map(|line| decimal(&line.displayed));
        let sum = displayed.sum::<Result<BigDecimal, _>>()?;
        match sum == decimal(&self.total)? {
            true => Ok(()),
            false => Err(ExportError::NotTheTotal {
                number: self.number.clone().unwrap_or_default(),
                sum: plain(&sum),
                total: self.total.clone(),
            }),
        }
    }

    /// What time a line is for: of a base fee its own, of a correction the period that is corrected, else the invoice's.
    pub(super) fn charge_period(&self, line: &Line) -> (Timestamp, Timestamp) {
        let period = &self.invoice.period;
        let instant = Timestamp::from_unix_micros;
        match (self.fees.get(&line.position), &line.correction) {
            (Some(own), _) => *own,
            (None, Some(of)) => (instant(of.start_unix_us), instant(of.end_unix_us)),
            (None, None) => (instant(period.start_unix_us), instant(period.end_unix_us)),
        }
    }

    /// The billing period that it belongs to: the invoice's own; of what takes back, the month of its time.
    ///
    /// Errors: an unknown zone, instants beyond the calendar.
    pub(super) fn billing_period(&self) -> Result<(Timestamp, Timestamp), ExportError> {
        let period = &self.invoice.period;
        let instant = Timestamp::from_unix_micros;
        match self.at.filter(|_| self.kind.is_correction()) {
            None => Ok((instant(period.start_unix_us), instant(period.end_unix_us))),
            Some(at) => {
                let month = Period::month_of(at, &period.zone)?;
                Ok((month.start(), month.end()))
            }
        }
    }
}

/// An amount with the other sign.
fn opposite(text: &str) -> Result<String, ExportError> {
    Ok(plain(&-decimal(text)?))
}

/// A line of an invoice that became void. Its counts have no sign; who writes them gives them one.
fn taken_back(line: &Line) -> Result<Line, ExportError> {
    Ok(Line {
        units: line.units.as_deref().map(opposite).transpose()?,
        formula: line.formula.as_ref().map(|formula| format!("-({formula})")),
        exact: opposite(&line.exact)?,
        displayed: opposite(&line.displayed)?,
        ..line.clone()
    })
}

/// What a note gives back of a line.
fn given_back(invoice: &Invoice, line: &CreditLine) -> Result<Line, ExportError> {
    let original = invoice.lines.iter().find(|original| original.position == line.position);
    let missing = || LedgerError::corrupt("credit note", &"a line that its invoice does not have");
    with_amount(original.ok_or_else(missing)?.clone(), &line.amount)
}

/// A line of a note: an amount that is given back, and no quantity.
fn with_amount(line: Line, amount: &str) -> Result<Line, ExportError> {
    let amount = opposite(amount)?;
    Ok(Line {
        requests: 0,
        quantity: 0,
        units: None,
        units_name: None,
        unit_price: None,
        unit_price_per: None,
        percent: None,
        attainment: None,
        formula: None,
        exact: amount.clone(),
        displayed: amount,
        ..line
    })
}

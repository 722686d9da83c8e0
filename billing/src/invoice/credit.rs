//! Credit notes: what is given back of an issued invoice, line by line, with the taxes that go with it.
//! Never more than the invoice, and never a rounding of its own: all notes together give back what the invoice took.
//! Called by the ledger, which stores what comes of it.

use std::collections::BTreeMap;

use domain::Currency;
use serde::{Deserialize, Serialize};

use super::{BilledIssuer, BilledTenant, Invoice};
use crate::{
    ledger::{LedgerError, Party},
    rate::MinorUnits,
    tax::TaxMode,
};

/// The version of the JSON form.
pub const CREDIT_NOTE_SCHEMA: &str = "tallygate.credit_note/1";

/// What is asked to be given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditRequest {
    /// Why, for people.
    pub reason: String,
    /// Of which lines; without any: all that is left of the invoice.
    pub lines: Vec<CreditLineRequest>,
}

/// A line to give back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditLineRequest {
    /// Its place on the invoice.
    pub position: u32,
    /// How much, as a decimal; without it, all that is left of the line.
    pub amount: Option<String>,
}

/// A credit note as a reader sees it. Amounts are decimal text with the currency's decimals, above zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditNote {
    /// Which form this is: [`CREDIT_NOTE_SCHEMA`].
    pub schema: String,
    /// Its number.
    pub number: String,
    /// Of which invoice it gives back.
    pub invoice_number: String,
    /// When it was issued. RFC 3339, UTC.
    pub made_at: String,
    /// Whose invoice it is.
    pub tenant: BilledTenant,
    /// Who issued the invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<BilledIssuer>,
    /// The tenant's name and address on the invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Party>,
    /// What its amounts are in.
    pub currency: String,
    /// Decimals of its amounts.
    pub currency_decimals: u32,
    /// Why.
    pub reason: String,
    /// What is given back of each line.
    pub lines: Vec<CreditLine>,
    /// The lines, added up.
    pub subtotal: String,
    /// What is given back of each tax.
    pub taxes: Vec<CreditTax>,
    /// What is given back: the subtotal and the taxes that came on top.
    pub total: String,
    /// What was asked for.
    pub asked: CreditRequest,
}

/// A part of a line that is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditLine {
    /// The line's place on the invoice.
    pub position: u32,
    /// What the invoice calls it.
    pub description: String,
    /// How much; below zero where a credit on the invoice is taken back.
    pub amount: String,
}

/// A part of a tax that is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditTax {
    /// What it is called.
    pub name: String,
    /// How much of a hundred.
    pub percent: String,
    /// Whether it came on top or is contained.
    pub mode: TaxMode,
    /// How much.
    pub amount: String,
}

/// A note with the amounts that SQL stores beside it.
#[derive(Clone, Debug)]
pub(crate) struct Credited {
    pub(crate) note: CreditNote,
    pub(crate) subtotal: MinorUnits,
    pub(crate) total: MinorUnits,
}

impl CreditNote {
    /// As JSON, two spaces deep, ending in a newline.
    ///
    /// Errors: none in practice.
    pub fn to_json(&self) -> Result<String, LedgerError> {
        let json = serde_json::to_string_pretty(self);
        json.map(|json| json + "\n").map_err(|error| LedgerError::corrupt("credit note", &error))
    }

    /// Reads a credit note back.
    ///
    /// Errors: a text that is none.
    pub fn from_issued(body: &str) -> Result<Self, LedgerError> {
        serde_json::from_str(body).map_err(|error| LedgerError::corrupt("credit note", &error))
    }
}

fn read(text: &str, currency: Currency) -> Result<MinorUnits, LedgerError> {
    MinorUnits::parse(text, currency).ok_or_else(|| LedgerError::corrupt("amount", &text))
}

/// What a request gives back of an invoice after the notes before it. Number and time are still empty.
///
/// Errors: a line that is not there, that is given twice or has less left; more than is left of the invoice; nothing
/// to give back.
pub(crate) fn credit(
    invoice: &Invoice,
    currency: Currency,
    before: &[CreditNote],
    request: &CreditRequest,
) -> Result<Credited, LedgerError> {
    let refuse = |why: String| LedgerError::BadCredit { why };
    let mut left: BTreeMap<u32, MinorUnits> = BTreeMap::new();
    for line in &invoice.lines {
        left.insert(line.position, read(&line.displayed, currency)?);
    }
    let mut given = MinorUnits::ZERO;
    for note in before {
        given = given.checked_add(read(&note.subtotal, currency)?)?;
        for line in &note.lines {
            let amount = left.entry(line.position).or_default();
            *amount = amount.checked_sub(read(&line.amount, currency)?)?;
        }
    }
    let amounts = match request.lines.as_slice() {
        [] => left.into_iter().filter(|(_, amount)| *amount != MinorUnits::ZERO).collect(),
        lines => asked(lines, &left, currency)?,
    };
    let subtotal = amounts.values().copied().try_fold(MinorUnits::ZERO, MinorUnits::checked_add)?;
    if subtotal <= MinorUnits::ZERO {
        return Err(refuse("there is nothing left to give back".to_owned()));
    }
    let rest = read(&invoice.subtotal, currency)?.checked_sub(given)?;
    if subtotal > rest {
        let (asked, rest) = (subtotal.to_text(currency), rest.to_text(currency));
        return Err(refuse(format!(
            "{asked} is more than the {rest} that is left of the invoice's subtotal"
        )));
    }
    let (taxes, total) = taxes(invoice, (given, given.checked_add(subtotal)?), currency)?;
    if total <= MinorUnits::ZERO {
        return Err(refuse("there is nothing left to give back".to_owned()));
    }
    let line = |position: &u32, amount: &MinorUnits| CreditLine {
        position: *position,
        description: described(invoice, *position),
        amount: amount.to_text(currency),
    };
    let note = CreditNote {
        schema: CREDIT_NOTE_SCHEMA.to_owned(),
        number: String::new(),
        invoice_number: invoice.number.clone().unwrap_or_default(),
        made_at: String::new(),
        tenant: invoice.tenant.clone(),
        issuer: invoice.issuer.clone(),
        customer: invoice.customer.clone(),
        currency: invoice.currency.clone(),
        currency_decimals: invoice.currency_decimals,
        reason: request.reason.clone(),
        lines: amounts.iter().map(|(position, amount)| line(position, amount)).collect(),
        subtotal: subtotal.to_text(currency),
        taxes,
        total: total.to_text(currency),
        asked: request.clone(),
    };
    Ok(Credited { note, subtotal, total })
}

fn described(invoice: &Invoice, position: u32) -> String {
    let found = invoice.lines.iter().find(|line| line.position == position);
    found.map(|line| line.description.clone()).unwrap_or_default()
}

/// The parts of lines that are asked for by name.
fn asked(
    lines: &[CreditLineRequest],
    left: &BTreeMap<u32, MinorUnits>,
    currency: Currency,
) -> Result<BTreeMap<u32, MinorUnits>, LedgerError> {
    let mut amounts = BTreeMap::new();
    for line in lines {
        let position = line.position;
        let refuse = |why: String| Err(LedgerError::BadCredit { why: format!("line {position} {why}") });
        let Some(rest) = left.get(&position) else { return refuse("is not on the invoice".to_owned()) };
        if *rest <= MinorUnits::ZERO {
            return refuse("has nothing left to give back".to_owned());
        }
        let amount = match &line.amount {
            None => *rest,
            Some(text) => match MinorUnits::parse(text, currency) {
                Some(amount) if amount > MinorUnits::ZERO => amount,
                _ => {
                    return refuse(format!("must be given an amount in {currency} above zero, not {text:?}"));
                }
            },
        };
        if amount > *rest {
            let rest = rest.to_text(currency);
            return refuse(format!("has {rest} left to give back, not {}", amount.to_text(currency)));
        }
        if amounts.insert(position, amount).is_some() {
            return refuse("is named twice".to_owned());
        }
    }
    Ok(amounts)
}

/// What is given back of each tax, and with the subtotal in all: what the taxes on all that is given back come to after
/// this note, less what they came to before. So together the notes of a whole invoice give back each tax exactly.
fn taxes(
    invoice: &Invoice,
    (before, after): (MinorUnits, MinorUnits),
    currency: Currency,
) -> Result<(Vec<CreditTax>, MinorUnits), LedgerError> {
    let Some(taxes) = &invoice.taxes else { return Ok((Vec::new(), after.checked_sub(before)?)) };
    let (old, old_total) = taxes.amounts_on(before)?;
    let (new, new_total) = taxes.amounts_on(after)?;
    let tax = |((line, old), new): ((&crate::tax::TaxLine, &MinorUnits), &MinorUnits)| {
        Ok(CreditTax {
            name: line.name.clone(),
            percent: line.percent.clone(),
            mode: line.mode,
            amount: new.checked_sub(*old)?.to_text(currency),
        })
    };
    let each: Result<_, LedgerError> = taxes.lines.iter().zip(&old).zip(&new).map(tax).collect();
    Ok((each?, new_total.checked_sub(old_total)?))
}

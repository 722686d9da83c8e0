//! Invoices: what a tenant owes for a period, with every line's arithmetic.
//! Never a change to an issued invoice, and never an amount that a reader cannot recompute.
//! Called by `tallygate invoice` and, later, the portal.

mod alerts;
mod attainment;
mod build;
mod charges;
mod correct;
mod credit;
mod daily;
mod due;
mod embeddings;
mod energy;
mod html;
mod issue;
mod parties;
mod payments;
mod share;
mod show;
mod simulate;
mod subscription;
mod text;
mod threshold;

use domain::{Period, Timestamp};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use alerts::tell_missed_targets;
pub use build::InvoiceParts;
pub use correct::Correction;
pub(crate) use correct::{correction_lines, is_behind, part_lines};
pub(crate) use credit::credit;
pub use credit::{CREDIT_NOTE_SCHEMA, CreditLine, CreditLineRequest, CreditNote, CreditRequest, CreditTax};
pub use daily::DayTokens;
pub(crate) use daily::Days;
pub use due::{DueReport, issue_due, issue_thresholds};
pub use issue::{issue, preview};
pub use parties::BilledIssuer;
pub use payments::Payment;
pub use share::ProjectUse;
pub use simulate::{Simulation, simulate};
pub use subscription::{BilledAdvance, BilledSpan, BilledSubscription, Subscribed};
pub use text::with_separators;
pub use threshold::issue_at_threshold;

use crate::{
    ledger::{LedgerError, Party},
    tax::Taxes,
};

/// The version of the JSON form: it grows when a field changes its meaning or goes away.
pub const SCHEMA: &str = "tallygate.invoice/1";

/// An invoice as a reader sees it; its JSON form is described in docs/billing.md.
///
/// Amounts are decimal text: exact ones with all digits, displayed ones with the currency's decimals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// Which form this is: [`SCHEMA`].
    pub schema: String,
    /// Draft or issued.
    pub status: Status,
    /// Its number, once issued.
    pub number: Option<String>,
    /// When it was issued, or when this draft was made. RFC 3339, UTC.
    pub made_at: String,
    /// Who owes it.
    pub tenant: BilledTenant,
    /// Who issued it; left out where nobody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<BilledIssuer>,
    /// The tenant's name and address for invoices; left out where nobody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Party>,
    /// What it covers.
    pub period: BilledPeriod,
    /// What its amounts are in.
    pub currency: String,
    /// Decimals of its displayed amounts.
    pub currency_decimals: u32,
    /// The plan version in force at the end of the period, whose terms for the period itself apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_at_end: Option<String>,
    /// The period of a subscription that this is, and what its fees follow from; left out without a subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<BilledSubscription>,
    /// Usage records in the period.
    pub records: u64,
    /// Usage events in the period; left out where there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub events: u64,
    /// Of a draft: the invoice that was issued for this period already.
    pub issued_as: Option<String>,
    /// Of such a draft: usage records that came after that invoice was issued and are not on it.
    pub late_records: u64,
    /// Charges, credits, and what was not charged.
    pub lines: Vec<Line>,
    /// The exact amounts of all lines, added up.
    pub subtotal_exact: String,
    /// That sum, rounded once, half away from zero; the displayed amounts of all lines add up to it.
    pub subtotal: String,
    /// The taxes on the subtotal; left out where nobody said how the tenant is taxed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taxes: Option<Taxes>,
    /// What is owed: the subtotal and the taxes that come on top.
    pub total: String,
    /// The time to pay. Unit: days after the issuing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_days: Option<u32>,
    /// Once issued: when it is due. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<String>,
    /// How the subtotal divides over projects, by path; left out when the tenant has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<ProjectShare>,
    /// The tokens of each day; left out where nobody said who issues the invoice or who is billed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub daily_tokens: Vec<DayTokens>,
    /// What grants paid of the total, the oldest grant first; left out when none did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<Payment>,
    /// What is left to pay: the total less all payments; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_due: Option<String>,
    /// The bytes as stored, once issued: JSON is given out exactly as it was issued.
    #[serde(skip)]
    issued_body: Option<String>,
}

/// Whether an invoice is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A preview: it may change and nobody owes it.
    Draft,
    /// Final.
    Issued,
}

/// Who owes an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledTenant {
    /// The tenant's id.
    pub id: String,
    /// The tenant's name when the invoice was made.
    pub name: String,
}

/// What an invoice covers: from `start` (included) to `end` (excluded).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledPeriod {
    /// Its first instant, in local time with offset.
    pub start: String,
    /// The first instant after it, in local time with offset.
    pub end: String,
    /// The IANA zone.
    pub zone: String,
    /// Its first instant. Unit: microseconds since 1970.
    pub start_unix_us: i64,
    /// The first instant after it. Unit: microseconds since 1970.
    pub end_unix_us: i64,
    /// Whether its first instant had come when the invoice was made.
    pub has_begun: bool,
    /// Whether it was over when the invoice was made.
    pub has_ended: bool,
}

impl BilledPeriod {
    /// A period as it stands now.
    fn of(period: &Period, now: Timestamp) -> Self {
        let zone = TimeZone::get(period.zone()).unwrap_or(TimeZone::UTC);
        let local = |at: Timestamp| match jiff::Timestamp::from_microsecond(at.unix_micros()) {
            Ok(instant) => {
                instant.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
            }
            Err(_) => at.to_string(),
        };
        Self {
            start: local(period.start()),
            end: local(period.end()),
            zone: period.zone().to_owned(),
            start_unix_us: period.start().unix_micros(),
            end_unix_us: period.end().unix_micros(),
            has_begun: period.start() <= now,
            has_ended: period.end() <= now,
        }
    }

    /// What a reader must know of a period that is not over.
    fn remark(&self) -> Option<&'static str> {
        match (self.has_begun, self.has_ended) {
            (_, true) => None,
            (true, false) => Some("still running"),
            (false, false) => Some("not begun yet"),
        }
    }
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// What was used, or the period itself, at its price.
    Charge,
    /// What is missing to the least that a charge comes to.
    Minimum,
    /// What is above the most that a charge comes to, given back.
    Maximum,
    /// Money off.
    Discount,
    /// Money given back for tokens that came late.
    SloCredit,
    /// Usage that is not charged because of how its requests ended.
    NotBilled,
    /// Energy, for information.
    Energy,
    /// What an earlier period comes to by now, less what was invoiced of it.
    Correction,
    /// What was invoiced of this period while it ran, taken off.
    Invoiced,
}

impl LineKind {
    /// The name in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::Discount => "discount",
            Self::SloCredit => "slo_credit",
            Self::NotBilled => "not_billed",
            Self::Energy => "energy",
            Self::Correction => "correction",
            Self::Invoiced => "invoiced",
        }
    }
}

/// One line. `exact` is `quantity × unit_price ÷ unit_price_per`, for a credit also `× percent ÷ 100`, negative. Where
/// `units` are told they take the place of the quantity; a line without a price says in `formula` how it came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its place, from 1.
    pub position: u32,
    /// What it is.
    pub kind: LineKind,
    /// What is counted: `input`, `cached_input`, `output`, `late_output`, `late_requests`, `attainment`, `trial`, `true_up`, `base_fee`, an energy source, or the name of a charge or
    /// discount of the plan.
    pub item: String,
    /// For people.
    pub description: String,
    /// The model, of lines about one.
    pub model: Option<String>,
    /// The plan version whose price applies.
    pub price_version: Option<String>,
    /// Why the requests ended, of lines that are not billed.
    pub reason: Option<String>,
    /// Requests behind this line.
    pub requests: u64,
    /// How much.
    pub quantity: u64,
    /// Of what: `tokens`, `requests`, `millijoules`; `mJ` of charges for energy; of usage events the last decimal of
    /// their meter, such as `0.001 s`; nothing where nothing is counted.
    pub unit: String,
    /// Of charges: the part of the quantity that this line prices, converted. Decimal text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<String>,
    /// What those units are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units_name: Option<String>,
    /// The price of `unit_price_per` units.
    pub unit_price: Option<String>,
    /// How many units that price is for.
    pub unit_price_per: Option<u64>,
    /// Of credits: the share of the price that is given back.
    pub percent: Option<String>,
    /// Of credits: how many requests met the promise.
    pub attainment: Option<Attainment>,
    /// The arithmetic, written out.
    pub formula: Option<String>,
    /// The result with all digits.
    pub exact: String,
    /// The part of the rounded subtotal that this line shows.
    pub displayed: String,
    /// Of corrections: what is corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<Correction>,
}

/// Whether a count is of nothing, and so left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Line {
    /// A line about nothing yet.
    pub(crate) fn blank(kind: LineKind, item: &str) -> Self {
        Self {
            position: 0,
            kind,
            item: item.to_owned(),
            description: String::new(),
            model: None,
            price_version: None,
            reason: None,
            requests: 0,
            quantity: 0,
            unit: String::new(),
            units: None,
            units_name: None,
            unit_price: None,
            unit_price_per: None,
            percent: None,
            attainment: None,
            formula: None,
            exact: String::new(),
            displayed: String::new(),
            correction: None,
        }
    }
}

/// The part of an invoice that belongs to one project, without those below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectShare {
    /// The project's id; `null` for keys that have no project.
    pub id: Option<String>,
    /// Its path when the invoice was made.
    pub path: String,
    /// Its usage records, billed or not.
    pub records: u64,
    /// Its part of all lines' exact amounts; those of all projects add up to the sum of the lines.
    pub exact: String,
    /// The part of the rounded subtotal that it shows; those of all projects add up to the subtotal.
    pub displayed: String,
}

/// How many requests met every target of their latency class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attainment {
    /// Requests that met them.
    pub requests_slo_met: u64,
    /// All billed requests.
    pub requests: u64,
    /// The same in percent with two decimals, rounded down, so that 100.00 means all.
    pub percent_rounded_down: String,
}

impl Invoice {
    /// As JSON, two spaces deep, ending in a newline. An issued invoice gives the bytes it was issued with.
    ///
    /// Errors: none in practice.
    pub fn to_json(&self) -> Result<String, LedgerError> {
        if let Some(body) = &self.issued_body {
            return Ok(body.clone());
        }
        let json = serde_json::to_string_pretty(self);
        json.map(|json| json + "\n").map_err(|error| LedgerError::corrupt("invoice", &error))
    }

    /// Reads an issued invoice back.
    ///
    /// Errors: a text that is no invoice.
    pub fn from_issued(body: &str) -> Result<Self, LedgerError> {
        Self::from_json(body).map_err(|error| LedgerError::corrupt("invoice", &error))
    }

    /// Reads an invoice that came from anywhere.
    ///
    /// Errors: text that is none.
    pub(crate) fn from_json(body: &str) -> Result<Self, serde_json::Error> {
        let invoice: Self = serde_json::from_str(body)?;
        Ok(Self { issued_body: Some(body.to_owned()), ..invoice })
    }

    /// As plain text, up to 96 columns wide.
    pub fn to_text(&self) -> String {
        text::render(self)
    }

    /// As one page that needs no other file.
    ///
    /// Errors: none in practice.
    pub fn to_html(&self) -> Result<String, LedgerError> {
        html::render(self)
    }
}

#[cfg(test)]
mod tests;

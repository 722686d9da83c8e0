//! What of Stripe's answers is looked at.
//! Never a whole object: what is not read here may be missing, be new or be of another version.
//! Read by the modules beside it.

use std::collections::HashMap;

use billing::stripe::TheirInvoice;
use serde::Deserialize;

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

/// Something that is there, of which only this is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
    #[serde(default)]
    pub(super) deleted: bool,
    #[serde(default)]
    pub(super) metadata: Option<HashMap<String, String>>,
}

impl Named {
    /// Whether it carries this mark.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        let found = self.metadata.as_ref().and_then(|metadata| metadata.get(name));
        !self.deleted && found.is_some_and(|found| found == value)
    }
}

/// An invoice.
#[derive(Debug, Deserialize)]
pub(super) struct Invoice {
    pub(super) id: String,
    #[serde(default)]
    pub(super) deleted: bool,
    #[serde(default)]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) currency: String,
    #[serde(default)]
    pub(super) total: i64,
    #[serde(default)]
    pub(super) amount_paid: i64,
    #[serde(default)]
    pub(super) amount_remaining: i64,
    #[serde(default)]
    pub(super) pre_payment_credit_notes_amount: i64,
    #[serde(default)]
    pub(super) post_payment_credit_notes_amount: i64,
    #[serde(default)]
    pub(super) collection_method: Option<String>,
}

impl Invoice {
    /// As it is compared with ours. `None`: it was deleted.
    ///
    /// Errors: a status that is unknown here.
    pub(super) fn into_theirs(self) -> Result<Option<TheirInvoice>, String> {
        if self.deleted {
            return Ok(None);
        }
        Ok(Some(TheirInvoice {
            status: self.status.as_deref().unwrap_or_default().parse()?,
            id: self.id,
            currency: self.currency,
            total: self.total,
            amount_paid: self.amount_paid,
            amount_remaining: self.amount_remaining,
            credited: self.pre_payment_credit_notes_amount + self.post_payment_credit_notes_amount,
            lines: Vec::new(),
        }))
    }
}

/// A line of an invoice.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) amount: i64,
}

/// A page that was made.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) id: String,
    #[serde(default)]
    pub(super) url: Option<String>,
}

/// What came of a page.
#[derive(Debug, Deserialize)]
pub(super) struct Session {
    #[serde(default)]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) payment_status: Option<String>,
    #[serde(default)]
    pub(super) amount_total: Option<i64>,
    #[serde(default)]
    pub(super) currency: Option<String>,
    #[serde(default)]
    pub(super) payment_intent: Option<String>,
    #[serde(default)]
    pub(super) setup_intent: Option<String>,
}

/// A card that was left.
#[derive(Debug, Deserialize)]
pub(super) struct SetupIntent {
    #[serde(default)]
    pub(super) payment_method: Option<String>,
}

/// A payment of which something was given back.
#[derive(Debug, Deserialize)]
pub(super) struct Charge {
    #[serde(default)]
    pub(super) amount_refunded: i64,
    #[serde(default)]
    pub(super) payment_intent: Option<String>,
}

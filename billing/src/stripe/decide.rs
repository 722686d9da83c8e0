//! Which call to Stripe is next for an invoice, from how it stands here and how it stands there.
//! Never remembers what was called: what stands at Stripe is looked at anew, so that a lost answer changes nothing.
//! Called by the gateway's worker before each call.

use std::ops::Range;

use super::{
    amount,
    push::{LINES_A_CALL_MAX, Push},
};
use crate::{ledger::InvoiceState, rate::MinorUnits};

/// How an invoice stands at Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TheirStatus {
    /// It may still be changed; nobody owes it.
    Draft,
    /// It is owed.
    Open,
    /// It is paid.
    Paid,
    /// It never should have been.
    Void,
    /// Nobody expects the money any more.
    Uncollectible,
}

impl std::str::FromStr for TheirStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "draft" => Ok(Self::Draft),
            "open" => Ok(Self::Open),
            "paid" => Ok(Self::Paid),
            "void" => Ok(Self::Void),
            "uncollectible" => Ok(Self::Uncollectible),
            other => Err(format!("Stripe says that an invoice is {other:?}, which is unknown here")),
        }
    }
}

impl TheirStatus {
    /// Stripe's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Void => "void",
            Self::Uncollectible => "uncollectible",
        }
    }
}

/// An invoice as Stripe says it. Amounts as Stripe counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TheirInvoice {
    /// Stripe's id.
    pub id: String,
    /// How it stands.
    pub status: TheirStatus,
    /// Its currency, in small letters.
    pub currency: String,
    /// What its lines come to.
    pub total: i64,
    /// What was paid.
    pub amount_paid: i64,
    /// What is left to pay.
    pub amount_remaining: i64,
    /// What credit notes there give back.
    pub credited: i64,
    /// The amounts of its lines, while it is a draft; else empty.
    pub lines: Vec<i64>,
}

/// An invoice as it stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// How it goes to Stripe.
    pub push: Push,
    /// Where it stands.
    pub state: InvoiceState,
    /// What is owed of it now.
    pub due: MinorUnits,
    /// Whether Stripe has collected money for it.
    pub is_paid_by_stripe: bool,
    /// Whether it was made at Stripe once.
    pub is_made: bool,
}

/// What is to be reached by a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It stands at Stripe, finalized.
    Pushed,
    /// Its card is charged.
    Charged,
    /// It is sent by mail.
    Sent,
    /// What was paid here is owed there no more.
    Settled,
    /// It is void there too.
    Void,
    /// It is written off there too.
    WrittenOff,
    /// A credit note of this much is there too.
    Credited(MinorUnits),
}

/// The next call, or the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing is left to do.
    Done(&'static str),
    /// Make a draft.
    Create,
    /// Add these lines of it.
    AddLines(Range<usize>),
    /// Finalize the draft.
    Finalize,
    /// Delete the draft.
    Delete,
    /// Charge the card.
    Pay,
    /// Send it by mail.
    Send,
    /// Note that it was paid elsewhere.
    PayElsewhere,
    /// Make it void.
    Void,
    /// Write it off.
    WriteOff,
    /// Make a credit note.
    Credit {
        /// How much, as Stripe counts.
        amount: i64,
        /// How much of it was paid already and is handed back.
        after_payment: i64,
        /// Whether Stripe pays that back; else it is given back elsewhere.
        is_refunded: bool,
    },
    /// Nothing may be done before somebody has looked.
    Park(String),
}

/// Which call is next. `theirs` is `None` where nothing stands at Stripe.
pub fn next(wanted: &Wanted, ours: &Ours, theirs: Option<&TheirInvoice>) -> Next {
    match wanted {
        Wanted::Pushed => pushed(ours, theirs),
        Wanted::Charged | Wanted::Sent => collected(wanted, ours, theirs),
        Wanted::Settled => ended(theirs, (TheirStatus::Paid, Next::PayElsewhere)),
        Wanted::Void => ended(theirs, (TheirStatus::Void, Next::Void)),
        Wanted::WrittenOff => ended(theirs, (TheirStatus::Uncollectible, Next::WriteOff)),
        Wanted::Credited(total) => credited(ours, theirs, *total),
    }
}

/// Whether an invoice has something to collect at Stripe.
fn is_owed(ours: &Ours) -> bool {
    ours.state == InvoiceState::Issued && ours.due > MinorUnits::ZERO && ours.push.total > 0
}

fn pushed(ours: &Ours, theirs: Option<&TheirInvoice>) -> Next {
    let push = &ours.push;
    let Some(theirs) = theirs else {
        return match (is_owed(ours), ours.is_made) {
            (true, false) => Next::Create,
            (true, true) => Next::Park("it was made at Stripe, and is not there any more".to_owned()),
            (false, _) => Next::Done("nothing of it is to be collected"),
        };
    };
    let currency = push.currency.as_str().to_ascii_lowercase();
    if theirs.currency != currency {
        return Next::Park(format!("it is in {} at Stripe, and in {currency} here", theirs.currency));
    }
    if theirs.status != TheirStatus::Draft {
        return match theirs.total == push.total {
            true => Next::Done("it stands at Stripe"),
            false => Next::Park(totals_differ(theirs, push)),
        };
    }
    if !is_owed(ours) {
        return Next::Delete;
    }
    let (there, all) = (theirs.lines.len(), push.lines.len());
    if there < all && there.is_multiple_of(LINES_A_CALL_MAX) {
        return Next::AddLines(there..all.min(there + LINES_A_CALL_MAX));
    }
    if there != all {
        return Next::Park(format!("its draft has {there} lines at Stripe, and {all} here"));
    }
    let (mut left, mut right) =
        (theirs.lines.clone(), push.lines.iter().map(|line| line.amount).collect::<Vec<_>>());
    left.sort_unstable();
    right.sort_unstable();
    if let Some((left, right)) = left.iter().zip(&right).find(|(left, right)| left != right) {
        return Next::Park(format!("its draft has a line of {left} at Stripe where {right} is owed"));
    }
    match theirs.total == push.total {
        true => Next::Finalize,
        false => Next::Park(totals_differ(theirs, push)),
    }
}

fn totals_differ(theirs: &TheirInvoice, push: &Push) -> String {
    let currency = push.currency;
    let shown = |amount| amount::from_stripe(amount, currency).map(|amount| amount.to_text(currency));
    let shown = |amount: i64| shown(amount).unwrap_or_else(|_| amount.to_string());
    format!("its total is {} {currency} at Stripe, and {} here", shown(theirs.total), shown(push.total))
}

fn collected(wanted: &Wanted, ours: &Ours, theirs: Option<&TheirInvoice>) -> Next {
    let Some(theirs) = theirs else { return Next::Done("it does not stand at Stripe") };
    match theirs.status {
        TheirStatus::Open => {}
        TheirStatus::Draft => return Next::Park("it is not finalized at Stripe".to_owned()),
        TheirStatus::Paid => return Next::Done("it is paid at Stripe"),
        TheirStatus::Void | TheirStatus::Uncollectible => {
            return Next::Done("nobody collects it at Stripe");
        }
    }
    if !is_owed(ours) {
        return Next::Done("nothing of it is to be collected");
    }
    let currency = ours.push.currency;
    match amount::to_stripe(ours.due, currency) {
        Ok(due) if due == theirs.amount_remaining => {}
        Ok(_) | Err(_) => {
            let (due, theirs) = (ours.due.to_text(currency), theirs.amount_remaining);
            return Next::Park(format!(
                "{due} {currency} is due here, and Stripe would collect {theirs} of its units"
            ));
        }
    }
    match wanted {
        Wanted::Sent => Next::Send,
        Wanted::Charged
        | Wanted::Pushed
        | Wanted::Settled
        | Wanted::Void
        | Wanted::WrittenOff
        | Wanted::Credited(_) => Next::Pay,
    }
}

/// How an invoice comes to its end there, which it has reached here.
fn ended(theirs: Option<&TheirInvoice>, (end, call): (TheirStatus, Next)) -> Next {
    let Some(theirs) = theirs else { return Next::Done("it does not stand at Stripe") };
    match theirs.status {
        status if status == end => Next::Done("Stripe says the same"),
        TheirStatus::Draft => Next::Delete,
        TheirStatus::Open => call,
        // What was written off there may still be paid or void.
        TheirStatus::Uncollectible => call,
        TheirStatus::Paid | TheirStatus::Void if end == TheirStatus::Uncollectible => {
            Next::Done("it has come to another end at Stripe")
        }
        TheirStatus::Paid | TheirStatus::Void => {
            Next::Park(format!("it is {} at Stripe, and {} here", theirs.status.as_str(), end.as_str()))
        }
    }
}

fn credited(ours: &Ours, theirs: Option<&TheirInvoice>, total: MinorUnits) -> Next {
    let Some(theirs) = theirs else { return Next::Done("its invoice does not stand at Stripe") };
    let amount = match amount::to_stripe(total, ours.push.currency) {
        // What grants had paid of the invoice is no part of it at Stripe.
        Ok(amount) => amount.min(theirs.total.saturating_sub(theirs.credited)),
        Err(error) => return Next::Park(error.to_string()),
    };
    if amount <= 0 {
        return Next::Done("nothing of it stands at Stripe");
    }
    let is_refunded = ours.is_paid_by_stripe;
    match theirs.status {
        TheirStatus::Draft => Next::Park("its invoice is not finalized at Stripe".to_owned()),
        TheirStatus::Void => Next::Park("its invoice is void at Stripe".to_owned()),
        TheirStatus::Open | TheirStatus::Uncollectible if amount > theirs.amount_remaining => {
            Next::Park("it gives back more than what is left to pay at Stripe".to_owned())
        }
        TheirStatus::Open | TheirStatus::Uncollectible => {
            Next::Credit { amount, after_payment: 0, is_refunded }
        }
        TheirStatus::Paid => Next::Credit { amount, after_payment: amount, is_refunded },
    }
}

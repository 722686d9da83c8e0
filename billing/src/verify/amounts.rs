//! Whether every amount that an invoice states is one, before anything is computed with it.
//! Never whether it is right: that is compared afterwards, with what usage and plans come to.
//! Called by `verify` when it has read an invoice, which may be anybody's.

use domain::Currency;

use crate::{
    invoice::Invoice,
    rate::{MinorUnits, plain_decimal},
};

/// Characters of a text that are repeated in a message.
const SHOWN_CHARS: usize = 40;

/// Checks all amounts of an invoice.
///
/// Errors: in words, the first that is no plain decimal, or a displayed one that its currency does not have.
pub(super) fn check(issued: &Invoice, currency: Currency) -> Result<(), String> {
    let exact = |path: String, text: &str| match plain_decimal(text) {
        Some(_) => Ok(()),
        None => Err(format!("{path} is {:?}, which is no plain decimal", short(text))),
    };
    let displayed = |path: String, text: &str| match MinorUnits::parse(text, currency) {
        Some(_) => Ok(()),
        None => Err(format!("{path} is {:?}, which is no amount of {currency}", short(text))),
    };
    exact("subtotal_exact".to_owned(), &issued.subtotal_exact)?;
    displayed("subtotal".to_owned(), &issued.subtotal)?;
    displayed("total".to_owned(), &issued.total)?;
    if let Some(due) = &issued.amount_due {
        displayed("amount_due".to_owned(), due)?;
    }
    for (index, line) in issued.lines.iter().enumerate() {
        exact(format!("lines[{index}].exact"), &line.exact)?;
        displayed(format!("lines[{index}].displayed"), &line.displayed)?;
        if let Some(of) = &line.correction {
            exact(format!("lines[{index}].correction.now"), &of.now)?;
            exact(format!("lines[{index}].correction.invoiced"), &of.invoiced)?;
        }
    }
    for (index, share) in issued.projects.iter().enumerate() {
        exact(format!("projects[{index}].exact"), &share.exact)?;
        displayed(format!("projects[{index}].displayed"), &share.displayed)?;
    }
    for (index, payment) in issued.payments.iter().enumerate() {
        exact(format!("payments[{index}].exact"), &payment.exact)?;
        displayed(format!("payments[{index}].displayed"), &payment.displayed)?;
    }
    Ok(())
}

fn short(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

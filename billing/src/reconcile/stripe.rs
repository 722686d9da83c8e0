//! Issued invoices against what stands at Stripe.
//! Never asks Stripe itself: both sides are handed in, one invoice at a time.
//! Called by the gateway, after the walk over everything before.

use super::{Finding, HandOver, Report};
use crate::{
    ledger::InvoiceState,
    stripe::{Ours, TheirInvoice, TheirStatus},
};

/// Compares an invoice that was made at Stripe with what stands there. `is_pending`: something is still to be done
/// there, so only what never changes is compared.
pub fn compare_with_stripe(
    report: &mut Report,
    (ours, is_pending): (&Ours, bool),
    theirs: Option<&TheirInvoice>,
) {
    let place = HandOver::ALL.iter().position(|other| *other == HandOver::ExportToStripe).unwrap_or(0);
    report.compared[place] = report.compared[place].saturating_add(1);
    if is_pending {
        report.stripe_pending += 1;
    }
    let found = difference((ours, is_pending), theirs);
    let is_first = !report.findings.iter().any(|finding| finding.hand_over == HandOver::ExportToStripe);
    if let Some((field, before, after)) = found.filter(|_| is_first) {
        let subject = format!("invoice {}", ours.push.number);
        let (hand_over, field) = (HandOver::ExportToStripe, field.to_owned());
        report.findings.push(Finding { hand_over, subject, field, before, after });
    }
}

/// The first difference: field, what is here, what is there.
fn difference(
    (ours, is_pending): (&Ours, bool),
    theirs: Option<&TheirInvoice>,
) -> Option<(&'static str, String, String)> {
    let state = match ours.state {
        InvoiceState::Issued => TheirStatus::Open,
        InvoiceState::Paid => TheirStatus::Paid,
        InvoiceState::Void => TheirStatus::Void,
        InvoiceState::Uncollectible => TheirStatus::Uncollectible,
    };
    let Some(theirs) = theirs else {
        // A draft of what is not to be collected is deleted.
        let is_right = is_pending || state != TheirStatus::Open;
        return (!is_right).then(|| ("status", state.as_str().to_owned(), "not there".to_owned()));
    };
    if theirs.status == TheirStatus::Draft && is_pending {
        return None;
    }
    let currency = ours.push.currency.as_str().to_ascii_lowercase();
    let rows = [
        ("currency", currency, theirs.currency.clone()),
        ("total", ours.push.total.to_string(), theirs.total.to_string()),
        ("status", state.as_str().to_owned(), theirs.status.as_str().to_owned()),
    ];
    let is_compared = |field: &str| field != "status" || !is_pending;
    rows.into_iter().find(|(field, before, after)| before != after && is_compared(field))
}

#[cfg(test)]
mod tests {
    use domain::Currency;

    use super::*;
    use crate::{rate::MinorUnits, stripe::Push};

    fn ours(state: InvoiceState) -> Ours {
        let number = "TG-000001".to_owned();
        let (lines, period) = (Vec::new(), String::new());
        let push = Push { number, currency: Currency::USD, lines, total: 500, payment_days: None, period };
        Ours { push, state, due: MinorUnits::new(500), is_paid_by_stripe: false, is_made: true }
    }

    fn theirs(status: TheirStatus, total: i64) -> TheirInvoice {
        TheirInvoice {
            id: "in_1".to_owned(),
            status,
            currency: "usd".to_owned(),
            total,
            amount_paid: 0,
            amount_remaining: total,
            credited: 0,
            lines: Vec::new(),
        }
    }

    #[test]
    fn the_first_difference_to_stripe_is_named() {
        use InvoiceState::{Issued, Paid, Uncollectible, Void};
        let rows = [
            (Issued, false, Some(theirs(TheirStatus::Open, 500)), ""),
            (Paid, false, Some(theirs(TheirStatus::Paid, 500)), ""),
            (Void, false, Some(theirs(TheirStatus::Void, 500)), ""),
            (Uncollectible, false, Some(theirs(TheirStatus::Uncollectible, 500)), ""),
            (Void, false, None, ""),
            (Issued, true, Some(theirs(TheirStatus::Draft, 0)), ""),
            (Issued, true, Some(theirs(TheirStatus::Paid, 500)), ""),
            (Issued, true, None, ""),
            (Issued, false, None, "status is open before and not there after"),
            (Issued, false, Some(theirs(TheirStatus::Draft, 500)), "status is open before and draft after"),
            (Issued, false, Some(theirs(TheirStatus::Open, 499)), "total is 500 before and 499 after"),
            (Issued, true, Some(theirs(TheirStatus::Open, 501)), "total is 500 before and 501 after"),
            (Paid, false, Some(theirs(TheirStatus::Open, 500)), "status is paid before and open after"),
            (Void, false, Some(theirs(TheirStatus::Paid, 500)), "status is void before and paid after"),
        ];
        for (state, is_pending, theirs, expected) in rows {
            let mut report = Report::default();
            compare_with_stripe(&mut report, (&ours(state), is_pending), theirs.as_ref());
            let found = report.findings.first().map(ToString::to_string).unwrap_or_default();
            let expected = match expected {
                "" => String::new(),
                expected => format!("export -> Stripe: invoice TG-000001: {expected}"),
            };
            assert_eq!(found, expected, "{state:?} {theirs:?}");
            assert_eq!((report.compared[5], report.stripe_pending), (1, u64::from(is_pending)));
        }
    }
}

//! Credit notes at Stripe, one for each of ours.
//! Never a second one for the same number: those that are there are looked through first.
//! Called with the steps of their invoice.

use std::collections::HashMap;

use billing::stripe::TheirInvoice;
use domain::Timestamp;
use stripe_billing::credit_note::{CreateCreditNote, ListCreditNote};

use super::{
    Stripe, Trouble,
    invoice::{NUMBER_MARK, PAGE_ROWS, PAGES_MAX, TENANT_MARK, Turn},
    wire,
};

impl Stripe {
    /// What came of a credit note that is there already.
    pub(super) async fn known_credit_note(
        &self,
        turn: &Turn<'_>,
        theirs: &TheirInvoice,
        now: Timestamp,
    ) -> Result<Option<String>, Trouble> {
        let (number, tenant) = (&turn.step.detail, turn.step.tenant_id);
        if self.ledger.stripe_credit_note(number).await?.is_some() {
            return Ok(Some("it was made before".to_owned()));
        }
        let mut last: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut request = ListCreditNote::new().invoice(theirs.id.clone()).limit(PAGE_ROWS);
            if let Some(last) = last.take() {
                request = request.starting_after(last);
            }
            let page: wire::List<wire::Named> = self.client.get(&request).await?;
            if let Some(found) = page.data.iter().find(|row| row.has(NUMBER_MARK, number)) {
                self.ledger.note_stripe_credit_note((number, tenant), &found.id, now).await?;
                return Ok(Some("it was found at Stripe".to_owned()));
            }
            last = page.data.last().map(|row| row.id.clone());
            if !page.has_more || last.is_none() {
                return Ok(None);
            }
        }
        Err(Trouble::Park("its invoice has too many credit notes at Stripe to look through".to_owned()))
    }

    /// Makes one: of an unpaid invoice it lowers what is owed, of a paid one it is paid back or given back elsewhere.
    pub(super) async fn make_credit_note(
        &self,
        turn: &Turn<'_>,
        (invoice, amount): (&str, i64),
        (after_payment, is_refunded): (i64, bool),
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let (number, tenant) = (&turn.step.detail, turn.step.tenant_id);
        let marks = HashMap::from([
            (NUMBER_MARK.to_owned(), number.clone()),
            (TENANT_MARK.to_owned(), tenant.to_string()),
        ]);
        let mut request = CreateCreditNote::new(invoice).amount(amount).memo(number.clone()).metadata(marks);
        if after_payment > 0 {
            request = match is_refunded {
                true => request.refund_amount(after_payment),
                false => request.out_of_band_amount(after_payment),
            };
        }
        let made: wire::Named = self.client.change(&request, &turn.key("credit")).await?;
        Ok(self.ledger.note_stripe_credit_note((number, tenant), &made.id, now).await?)
    }
}

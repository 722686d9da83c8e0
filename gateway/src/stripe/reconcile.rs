//! Invoices here against those at Stripe: total, currency and where each stands.
//! Never changes anything, here or there.
//! Called by `tallygate reconcile` after everything before it was compared.

use billing::{
    ledger::Tenant,
    reconcile::{Report, compare_with_stripe},
};
use domain::{Period, Timestamp};

use super::{Stripe, Trouble};

/// Invoices read at once.
const INVOICES_PAGE: usize = 100;

impl Stripe {
    /// Compares every invoice of a tenant that went to Stripe, or those that touch a period.
    ///
    /// Errors: what cannot be read; a difference is none.
    pub async fn reconcile(
        &self,
        report: &mut Report,
        (tenant, period): (&Tenant, Option<&Period>),
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let mut after = String::new();
        loop {
            let page = self.ledger.stripe_invoices_page(tenant.id, &after, INVOICES_PAGE).await?;
            for (number, _) in &page {
                let issued = self.ledger.find_invoice(number).await?;
                let touches = |period: &Period| {
                    issued.as_ref().is_some_and(|issued| {
                        issued.period.start() < period.end() && issued.period.end() > period.start()
                    })
                };
                if period.is_some_and(|period| !touches(period)) {
                    continue;
                }
                let (ours, theirs) = self.both(number, now).await?;
                // Asked after both: what was done meanwhile is then still told to be under way, or is seen.
                let is_pending = self.ledger.is_stripe_pending(number).await?;
                let theirs = theirs.as_ref().map(|(theirs, _)| theirs);
                compare_with_stripe(report, (&ours, is_pending), theirs);
            }
            match page.last() {
                Some((number, _)) if page.len() == INVOICES_PAGE => after.clone_from(number),
                Some(_) | None => return Ok(()),
            }
        }
    }
}

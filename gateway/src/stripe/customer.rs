//! A tenant's customer at Stripe: made once, and told what the tenant's billing details say.
//! Never a second one for the same tenant: after a failure those that are there are looked through first.
//! Called by the worker.

use std::collections::HashMap;

use billing::ledger::{StepEnd, StripeStep, Tenant};
use stripe_core::customer::{
    CreateCustomer, ListCustomer, OptionalFieldsCustomerAddress, UpdateCustomer,
    UpdateCustomerInvoiceSettings,
};
use stripe_types::RangeQueryTs;

use super::{
    CallError, Stripe, Trouble,
    invoice::{PAGE_ROWS, PAGES_MAX, TENANT_MARK, Turn},
    wire,
};

/// How much Stripe's clock may be behind ours. Unit: seconds.
const CLOCK_SKEW_SECONDS: i64 = 3_600;
const SECOND_US: i64 = 1_000_000;

impl Stripe {
    /// Makes a tenant's customer where it has none, and tells it the tenant's details.
    pub(super) async fn customer(&self, step: &StripeStep) -> Result<StepEnd, Trouble> {
        let mut turn = Turn { step, generation: step.generation };
        loop {
            match self.customer_once(&turn).await {
                Ok(outcome) => return Ok(StepEnd::Done { outcome, then: None }),
                Err(Trouble::Call(CallError::Stored(_))) if turn.generation == step.generation => {
                    self.give_up_keys(&mut turn).await?;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    async fn customer_once(&self, turn: &Turn<'_>) -> Result<String, Trouble> {
        let tenant = self.ledger.find_tenant(&turn.step.tenant_id.to_string()).await?;
        let linked = self.ledger.stripe_tenant(turn.step.tenant_id).await?;
        let (Some(tenant), Some(linked)) = (tenant, linked) else {
            return Err(Trouble::Park("its tenant is not billed through Stripe".to_owned()));
        };
        let id = match linked.customer_id {
            Some(id) => id,
            None => {
                let found = match turn.is_repeated() {
                    true => self.find_customer(turn.step, &tenant).await?,
                    false => None,
                };
                let id = match found {
                    Some(id) => id,
                    None => self.make_customer(turn, &tenant).await?,
                };
                self.ledger.note_stripe_customer(tenant.id, &id).await?;
                id
            }
        };
        let Some(billing) = self.ledger.tenant_billing(tenant.id).await? else {
            return Ok(format!("it is the customer {id}"));
        };
        let party = billing.party;
        let mut address = OptionalFieldsCustomerAddress::new();
        let mut lines = party.address.into_iter();
        address.line1 = lines.next();
        address.line2 = Some(lines.collect::<Vec<_>>().join(", ")).filter(|rest| !rest.is_empty());
        address.country = party.country;
        let mut request = UpdateCustomer::new(id.clone()).name(party.legal_name);
        if address.line1.is_some() || address.country.is_some() {
            request = request.address(address);
        }
        if let Some(email) = party.email {
            request = request.email(email);
        }
        self.change(turn, &request, "details").await?;
        Ok(format!("the customer {id} has the tenant's details"))
    }

    async fn make_customer(&self, turn: &Turn<'_>, tenant: &Tenant) -> Result<String, Trouble> {
        let marks = HashMap::from([(TENANT_MARK.to_owned(), tenant.id.to_string())]);
        let mut request = CreateCustomer::new().description(tenant.name.clone()).metadata(marks);
        if let Some(clock) = &self.settings.test_clock {
            request = request.test_clock(clock.clone());
        }
        let made: wire::Named = self.client.change(&request, &turn.key("customer")).await?;
        Ok(made.id)
    }

    /// A customer that was made for the tenant without our knowing: since the step was written down, or on its clock.
    async fn find_customer(&self, step: &StripeStep, tenant: &Tenant) -> Result<Option<String>, Trouble> {
        let mut last: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let since = step.created_at.unix_micros() / SECOND_US - CLOCK_SKEW_SECONDS;
            let mut request = ListCustomer::new().limit(PAGE_ROWS);
            request = match &self.settings.test_clock {
                Some(clock) => request.test_clock(clock.clone()),
                None => request.created(RangeQueryTs::gte(since)),
            };
            if let Some(last) = last.take() {
                request = request.starting_after(last);
            }
            let page: wire::List<wire::Named> = self.client.get(&request).await?;
            let id = tenant.id.to_string();
            if let Some(found) = page.data.iter().find(|row| row.has(TENANT_MARK, &id)) {
                return Ok(Some(found.id.clone()));
            }
            last = page.data.last().map(|row| row.id.clone());
            if !page.has_more || last.is_none() {
                return Ok(None);
            }
        }
        Err(Trouble::Park("there are too many customers at Stripe to look through".to_owned()))
    }

    /// Makes a card the one that invoices are charged to.
    pub(super) async fn set_card(
        &self,
        turn: &Turn<'_>,
        customer: &str,
        payment_method: String,
    ) -> Result<(), Trouble> {
        let mut settings = UpdateCustomerInvoiceSettings::new();
        settings.default_payment_method = Some(payment_method);
        let request = UpdateCustomer::new(customer).invoice_settings(settings);
        self.change(turn, &request, "card").await
    }
}

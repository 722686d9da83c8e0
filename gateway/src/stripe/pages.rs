//! Pages at Stripe for a tenant: to leave a card, to pay in advance, to look after cards and invoices.
//! Never a card's number: the tenant types it at Stripe, and only Stripe sees it.
//! Called by the operators' interface and the command line.

use std::collections::HashMap;

use billing::{
    ledger::{Ledger, SessionKind, Tenant},
    rate::MinorUnits,
    stripe,
};
use domain::Timestamp;
use stripe_billing::billing_portal_session::CreateBillingPortalSession;
use stripe_checkout::checkout_session::{
    CreateCheckoutSession, CreateCheckoutSessionLineItems, CreateCheckoutSessionLineItemsPriceData,
    ProductData,
};
use stripe_shared::CheckoutSessionMode;
use stripe_types::Currency;
use uuid::Uuid;

use super::{Stripe, Trouble, invoice::TENANT_MARK, wire};

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFor {
    /// Leaving a card, for invoices to come.
    Card,
    /// Paying this much in advance.
    TopUp(MinorUnits),
    /// Looking after cards and invoices.
    Portal,
}

/// A page that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPage {
    /// Stripe's id.
    pub id: String,
    /// Where it is: whoever has this address may use it.
    pub url: String,
}

impl Stripe {
    /// Makes a page for a tenant that is billed through Stripe; `ledger` notes it under the name of who asks.
    ///
    /// Errors: a tenant that is not, or has no customer there yet; an amount that Stripe cannot say; Stripe's refusals.
    pub async fn make_page(
        &self,
        ledger: &Ledger,
        (tenant, page): (&Tenant, PageFor),
        now: Timestamp,
    ) -> Result<NewPage, Trouble> {
        let linked = ledger.stripe_tenant(tenant.id).await?;
        let linked = linked.ok_or_else(|| {
            Trouble::Park(format!("tenant {} is not billed through Stripe; link it first", tenant.name))
        })?;
        let customer = linked.customer_id.ok_or_else(|| {
            Trouble::Park(format!("the customer of tenant {} is still being made; try again", tenant.name))
        })?;
        // Asked for anew each time; a page that nobody was told of is used by nobody.
        let key = format!("tg-page-{}", Uuid::new_v4());
        let (made, kind, amount): (wire::Page, _, _) = match page {
            PageFor::Portal => {
                let mut request = CreateBillingPortalSession::new().customer(customer);
                if let Some(url) = &self.settings.return_url {
                    request = request.return_url(url.clone());
                }
                (self.client.change(&request, &key).await?, SessionKind::Portal, None)
            }
            PageFor::Card => {
                let request = self.checkout(tenant, customer, CheckoutSessionMode::Setup)?;
                (self.client.change(&request, &key).await?, SessionKind::Card, None)
            }
            PageFor::TopUp(amount) => {
                let request = self.checkout(tenant, customer, CheckoutSessionMode::Payment)?;
                let request = request.line_items(vec![top_up(tenant, amount)?]);
                (self.client.change(&request, &key).await?, SessionKind::TopUp, Some(amount))
            }
        };
        let missing = || Trouble::Park("Stripe made a page without an address".to_owned());
        let url = made.url.ok_or_else(missing)?;
        ledger.add_stripe_session((&made.id, tenant.id), (kind, amount), now).await?;
        Ok(NewPage { id: made.id, url })
    }

    fn checkout(
        &self,
        tenant: &Tenant,
        customer: String,
        mode: CheckoutSessionMode,
    ) -> Result<CreateCheckoutSession, Trouble> {
        let Some(url) = &self.settings.return_url else {
            return Err(Trouble::Park("stripe.return_url is not set: where to go afterwards".to_owned()));
        };
        let marks = HashMap::from([(TENANT_MARK.to_owned(), tenant.id.to_string())]);
        Ok(CreateCheckoutSession::new()
            .mode(mode)
            .customer(customer)
            .currency(currency_of(tenant))
            .success_url(url.clone())
            .cancel_url(url.clone())
            .metadata(marks))
    }
}

fn currency_of(tenant: &Tenant) -> Currency {
    tenant.currency.as_str().to_ascii_lowercase().parse().unwrap_or_default()
}

/// What is paid in advance, as the one thing that is bought.
fn top_up(tenant: &Tenant, amount: MinorUnits) -> Result<CreateCheckoutSessionLineItems, Trouble> {
    if amount <= MinorUnits::ZERO {
        return Err(Trouble::Park("what is paid in advance must be above zero".to_owned()));
    }
    let mut price = CreateCheckoutSessionLineItemsPriceData::new(currency_of(tenant));
    price.unit_amount = Some(stripe::chargeable(amount, tenant.currency)?);
    price.product_data = Some(ProductData::new("Credit, paid in advance"));
    let mut item = CreateCheckoutSessionLineItems::new();
    item.price_data = Some(price);
    item.quantity = Some(1);
    Ok(item)
}

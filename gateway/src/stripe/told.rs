//! What follows here from what Stripe told: payments, ends of invoices, cards and payments in advance.
//! Never believes the message: it says what to look at, and what is looked at is asked for.
//! Messages come from the webhook, what they lead to is done by the worker.

use billing::{
    ledger::{Granted, LedgerError, NewPayment, SessionKind, StepEnd, StepKind, StripeEvent, StripeStep},
    stripe::{self, Observed},
};
use domain::{TenantId, Timestamp};
use serde::Deserialize;
use stripe_checkout::checkout_session::RetrieveCheckoutSession;

pub use billing::ledger::Told;

use super::{Stripe, Trouble, invoice::Turn, wire};

const SECOND_US: i64 = 1_000_000;
/// Longest id that is taken from a message. Unit: bytes.
const ID_BYTES_MAX: usize = 200;

/// A message, as far as it is read.
#[derive(Debug, Deserialize)]
struct Message {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    created: i64,
    data: MessageData,
}

#[derive(Debug, Deserialize)]
struct MessageData {
    object: MessageObject,
}

#[derive(Debug, Deserialize)]
struct MessageObject {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    payment_intent: Option<String>,
}

/// Keeps a message whose signature was good, and what is to be looked at because of it. `None`: it is no message.
///
/// Errors: a database that fails.
pub async fn note(stripe: &Stripe, body: &[u8], now: Timestamp) -> Result<Option<Told>, LedgerError> {
    let Ok(message) = serde_json::from_slice::<Message>(body) else { return Ok(None) };
    let object_id = message.data.object.id.clone().unwrap_or_default();
    let is_id = |id: &str| id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
    if message.id.is_empty() || !is_id(&message.id) || !is_id(&object_id) || message.kind.is_empty() {
        return Ok(None);
    }
    let look = look(stripe, &message, &object_id).await?;
    let event = StripeEvent {
        id: &message.id,
        kind: &message.kind,
        object_id: &object_id,
        made_at: Timestamp::from_unix_micros(message.created.saturating_mul(SECOND_US)),
    };
    let look = look.as_ref().map(|(tenant, kind, detail)| (*tenant, *kind, detail.as_str()));
    stripe.ledger.note_stripe_event(&event, look, now).await.map(Some)
}

/// What is to be looked at; nothing where it is about nothing of ours.
async fn look(
    stripe: &Stripe,
    message: &Message,
    object_id: &str,
) -> Result<Option<(TenantId, StepKind, String)>, LedgerError> {
    let ledger = &stripe.ledger;
    if message.kind.starts_with("invoice.") {
        let found = ledger.invoice_of_stripe(object_id).await?;
        return Ok(found.map(|(number, tenant)| (tenant, StepKind::Observe, number)));
    }
    if message.kind.starts_with("checkout.session.") {
        let found = ledger.stripe_session(object_id).await?;
        return Ok(found.map(|session| (session.tenant_id, StepKind::Session, session.session_id)));
    }
    if message.kind == "charge.refunded"
        && let Some(payment) = &message.data.object.payment_intent
    {
        let found = ledger.stripe_session_of_payment(payment).await?;
        return Ok(found.map(|session| (session.tenant_id, StepKind::Refund, object_id.to_owned())));
    }
    Ok(None)
}

fn done(outcome: impl Into<String>) -> StepEnd {
    StepEnd::Done { outcome: outcome.into(), then: None }
}

impl Stripe {
    /// Looks how an invoice stands at Stripe, and lets follow here what follows.
    pub(super) async fn observe(&self, step: &StripeStep, now: Timestamp) -> Result<StepEnd, Trouble> {
        let number = &step.detail;
        let (ours, theirs) = self.both(number, now).await?;
        let Some((theirs, _)) = theirs else { return Ok(done("it does not stand at Stripe")) };
        let outcome = match stripe::observe(&ours, &theirs) {
            Observed::Nothing(outcome) => outcome,
            Observed::Contradiction(outcome) => return Err(Trouble::Park(outcome)),
            Observed::Paid(amount) => {
                let reference = format!("stripe:{}", theirs.id);
                let payment = NewPayment { amount, reference: &reference, note: "collected by Stripe" };
                self.ledger.record_payment(number, &payment, now).await?;
                "it was paid at Stripe"
            }
            Observed::Void => {
                self.ledger.void_invoice(number, "made void at Stripe", now).await?;
                "it was made void at Stripe"
            }
            Observed::WrittenOff => {
                self.ledger.write_off_invoice(number, "written off at Stripe", now).await?;
                "it was written off at Stripe"
            }
        };
        Ok(done(outcome))
    }

    /// Looks what came of a page: a card that was left, or money that was paid in advance.
    pub(super) async fn session(&self, step: &StripeStep, now: Timestamp) -> Result<StepEnd, Trouble> {
        let id = &step.detail;
        let Some(known) = self.ledger.stripe_session(id).await? else {
            return Ok(done("it is no page of ours"));
        };
        let found: wire::Session = self.client.get(&RetrieveCheckoutSession::new(id.as_str())).await?;
        if found.status.as_deref() != Some("complete") {
            return Ok(done("it was not used"));
        }
        match known.kind {
            SessionKind::Portal => Ok(done("nothing follows from it")),
            SessionKind::Card => {
                let turn = Turn { step, generation: step.generation };
                let intent = found.setup_intent.unwrap_or_default();
                let intent: wire::SetupIntent = self.client.read(&format!("/setup_intents/{intent}")).await?;
                let linked = self.ledger.stripe_tenant(known.tenant_id).await?;
                let customer = linked.and_then(|linked| linked.customer_id);
                let (Some(customer), Some(card)) = (customer, intent.payment_method) else {
                    return Err(Trouble::Park("there is no customer or no card for it".to_owned()));
                };
                self.set_card(&turn, &customer, card).await?;
                self.ledger.complete_stripe_session(&known, None, now).await?;
                Ok(done("the card is the tenant's"))
            }
            SessionKind::TopUp => {
                if found.payment_status.as_deref() != Some("paid") {
                    return Ok(done("it is not paid yet"));
                }
                self.check_paid(&known, &found).await?;
                let payment = found.payment_intent.as_deref();
                Ok(match self.ledger.complete_stripe_session(&known, payment, now).await? {
                    Some(Granted::New) => done("the tenant has the money"),
                    Some(Granted::Already) | None => done("the tenant had the money before"),
                })
            }
        }
    }

    /// What was paid is what was to be paid, to the last digit.
    async fn check_paid(
        &self,
        known: &billing::ledger::StripeSession,
        found: &wire::Session,
    ) -> Result<(), Trouble> {
        let tenant = self.ledger.find_tenant(&known.tenant_id.to_string()).await?;
        let currency = tenant.map(|tenant| tenant.currency);
        let (Some(currency), Some(amount)) = (currency, known.amount) else {
            return Err(Trouble::Park("it has no amount here".to_owned()));
        };
        let wanted = stripe::chargeable(amount, currency)?;
        let code = currency.as_str().to_ascii_lowercase();
        if found.amount_total == Some(wanted) && found.currency.as_deref() == Some(code.as_str()) {
            return Ok(());
        }
        let (paid, of) = (found.amount_total.unwrap_or_default(), found.currency.clone().unwrap_or_default());
        Err(Trouble::Park(format!("{paid} {of} was paid at Stripe, and {wanted} {code} was to be paid")))
    }

    /// Looks how much of a payment in advance was given back, and takes it back here.
    pub(super) async fn refund(&self, step: &StripeStep, now: Timestamp) -> Result<StepEnd, Trouble> {
        let charge: wire::Charge = self.client.read(&format!("/charges/{}", step.detail)).await?;
        let payment = charge.payment_intent.unwrap_or_default();
        let Some(session) = self.ledger.stripe_session_of_payment(&payment).await? else {
            return Ok(done("it is no payment in advance"));
        };
        let tenant = self.ledger.find_tenant(&session.tenant_id.to_string()).await?;
        let Some(tenant) = tenant else { return Ok(done("its tenant is not there")) };
        let refunded = stripe::from_stripe(charge.amount_refunded, tenant.currency)?;
        self.ledger.refund_stripe_session(&session, refunded, now).await?;
        Ok(done(format!("{} {} was given back", refunded.to_text(tenant.currency), tenant.currency)))
    }
}

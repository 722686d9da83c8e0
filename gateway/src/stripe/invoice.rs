//! Brings an invoice at Stripe to where it stands here, call by call.
//! Never trusts its memory: before each call it looks how the invoice stands there, and `billing::stripe` says what is
//! next.
//! Called by the worker for every step of an invoice.

use std::{collections::HashMap, time::Instant};

use billing::{
    invoice,
    ledger::{Collection, StepEnd, StepKind, StripeStep},
    rate::MinorUnits,
    stripe::{self, Next, Ours, Push, TheirInvoice, TheirStatus, Wanted},
};
use domain::Timestamp;
use stripe_billing::{
    invoice::{
        AddLinesInvoice, AddLinesInvoiceLines, CreateInvoice, CreateInvoicePendingInvoiceItemsBehavior,
        DeleteInvoice, FinalizeInvoiceInvoice, ListInvoice, MarkUncollectibleInvoice, PayInvoice,
        RetrieveInvoice, SendInvoiceInvoice, VoidInvoiceInvoice,
    },
    invoice_line_item::ListInvoiceInvoiceLineItem,
};
use stripe_client_core::StripeRequest;
use stripe_shared::InvoiceCollectionMethod;
use stripe_types::Currency;

use super::{
    CallError, Stripe, Trouble, wire,
    worker::{TURN_MAX, after},
};

/// Our mark on invoices and credit notes at Stripe: the number.
pub(super) const NUMBER_MARK: &str = "tallygate_number";
/// Our mark on everything there: the tenant's id.
pub(super) const TENANT_MARK: &str = "tallygate_tenant";
/// Rows of a page of a list; Stripe gives no more.
pub(super) const PAGE_ROWS: i64 = 100;
/// Pages read of one list: ten thousand rows.
pub(super) const PAGES_MAX: usize = 100;
/// Calls in one turn: an invoice of ten thousand lines has some forty.
const CALLS_MAX: usize = 64;
/// How long to wait after a payment that failed, time after time. Unit: days.
const DECLINED_DAYS: [u32; 3] = [1, 3, 5];
const DAY_SECONDS: u64 = 86_400;

/// A step under way.
pub(super) struct Turn<'a> {
    pub(super) step: &'a StripeStep,
    /// How often keys were given up.
    pub(super) generation: u32,
}

impl Turn<'_> {
    /// The key of a call.
    pub(super) fn key(&self, call: &str) -> String {
        format!("{}-{call}-{}", self.step.idempotency_key, self.generation)
    }

    /// Whether something of it may have been done before, without our knowing.
    pub(super) fn is_repeated(&self) -> bool {
        self.step.attempts > 1 || self.generation > 0
    }
}

/// What one call did.
enum Made {
    /// Look again.
    Something,
    /// It is over.
    End(&'static str),
}

impl Stripe {
    /// Takes a step of an invoice.
    pub(super) async fn invoice(&self, step: &StripeStep, now: Timestamp) -> Result<StepEnd, Trouble> {
        let mut turn = Turn { step, generation: step.generation };
        let began = Instant::now();
        for _ in 0..CALLS_MAX {
            let (ours, theirs) = self.both(&step.subject, now).await?;
            let (theirs, method) = theirs.unzip();
            let wanted = self.wanted(step, method).await?;
            if let (Wanted::Credited(_), Some(theirs)) = (&wanted, &theirs)
                && let Some(outcome) = self.known_credit_note(&turn, theirs, now).await?
            {
                return Ok(StepEnd::Done { outcome, then: None });
            }
            let next = stripe::next(&wanted, &ours, theirs.as_ref());
            let id = theirs.as_ref().map_or("", |theirs| theirs.id.as_str());
            let outcome = match next {
                Next::Done(outcome) => return Ok(self.done(step, outcome, theirs.as_ref())),
                Next::Park(outcome) => return Ok(StepEnd::Parked { outcome }),
                Next::Create
                | Next::AddLines(_)
                | Next::Finalize
                | Next::Delete
                | Next::Pay
                | Next::Send
                | Next::PayElsewhere
                | Next::Void
                | Next::WriteOff
                | Next::Credit { .. } => self.make(&turn, &ours, (&next, id), now).await,
            };
            match outcome {
                Ok(Made::Something) => {}
                Ok(Made::End(outcome)) => {
                    return Ok(StepEnd::Done { outcome: outcome.to_owned(), then: None });
                }
                Err(Trouble::Call(CallError::Stored(_))) => self.give_up_keys(&mut turn).await?,
                Err(Trouble::Call(CallError::Declined(why) | CallError::Refused(why)))
                    if matches!(wanted, Wanted::Charged) =>
                {
                    return self.declined(&mut turn, &why, now).await;
                }
                Err(trouble) => return Err(trouble),
            }
            if began.elapsed() > TURN_MAX {
                break;
            }
        }
        Ok(StepEnd::Later { at: now, outcome: "it goes on in another turn".to_owned() })
    }

    /// How an invoice stands here and, with how it is collected, there.
    pub(super) async fn both(
        &self,
        number: &str,
        now: Timestamp,
    ) -> Result<(Ours, Option<(TheirInvoice, Option<String>)>), Trouble> {
        let issued = self.ledger.find_invoice(number).await?;
        let standing = self.ledger.invoice_standing(number, now).await?;
        let (Some(issued), Some(standing)) = (issued, standing) else {
            return Err(Trouble::Park(format!("there is no invoice {number}")));
        };
        let push = Push::of(&invoice::Invoice::from_issued(&issued.body)?)?;
        let id = self.ledger.stripe_invoice(number).await?;
        let of_stripe = |reference: &String| reference.starts_with("stripe:");
        let ours = Ours {
            push,
            state: standing.state,
            due: standing.due,
            is_paid_by_stripe: standing
                .events
                .iter()
                .filter_map(|event| event.reference.as_ref())
                .any(of_stripe),
            is_made: id.is_some(),
        };
        let theirs = match id {
            None => None,
            Some(id) => self.theirs(&id).await?,
        };
        Ok((ours, theirs))
    }

    /// An invoice at Stripe and how it is collected; of a draft with its lines. `None`: it is gone.
    pub(super) async fn theirs(&self, id: &str) -> Result<Option<(TheirInvoice, Option<String>)>, Trouble> {
        let found: wire::Invoice = match self.client.get(&RetrieveInvoice::new(id)).await {
            Ok(found) => found,
            Err(CallError::Missing) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let method = found.collection_method.clone();
        let Some(mut theirs) = found.into_theirs().map_err(Trouble::Park)? else { return Ok(None) };
        if theirs.status == TheirStatus::Draft {
            let mut last: Option<String> = None;
            for _ in 0..PAGES_MAX {
                let mut request = ListInvoiceInvoiceLineItem::new(id).limit(PAGE_ROWS);
                if let Some(last) = last.take() {
                    request = request.starting_after(last);
                }
                let page: wire::List<wire::Line> = self.client.get(&request).await?;
                last = page.data.last().map(|line| line.id.clone());
                theirs.lines.extend(page.data.iter().map(|line| line.amount));
                if !page.has_more || last.is_none() {
                    break;
                }
            }
        }
        Ok(Some((theirs, method)))
    }

    async fn wanted(&self, step: &StripeStep, method: Option<Option<String>>) -> Result<Wanted, Trouble> {
        Ok(match step.kind {
            StepKind::Settle => Wanted::Settled,
            StepKind::Void => Wanted::Void,
            StepKind::Uncollectible => Wanted::WrittenOff,
            StepKind::Collect if method.flatten().as_deref() == Some("send_invoice") => Wanted::Sent,
            StepKind::Collect => Wanted::Charged,
            StepKind::CreditNote => {
                let note = self.ledger.find_credit_note(&step.detail).await?;
                let note = note.ok_or_else(|| Trouble::Park(format!("there is no {}", step.detail)))?;
                let currency = note.currency.parse().ok();
                let total = currency.and_then(|currency| MinorUnits::parse(&note.total, currency));
                Wanted::Credited(total.ok_or_else(|| Trouble::Park("its total does not read".to_owned()))?)
            }
            StepKind::Invoice
            | StepKind::Customer
            | StepKind::Observe
            | StepKind::Session
            | StepKind::Refund => Wanted::Pushed,
        })
    }

    /// The end of a step; after an invoice was made it is to be collected.
    fn done(&self, step: &StripeStep, outcome: &str, theirs: Option<&TheirInvoice>) -> StepEnd {
        let is_open = theirs.is_some_and(|theirs| theirs.status == TheirStatus::Open);
        let then = (step.kind == StepKind::Invoice && is_open).then_some(StepKind::Collect);
        StepEnd::Done { outcome: outcome.to_owned(), then }
    }

    /// Makes one call.
    async fn make(
        &self,
        turn: &Turn<'_>,
        ours: &Ours,
        (next, id): (&Next, &str),
        now: Timestamp,
    ) -> Result<Made, Trouble> {
        match next {
            Next::Create => self.create(turn, &ours.push, now).await?,
            Next::AddLines(range) => {
                let lines = ours.push.lines.get(range.clone()).unwrap_or_default();
                let line = |line: &stripe::PushLine| {
                    let mut one = AddLinesInvoiceLines::new();
                    one.amount = Some(line.amount);
                    one.description = Some(line.description.clone());
                    one
                };
                let lines: Vec<_> = lines.iter().map(line).collect();
                let call = format!("lines-{}", range.start);
                self.change(turn, &AddLinesInvoice::new(id, lines), &call).await?;
            }
            Next::Finalize => {
                let request = FinalizeInvoiceInvoice::new(id).auto_advance(false);
                self.change(turn, &request, "finalize").await?;
            }
            Next::Delete => {
                self.change(turn, &DeleteInvoice::new(id), "delete").await?;
                return Ok(Made::End("its draft was deleted"));
            }
            Next::Pay => self.change(turn, &PayInvoice::new(id), "pay").await?,
            Next::PayElsewhere => {
                self.change(turn, &PayInvoice::new(id).paid_out_of_band(true), "elsewhere").await?;
            }
            Next::Send => {
                self.change(turn, &SendInvoiceInvoice::new(id), "send").await?;
                return Ok(Made::End("it was sent"));
            }
            Next::Void => self.change(turn, &VoidInvoiceInvoice::new(id), "void").await?,
            Next::WriteOff => {
                self.change(turn, &MarkUncollectibleInvoice::new(id), "uncollectible").await?;
            }
            Next::Credit { amount, after_payment, is_refunded } => {
                self.make_credit_note(turn, (id, *amount), (*after_payment, *is_refunded), now).await?;
                return Ok(Made::End("it was made"));
            }
            Next::Done(_) | Next::Park(_) => {}
        }
        Ok(Made::Something)
    }

    pub(super) async fn change(
        &self,
        turn: &Turn<'_>,
        request: &impl StripeRequest,
        call: &str,
    ) -> Result<(), Trouble> {
        let _: wire::Named = self.client.change(request, &turn.key(call)).await?;
        Ok(())
    }

    /// Makes the draft, or finds the one that was made without our knowing.
    async fn create(&self, turn: &Turn<'_>, push: &Push, now: Timestamp) -> Result<(), Trouble> {
        let tenant = turn.step.tenant_id;
        let linked = self.ledger.stripe_tenant(tenant).await?;
        let collection = linked.as_ref().map(|linked| linked.collection).unwrap_or_default();
        let customer = linked.and_then(|linked| linked.customer_id);
        let missing = || Trouble::Park("its tenant has no customer at Stripe".to_owned());
        let customer = customer.ok_or_else(missing)?;
        let id = match turn.is_repeated() {
            true => self.find_draft(&customer, &push.number, &tenant.to_string()).await?,
            false => None,
        };
        let id = match id {
            Some(id) => id,
            None => {
                let code = push.currency.as_str().to_ascii_lowercase();
                let currency: Currency = code.parse().unwrap_or_default();
                let marks = HashMap::from([
                    (NUMBER_MARK.to_owned(), push.number.clone()),
                    (TENANT_MARK.to_owned(), tenant.to_string()),
                ]);
                let mut request = CreateInvoice::new()
                    .customer(customer)
                    .currency(currency)
                    .auto_advance(false)
                    .pending_invoice_items_behavior(CreateInvoicePendingInvoiceItemsBehavior::Exclude)
                    .number(push.number.clone())
                    .description(push.period.clone())
                    .metadata(marks);
                request = match collection {
                    Collection::Charge => {
                        request.collection_method(InvoiceCollectionMethod::ChargeAutomatically)
                    }
                    Collection::Send => request
                        .collection_method(InvoiceCollectionMethod::SendInvoice)
                        .days_until_due(push.payment_days.unwrap_or(self.settings.days_until_due)),
                };
                let made: wire::Named = self.client.change(&request, &turn.key("create")).await?;
                made.id
            }
        };
        Ok(self.ledger.note_stripe_invoice((&push.number, tenant), &id, now).await?)
    }

    /// An invoice of a customer that carries our marks.
    async fn find_draft(
        &self,
        customer: &str,
        number: &str,
        tenant: &str,
    ) -> Result<Option<String>, Trouble> {
        let mut last: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut request = ListInvoice::new().customer(customer).limit(PAGE_ROWS);
            if let Some(last) = last.take() {
                request = request.starting_after(last);
            }
            let page: wire::List<wire::Named> = self.client.get(&request).await?;
            let is_it = |row: &&wire::Named| row.has(NUMBER_MARK, number) && row.has(TENANT_MARK, tenant);
            if let Some(found) = page.data.iter().find(is_it) {
                return Ok(Some(found.id.clone()));
            }
            last = page.data.last().map(|row| row.id.clone());
            if !page.has_more || last.is_none() {
                return Ok(None);
            }
        }
        Err(Trouble::Park("its customer has too many invoices at Stripe to look through".to_owned()))
    }

    /// A failure is stored under the keys: from now on they are others. What was done all the same is seen.
    pub(super) async fn give_up_keys(&self, turn: &mut Turn<'_>) -> Result<(), Trouble> {
        let to = turn.generation.saturating_add(1);
        if !self.ledger.raise_stripe_generation(turn.step, to).await? {
            return Err(Trouble::Call(CallError::Busy));
        }
        turn.generation = to;
        Ok(())
    }

    /// A payment that failed is tried again some days later, and in the end is for somebody to see.
    async fn declined(&self, turn: &mut Turn<'_>, why: &str, now: Timestamp) -> Result<StepEnd, Trouble> {
        // A lost answer may have been a good one.
        if let (_, Some((theirs, _))) = self.both(&turn.step.subject, now).await?
            && theirs.status != TheirStatus::Open
        {
            return Ok(StepEnd::Later { at: now, outcome: "it is not open any more".to_owned() });
        }
        let key = turn.key("pay");
        let tenant = turn.step.tenant_id;
        self.ledger.tell_payment_failed((tenant, &turn.step.subject), (&key, why), now).await?;
        let times = usize::try_from(turn.generation).unwrap_or(usize::MAX);
        self.give_up_keys(turn).await?;
        let outcome = format!("the payment failed: {why}");
        Ok(match DECLINED_DAYS.get(times) {
            Some(days) => {
                let wait = std::time::Duration::from_secs(u64::from(*days) * DAY_SECONDS);
                StepEnd::Later { at: after(now, wait), outcome }
            }
            None => StepEnd::Parked { outcome },
        })
    }
}

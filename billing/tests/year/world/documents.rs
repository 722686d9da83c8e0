//! Invoices and what becomes of them: issued, paid in part or twice, void, written off, given back.
//! Never an amount of its own: what may be asked for is what the auditor says is owed.
//! Run by the world.

use billing::{
    invoice::{self, CreditLineRequest, CreditRequest, Invoice},
    ledger::{BillingMode, LedgerError, NewPayment, Recorded, Tenant},
    plan::Plan,
    rate::MinorUnits,
    verify::verify,
};
use domain::{Period, Timestamp};
use serde_json::json;

use super::{DAY_US, World, failed};
use crate::{
    act::{Act, Instant},
    auditor::{Finding, Wanted, calendar, known::Document},
};

impl World {
    /// Issues every period of a tenant that is over, the oldest first; some wait a few days.
    pub(super) async fn issue(&mut self, client: usize, is_all: bool) -> Result<(), Finding> {
        let tenant = self.clients[client].tenant.clone();
        let grace = if is_all { 0 } else { self.dice.span(5) * DAY_US };
        loop {
            let known = &self.auditor.known;
            let start = self.clients[client].next_start.unwrap_or_else(|| first_start(known, &tenant));
            let end = calendar::period_at(known.person(tenant.id), start).end;
            if self.now - grace < end || (is_all && self.now - DAY_US * 40 < end) {
                return Ok(());
            }
            // What two invoices give back at one instant would have no order that anybody could know.
            self.now += 1;
            self.issue_one(&tenant, (start, end)).await?;
            self.clients[client].next_start = Some(end);
        }
    }

    async fn issue_one(&mut self, tenant: &Tenant, (start, end): (Instant, Instant)) -> Result<(), Finding> {
        let instant = Timestamp::from_unix_micros;
        let period = Period::new(instant(start), instant(end), &tenant.zone).expect("a period");
        let found =
            self.ledger.billing_period(tenant, billing::ledger::PeriodChoice::At(instant(start))).await;
        let found = found.map_err(failed("asking for a period"))?;
        if found != period {
            return Err(format!("a period must be {period:?}, and is {found:?}"));
        }
        let now = self.clock();
        let issued = self.ask(|ledger| {
            let (tenant, period) = (tenant.clone(), period.clone());
            async move { invoice::issue(&ledger, &tenant, &period, now).await }
        });
        let invoice = issued.await.map_err(failed("issuing"))?;
        let wanted = Wanted { tenant: tenant.id, start, end, is_of_part: false };
        self.show(tenant, wanted, &invoice).await
    }

    /// Shows the auditor an invoice, and lets its own proof be tried.
    async fn show(&mut self, tenant: &Tenant, wanted: Wanted, invoice: &Invoice) -> Result<(), Finding> {
        let number = invoice.number.clone().unwrap_or_default();
        let at = |finding: Finding| {
            format!("invoice {number} of {} to {}: {finding}", invoice.period.start, invoice.period.end)
        };
        let done = self.auditor.issued(wanted, self.now, invoice);
        done.map_err(at)?;
        let stored = self.ledger.find_invoice(&number).await.map_err(failed("reading an invoice"))?;
        let json = invoice.to_json().map_err(failed("writing an invoice"))?;
        if stored.is_none_or(|stored| stored.body != json) {
            return Err(at("what is stored is not what was issued".to_owned()));
        }
        let mut usage: Vec<_> =
            self.journals.iter().flat_map(|journal| &journal.lines[..journal.shipped]).collect();
        usage.retain(|(journaled, _)| {
            let ended = journaled.record.finished_at.unix_micros();
            journaled.record.tenant_id == tenant.id && (wanted.start..wanted.end).contains(&ended)
        });
        usage.sort_by_key(|(journaled, _)| (journaled.record.finished_at, journaled.record.request_id));
        let line = |(journaled, hash): &&(_, _)| {
            let mut line = json!(journaled);
            line["hash"] = json!(hash);
            line.to_string() + "\n"
        };
        let usage: String = usage.iter().map(line).collect();
        let plans: Vec<Plan> = self.plans.values().cloned().collect();
        verify(&json, usage.as_bytes(), plans, None).map(drop).map_err(|error| at(error.to_string()))
    }

    /// Looks whether a running period has reached its threshold.
    pub(super) async fn threshold(&mut self, client: usize) -> Result<(), Finding> {
        let tenant = self.clients[client].tenant.clone();
        let span = calendar::period_at(self.auditor.known.person(tenant.id), self.now);
        if span.start == self.now {
            return Ok(());
        }
        let wanted = Wanted { tenant: tenant.id, start: span.start, end: self.now, is_of_part: true };
        let is_due = tenant.terms.billing == BillingMode::Postpaid && self.auditor.is_reached(wanted);
        let now = self.clock();
        let before = self.auditor.known.documents.len();
        let issued = self.ask(|ledger| {
            let tenant = tenant.clone();
            async move { invoice::issue_at_threshold(&ledger, &tenant, now).await }
        });
        let issued = issued.await.map_err(failed("issuing a part"))?;
        // A crash may have come after the part was stored: then nothing new is due, and it is there under its number.
        let invoice = match issued {
            None if is_due => {
                let stored = self.ledger.find_invoice(&format!("TG-{:06}", before + 1)).await;
                let stored = stored.map_err(failed("reading an invoice"))?;
                let body = stored.ok_or("a part is due, and none was issued")?.body;
                Some(Invoice::from_issued(&body).map_err(failed("reading an invoice"))?)
            }
            issued => issued,
        };
        match (invoice, is_due) {
            (Some(invoice), true) => self.show(&tenant, wanted, &invoice).await,
            (None, false) => Ok(()),
            (Some(invoice), false) => Err(format!("no part is due, and {:?} was issued", invoice.number)),
            (None, true) => Err("a part is due, and none was issued".to_owned()),
        }
    }

    /// One of a tenant's documents that is as wanted.
    fn some_document(&mut self, client: usize, is_wanted: impl Fn(&Document) -> bool) -> Option<String> {
        let tenant = self.clients[client].tenant.id;
        let own = self.auditor.known.documents.iter().filter(|document| document.tenant == tenant);
        let numbers: Vec<String> =
            own.filter(|document| is_wanted(document)).map(|own| own.number.clone()).collect();
        (!numbers.is_empty()).then(|| self.dice.pick(&numbers).clone())
    }

    /// Pays an invoice or a part of it; pays the same once more; fails to pay too much.
    pub(super) async fn pay(&mut self, client: usize) -> Result<(), Finding> {
        let is_open = |document: &Document| ["issued", "uncollectible"].contains(&document.state);
        let Some(number) = self.some_document(client, is_open) else { return Ok(()) };
        let standing =
            self.ledger.invoice_standing(&number, self.clock()).await.map_err(failed("reading"))?;
        let standing = standing.ok_or("an invoice is not there")?;
        self.auditor.stands(&standing)?;
        let due = standing.due.get();
        let (reference, now) = (self.key("payment"), self.clock());
        let payment = |minor| NewPayment { amount: MinorUnits::new(minor), reference: &reference, note: "" };
        let too_much = self.ledger.record_payment(&number, &payment(due + 1), now).await;
        if !matches!(too_much, Err(LedgerError::PaymentTooLarge { .. })) {
            return Err(format!("a payment of too much must be refused, and came to {too_much:?}"));
        }
        let minor = if self.dice.is_one_of(600) { due } else { 1 + self.dice.span(due) };
        let paid = self.ask(|ledger| {
            let (number, reference) = (number.clone(), reference.clone());
            async move {
                let payment = NewPayment { amount: MinorUnits::new(minor), reference: &reference, note: "" };
                ledger.record_payment(&number, &payment, now).await
            }
        });
        paid.await.map_err(failed("paying"))?;
        self.hear(&Act::Pay { number: number.clone(), minor });
        let again = self
            .ledger
            .record_payment(&number, &payment(minor), now)
            .await
            .map_err(failed("paying again"))?;
        if again.1 != Recorded::Already {
            return Err("the same payment was taken twice".to_owned());
        }
        self.auditor.stands(&again.0)
    }

    pub(super) async fn void(&mut self, client: usize) -> Result<(), Finding> {
        let is_untouched = |document: &Document| {
            ["issued", "uncollectible"].contains(&document.state)
                && [document.paid, document.credited, document.granted] == [0, 0, 0]
        };
        let Some(number) = self.some_document(client, is_untouched) else { return Ok(()) };
        let now = self.clock();
        let standing = self.ask(|ledger| {
            let number = number.clone();
            async move { ledger.void_invoice(&number, "a mistake", now).await }
        });
        let standing = standing.await.map_err(failed("making void"))?;
        self.hear(&Act::Void { number });
        self.auditor.stands(&standing)
    }

    pub(super) async fn write_off(&mut self, client: usize) -> Result<(), Finding> {
        let is_issued = |document: &Document| document.state == "issued";
        let Some(number) = self.some_document(client, is_issued) else { return Ok(()) };
        let now = self.clock();
        let standing = self.ask(|ledger| {
            let number = number.clone();
            async move { ledger.write_off_invoice(&number, "nobody pays", now).await }
        });
        let standing = standing.await.map_err(failed("writing off"))?;
        self.hear(&Act::WriteOff { number });
        self.auditor.stands(&standing)
    }

    /// Gives back a part of a line, or all that is left of an invoice.
    pub(super) async fn credit(&mut self, client: usize) -> Result<(), Finding> {
        let left = |document: &Document| document.subtotal - document.given_back.values().sum::<i64>();
        let is_left = |document: &Document| document.state != "void" && left(document) > 0;
        let Some(number) = self.some_document(client, is_left) else { return Ok(()) };
        let document = self.auditor.known.document(&number);
        let exponent = self.auditor.known.person(document.tenant).exponent;
        let (rest, mut of_lines) = (left(document), Vec::new());
        for (line, shown) in (1_u32..).zip(&document.shown) {
            let open = shown - document.given_back.get(&line).copied().unwrap_or(0);
            if open > 0 {
                of_lines.push((line, open.min(rest)));
            }
        }
        let lines: Vec<(u32, i64)> = match self.dice.is_one_of(300) || of_lines.is_empty() {
            true => Vec::new(),
            false => {
                let (line, most) = *self.dice.pick(&of_lines);
                vec![(line, 1 + self.dice.span(most))]
            }
        };
        let text = |minor: i64| crate::number::Exact::minor(minor, exponent).text(exponent);
        let line =
            |(line, minor): &(u32, i64)| CreditLineRequest { position: *line, amount: Some(text(*minor)) };
        let request =
            CreditRequest { reason: "goodwill".to_owned(), lines: lines.iter().map(line).collect() };
        let (key, now) = (self.key("note"), self.clock());
        let note = self.ask(|ledger| {
            let (number, request, key) = (number.clone(), request.clone(), key.clone());
            async move { ledger.issue_credit_note(&number, (&request, &key), now).await }
        });
        let note = note.await.map_err(failed("giving back"))?;
        self.auditor.credited(&number, &lines, &note, self.now)
    }

    /// Looks at a tenant's balance, and at where its invoices stand.
    pub(super) async fn look(&mut self, client: usize, is_all: bool) -> Result<(), Finding> {
        let (tenant, now) = (self.clients[client].tenant.clone(), self.clock());
        let long_ago = Timestamp::from_unix_micros(0);
        self.ask(|ledger| async move { ledger.tend_credits(now, long_ago).await })
            .await
            .map_err(failed("tending"))?;
        let accounts = self.accounts(&tenant).await;
        self.auditor.balances(tenant.id, self.now, &accounts)?;
        if !accounts.is_empty() {
            self.ledger.prove_credits(tenant.id).await.map_err(failed("proving the books"))?;
        }
        if is_all {
            let own = self.auditor.known.documents.iter().filter(|document| document.tenant == tenant.id);
            let numbers: Vec<String> = own.map(|document| document.number.clone()).collect();
            for number in numbers {
                let standing = self.ledger.invoice_standing(&number, now).await.map_err(failed("reading"))?;
                self.auditor.stands(&standing.ok_or("an invoice is not there")?)?;
            }
        }
        Ok(())
    }
}

/// Where a tenant's first period begins: with the days before its subscription where the first fee is billed there.
fn first_start(known: &crate::auditor::known::Known, tenant: &Tenant) -> Instant {
    let person = known.person(tenant.id);
    let first = calendar::period_at(person, person.created);
    let before = calendar::period_at(person, first.start - 1);
    let is_ahead = ["trial", "regular"].contains(&first.kind)
        && calendar::facts_at(known, tenant.id, before.start).is_some_and(|facts| facts.ahead.is_some());
    if is_ahead { before.start } else { first.start }
}

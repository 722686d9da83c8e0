//! The auditor: reckons every invoice and every balance again from what was done, and compares to the last digit.
//! Never shares a rule with billing: it has its own numbers, reader, calendar, rating, taxes and books.
//! Told by the world of each act, and shown each document.

pub(crate) mod books;
pub(crate) mod calendar;
mod documents;
mod entry;
mod fees;
pub(crate) mod known;
mod metered;
mod rating;
mod tokens;

use std::collections::BTreeMap;

use billing::{
    invoice::{CreditNote, Invoice},
    ledger::InvoiceStanding,
};
use domain::TenantId;

pub(crate) use documents::Wanted;
use documents::{Expected, due, expected, owed_to_tenant, settle, shown, taxes};
use entry::Entry;
use known::{Document, Known};

use crate::{
    act::{Act, GrantAct, Instant},
    number::{Exact, sum},
};

/// Billionths of a currency unit.
const NANO_DECIMALS: u32 = 9;

/// Who knows all that was done, and nothing of how billing works.
#[derive(Debug, Default)]
pub(crate) struct Auditor {
    pub(crate) known: Known,
}

/// What differs: where, what it must be, and what was found.
pub(crate) type Finding = String;

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, found: T) -> Result<(), Finding> {
    let [expected, found] = &[expected, found];
    match expected == found {
        true => Ok(()),
        false => Err(format!("{what} must be {expected:?}, and is {found:?}")),
    }
}

impl Auditor {
    /// Hears of an act that makes no document.
    pub(crate) fn hear(&mut self, act: &Act) {
        self.known.take(act);
        if let Act::Pay { number, minor } = act {
            let document = self.known.document_mut(number);
            document.paid += minor;
            settle(document);
        }
        if let Act::Void { number } = act {
            self.known.document_mut(number).state = "void";
        }
        if let Act::WriteOff { number } = act {
            self.known.document_mut(number).state = "uncollectible";
        }
    }

    /// Whether a running period has reached its threshold by now.
    pub(crate) fn is_reached(&self, wanted: Wanted) -> bool {
        let person = self.known.person(wanted.tenant);
        let threshold = person.billing.as_ref().and_then(|billing| billing.threshold);
        threshold.is_some_and(|threshold| expected(&self.known, wanted).subtotal >= threshold)
    }

    /// Compares an issued invoice with what it must be, and keeps it.
    pub(crate) fn issued(&mut self, wanted: Wanted, at: Instant, invoice: &Invoice) -> Result<(), Finding> {
        let serial = self.known.documents.len() + 1;
        let number = format!("TG-{serial:06}");
        same("the number", Some(number.clone()), invoice.number.clone())?;
        let expected = expected(&self.known, wanted);
        let exponent = self.known.person(wanted.tenant).exponent;
        let shown = check_lines(&expected, invoice, exponent)?;
        check_sums(&expected, invoice, exponent)?;
        let (start, end) = (wanted.start, wanted.end);
        let person = self.known.people.get_mut(&wanted.tenant).expect("a tenant");
        let is_within = |at: Instant| (start..end).contains(&at);
        let records =
            person.records.iter().filter(|record| is_within(record.finished_at.unix_micros())).count();
        same("the number of records", u64::try_from(records).expect("few"), invoice.records)?;
        let own = self.known.documents.iter().filter(|document| document.tenant == wanted.tenant);
        let issued: Vec<_> = own.map(|document| (document.start, document.end)).collect();
        let paid = person.book.payments((start, end), &issued, true);
        let (granted, too_much) = check_payments(&paid, expected.total, invoice, exponent)?;
        if too_much > 0 {
            let (tenant, kind) = (wanted.tenant, "refund");
            let refund =
                GrantAct { tenant, nanos: too_much, kind, priority: None, expires: None, models: None, at };
            person.book.grant(&refund);
        }
        let Expected { facts, entries, subtotal, rates, total, .. } = expected;
        let mut document = Document {
            tenant: wanted.tenant,
            number,
            start,
            end,
            is_of_part: wanted.is_of_part,
            facts,
            entries,
            shown,
            subtotal,
            rates,
            total,
            granted,
            paid: 0,
            given_back: BTreeMap::new(),
            credited: 0,
            granted_again: 0,
            state: "issued",
        };
        settle(&mut document);
        self.known.documents.push(document);
        Ok(())
    }

    /// Compares a credit note with what it must be, and keeps it.
    pub(crate) fn credited(
        &mut self,
        number: &str,
        lines: &[(u32, i64)],
        note: &CreditNote,
        at: Instant,
    ) -> Result<(), Finding> {
        let exponent = self.known.person(self.known.document(number).tenant).exponent;
        let document = self.known.document_mut(number);
        let left = |document: &Document, line: u32| {
            let place = usize::try_from(line).expect("small") - 1;
            document.shown[place] - document.given_back.get(&line).copied().unwrap_or(0)
        };
        let asked: Vec<(u32, i64)> = match lines {
            [] => (1..).take(document.shown.len()).map(|line| (line, left(document, line))).collect(),
            lines => lines.to_vec(),
        };
        let asked: Vec<(u32, i64)> = asked.into_iter().filter(|(_, minor)| *minor != 0).collect();
        let before: i64 = document.given_back.values().sum();
        let subtotal: i64 = asked.iter().map(|(_, minor)| minor).sum();
        let (old, old_total) = taxes(&document.rates, before);
        let (new, new_total) = taxes(&document.rates, before + subtotal);
        let text = |minor: i64| Exact::minor(minor, exponent).text(exponent);
        let expected: Vec<_> = asked.iter().map(|(line, minor)| (*line, text(*minor))).collect();
        let found: Vec<_> = note.lines.iter().map(|line| (line.position, line.amount.clone())).collect();
        same("lines of the credit note", expected, found)?;
        same("the subtotal of the credit note", text(subtotal), note.subtotal.clone())?;
        let expected: Vec<_> = new.iter().zip(&old).map(|(new, old)| text(new - old)).collect();
        same("taxes given back", expected, note.taxes.iter().map(|tax| tax.amount.clone()).collect())?;
        same("the total of the credit note", text(new_total - old_total), note.total.clone())?;
        for (line, minor) in asked {
            *document.given_back.entry(line).or_default() += minor;
        }
        document.credited += new_total - old_total;
        settle(document);
        // What grants had paid and nobody owes any more is theirs again.
        let again = owed_to_tenant(document).min(document.granted - document.granted_again);
        if again > 0 {
            document.granted_again += again;
            let (tenant, kind) = (document.tenant, "refund");
            let nanos = i128::from(again) * 10_i128.pow(NANO_DECIMALS - exponent);
            let refund = GrantAct { tenant, nanos, kind, priority: None, expires: None, models: None, at };
            self.known.people.get_mut(&tenant).expect("a tenant").book.grant(&refund);
        }
        Ok(())
    }

    /// Compares where an invoice stands.
    pub(crate) fn stands(&self, standing: &InvoiceStanding) -> Result<(), Finding> {
        let document = self.known.document(&standing.number);
        same("the state", document.state, standing.state.as_str())?;
        same("what is due", due(document), standing.due.get())?;
        same("what was paid", document.paid, standing.paid.get())?;
        same("what was credited", document.credited, standing.credited.get())?;
        same("what was given back", document.granted_again, standing.refunded.get())?;
        same("what the tenant is owed", owed_to_tenant(document), standing.owed_to_tenant.get())?;
        same("what grants paid", document.granted, standing.granted.get())
    }

    /// Compares a tenant's accounts, by their names.
    pub(crate) fn balances(
        &self,
        tenant: TenantId,
        now: Instant,
        accounts: &BTreeMap<String, i128>,
    ) -> Result<(), Finding> {
        let book = &self.known.person(tenant).book;
        if !book.is_open() {
            return same("the number of accounts without a book", 0, accounts.len());
        }
        same("the sum of all accounts", 0, accounts.values().sum::<i128>())?;
        let expected = book.accounts(now);
        let all = |name: &str| -> i128 {
            accounts.iter().filter(|(account, _)| account.starts_with(name)).map(|(_, nanos)| nanos).sum()
        };
        same("what was granted", expected.granted, -all("issued"))?;
        same("what was charged", expected.charged, all("consumed:"))?;
        same("what expired", expected.expired, all("breakage:"))?;
        same("what is owed beyond grants", expected.overage, -all("overage"))?;
        same("what is left", expected.left, all("grant:") + all("overage"))?;
        same("what is owed by invoice", expected.billed, -all("billed"))
    }
}

/// Compares all lines, in any order, then what each shows, in the order of the invoice.
fn check_lines(expected: &Expected, invoice: &Invoice, exponent: u32) -> Result<Vec<i64>, Finding> {
    let texts = |entries: &[Entry]| {
        let mut texts: Vec<String> = entries.iter().map(|entry| entry.text(exponent)).collect();
        texts.sort();
        texts
    };
    let found: Vec<Entry> = invoice.lines.iter().map(Entry::of).collect();
    let (must_be, are) = (texts(&expected.entries), texts(&found));
    let only = |one: &[String], other: &[String]| {
        let mut rest = other.to_vec();
        let mut only = Vec::new();
        for text in one {
            match rest.iter().position(|other| other == text) {
                Some(place) => drop(rest.remove(place)),
                None => only.push(text.clone()),
            }
        }
        only.join("\n    ")
    };
    if must_be != are {
        return Err(format!(
            "lines must be\n    {}\n  and are\n    {}",
            only(&must_be, &are),
            only(&are, &must_be)
        ));
    }
    let exact: Vec<Exact> = invoice.lines.iter().map(|line| Exact::read(&line.exact)).collect();
    for (line, exact) in invoice.lines.iter().zip(&exact) {
        same("all digits of a line", exact.text(exponent), line.exact.clone())?;
    }
    let shown = shown(&exact, expected.subtotal, exponent);
    let texts: Vec<_> = shown.iter().map(|minor| Exact::minor(*minor, exponent).text(exponent)).collect();
    same("what lines show", texts, invoice.lines.iter().map(|line| line.displayed.clone()).collect())?;
    same("the sum of what lines show", expected.subtotal, shown.iter().sum())?;
    Ok(shown)
}

fn check_sums(expected: &Expected, invoice: &Invoice, exponent: u32) -> Result<(), Finding> {
    let text = |minor: i64| Exact::minor(minor, exponent).text(exponent);
    let exact = sum(expected.entries.iter().map(|entry| &entry.exact)).text(exponent);
    same("the exact subtotal", exact, invoice.subtotal_exact.clone())?;
    same("the subtotal", text(expected.subtotal), invoice.subtotal.clone())?;
    let taxes: Vec<_> = expected.taxes.iter().map(|minor| text(*minor)).collect();
    let stated = invoice.taxes.iter().flat_map(|taxes| &taxes.lines).map(|line| line.amount.clone());
    same("the taxes", taxes, stated.collect())?;
    same("the total", text(expected.total), invoice.total.clone())?;
    let of_projects = invoice.projects.iter().map(|share| Exact::read(&share.displayed));
    let of_projects: Vec<Exact> = of_projects.collect();
    if !of_projects.is_empty() {
        same("the sum of all projects", text(expected.subtotal), sum(&of_projects).text(exponent))?;
        let exact: Vec<Exact> = invoice.projects.iter().map(|share| Exact::read(&share.exact)).collect();
        same("the exact sum of all projects", invoice.subtotal_exact.clone(), sum(&exact).text(exponent))?;
    }
    Ok(())
}

/// Compares what grants paid of an invoice; says how much that is, and how much they paid too much.
fn check_payments(
    paid: &[(&'static str, i128)],
    total: i64,
    invoice: &Invoice,
    exponent: u32,
) -> Result<(i64, i128), Finding> {
    let per_minor = 10_i128.pow(NANO_DECIMALS - exponent);
    let all: i128 = paid.iter().map(|(_, nanos)| nanos).sum();
    let most = i128::from(total.max(0)) * per_minor;
    let mut rest = most;
    let mut exact = Vec::new();
    for (_, nanos) in paid {
        let taken = rest.min(*nanos);
        rest -= taken;
        exact.push(Exact::whole(taken).over(&Exact::whole(10_i128.pow(NANO_DECIMALS))));
    }
    let granted = sum(&exact).to_minor(exponent);
    let displayed = shown(&exact, granted, exponent);
    let row = |((kind, _), (exact, minor)): (&(&str, i128), (&Exact, &i64))| {
        ((*kind).to_owned(), exact.text(exponent), Exact::minor(*minor, exponent).text(exponent))
    };
    let expected: Vec<_> = paid.iter().zip(exact.iter().zip(&displayed)).map(row).collect();
    let found = invoice.payments.iter();
    let found: Vec<_> = found
        .map(|payment| (payment.kind.clone(), payment.exact.clone(), payment.displayed.clone()))
        .collect();
    let is_any = !expected.is_empty();
    same("what grants paid", expected, found)?;
    let due = is_any.then(|| Exact::minor(total - granted, exponent).text(exponent));
    same("the amount due", due, invoice.amount_due.clone())?;
    Ok((granted, (all - most).max(0)))
}
